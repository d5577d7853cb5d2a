//! What does not need a group: whether events pass at all and how fast, wildcards, retained events, sizes, filters.

use std::time::Duration;

use tidemill_testkit::wire::{Version, WireQoS, v5};
use tokio::time::Instant;

use crate::client::Trouble;
use crate::doctor::site::Site;

/// Round trips at most, and how long they may take together.
const TRIPS: usize = 40;
const TRIPS_TIME: Duration = Duration::from_millis(1200);
/// Payload of the size probe, unless the broker says that it takes less.
const LARGE: usize = 64 * 1024;
/// What belongs to a packet besides its payload, with room to spare.
const AROUND: usize = 512;

/// How events pass from a client to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::doctor) enum Passing {
    /// They pass, in this time.
    Passes { p50: Duration, p99: Duration },
    /// Subscribing or publishing is refused, or nothing comes.
    Blocked(String),
}

/// Publishes one event after the other to itself.
pub(in crate::doctor) async fn passing(site: &Site, version: Version) -> Result<Passing, Trouble> {
    let topic = site.topic("trip");
    let mut client = site.client(version).await?;
    match client.join(&topic).await {
        Ok(Ok(())) => {}
        Ok(Err(code)) => return Ok(Passing::Blocked(format!("SUBACK refuses {topic} with {code:?}"))),
        Err(trouble) => return Ok(Passing::Blocked(format!("SUBSCRIBE to {topic}: {trouble}"))),
    }
    let mut trips = Vec::new();
    let start = Instant::now();
    while trips.len() < TRIPS && (trips.len() < 3 || start.elapsed() < TRIPS_TIME) {
        let sent = Instant::now();
        match client.publish(&topic, 0..1).await {
            Ok(None) => {}
            Ok(Some(reason)) => return Ok(Passing::Blocked(format!("PUBACK refuses {topic} with {reason:?}"))),
            Err(trouble) => return Ok(Passing::Blocked(format!("PUBLISH to {topic}: {trouble}"))),
        }
        let Some(event) = client.event(sent + site.reach.patience).await? else {
            let why = format!("what is published to {topic} is confirmed and does not come back");
            return Ok(Passing::Blocked(why));
        };
        trips.push(sent.elapsed());
        client.ack(&event).await?;
    }
    client.bye().await;
    trips.sort_unstable();
    let at = |percent: usize| trips[(trips.len() - 1) * percent / 100];
    Ok(Passing::Passes { p50: at(50), p99: at(99) })
}

/// What became of one filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::doctor) enum Filtering {
    Matches,
    Refused(String),
    /// Granted, and the event did not come.
    Deaf,
}

/// Tries a filter with an event that it has to match.
pub(in crate::doctor) async fn wildcard(
    site: &Site,
    version: Version,
    name: &str,
    wild: &str,
) -> Result<Filtering, Trouble> {
    let mut client = site.client(version).await?;
    let base = site.topic(name);
    // Some brokers close the connection instead of answering.
    match client.join(&format!("{base}/{wild}")).await {
        Ok(Ok(())) => {}
        Ok(Err(code)) => return Ok(Filtering::Refused(format!("SUBACK says {code:?}"))),
        Err(trouble @ Trouble::Closed(_)) => return Ok(Filtering::Refused(trouble.to_string())),
        Err(trouble) => return Err(trouble),
    }
    client.publish(&format!("{base}/a/x"), 0..1).await?;
    let came = client.event(Instant::now() + site.quiet() * 2).await?;
    client.bye().await;
    Ok(if came.is_some() { Filtering::Matches } else { Filtering::Deaf })
}

/// Whether a retained event is there for those who come later. `Err` within: why not.
pub(in crate::doctor) async fn retained(site: &Site, version: Version) -> Result<Result<(), String>, Trouble> {
    let topic = site.topic("retained");
    let mut client = site.client(version).await?;
    let properties = client.connack.properties.as_ref();
    if properties.and_then(|properties| properties.retain_available) == Some(0) {
        return Ok(Err("CONNACK says that they are not available".to_owned()));
    }
    site.leaves_retained(version, &topic);
    client.publish_one(&topic, bytes::Bytes::from_static(b"0"), true).await?;
    if let Some(reason) = client.confirmed().await? {
        return Ok(Err(format!("PUBACK says {reason:?}")));
    }
    let mut late = site.client(version).await?;
    if let Err(code) = late.join(&topic).await? {
        return Ok(Err(format!("SUBACK says {code:?}")));
    }
    let came = late.event(Instant::now() + site.quiet() * 2).await?;
    late.bye().await;
    client.bye().await;
    Ok(match came {
        Some(event) if event.retain => Ok(()),
        Some(_) => Err("it came as an ordinary one".to_owned()),
        None => Err("it did not come".to_owned()),
    })
}

/// What fits into an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::doctor) struct Size {
    /// What the CONNACK allows.
    pub(in crate::doctor) announced: Option<u32>,
    /// Bytes of the payload that was tried.
    pub(in crate::doctor) tried: usize,
    pub(in crate::doctor) came: bool,
}

/// Sends an event of moderate size.
pub(in crate::doctor) async fn size(site: &Site, version: Version) -> Result<Size, Trouble> {
    let topic = site.topic("size");
    let mut client = site.client(version).await?;
    let announced = client.connack.properties.as_ref().and_then(|properties| properties.max_packet_size);
    let most = announced.map_or(LARGE, |most| (most as usize).saturating_sub(AROUND));
    let tried = LARGE.min(most);
    let not = Ok(Size { announced, tried, came: false });
    if client.join(&topic).await?.is_err() {
        return not;
    }
    match client.publish_one(&topic, vec![b'x'; tried].into(), false).await {
        Ok(()) => {}
        Err(Trouble::Closed(_)) => return not,
        Err(trouble) => return Err(trouble),
    }
    match client.event(Instant::now() + site.reach.patience).await {
        Ok(event) => Ok(Size { announced, tried, came: event.is_some_and(|event| event.payload.len() == tried) }),
        // It owes a PUBACK as well, which may come first.
        Err(Trouble::Odd(_)) => {
            let event = client.event(Instant::now() + site.reach.patience).await?;
            Ok(Size { announced, tried, came: event.is_some_and(|event| event.payload.len() == tried) })
        }
        Err(Trouble::Closed(_)) => not,
        Err(trouble) => Err(trouble),
    }
}

/// Whether nine filters in one SUBSCRIBE are granted: more than the cloud's usual limit of eight.
pub(in crate::doctor) async fn nine_filters(site: &Site, version: Version) -> Result<bool, Trouble> {
    let mut client = site.client(version).await?;
    let filters: Vec<String> = (0..9).map(|number| site.topic(&format!("filter-{number}"))).collect();
    let granted = match client.subscribe(&filters, WireQoS::AtLeastOnce).await {
        Ok(codes) => codes.iter().all(|code| matches!(code, v5::SubscribeReasonCode::Success(_))),
        Err(Trouble::Closed(_)) => false,
        Err(trouble) => return Err(trouble),
    };
    client.bye().await;
    Ok(granted)
}
