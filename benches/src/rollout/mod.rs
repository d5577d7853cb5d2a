//! What Kubernetes does to a group of workers, done to processes: pods that start, become ready, get SIGTERM and a grace
//! period, are replaced one by one, added, removed and killed, while events keep coming at a steady rate.
//!
//! ```text
//! load ──> broker ──> pods, each this program once more, set up as the chart does
//!                      │ /readyz, /metrics: the controller and the autoscaler
//!                      v a line in a journal for every event, before its acknowledgement: the account
//! ```
//!
//! INVARIANT: nothing is sampled. An event without a line in any journal is lost, one with two is duplicated.

mod account;
mod args;
mod autoscale;
mod broker;
mod http;
mod journal;
mod load;
mod pod;
mod process;
mod report;
mod scene;
mod sessions;
mod workload;

use std::fmt;

use tidemill_core::BoxError;

pub use args::Args;

use args::{Program, Scene};
use broker::Server;
use report::Report;

/// Why it did not run to its end.
#[derive(Debug)]
pub struct Error {
    doing: String,
    source: Option<BoxError>,
}

impl Error {
    fn new(doing: impl Into<String>) -> Self {
        Self { doing: doing.into(), source: None }
    }

    fn because(doing: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self { doing: doing.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Does what the command line says. Says whether everything came out as it must.
///
/// # Errors
/// No broker, no processes, or a pod that does not run.
pub fn run(args: &Args) -> Result<bool, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::because("start threads", error))?;
    match &args.program {
        Some(Program::Pod(pod)) => runtime.block_on(pod::run(pod)).map(|()| true),
        None => runtime.block_on(play(args)),
    }
}

async fn play(args: &Args) -> Result<bool, Error> {
    let mut report = Report::new(args);
    for scene in &args.scenes {
        let server = Server::start(args.broker).await?;
        match scene {
            Scene::Deployment | Scene::StatefulSet => {
                report.rollouts.push(scene::play(args, &server, *scene == Scene::StatefulSet).await?);
            }
            Scene::Autoscale => report.autoscaling = Some(autoscale::play(args, &server).await?),
        }
        server.stop().await;
    }
    println!("{}", if args.json { report.json() } else { report.text() });
    Ok(report.is_ok())
}
