//! The example of the applications page, with workers as its clients.

use std::sync::Arc;

use tidemill_runtime::Config;
use tidemill_runtime::config::PlatformShape;
use tidemill_testkit::platform::Platform;

use crate::support::{Member, Seen, config, config_of, device, events, platform, until};

/// What each member handles of so many events, in parts of a hundred.
async fn shares(platform: &Platform, seen: &[Seen], count: usize) -> Vec<usize> {
    let before: Vec<_> = seen.iter().map(Seen::count).collect();
    let mut device = device(platform, "I").await;
    events(&mut device, count).await;
    let sum = || seen.iter().map(Seen::count).sum::<usize>() - before.iter().sum::<usize>();
    until(|| sum() == count).await;
    seen.iter().zip(&before).map(|(seen, before)| (seen.count() - before) * 100 / count).collect()
}

fn even(shares: &[usize], due: &[usize]) {
    let close = shares.iter().zip(due).all(|(share, due)| share.abs_diff(*due) <= 5);
    assert!(close && shares.len() == due.len(), "{shares:?} instead of {due:?}");
}

async fn play(config: Config) {
    let platform: Arc<Platform> = platform().await;
    let seen = [Seen::default(), Seen::default(), Seen::default()];
    let first = Member::of_all_events(&platform, config.clone(), &seen[0]).await;
    even(&shares(&platform, &seen, 200).await, &[100, 0, 0]);
    let second = Member::of_all_events(&platform, config.clone(), &seen[1]).await;
    even(&shares(&platform, &seen, 200).await, &[50, 50, 0]);
    let third = Member::of_all_events(&platform, config, &seen[2]).await;
    even(&shares(&platform, &seen, 300).await, &[33, 33, 33]);
    second.leave().await;
    third.leave().await;
    even(&shares(&platform, &seen, 200).await, &[100, 0, 0]);
    first.leave().await;
    assert!(platform.ends().iter().all(|end| end.code.is_normal() || end.client_id.starts_with("d:")));
}

#[tokio::test(start_paused = true)]
async fn members_of_one_client_id_join_and_leave_and_the_shares_follow() {
    play(config()).await;
}

#[tokio::test(start_paused = true)]
async fn members_with_instances_join_and_leave_and_the_shares_follow() {
    play(config_of(PlatformShape::ScalableInstance)).await;
}

#[tokio::test(start_paused = true)]
async fn instances_of_one_worker_have_one_client_id_and_names_of_their_own() {
    let platform = platform().await;
    let mut config = config();
    config.instances = 3.into();
    let seen = Seen::default();
    let member = Member::of_all_events(&platform, config, &seen).await;
    let status = member.handle.status();
    let mut names: Vec<_> = status.instances.iter().map(|instance| instance.id.clone()).collect();
    names.dedup();
    assert_eq!((names.len(), status.group.as_deref()), (3, Some("A:abc123:app")));
    let mut device = device(&platform, "I").await;
    events(&mut device, 30).await;
    assert_eq!(member.leave().await.handled, 30);
    let ends = platform.ends();
    assert_eq!(ends.iter().filter(|end| end.client_id == "A:abc123:app").count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_durable_instance_finds_what_came_while_it_was_away() {
    let platform = platform().await;
    let mut config = config_of(PlatformShape::ScalableInstance);
    config.platform.clean_session = false;
    config.identity.replica = Some("pod-0".to_owned());
    let seen = Seen::default();
    let member = Member::of_all_events(&platform, config.clone(), &seen).await;
    assert_eq!(member.handle.status().instances[0].id, "tidemill-pod-0-0");
    // A crash: nothing is said to the platform.
    member.task.abort();
    assert!(member.task.await.unwrap_err().is_cancelled());
    platform.ended("A:abc123:app:tidemill-pod-0-0").await;
    let mut device = device(&platform, "I").await;
    events(&mut device, 5).await;
    let member = Member::of_all_events(&platform, config, &seen).await;
    until(|| seen.count() == 5).await;
    member.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_connection_is_opened_again() {
    let platform = platform().await;
    let seen = Seen::default();
    let member = Member::of_all_events(&platform, config(), &seen).await;
    platform.kill();
    until(|| member.handle.status().instances.iter().any(|instance| instance.epoch == 2)).await;
    member.handle.ready().await;
    let mut device = device(&platform, "I").await;
    events(&mut device, 5).await;
    until(|| seen.count() == 5).await;
    member.leave().await;
}
