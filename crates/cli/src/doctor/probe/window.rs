//! How much a broker sends without being acknowledged.

use std::time::Duration;

use tidemill::profile::ReceiveMaximum;
use tidemill_testkit::wire::Version;

use crate::client::{Client, Hello, Trouble};
use crate::doctor::evidence::Cap;
use crate::doctor::site::Site;

/// The Receive Maximum that is tried, and events enough to exceed it.
const ROOM: u16 = 5;
const EVENTS: u32 = 50;
/// How many events there are in all after each step, while the broker sends all that there are. The last one is above
/// the default of every broker that is known to have one.
const STEPS: [u16; 3] = [64, 256, 1100];

/// What a client with little room was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::doctor) struct Room {
    pub(in crate::doctor) verdict: ReceiveMaximum,
    /// Unacknowledged at first.
    pub(in crate::doctor) first: usize,
    /// Unacknowledged after one was acknowledged.
    pub(in crate::doctor) then: usize,
}

/// Announces a small Receive Maximum and acknowledges nothing at first, then one event.
pub(in crate::doctor) async fn receive_maximum(site: &Site) -> Result<Room, Trouble> {
    let topic = site.topic("room");
    let hello = Hello::new(Version::V5, site.client_id()).receive_maximum(ROOM);
    let mut reader = Client::connect(&site.reach, hello).await?;
    let mut publisher = site.client(Version::V5).await?;
    if let Err(code) = reader.join(&topic).await? {
        return Err(Trouble::Odd(format!("SUBACK refuses {topic} with {code:?}")));
    }
    publisher.publish(&topic, 0..EVENTS).await?;
    let held = reader.held(site.quiet()).await?;
    let first = held.len();
    let mut then = first;
    if let Some(event) = held.first() {
        reader.ack(event).await?;
        then = first - 1 + reader.held(site.quiet()).await?.len();
    }
    reader.bye().await;
    publisher.bye().await;
    let room = usize::from(ROOM);
    let verdict = match (first, then) {
        (0, _) => ReceiveMaximum::Unknown,
        _ if first > room => ReceiveMaximum::Ignored,
        _ if then > room => ReceiveMaximum::Overshot,
        _ => ReceiveMaximum::Honoured,
    };
    Ok(Room { verdict, first, then })
}

/// Acknowledges nothing and sees how much comes.
pub(in crate::doctor) async fn cap(site: &Site, version: Version) -> Result<Cap, Trouble> {
    let topic = site.topic(if version == Version::V5 { "cap-5" } else { "cap-4" });
    // A worker announces its window, and some brokers fall back on a limit of their own where nothing is announced.
    let hello = Hello::new(version, site.client_id()).receive_maximum(u16::MAX);
    let (mut reader, mut publisher) = (Client::connect(&site.reach, hello).await?, site.client(version).await?);
    if let Err(code) = reader.join(&topic).await? {
        return Err(Trouble::Odd(format!("SUBACK refuses {topic} with {code:?}")));
    }
    let (mut published, mut held) = (0, 0);
    for step in STEPS {
        publisher.publish(&topic, u32::from(published)..u32::from(step)).await?;
        published = step;
        held += reader.held(site.quiet().min(Duration::from_millis(600))).await?.len();
        if held < usize::from(published) {
            break;
        }
    }
    reader.bye().await;
    publisher.bye().await;
    let held = u16::try_from(held).unwrap_or(u16::MAX);
    Ok(if held < published { Cap::AtMost(held) } else { Cap::AtLeast(held) })
}
