//! Sets the scene of `--scene`: on the embedded broker, or on one that is named.

use tidemill::profile::Profile;
use tidemill::topic::TopicName;
use tidemill::{report as chain, shutdown_signal};
use tidemill_testkit::broker::{Broker, BrokerConfig};

use super::args::{self, DemoArgs, Plan};
use super::worker;
use crate::exit::{Failure, Outcome};
use crate::logs::{self, Filter};
use crate::scene::{self, Stage};

/// Events per second, unless they are asked for: enough to share, slow enough to watch.
const RATE: u64 = 2000;
/// Events that each act is measured by.
const EVENTS: u64 = 3000;

/// The stage for these arguments; the address of the embedded broker is filled in once it runs.
///
/// # Errors
/// The name of the run is no level of a topic.
pub(super) fn stage(args: &DemoArgs, plan: &Plan) -> Result<Stage, Failure> {
    let mut member = worker::config(plan);
    member.instances = 1.into();
    member.admin.enabled = false;
    let place = match plan.embedded {
        true => "embedded broker".to_owned(),
        false => format!("{} (MQTT {})", plan.mqtt.url, args::label(plan.mqtt.version)),
    };
    let topic = format!("{}/events", plan.run);
    let name = TopicName::new(&topic).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(Stage {
        place,
        source: member.clone(),
        member,
        pattern: topic,
        topic: name,
        events: EVENTS,
        rate: if plan.rate == 0 { RATE } else { plan.rate },
        patience: args.patience,
        json: args.json,
    })
}

/// Plays it.
///
/// # Errors
/// The embedded broker cannot be started, or the scene did not come to its end.
pub(super) async fn play(mut stage: Stage, embedded: bool, filter: Filter) -> Result<Outcome, Failure> {
    let broker = match embedded {
        true => Some(Broker::start(BrokerConfig::default()).await.map_err(|error| Failure::Run(chain(&error)))?),
        false => None,
    };
    if let Some(broker) = &broker {
        for config in [&mut stage.member, &mut stage.source] {
            config.mqtt.url = broker.url();
            config.mqtt.broker = Profile::Tidemill;
        }
    }
    logs::start(filter, &indicatif::MultiProgress::new())?;
    let result = tokio::select! {
        result = scene::play(&stage) => result,
        _ = shutdown_signal() => Err(Failure::Run("stopped before the last act".to_owned())),
    };
    if let Some(broker) = broker {
        broker.shutdown().await;
    }
    result
}
