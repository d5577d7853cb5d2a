//! What comes out of a stack is what the handler and the layers said, and nothing that they emitted is lost.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use tidemill_core::{BoxError, Context, Disposition, Event, Handler, HandlerError, HandlerResult, Record};
use tidemill_core::{async_trait, handler_fn, report};
use tidemill_runtime::layer::{Attempt, AttemptFailed, HandlerLayer, Layer, Layered, Next, Service, from_fn};

use crate::support::*;

/// A layer as it is written by hand, generic over what it stands around. Wraps what comes out of it.
#[derive(Clone, Copy, Debug)]
struct Wrapping;

#[derive(Clone, Debug)]
struct Wraps<S>(S);

#[derive(Debug)]
struct Wrapped(BoxError);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("wrapped")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

impl<S> Layer<S> for Wrapping {
    type Service = Wraps<S>;

    fn layer(&self, inner: S) -> Wraps<S> {
        Wraps(inner)
    }
}

impl<S> Service<Attempt> for Wraps<S>
where
    S: Service<Attempt, Response = (), Error: Into<BoxError>, Future: Send + 'static>,
{
    type Response = ();
    type Error = Wrapped;
    type Future = futures_util::future::BoxFuture<'static, Result<(), Wrapped>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Wrapped>> {
        self.0.poll_ready(cx).map_err(|error| Wrapped(error.into()))
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let inner = self.0.call(attempt);
        Box::pin(async move { inner.await.map_err(|error| Wrapped(error.into())) })
    }
}

/// A layer that passes everything on.
fn passing() -> impl HandlerLayer {
    from_fn(|attempt: Attempt, next: Next| next.run(attempt))
}

/// A layer that answers itself.
fn answering(answer: fn() -> HandlerResult) -> impl HandlerLayer {
    from_fn(move |_: Attempt, _: Next| async move { answer() })
}

#[tokio::test(start_paused = true)]
async fn the_first_layer_added_is_the_outermost() {
    let journal = Journal::default();
    let noted = journal.clone();
    let handler = Does(move |_: &Event, _: &mut Context| {
        noted.note("handler");
        Ok(())
    });
    let layered = Layered::new(handler).layer(journal.layer("a")).layer(journal.layer("b")).layer(journal.layer("c"));
    attempt(&layered, &event("t")).await.0.unwrap();
    assert_eq!(journal.take(), ["a in 1", "b in 1", "c in 1", "handler", "c ok", "b ok", "a ok"]);
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_ends_an_attempt_well_keeps_the_handler_out_of_it() {
    let handler = Does(|_: &Event, _: &mut Context| panic!("the handler must not run"));
    let layered = Layered::new(handler).layer(passing()).layer(answering(|| Ok(())));
    attempt(&layered, &event("t")).await.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_layer_means_retry() {
    let layered = Layered::new(Fine).layer(passing()).layer(answering(|| Err("no such tenant".into())));
    let error = attempt(&layered, &event("t")).await.0.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Retry);
    assert_eq!(error.to_string(), "no such tenant");
}

#[tokio::test(start_paused = true)]
async fn a_layer_can_say_what_is_to_be_done_with_the_event() {
    let refusing = answering(|| Err(HandlerError::permanent("not for us")));
    let layered = Layered::new(Fine).layer(passing()).layer(refusing);
    assert_eq!(attempt(&layered, &event("t")).await.0.unwrap_err().disposition(), Disposition::Permanent);
}

#[tokio::test(start_paused = true)]
async fn what_the_handler_wants_done_survives_every_kind_of_layer() {
    let later = Disposition::RetryAfter(Duration::from_secs(9));
    let cases: [(fn() -> HandlerError, Disposition); 3] = [
        (|| HandlerError::permanent("it"), Disposition::Permanent),
        (|| HandlerError::retry_after(Duration::from_secs(9), "it"), later),
        (|| HandlerError::retry("it"), Disposition::Retry),
    ];
    for (fails, wanted) in cases {
        let failing = || Does(move |_: &Event, _: &mut Context| Err(fails()));
        let two = Layered::new(failing()).layer(passing()).layer(passing());
        let error = attempt(&two, &event("t")).await.0.unwrap_err();
        assert_eq!((error.disposition(), error.to_string()), (wanted, "it".to_owned()));

        let wrapped = Layered::new(failing()).layer(Wrapping).layer(passing()).layer(Wrapping);
        let error = attempt(&wrapped, &event("t")).await.0.unwrap_err();
        assert_eq!(error.disposition(), wanted);
        assert_eq!(report(error.source()), "wrapped: wrapped: the attempt failed: it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_of_ones_own_names_the_disposition_with_an_error() {
    #[derive(Clone, Copy, Debug)]
    struct Refuses;
    impl Service<Attempt> for Refuses {
        type Response = ();
        type Error = AttemptFailed;
        type Future = std::future::Ready<Result<(), AttemptFailed>>;
        fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), AttemptFailed>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Attempt) -> Self::Future {
            std::future::ready(Err(HandlerError::permanent("refused").into()))
        }
    }
    #[derive(Clone, Copy, Debug)]
    struct Refusing;
    impl<S> Layer<S> for Refusing {
        type Service = Refuses;
        fn layer(&self, _: S) -> Refuses {
            Refuses
        }
    }
    let layered = Layered::new(Fine).layer(passing()).layer(Refusing);
    assert_eq!(attempt(&layered, &event("t")).await.0.unwrap_err().disposition(), Disposition::Permanent);
}

#[tokio::test(start_paused = true)]
async fn records_of_layers_and_handler_reach_the_event_in_order() {
    let layers = |layered: Layered| layered.layer(emitting("a1", "a2")).layer(Wrapping).layer(emitting("b1", "b2"));
    let by_reference = Does(|_: &Event, cx: &mut Context| Ok(cx.emit("out", Record::new("h"))?));
    let by_value = handler_fn(|_: Event, mut cx: Context| async move { Ok(cx.emit("out", Record::new("h"))?) });
    for layered in [layers(Layered::new(by_reference)), layers(Layered::new(by_value))] {
        let (result, records) = attempt(&layered, &event("t")).await;
        result.unwrap();
        assert_eq!(records, ["a1", "b1", "h", "b2", "a2"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_emitted_before_it_failed_is_discarded_even_if_a_layer_makes_good_for_it() {
    let handler = Does(|_: &Event, cx: &mut Context| {
        cx.emit("out", Record::new("half"))?;
        Err("broke".into())
    });
    let fallback = from_fn(|mut attempt: Attempt, next: Next| async move {
        let mut cx = attempt.cx.lend();
        if next.run(attempt).await.is_err() {
            cx.emit("out", Record::new("fallback"))?;
        }
        Ok(())
    });
    let (result, records) = attempt(&Layered::new(handler).layer(fallback), &event("t")).await;
    result.unwrap();
    assert_eq!(records, ["fallback"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_failed_attempt_shows_in_the_next() {
    let layered = Layered::new(Does(|_: &Event, cx: &mut Context| match cx.attempt() {
        1 => Err("once".into()),
        _ => Ok(cx.emit("out", Record::new("h"))?),
    }))
    .layer(emitting("a1", "a2"));
    let (event, mut cx) = (event("t"), context());
    layered.handle(&event, &mut cx).await.unwrap_err();
    cx.next_attempt(std::time::SystemTime::UNIX_EPOCH);
    layered.handle(&event, &mut cx).await.unwrap();
    assert_eq!(emitted(&mut cx), ["a1", "h", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn event_and_context_survive_a_panic_in_a_layer() {
    let shaky = from_fn(|attempt: Attempt, next: Next| async move {
        assert!(attempt.cx.attempt() > 1, "the first time it breaks");
        next.run(attempt).await
    });
    let layered = Layered::new(Fine).layer(emitting("a1", "a2")).layer(shaky);
    let (event, mut cx) = (event("t"), context());
    let caught = AssertUnwindSafe(layered.handle(&event, &mut cx)).catch_unwind().await;
    assert!(caught.is_err());
    cx.next_attempt(std::time::SystemTime::UNIX_EPOCH);
    layered.handle(&event, &mut cx).await.unwrap();
    assert_eq!(emitted(&mut cx), ["a1", "a2"]);
}

#[tokio::test(start_paused = true)]
async fn a_layer_may_show_the_handler_another_event() {
    let seen = Arc::new(Mutex::new(String::new()));
    let noted = Arc::clone(&seen);
    let handler = Does(move |event: &Event, _: &mut Context| {
        event.topic().clone_into(&mut noted.lock().unwrap());
        Ok(())
    });
    let renaming = from_fn(|mut attempt: Attempt, next: Next| {
        attempt.event = event("other");
        next.run(attempt)
    });
    attempt(&Layered::new(handler).layer(renaming), &event("t")).await.0.unwrap();
    assert_eq!(*seen.lock().unwrap(), "other");
}

#[tokio::test(start_paused = true)]
async fn start_and_stop_reach_the_handler() {
    #[derive(Default)]
    struct Counts(Arc<AtomicUsize>);
    #[async_trait]
    impl Handler for Counts {
        async fn handle(&self, _: &Event, _: &mut Context) -> HandlerResult {
            Ok(())
        }
        async fn start(&self) -> Result<(), BoxError> {
            match self.0.fetch_add(1, Ordering::SeqCst) {
                0 => Ok(()),
                _ => Err("started twice".into()),
            }
        }
        async fn stop(&self) {
            self.0.fetch_add(10, Ordering::SeqCst);
        }
    }
    let counts = Counts::default();
    let count = Arc::clone(&counts.0);
    let layered = Layered::new(counts).layer(passing());
    layered.start().await.unwrap();
    layered.start().await.unwrap_err();
    layered.stop().await;
    assert_eq!(count.load(Ordering::SeqCst), 12);
}
