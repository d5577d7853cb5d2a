//! Letters that lie in a topic: the queue of a durable session on the broker.
//!
//! MQTT acknowledges in order `[MQTT-4.6.0-2]`. So what lies before a chosen letter and stays is published to its topic
//! again, which puts it to the end, and only then acknowledged; what lies behind the last chosen one is left alone.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tidemill::{Publisher, async_trait};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Act;
use super::args::Broker;
use super::inbox::{self, Inbox, Received};
use super::letter::Letter;
use super::select::{Picker, Selection};
use super::settle::{Fate, Held, Pile, Settler};
use super::show::{Printer, Shown, Style, say};
use super::tally::Tally;
use crate::exit::Failure;

/// When nothing has come for so long, there is nothing more.
const SETTLE: Duration = Duration::from_millis(250);
/// Bytes of payloads that are looked at together.
const MAX_BYTES: usize = 256 * 1024 * 1024;

#[async_trait]
impl Pile<u16> for Inbox {
    async fn take_off(&mut self, pkid: u16) -> Result<(), Failure> {
        self.acknowledge(pkid).await
    }
}

/// Has the broker keep what is published to `filter` from now on.
///
/// # Errors
/// It does not.
pub(super) async fn subscribe(broker: &Broker, filter: &str) -> Result<(), Failure> {
    let mut inbox = Inbox::open(broker).await?;
    let accepted = inbox.accepted();
    let kept = match accepted.expiry {
        Some(0) => {
            Err(Failure::Run("the broker keeps no sessions; have dead letters written to a file instead".to_owned()))
        }
        _ => inbox.subscribe(filter).await,
    };
    // Even when it failed: a session that somebody has made before must not be touched.
    let left = inbox.leave().await;
    if let Err(failure) = kept {
        if !accepted.session_present {
            inbox::forget(broker).await?;
        }
        return Err(failure);
    }
    left?;
    let time = match (broker.config.mqtt.version, accepted.expiry) {
        (tidemill::MqttVersion::V3_1_1, _) => "for as long as the broker keeps sessions".to_owned(),
        (_, Some(seconds)) => format!("for {} after the last look", days(Duration::from_secs(seconds.into()))),
        (_, None) => format!("for {} after the last look", days(broker.keep)),
    };
    let goes_on = if accepted.session_present { ", beside what was subscribed before" } else { "" };
    say(&format!(
        "from now on the broker keeps what is published to {filter} under {:?}{goes_on}, {time}",
        broker.session
    ));
    Ok(())
}

fn days(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

/// Ends that.
///
/// # Errors
/// Letters lie there and it was not forced, or there is no session.
pub(super) async fn unsubscribe(broker: &Broker, force: bool) -> Result<(), Failure> {
    let mut inbox = Inbox::resume(broker).await?;
    let mut there = 0_u64;
    inbox
        .fetch(SETTLE, |_| {
            there += 1;
            there < u64::from(broker.window)
        })
        .await?;
    inbox.leave().await?;
    if there > 0 && !force {
        return Err(Failure::Run(format!(
            "{there} dead letters lie there and would be lost: replay or drop them first, or give --force"
        )));
    }
    inbox::forget(broker).await?;
    say(&format!("the broker keeps no more dead letters under {:?}; {there} were dropped", broker.session));
    Ok(())
}

/// Shows letters and changes nothing.
///
/// # Errors
/// They cannot be read.
pub(super) async fn look(broker: &Broker, selection: &Selection, printer: &mut Printer) -> Result<(), Failure> {
    let mut inbox = Inbox::resume(broker).await?;
    let mut picker = Picker::new(selection);
    let mut number = 0;
    let mut shown = Ok(());
    let full = inbox
        .fetch(SETTLE, |Received { carrier, .. }| {
            number += 1;
            let letter = Letter::of_publication(carrier);
            if picker.picks(number, &letter) {
                shown = printer.show(Shown { number, letter: Ok(&letter), action: None });
            }
            shown.is_ok() && number < u64::from(broker.window)
        })
        .await?;
    inbox.leave().await?;
    shown?;
    printer.finish()?;
    let more = if full { " looked at; more may lie behind them, raise --window to see them" } else { "" };
    say(&match number {
        0 => "no dead letters".to_owned(),
        number => format!("{} of {number} dead letters{more}", printer.shown()),
    });
    Ok(())
}

/// Replays or drops letters.
///
/// # Errors
/// It could not begin. What went wrong afterwards is in the second part of the result, beside what was done.
pub(super) async fn act(
    broker: &Broker,
    selection: &Selection,
    act: &Act,
    printer: &mut Printer,
    stop: &CancellationToken,
) -> Result<(Tally, Option<Failure>), Failure> {
    let inbox = Inbox::resume(broker).await?;
    let publisher = match act.dry_run {
        true => None,
        false => Some(publisher(broker).await?),
    };
    let mut round = Round {
        broker,
        act,
        picker: Picker::new(selection),
        inbox,
        held: VecDeque::new(),
        number: 0,
        put_back: HashSet::new(),
        replayed: HashSet::new(),
        tally: Tally::default(),
    };
    let mut failure = None;
    loop {
        match round.run(publisher.as_ref(), printer, stop).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(why) => {
                failure = Some(why);
                break;
            }
        }
    }
    // Acknowledgements that are on their way arrive before the goodbye.
    let left = round.inbox.leave().await;
    if let Some(publisher) = publisher {
        // After a failure it may hold what nobody waits for any more.
        match failure {
            None => publisher.close().await,
            Some(_) => publisher.abort(),
        }
    }
    Ok((round.tally, failure.or(left.err())))
}

/// Connects what publishes.
pub(super) async fn publisher(broker: &Broker) -> Result<Publisher, Failure> {
    let id = format!("{}-out-{:06x}", broker.session, fastrand::u32(..1 << 24));
    let publisher = Publisher::start_with(&broker.config, id).map_err(|error| Failure::Usage(error.to_string()))?;
    match timeout(broker.patience, publisher.connected()).await {
        Ok(true) => Ok(publisher),
        _ => {
            let why = publisher.last_error().unwrap_or_else(|| "it does not answer".to_owned());
            publisher.abort();
            Err(Failure::Run(format!("the broker cannot be published to: {why}")))
        }
    }
}

/// Everything that outlives one look at the queue.
struct Round<'a> {
    broker: &'a Broker,
    act: &'a Act,
    picker: Picker<'a>,
    inbox: Inbox,
    /// Letters that are not settled, and whether each is chosen.
    held: VecDeque<(Held<u16>, bool)>,
    number: u64,
    /// IDs of letters that were put back: behind the first of them there is nothing but what this run has seen, and
    /// what came after it began.
    put_back: HashSet<String>,
    /// Events that were replayed: one that has died again must not be replayed again by the same run.
    replayed: HashSet<u64>,
    tally: Tally,
}

impl Round<'_> {
    /// Looks at what lies there and settles it. Tells whether there may be more.
    async fn run(
        &mut self,
        publisher: Option<&Publisher>,
        printer: &mut Printer,
        stop: &CancellationToken,
    ) -> Result<bool, Failure> {
        let window = usize::from(self.broker.window);
        let (full, came_round) = self.fetch(window.saturating_sub(self.held.len())).await?;
        let last = self.held.iter().rposition(|(_, chosen)| *chosen).map_or(0, |at| at + 1);
        let through = self.act.through && !self.picker.is_done() && !came_round;
        let settled = if through { self.held.len() } else { last };
        if full && !through {
            say(&format!(
                "only {} letters were looked at together; raise --window, or give --through to go on behind them",
                self.held.len()
            ));
        }
        if self.act.dry_run {
            for (Held { number, letter, .. }, chosen) in self.held.iter().take(settled) {
                let action = if *chosen { self.act.would() } else { "would be put back" };
                if *chosen || matches!(printer.style(), Style::Json { .. }) {
                    printer.show(Shown { number: *number, letter: Ok(letter), action: Some(action) })?;
                }
                match (*chosen, self.act.replay) {
                    (true, Some(_)) => self.tally.replayed += 1,
                    (true, None) => self.tally.dropped += 1,
                    (false, _) => self.tally.kept += 1,
                }
            }
            return Ok(false);
        }
        if settled == 0 {
            return Ok(false);
        }
        let fate = if self.act.replay.is_some() { Fate::Replay } else { Fate::Drop };
        let mut shown = Ok(());
        let (put_back, replayed) = (&mut self.put_back, &mut self.replayed);
        let mut told = |number, letter: &Letter, fate| {
            match fate {
                Fate::Replay => drop(replayed.insert(letter.replayed_as())),
                Fate::Keep => drop(put_back.insert(letter.id())),
                Fate::Drop => {}
            }
            if matches!(printer.style(), Style::Json { .. }) && shown.is_ok() {
                shown = printer.show(Shown { number, letter: Ok(letter), action: Some(fate.done()) });
            }
        };
        let publish = publisher.map(|publisher| publisher as _);
        let rate = self.act.replay.unwrap_or_default();
        let mut settler = Settler::new(&mut self.inbox, publish, rate, self.broker.patience, &mut told);
        let mut result = Ok(());
        for (held, chosen) in self.held.drain(..settled) {
            if stop.is_cancelled() || result.is_err() {
                break;
            }
            result = settler.settle(held, if chosen { fate } else { Fate::Keep }).await;
        }
        if result.is_ok() {
            result = settler.finish().await;
        }
        self.tally.add(settler.tally());
        result.and(shown)?;
        Ok(!stop.is_cancelled() && !came_round && !self.picker.is_done())
    }

    /// Takes in at most `room` letters. Tells whether more may lie behind them, and whether it met one that this run has
    /// seen before.
    async fn fetch(&mut self, room: usize) -> Result<(bool, bool), Failure> {
        if room == 0 {
            return Ok((true, false));
        }
        let Self { inbox, held, picker, number, put_back, replayed, act, tally, .. } = self;
        let mut came_round = false;
        let (mut taken, mut bytes) = (0, 0);
        let full = inbox
            .fetch(SETTLE, |Received { pkid, carrier }| {
                let letter = Letter::of_publication(carrier);
                came_round |= put_back.contains(&letter.id()) || replayed.contains(&letter.event());
                if came_round {
                    return false;
                }
                *number += 1;
                taken += 1;
                bytes += letter.payload().len();
                let mut chosen = picker.picks(*number, &letter);
                if chosen
                    && act.replay.is_some()
                    && let Err(why) = letter.replay()
                {
                    chosen = false;
                    tally.refuse(format!("letter {number}: {why}"));
                }
                held.push_back((Held { number: *number, place: pkid, letter }, chosen));
                taken < room && bytes < MAX_BYTES
            })
            .await?;
        Ok((full && !came_round, came_round))
    }
}
