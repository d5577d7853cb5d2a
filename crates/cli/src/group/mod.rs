//! `tidemill group`: who is there. Reads the presence that workers retain on the broker, and shows every worker of every
//! replica with its instances.
//!
//! INVARIANT: it changes nothing: it subscribes, plainly, and publishes nothing.

mod args;
mod roll;
mod show;

use std::time::{Duration, SystemTime};

use tidemill_testkit::wire::{WireQoS, v5};
use tokio::time::Instant;

pub(crate) use args::GroupArgs;

use roll::Roll;

use crate::client::{Client, Hello, Trouble};
use crate::connect::{Reach, in_options};
use crate::exit::{Failure, Outcome};

/// How often it is shown again.
const AGAIN: Duration = Duration::from_secs(2);
/// Retained messages come at once; when nothing has come for so long, there are no more.
const QUIET: Duration = Duration::from_millis(400);

/// Shows the group.
pub(crate) fn run(args: &GroupArgs) -> Result<Outcome, Failure> {
    args.check()?;
    let reach = args.connection.reach(args.patience)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Run(format!("no threads to run on: {error}")))?;
    runtime.block_on(async {
        tokio::select! {
            result = look(args, &reach) => result,
            _ = tidemill::shutdown_signal() => Ok(Outcome::Good),
        }
    })
}

async fn look(args: &GroupArgs, reach: &Reach) -> Result<Outcome, Failure> {
    let troubled = |trouble: Trouble| {
        Failure::Run(format!("{} cannot be asked who is there: {}", reach.broker, in_options(&told(&trouble))))
    };
    let id: String = std::iter::repeat_with(fastrand::alphanumeric).take(8).collect();
    let hello = Hello::new(args.version(), format!("tidemill-see-{id}"));
    let mut client = Client::connect(reach, hello).await.map_err(troubled)?;
    let codes = client.subscribe(std::slice::from_ref(&args.topic), WireQoS::AtMostOnce).await.map_err(troubled)?;
    if !matches!(codes.first(), Some(v5::SubscribeReasonCode::Success(_))) {
        let code = codes.first().map(|code| format!("{code:?}")).unwrap_or_default();
        return Err(Failure::Run(format!(
            "{} refuses the subscription to {:?}: {code}; allow it for this user, or set --topic to what is allowed",
            reach.broker, args.topic
        )));
    }
    let mut roll = Roll::default();
    for event in client.held(QUIET).await.map_err(troubled)? {
        roll.take(&event);
    }
    loop {
        show::show(&roll, args, &reach.broker, SystemTime::now())?;
        if !args.watch {
            break;
        }
        let until = Instant::now() + AGAIN;
        while let Some(event) = client.event(until).await.map_err(troubled)? {
            roll.take(&event);
        }
        // Silence alone does not say that the broker is still there.
        client.ping().await.map_err(troubled)?;
    }
    client.bye().await;
    Ok(if roll.has_anybody(SystemTime::now()) { Outcome::Good } else { Outcome::Bad })
}

fn told(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Refused(v5::ConnectReturnCode::UnsupportedProtocolVersion) => {
            format!("{trouble}; try --mqtt-version 3.1.1")
        }
        trouble => trouble.to_string(),
    }
}
