//! Servers as child processes, with a Redis and a shell for servers.

use std::time::Duration;

use tidemill_testkit::redis::{RedisConfig, RedisServer};
use tidemill_testkit::server::{Ready, ServerErrorKind, ServerProcess, ServerSpec};

/// A shell script as a server that needs no port.
fn script(text: &'static str) -> ServerSpec {
    ServerSpec::new("sh", "dash").ports(0).command(move |_, command| {
        command.args(["-c", text]);
    })
}

fn is_alive(pid: u32) -> bool {
    // A process that ended and was not waited for yet is a zombie.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn a_server_keeps_its_port_and_what_it_stored_across_a_restart() {
    let config = RedisConfig { persistence: true, password: Some("s3cret".to_owned()), ..RedisConfig::default() };
    let Some(mut server) = RedisServer::start_or_skip(config).await else { return };
    let addr = server.addr();
    assert_eq!(server.cli(&["SET", "a", "1"]).await.unwrap(), "OK");
    server.kill().await.unwrap();
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
    server.restart().await.unwrap();
    assert_eq!(server.addr(), addr);
    assert_eq!(server.cli(&["GET", "a"]).await.unwrap(), "1");
}

#[tokio::test]
async fn a_server_that_ends_at_once_fails_with_what_it_said() {
    let error = ServerProcess::start(script("echo no such luck >&2; exit 3").ready(Ready::Logs("ready"))).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::NotStarted);
    assert_eq!(error.to_string(), "sh did not start: no such luck");
}

#[tokio::test]
async fn what_must_run_before_runs_once_and_where_the_server_runs() {
    let spec = script("cat prepared; echo ready; exec sleep 60").ready(Ready::Logs("ready"));
    let spec = spec.prepare("sh", |_, command| {
        command.args(["-c", "echo once >> prepared"]);
    });
    let mut server = ServerProcess::start(spec.clone()).await.unwrap();
    server.restart().await.unwrap();
    assert_eq!(server.log(), "once\nready\nonce\nready\n");
    let failing = spec.prepare("sh", |_, command| {
        command.args(["-c", "echo what is missing; exit 1"]);
    });
    let error = ServerProcess::start(failing).await.unwrap_err();
    assert!(error.to_string().contains("what is missing"), "{error}");
}

#[tokio::test]
async fn a_server_behind_a_script_ends_with_it() {
    let spec = script("sleep 60 & echo $!; echo ready; wait").ready(Ready::Logs("ready")).wrapped();
    let server = ServerProcess::start(spec).await.unwrap();
    let child: u32 = server.log().lines().next().unwrap().parse().unwrap();
    assert!(is_alive(child));
    drop(server);
    crate::support::until(|| !is_alive(child)).await;
}

#[tokio::test]
async fn a_server_is_asked_to_end_before_it_is_killed() {
    let text = "trap 'echo bye > bye; exit' TERM; echo ready; while :; do sleep 0.01; done";
    let mut server = ServerProcess::start(script(text).ready(Ready::Logs("ready"))).await.unwrap();
    server.stop().await.unwrap();
    assert_eq!(std::fs::read_to_string(server.directory().join("bye")).unwrap(), "bye\n");
    assert_eq!(server.pid(), 0);
}

#[tokio::test]
async fn a_server_that_must_not_be_root_is_nobody_then() {
    let spec = script("id -u > who; echo ready; exec sleep 60").ready(Ready::Logs("ready")).unprivileged();
    let server = ServerProcess::start(spec).await.unwrap();
    assert_ne!(std::fs::read_to_string(server.directory().join("who")).unwrap().trim(), "0");
}

#[tokio::test]
async fn a_server_that_does_not_come_up_leaves_nothing_running() {
    let spec = script("sleep 60 & echo $!; wait").ready(Ready::Logs("ready")).wrapped();
    let error = ServerProcess::start(spec.patience(Duration::from_millis(100))).await.unwrap_err();
    let child: u32 = error.to_string().rsplit_once(' ').unwrap().1.parse().unwrap();
    crate::support::until(|| !is_alive(child)).await;
}

#[tokio::test]
async fn a_server_whose_script_ends_by_itself_leaves_nothing_running() {
    let spec = script("sleep 60 & echo $!; exit 3").ready(Ready::Logs("ready")).wrapped();
    let error = ServerProcess::start(spec).await.unwrap_err();
    let child: u32 = error.to_string().rsplit_once(' ').unwrap().1.parse().unwrap();
    crate::support::until(|| !is_alive(child)).await;
    // Asked to end, the script does, and what it started does not.
    let text = "trap exit TERM; sh -c 'trap \"\" TERM; echo $$; echo ready; exec sleep 60' & wait";
    let mut server = ServerProcess::start(script(text).ready(Ready::Logs("ready")).wrapped()).await.unwrap();
    let child = server.log().lines().next().unwrap().parse::<u32>().unwrap();
    server.stop().await.unwrap();
    assert!(is_alive(child));
    drop(server);
    crate::support::until(|| !is_alive(child)).await;
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing_running() {
    let place = tempfile::tempdir().unwrap();
    let told = place.path().join("child");
    let path = told.clone();
    let spec = ServerSpec::new("sh", "dash").ports(0).ready(Ready::Logs("ready")).wrapped();
    let spec = spec.command(move |_, command| {
        command.args(["-c", "sleep 60 & echo $! > \"$0\"; wait"]).arg(&path);
    });
    let read = || std::fs::read_to_string(&told).ok().and_then(|told| told.trim().parse::<u32>().ok());
    tokio::select! {
        started = ServerProcess::start(spec) => panic!("{started:?}"),
        () = crate::support::until(|| read().is_some()) => {}
    }
    crate::support::until(|| !is_alive(read().unwrap())).await;
}

#[tokio::test]
async fn a_signal_for_a_server_that_is_gone_reaches_nobody() {
    let mut server =
        ServerProcess::start(script("echo ready; exec sleep 60").ready(Ready::Logs("ready"))).await.unwrap();
    server.freeze(true).unwrap();
    server.freeze(false).unwrap();
    server.kill().await.unwrap();
    // The test itself would stand still.
    assert!(server.freeze(true).is_err());
}
