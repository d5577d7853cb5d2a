//! What a broker does with the events of a member whose connection is gone: of one whose session ends with it, and of
//! one that comes back.

use std::time::Duration;

use tidemill::profile::OfflineMembers;
use tidemill_testkit::wire::Version;
use tokio::time::Instant;

use super::Gathered;
use crate::client::{Client, Hello, Trouble};
use crate::doctor::evidence::{Death, Return};
use crate::doctor::site::Site;

/// Room of the member that dies, so that some of its events are still queued where the broker queues per member.
const ROOM: u16 = 5;
const EVENTS: u32 = 40;
/// Events while it is away, with and without another member.
const AWAY: u32 = 12;

/// Kills one of two members with sessions that end with their connections.
pub(in crate::doctor) async fn ephemeral(site: &Site, version: Version) -> Result<Death, Trouble> {
    let topic = site.topic("death");
    let hello = || Hello::new(version, site.client_id());
    let mut mortal = member(site, hello().receive_maximum(ROOM), &topic).await?;
    let mut heir = member(site, hello(), &topic).await?;
    let mut publisher = site.client(version).await?;
    publisher.publish(&topic, 0..EVENTS).await?;
    let mut heard = Gathered::default();
    heard.gather(&mut [&mut heir], EVENTS as usize, site.quiet()).await?;
    // Nothing of this is acknowledged.
    let held = mortal.held(site.quiet()).await?.len();
    heard.gather(&mut [&mut heir], EVENTS as usize, Duration::from_millis(50)).await?;
    let before = heard.distinct();
    let died = Instant::now();
    drop(mortal);
    let last = heard.gather(&mut [&mut heir], EVENTS as usize, grief(site)).await?;
    heir.bye().await;
    publisher.bye().await;
    let moved = heard.distinct() - before;
    let had = if held == 0 { 0 } else { EVENTS as usize - before };
    let after = if moved > 0 { last.saturating_duration_since(died) } else { Duration::ZERO };
    Ok(Death { had, moved, after })
}

/// How long a broker may take to notice that a connection is gone, and to act.
fn grief(site: &Site) -> Duration {
    site.quiet() * 2 + Duration::from_millis(300)
}

async fn member(site: &Site, hello: Hello, topic: &str) -> Result<Client, Trouble> {
    let mut member = Client::connect(&site.reach, hello).await?;
    match member.join(&site.share(topic)).await? {
        Ok(()) => Ok(member),
        Err(code) => Err(Trouble::Odd(format!("SUBACK refuses a shared filter with {code:?}"))),
    }
}

/// Lets one of two durable members be away, then both, and come back.
pub(in crate::doctor) async fn durable(site: &Site, version: Version) -> Result<Return, Trouble> {
    let topic = site.topic("return");
    let of_traveller = Hello::new(version, site.client_id()).receive_maximum(ROOM).durable();
    let of_keeper = Hello::new(version, site.client_id()).durable();
    for hello in [&of_traveller, &of_keeper] {
        site.leaves_session(hello);
    }
    let mut traveller = member(site, of_traveller.clone(), &topic).await?;
    let mut keeper = member(site, of_keeper.clone(), &topic).await?;
    let mut publisher = site.client(version).await?;
    let mut heard = Gathered::default();

    publisher.publish(&topic, 0..EVENTS).await?;
    heard.gather(&mut [&mut keeper], EVENTS as usize, site.quiet()).await?;
    traveller.held(site.quiet()).await?;
    let before = heard.distinct();
    drop(traveller);
    heard.gather(&mut [&mut keeper], EVENTS as usize, grief(site)).await?;
    let had = EVENTS as usize - before;
    let moved = heard.distinct() - before;

    let with_one = EVENTS..EVENTS + AWAY;
    publisher.publish(&topic, with_one.clone()).await?;
    heard.gather(&mut [&mut keeper], usize::MAX, site.quiet()).await?;
    let not_picked = heard.within(with_one) == AWAY as usize;
    drop(keeper);
    // The broker has to notice that before it picks a member for what comes now.
    publisher.held(site.quiet()).await?;
    let with_none = EVENTS + AWAY..EVENTS + 2 * AWAY;
    publisher.publish(&topic, with_none.clone()).await?;
    publisher.bye().await;

    let mut keeper = Client::connect(&site.reach, of_keeper.again()).await?;
    let mut session_present = keeper.connack.session_present;
    heard.gather(&mut [&mut keeper], usize::MAX, site.quiet()).await?;
    let kept_for_one = heard.within(with_none.clone());
    let mut traveller = Client::connect(&site.reach, of_traveller.again()).await?;
    session_present &= traveller.connack.session_present;
    let mut back = Gathered::default();
    // Its own first, so that they are told apart from what others had.
    back.gather(&mut [&mut traveller], usize::MAX, site.quiet()).await?;
    let came_back = back.within(0..EVENTS);
    let kept_for_other = back.within(with_none);
    keeper.bye().await;
    traveller.bye().await;

    let offline = match (session_present, not_picked) {
        (false, _) => OfflineMembers::Unknown,
        (true, false) => OfflineMembers::Picked,
        (true, true) if kept_for_other > 0 && kept_for_one < AWAY as usize => OfflineMembers::IfNoneOnline,
        (true, true) => OfflineMembers::NotPicked,
    };
    let all: std::collections::BTreeSet<u32> = heard.times.keys().chain(back.times.keys()).copied().collect();
    let published = (EVENTS + 2 * AWAY) as usize;
    Ok(Return { session_present, moved, came_back, had, published, lost: published - all.len(), offline })
}
