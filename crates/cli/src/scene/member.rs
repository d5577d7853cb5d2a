//! A member of the cast: a worker of its own with one instance, as each replica of a deployment is.

use std::sync::Arc;
use std::time::Duration;

use tidemill::prelude::*;
use tidemill::{Record, Route, RunError, Sink, SinkError, Summary, Worker, WorkerHandle, report};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::tape::Tape;
use super::{Stage, source};
use crate::exit::Failure;

/// Longest wait for a member to share the subscription.
const JOIN_LIMIT: Duration = Duration::from_secs(15);

/// Takes dead letters where the broker does not: what is no event of the scene.
#[derive(Debug)]
struct Discard;

#[async_trait]
impl Sink for Discard {
    async fn write(&self, _: &[Record]) -> Result<(), SinkError> {
        Ok(())
    }
}

/// See the module's description.
pub(crate) struct Member {
    handle: WorkerHandle,
    leave: CancellationToken,
    task: JoinHandle<Result<Summary, RunError>>,
}

impl Member {
    /// Joins, and comes back when the member shares the subscription.
    ///
    /// # Errors
    /// It cannot join; it says why.
    pub(crate) async fn join(stage: &Stage, tape: &Arc<Tape>, number: usize) -> Result<Self, Failure> {
        let mut config = stage.member.clone();
        config.identity.prefix = format!("{}-{}", config.identity.prefix, number + 1);
        let tape = Arc::clone(tape);
        let owner = u8::try_from(number).unwrap_or(u8::MAX);
        let handler = handler_fn(move |event: Event, _: Context| {
            let seq = source::seq(&event);
            let known = seq.and_then(|seq| tape.handled(seq, owner)).is_some();
            async move { if known { Ok(()) } else { Err(HandlerError::permanent("no event of this scene")) } }
        });
        let builder = match config.dead_letters.sink.clone() {
            Some(name) => Worker::builder(config).sink(name, Discard),
            None => Worker::builder(config),
        };
        let worker = builder
            .add_route(Route::new(stage.pattern.clone(), handler).named("scene"))
            .build()
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let (handle, leave) = (worker.handle(), CancellationToken::new());
        let asked = leave.clone();
        let task = tokio::spawn(async move { worker.run_until(asked.cancelled_owned()).await });
        let mut member = Self { handle, leave, task };
        tokio::select! {
            ready = timeout(JOIN_LIMIT, member.handle.ready()) => match ready {
                Ok(()) => Ok(member),
                Err(_) => {
                    let why = member.last_error().unwrap_or_else(|| "the broker does not answer".to_owned());
                    Err(Failure::Run(format!("member {} could not join: {why}", number + 1)))
                }
            },
            ended = &mut member.task => Err(Failure::Run(match ended {
                Ok(Ok(_)) => format!("member {} ended before it had joined", number + 1),
                Ok(Err(error)) => report(&error),
                Err(crash) => format!("member {} crashed: {crash}", number + 1),
            })),
        }
    }

    /// Leaves without loss.
    ///
    /// # Errors
    /// It did not end well.
    pub(crate) async fn leave(self) -> Result<(), Failure> {
        self.leave.cancel();
        match self.task.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Failure::Run(format!("a member could not leave: {}", report(&error)))),
            Err(crash) => Err(Failure::Run(format!("a member crashed: {crash}"))),
        }
    }

    /// Why its connection is down, if it is.
    pub(crate) fn last_error(&self) -> Option<String> {
        self.handle.status().instances.into_iter().find_map(|instance| instance.last_error)
    }
}
