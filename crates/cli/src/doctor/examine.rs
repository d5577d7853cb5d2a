//! Runs the probes, as far as what they need is there and until time runs out.

use tidemill_testkit::wire::Version;
use tokio::time::{Instant, timeout_at};

use super::probe::basics::{self, Passing};
use super::probe::death;
use super::probe::sharing::sharing;
use super::probe::window;
use super::site::Site;
use super::tell::{self, Examination, Level, Seen, announced, ms};
use crate::client::Trouble;

/// Examines the broker until the deadline.
///
/// # Errors
/// Nothing can be said: it does not let clients in, or no event passes.
pub(super) async fn examine(site: &Site, wanted: &[Version], deadline: Instant) -> Result<Examination, String> {
    let mut found = Examination::default();
    let spoken = greet(site, wanted, deadline, &mut found).await?;
    let Some(main) = spoken.first().copied() else { return Err("it speaks no version of MQTT".to_owned()) };

    match within(deadline, basics::passing(site, main)).await? {
        Passing::Passes { p50, p99 } => {
            site.is_slow(p99);
            let meaning = "an event from a client to itself, at QoS 1";
            found.note("round trip", Level::Good, format!("p50 {}, p99 {}", ms(p50), ms(p99)), meaning);
        }
        Passing::Blocked(why) => {
            return Err(format!(
                "it lets clients in, but no event passes: {why}; its access rules must allow --prefix"
            ));
        }
    }
    Box::pin(first_round(site, main, &spoken, deadline, &mut found)).await;
    if found.evidence.is_usable() {
        Box::pin(second_round(site, main, deadline, &mut found)).await;
    }
    Ok(found)
}

/// Which versions it speaks, the newest first.
async fn greet(
    site: &Site,
    wanted: &[Version],
    deadline: Instant,
    found: &mut Examination,
) -> Result<Vec<Version>, String> {
    let mut spoken = Vec::new();
    let mut refusal = None;
    for version in wanted.iter().copied() {
        let (name, seen) = match version {
            Version::V5 => ("MQTT 5", &mut found.evidence.v5),
            Version::V4 => ("MQTT 3.1.1", &mut found.evidence.v311),
        };
        match within(deadline, site.client(version)).await {
            Ok(client) => {
                *seen = Some(true);
                let announced = announced(&client);
                client.bye().await;
                spoken.push(version);
                found.note(name, Level::Good, "spoken", announced);
            }
            Err(why) => {
                *seen = Some(false);
                found.note(name, Level::Note, "not spoken", why.clone());
                refusal = refusal.or(Some(why));
            }
        }
    }
    match refusal {
        Some(why) if spoken.is_empty() => Err(why),
        _ => Ok(spoken),
    }
}

/// What it was that a probe saw, unless the deadline came first.
async fn within<T>(deadline: Instant, probe: impl Future<Output = Result<T, Trouble>>) -> Seen<T> {
    match timeout_at(deadline, Box::pin(probe)).await {
        Ok(Ok(seen)) => Ok(seen),
        Ok(Err(trouble)) => Err(trouble.to_string()),
        Err(_) => Err("out of time; --timeout gives it more".to_owned()),
    }
}

/// The same, where the version is spoken.
async fn if_spoken<T>(
    deadline: Instant,
    spoken: bool,
    probe: impl Future<Output = Result<T, Trouble>>,
) -> Option<Seen<T>> {
    if spoken { Some(within(deadline, probe).await) } else { None }
}

async fn first_round(site: &Site, main: Version, spoken: &[Version], deadline: Instant, found: &mut Examination) {
    let (v5, v4) = (spoken.contains(&Version::V5), spoken.contains(&Version::V4));
    let (share_5, share_4, plus, hash, retained, size, filters, room, cap_5, cap_4) = tokio::join!(
        if_spoken(deadline, v5, sharing(site, Version::V5)),
        if_spoken(deadline, v4, sharing(site, Version::V4)),
        within(deadline, basics::wildcard(site, main, "wild-1", "+/x")),
        within(deadline, basics::wildcard(site, main, "wild-2", "#")),
        within(deadline, basics::retained(site, main)),
        within(deadline, basics::size(site, main)),
        within(deadline, basics::nine_filters(site, main)),
        if_spoken(deadline, v5, window::receive_maximum(site)),
        if_spoken(deadline, v5, window::cap(site, Version::V5)),
        if_spoken(deadline, v4, window::cap(site, Version::V4)),
    );
    tell::sharing(found, "shared, MQTT 5", share_5, Version::V5);
    tell::sharing(found, "shared, MQTT 3.1.1", share_4, Version::V4);
    tell::order(found);
    tell::wildcard(found, "wildcard +", plus);
    if let Some(seen) = tell::wildcard(found, "wildcard #", hash) {
        found.evidence.hash_refused = Some(seen);
    }
    tell::retained(found, retained);
    tell::size(found, size);
    tell::nine_filters(found, filters);
    tell::room(found, room);
    found.evidence.cap_v5 = tell::cap(found, "in flight, MQTT 5", cap_5);
    found.evidence.cap_v311 = tell::cap(found, "in flight, MQTT 3.1.1", cap_4);
}

async fn second_round(site: &Site, main: Version, deadline: Instant, found: &mut Examination) {
    let (ephemeral, durable) =
        tokio::join!(within(deadline, death::ephemeral(site, main)), within(deadline, death::durable(site, main)),);
    if let Some(death) = found.seen("dead ephemeral member", ephemeral) {
        found.evidence.ephemeral = Some(death);
        tell::death(found, death);
    }
    if let Some(seen) = found.seen("durable member", durable) {
        found.evidence.durable = Some(seen);
        tell::comeback(found, seen);
    }
}
