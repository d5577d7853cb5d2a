//! Handlers: one that asks the test how to answer, and some that know by themselves.

use std::fmt;
use std::time::Duration;

use tidemill_core::{BoxError, Context, Event, Handler, HandlerError, HandlerResult, Record, async_trait};
use tokio::sync::{mpsc, oneshot};

use super::settle;

/// How the test answers for the handler.
type Answer = Box<dyn FnOnce(&mut Context) -> HandlerResult + Send>;

/// One attempt, in the test's hands. Dropping it fails the attempt.
pub(crate) struct Call {
    pub(crate) event: Event,
    pub(crate) attempt: u32,
    pub(crate) at: tokio::time::Instant,
    answer: oneshot::Sender<Answer>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.text(), self.attempt)
    }
}

impl Call {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.event.payload()).unwrap()
    }

    pub(crate) fn ok(self) {
        self.answer(|_| Ok(()));
    }

    pub(crate) fn fail(self, text: &'static str) {
        self.answer(move |_| Err(HandlerError::retry(text)));
    }

    pub(crate) fn permanent(self, text: impl Into<BoxError> + Send + 'static) {
        self.answer(move |_| Err(HandlerError::permanent(text)));
    }

    /// Emits these and ends well.
    pub(crate) fn emit(self, sink: &'static str, payloads: &'static [&'static str]) {
        self.answer(move |cx| {
            for payload in payloads {
                cx.emit(sink, Record::new(*payload))?;
            }
            Ok(())
        });
    }

    pub(crate) fn answer(self, answer: impl FnOnce(&mut Context) -> HandlerResult + Send + 'static) {
        // The attempt may have been cut in between.
        drop(self.answer.send(Box::new(answer)));
    }

    /// Whether the attempt was cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.answer.is_closed()
    }
}

/// The attempts of a handler, in the order they began.
#[derive(Debug)]
pub(crate) struct Calls(mpsc::Receiver<Call>);

#[derive(Debug)]
struct Asking(mpsc::Sender<Call>);

#[async_trait]
impl Handler for Asking {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let (answer, answered) = oneshot::channel();
        let at = tokio::time::Instant::now();
        let call = Call { event: event.clone(), attempt: cx.attempt(), at, answer };
        if self.0.try_send(call).is_err() {
            return Err(HandlerError::retry("the test takes no calls"));
        }
        match answered.await {
            Ok(answer) => answer(cx),
            Err(_) => Err(HandlerError::retry("the test let the call go")),
        }
    }
}

impl Calls {
    /// A handler that asks the test how to answer.
    pub(crate) fn new() -> (impl Handler, Self) {
        let (sender, receiver) = mpsc::channel(100_000);
        (Asking(sender), Self(receiver))
    }

    /// The next attempt; waits for it for ten minutes.
    pub(crate) async fn next(&mut self) -> Call {
        let next = tokio::time::timeout(Duration::from_secs(600), self.0.recv());
        next.await.expect("no attempt within ten minutes").expect("the handler is gone")
    }

    /// So many attempts.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Call> {
        let mut calls = Vec::with_capacity(count);
        for _ in 0..count {
            calls.push(self.next().await);
        }
        calls
    }

    /// The payloads of attempts that begin without further ado.
    pub(crate) async fn waiting(&mut self) -> Vec<Call> {
        settle().await;
        let mut calls = Vec::new();
        while let Ok(call) = self.0.try_recv() {
            calls.push(call);
        }
        calls
    }

    /// Nothing is attempted for that long.
    pub(crate) async fn expect_none_for(&mut self, duration: Duration) {
        if let Ok(Some(call)) = tokio::time::timeout(duration, self.0.recv()).await {
            panic!("no attempt was expected, but came {call:?}");
        }
    }
}

/// A handler that always ends well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fine;

#[async_trait]
impl Handler for Fine {
    async fn handle(&self, _: &Event, _: &mut Context) -> HandlerResult {
        Ok(())
    }
}

/// A handler whose first attempt and all others do this.
pub(crate) fn does(answer: impl Fn(&Event, &mut Context) -> HandlerResult + Send + Sync + 'static) -> impl Handler {
    struct Does<F>(F);
    #[async_trait]
    impl<F: Fn(&Event, &mut Context) -> HandlerResult + Send + Sync + 'static> Handler for Does<F> {
        async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
            (self.0)(event, cx)
        }
    }
    Does(answer)
}
