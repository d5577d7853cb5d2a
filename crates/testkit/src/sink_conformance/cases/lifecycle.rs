//! Opening and closing.

use tidemill_core::{Sink, SinkError, SinkErrorKind, report};
use tokio::time::timeout;

use super::super::Target;
use super::super::deliver::{PATIENCE, close, deliver, open, write};
use super::super::judge::{Repeats, does_not_apply, holds, records};

/// Without a server `open` ends as unavailable; with one it succeeds later, on the same sink.
///
/// # Panics
/// It does not.
pub async fn opening_without_a_server_fails_and_later_succeeds(target: &dyn Target) {
    let capabilities = target.capabilities();
    if !capabilities.outage {
        return does_not_apply("the target has no outage");
    }
    let sink = target.sink();
    let batch = records(target, 0..5);
    target.outage().await;
    let error = first_error(&*sink, target).await;
    assert!(error.is_some(), "a sink without a server was opened");
    if let Some(error) = error {
        assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{}", report(&error));
        assert!(report(&error).len() > 20, "the error should say more than {:?}", report(&error));
    }
    target.recover().await;
    open(&*sink).await;
    assert_eq!(deliver(&*sink, &batch).await, []);
    holds(target, &batch, Repeats::UnlessIdempotent).await;
}

/// A mistake in the settings is reported as one, in a sentence that says what to mend and no secret.
///
/// # Panics
/// It is not.
pub async fn what_is_set_up_wrongly_is_said_in_a_sentence(target: &dyn Target) {
    let mistakes = target.misconfigured();
    if mistakes.is_empty() {
        return does_not_apply("the target names no mistakes");
    }
    for mistake in mistakes {
        let error = first_error(&*mistake.sink, target).await;
        assert!(error.is_some(), "this mistake was not noticed: {mistake:?}");
        let Some(error) = error else { continue };
        let text = report(&error);
        assert_eq!(error.kind(), SinkErrorKind::Misconfigured, "{text}");
        assert!(text.contains(mistake.says), "{text:?} should say {:?}", mistake.says);
        if let Some(secret) = mistake.hides {
            assert!(!format!("{text} {error:?}").contains(secret), "a secret shows in {text:?}");
        }
    }
}

/// The error of `open`, or of the first write where opening does not speak to the server.
async fn first_error(sink: &dyn Sink, target: &dyn Target) -> Option<SinkError> {
    let opened = timeout(PATIENCE, sink.open()).await;
    assert!(opened.is_ok(), "open did not come back within {PATIENCE:?}: give the sink a time limit");
    match opened {
        Ok(Err(error)) => Some(error),
        _ if target.capabilities().open_connects => None,
        _ => write(sink, &records(target, 0..1)).await.err(),
    }
}

/// A sink may be closed twice, and unopened.
///
/// # Panics
/// It may not.
pub async fn closing_twice_is_harmless(target: &dyn Target) {
    let sink = target.sink();
    open(&*sink).await;
    let batch = records(target, 0..5);
    assert_eq!(deliver(&*sink, &batch).await, []);
    close(&*sink).await;
    close(&*sink).await;
    close(&*target.sink()).await;
    holds(target, &batch, Repeats::None).await;
}

/// What a new sink writes comes after what the last one wrote, as after a restart of the worker.
///
/// # Panics
/// Something is lost or out of order.
pub async fn a_new_sink_goes_on_where_the_last_one_ended(target: &dyn Target) {
    let all = records(target, 0..30);
    for batch in all.chunks(10) {
        let sink = target.sink();
        open(&*sink).await;
        assert_eq!(deliver(&*sink, batch).await, []);
        close(&*sink).await;
    }
    holds(target, &all, Repeats::None).await;
}
