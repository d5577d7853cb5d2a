//! Turns given while the only thread is held, and who owns what comes of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::mpsc::sync_channel;

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_future_whose_thread_is_blocked_gets_turns_that_it_notices() {
    let runtime = one_thread();
    let (noticed, notices) = sync_channel(64);
    runtime.block_on(async {
        let stand_in = StandIn::start(Handle::current()).unwrap();
        let task = tokio::spawn(stand_in.attend(async move {
            loop {
                given_turn().await;
                let _ = noticed.try_send(std::thread::current().name().map(str::to_owned));
            }
        }));
        tokio::task::yield_now().await;
        // Blocks the only thread until two turns were given elsewhere.
        for _ in 0..2 {
            assert_eq!(notices.recv_timeout(LONG).unwrap().as_deref(), Some("tidemill-stand-in"));
        }
        task.abort();
    });
}

#[test]
fn what_was_woken_and_got_no_turn_is_polled_and_its_result_reaches_the_owner() {
    let runtime = one_thread();
    let result = runtime.block_on(async {
        let stand_in = StandIn::start(Handle::current()).unwrap();
        let (say, said) = tokio::sync::oneshot::channel();
        let (done, is_done) = sync_channel(1);
        let task = tokio::spawn(stand_in.attend(async move {
            let value: u8 = said.await.unwrap();
            done.send(()).unwrap();
            value + 1
        }));
        tokio::task::yield_now().await;
        say.send(6).unwrap();
        is_done.recv_timeout(LONG).unwrap();
        task.await.unwrap()
    });
    assert_eq!(result, 7);
}

#[test]
fn a_panic_in_a_given_turn_is_the_owners() {
    let runtime = one_thread();
    let ended = runtime.block_on(async {
        let stand_in = StandIn::start(Handle::current()).unwrap();
        let (began, begins) = sync_channel(1);
        let task = tokio::spawn(stand_in.attend(async move {
            given_turn().await;
            began.send(()).unwrap();
            panic!("a bug");
        }));
        tokio::task::yield_now().await;
        begins.recv_timeout(LONG).unwrap();
        task.await
    });
    assert!(ended.unwrap_err().is_panic());
}

#[test]
fn an_aborted_future_is_dropped_though_it_is_attended() {
    struct Dropped(SyncSender<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let runtime = one_thread();
    let (dropped, drops) = sync_channel(1);
    runtime.block_on(async {
        let stand_in = StandIn::start(Handle::current()).unwrap();
        let held = Dropped(dropped);
        let task = tokio::spawn(stand_in.attend(async move {
            std::future::pending::<()>().await;
            drop(held);
        }));
        tokio::task::yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    drops.recv_timeout(LONG).unwrap();
}
