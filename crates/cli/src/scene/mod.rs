//! `tidemill demo --scene`: what a group is for, in four acts. One member takes everything, a second joins and each
//! takes half, a third joins and each takes a third, two leave and one takes everything again.
//!
//! Publishing goes on while members join and leave, so an event that is lost or handed out twice on the way is seen.
//! ORDER: an act is measured from the moment on which all of its members share the subscription.

mod act;
mod member;
mod show;
mod source;
mod tape;

use std::sync::Arc;
use std::time::Duration;

use tidemill::topic::TopicName;
use tidemill::{Config, Publisher};
use tokio::time::{Instant, sleep};

pub(crate) use act::{ACTS, Act};

use member::Member;
use show::Show;
use source::Source;
use tape::Tape;

use crate::exit::{Failure, Outcome};

/// How often it is looked whether an act is over.
const TICK: Duration = Duration::from_millis(10);

/// Where the scene is set: what differs from one kind of broker to another.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// Said in the first line.
    pub(crate) place: String,
    /// Settings of every member; its name becomes the prefix of the client ID.
    pub(crate) member: Config,
    /// Settings of the connection that publishes.
    pub(crate) source: Config,
    /// Its client ID.
    pub(crate) source_id: String,
    /// What the members' handler is bound to.
    pub(crate) pattern: String,
    /// The topic that is published to.
    pub(crate) topic: TopicName,
    /// Events that each act is measured by.
    pub(crate) events: u64,
    /// Events per second.
    pub(crate) rate: u64,
    /// Gives up when an act does not come to its end for so long.
    pub(crate) patience: Duration,
    pub(crate) json: bool,
}

/// Plays all acts and says how it went.
///
/// # Errors
/// The scene could not begin, or did not come to its end.
pub(crate) async fn play(stage: &Stage) -> Result<Outcome, Failure> {
    let tape = Arc::new(Tape::default());
    let publisher = source::connect(stage).await?;
    let show = Show::new();
    let result = acts(stage, &tape, &publisher, &show).await;
    publisher.close().await;
    let played = result?;
    let verdict = tape.verdict(&played);
    show.verdict(stage, &played, &verdict)?;
    Ok(if verdict.is_good() { Outcome::Good } else { Outcome::Bad })
}

/// What an act came to.
#[derive(Clone, Debug)]
pub(crate) struct Played {
    pub(crate) act: &'static Act,
    /// Share of each member of the cast, in parts of 1.
    pub(crate) shares: Vec<f64>,
}

async fn acts(stage: &Stage, tape: &Arc<Tape>, publisher: &Publisher, show: &Show) -> Result<Vec<Played>, Failure> {
    show.opening(stage);
    let mut cast: Vec<Member> = Vec::new();
    let mut played = Vec::new();
    let mut source: Option<Source> = None;
    for act in &ACTS {
        while cast.len() < act.members {
            cast.push(Member::join(stage, tape, cast.len()).await?);
        }
        while cast.len() > act.members {
            if let Some(member) = cast.pop() {
                member.leave().await?;
            }
        }
        // Nothing is published before somebody listens: there would be nobody to keep it.
        let source = source.get_or_insert_with(|| Source::start(stage, publisher.clone(), Arc::clone(tape)));
        let from = tape.published();
        let to = from + stage.events;
        let began = Instant::now();
        while !tape.all_handled(from, to) {
            show.tick(act, tape, from, to);
            if let Some(why) = source.failure().await {
                return Err(Failure::Run(format!("publishing failed: {why}")));
            }
            if began.elapsed() > stage.patience {
                let why = cast.iter().find_map(Member::last_error);
                return Err(Failure::Run(format!(
                    "the act \"{}\" did not end within {}: {}",
                    act.title,
                    humantime::format_duration(stage.patience),
                    why.unwrap_or_else(|| "every connection is up, but events do not come".to_owned())
                )));
            }
            sleep(TICK).await;
        }
        let act = Played { act, shares: tape.shares(from, to, act.most) };
        show.act(&act);
        played.push(act);
    }
    if let Some(source) = source {
        source.finish(tape, stage.patience).await?;
    }
    for member in cast {
        member.leave().await?;
    }
    Ok(played)
}
