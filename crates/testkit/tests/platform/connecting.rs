//! CONNECT: who gets in, and who takes whose place.

use tidemill_core::platform::CloseCode;
use tidemill_testkit::wire::v5::ConnectReturnCode as Code;

use crate::support::{KEY, TOKEN, connect_with, join, options, platform};

#[tokio::test(start_paused = true)]
async fn client_ids_without_a_known_form_are_not_authorized() {
    let platform = platform().await;
    let (_, code) = connect_with(&platform, options("worker-1")).await;
    assert_eq!(code, Code::NotAuthorized);
    assert_eq!(platform.ended("worker-1").await, CloseCode::NotAuthorized);
    let (_, code) = connect_with(&platform, options("a:abc123:no$")).await;
    assert_eq!(code, Code::BadClientId);
    assert_eq!(platform.ended("a:abc123:no$").await, CloseCode::ClientIdNotValid);
}

#[tokio::test(start_paused = true)]
async fn keys_tokens_and_organizations_must_fit() {
    let platform = platform().await;
    let plain = || tidemill_testkit::client::ConnectOptions::new("a:abc123:app");
    for wrong in [
        plain(),
        plain().login(KEY, "wrong"),
        plain().login("a-abc123-other", TOKEN),
        plain().login("a-xyz789-k3y", TOKEN),
    ] {
        assert_eq!(connect_with(&platform, wrong).await.1, Code::NotAuthorized);
    }
    assert_eq!(connect_with(&platform, plain().login(KEY, TOKEN)).await.1, Code::Success);
    let device = tidemill_testkit::client::ConnectOptions::new("d:abc123:T:I").login("use-token-auth", "wrong");
    assert_eq!(connect_with(&platform, device).await.1, Code::NotAuthorized);
}

#[tokio::test(start_paused = true)]
async fn members_without_instance_have_one_client_id_and_stay_connected_together() {
    let platform = platform().await;
    let mut members = Vec::new();
    for _ in 0..5 {
        members.push(join(&platform, "A:abc123:app").await);
    }
    for member in &mut members {
        assert!(member.ping().await.is_empty());
    }
    assert!(platform.ends().is_empty());
}

#[tokio::test(start_paused = true)]
async fn members_without_instance_need_a_clean_session() {
    let platform = platform().await;
    let (_, code) = connect_with(&platform, options("A:abc123:app").resume(60)).await;
    assert_eq!(code, Code::NotAuthorized);
    let (_, code) = connect_with(&platform, options("A:abc123:app:one").resume(60)).await;
    assert_eq!(code, Code::Success);
}

#[tokio::test(start_paused = true)]
async fn a_second_connection_of_any_other_client_id_closes_the_first_with_288() {
    let platform = platform().await;
    for id in ["a:abc123:app", "A:abc123:app:one", "d:abc123:T:I"] {
        let mut older = join(&platform, id).await;
        let mut newer = join(&platform, id).await;
        older.expect_closed().await;
        assert_eq!(platform.ended(id).await, CloseCode::ClientIdReused);
        assert!(newer.ping().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn quickstart_lets_applications_and_devices_in_without_credentials_and_no_scalable_ones() {
    let platform = platform().await;
    for (id, expected) in [
        ("a:quickstart:app", Code::Success),
        ("d:quickstart:T:I", Code::Success),
        ("A:quickstart:app", Code::NotAuthorized),
    ] {
        assert_eq!(connect_with(&platform, options(id)).await.1, expected, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_cuts_all_and_lets_all_come_back() {
    let platform = platform().await;
    let mut client = join(&platform, "a:abc123:app").await;
    platform.kill();
    client.expect_closed().await;
    assert_eq!(platform.ended("a:abc123:app").await, CloseCode::ClosedByServer);
    join(&platform, "a:abc123:app").await;
}
