//! A child's end: orders come from standard input, answers go to standard output. The end of the input, which is the
//! end of the parent, is an order to end.

use std::io::Write;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};

use super::{Job, Order, Said};
use crate::exit::{Failure, Outcome};

/// Where orders come from.
#[derive(Debug)]
pub(crate) struct Orders(Lines<BufReader<Stdin>>);

impl Orders {
    fn new() -> Self {
        Self(BufReader::new(tokio::io::stdin()).lines())
    }

    /// The next order; `None` when the parent is gone. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Order> {
        loop {
            let line = self.0.next_line().await.ok().flatten()?;
            // A line that is no order comes from nobody that knows what it does.
            if let Ok(order) = serde_json::from_str(&line) {
                return Some(order);
            }
        }
    }
}

/// Says something to the parent. Blocks for as long as that takes to read it, which is not long.
pub(crate) fn say(said: &Said) {
    write(said);
}

fn write(value: &impl Serialize) {
    if let Ok(mut line) = serde_json::to_vec(value) {
        line.push(b'\n');
        let mut out = std::io::stdout().lock();
        // Without a parent nobody listens, and the end of the input says so.
        let _ = out.write_all(&line).and_then(|()| out.flush());
    }
}

/// Runs a child until it is done.
///
/// # Errors
/// It has no job, or no threads. What goes wrong later is said to the parent.
pub(crate) fn run() -> Result<Outcome, Failure> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|error| Failure::Run(format!("no job: {error}")))?;
    let job: Job = serde_json::from_str(&line).map_err(|error| Failure::Usage(format!("no job: {error}")))?;
    let mut runtime = match job {
        // One thread encodes more events than a broker takes, and needs no locks.
        Job::Load(_) => tokio::runtime::Builder::new_current_thread(),
        Job::Broker | Job::Worker(_) => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.enable_all().build().map_err(|error| Failure::Run(format!("no threads: {error}")))?;
    let result = runtime.block_on(async {
        let orders = Orders::new();
        match job {
            Job::Broker => crate::bench::broker::run(orders).await,
            Job::Load(job) => crate::bench::load::run(*job, orders).await,
            Job::Worker(job) => crate::bench::worker::run(*job, orders).await,
        }
    });
    // A read of standard input cannot be cancelled; nothing waits for it.
    runtime.shutdown_background();
    match result {
        Ok(()) => Ok(Outcome::Good),
        Err(why) => {
            say(&Said::Failed(why));
            Ok(Outcome::Bad)
        }
    }
}
