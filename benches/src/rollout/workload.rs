//! What the controllers of Kubernetes do with pods: a Deployment with `maxSurge: 1` and `maxUnavailable: 0`, and a
//! StatefulSet with `podManagementPolicy: Parallel`, both as the chart sets them.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Error;
use super::process::{Pod, Template};

/// Between two looks at `/readyz`. The chart has five seconds; a change is over sooner here, and no event waits for it.
const PROBE: Duration = Duration::from_millis(50);
/// Until a pod is ready.
const READY: Duration = Duration::from_secs(60);

/// A workload and its pods.
#[derive(Debug)]
pub(super) struct Workload {
    template: Template,
    grace: Duration,
    pods: Vec<Pod>,
    leaving: JoinSet<Result<bool, Error>>,
    revision: u32,
    starts: u32,
    /// Fewest that were ready at any look since the last [`begin`](Self::begin).
    fewest_ready: usize,
    /// Pods that were killed at the end of their grace period since then.
    forced: u32,
}

impl Workload {
    pub(super) fn new(template: Template, grace: Duration) -> Self {
        Self {
            template,
            grace,
            pods: Vec::new(),
            leaving: JoinSet::new(),
            revision: 1,
            starts: 0,
            fewest_ready: 0,
            forced: 0,
        }
    }

    pub(super) fn pods(&self) -> &[Pod] {
        &self.pods
    }

    /// Begins to watch a change.
    pub(super) fn begin(&mut self) {
        self.fewest_ready = self.pods.len();
        self.forced = 0;
    }

    /// Fewest ready pods at any look, and pods killed at the end of their grace period.
    pub(super) fn watched(&self) -> (usize, u32) {
        (self.fewest_ready, self.forced)
    }

    /// Has so many replicas: all that are missing start at once, all that are too many leave at once.
    pub(super) async fn scale(&mut self, replicas: usize) -> Result<(), Error> {
        while self.pods.len() < replicas {
            let name = self.name(self.pods.len());
            let pod = self.start(&name).await?;
            self.pods.push(pod);
        }
        while self.pods.len() > replicas
            && let Some(pod) = self.pods.pop()
        {
            self.leaving.spawn(pod.terminate(self.grace));
        }
        self.settle().await
    }

    /// Replaces every pod, as an upgrade of the image does.
    pub(super) async fn roll(&mut self) -> Result<(), Error> {
        self.revision += 1;
        if self.template.durable {
            // From the highest ordinal down; the next only when this one is back.
            for ordinal in (0..self.pods.len()).rev() {
                let old = self.pods.remove(ordinal);
                let name = old.name.clone();
                self.leaving.spawn(old.terminate(self.grace));
                self.settle().await?;
                let new = self.start(&name).await?;
                self.pods.insert(ordinal, new);
                self.settle().await?;
            }
            return Ok(());
        }
        for at in 0..self.pods.len() {
            let name = self.name(at);
            let new = self.start(&name).await?;
            self.pods.push(new);
            self.all_ready().await?;
            // Nobody waits for a pod that leaves before the next comes.
            let old = self.pods.remove(0);
            self.leaving.spawn(old.terminate(self.grace));
        }
        self.settle().await
    }

    /// Kills the first pod without a word; the kubelet starts it again under its name.
    pub(super) async fn crash(&mut self) -> Result<(), Error> {
        let old = self.pods.remove(0);
        let name = old.name.clone();
        old.kill().await?;
        let new = self.start(&name).await?;
        self.pods.insert(0, new);
        self.settle().await
    }

    /// Waits until everybody who should be there is ready, and everybody else is gone.
    async fn settle(&mut self) -> Result<(), Error> {
        self.all_ready().await?;
        while !self.leaving.is_empty() {
            tokio::select! {
                Some(ended) = self.leaving.join_next() => {
                    let forced = ended.map_err(|error| Error::because("wait for a pod that leaves", error))??;
                    self.forced += u32::from(forced);
                }
                () = sleep(PROBE) => {
                    self.look().await?;
                }
            }
        }
        Ok(())
    }

    async fn all_ready(&mut self) -> Result<(), Error> {
        let since = Instant::now();
        while self.look().await? < self.pods.len() {
            if since.elapsed() > READY {
                return Err(Error::new("not all pods became ready in time"));
            }
            sleep(PROBE).await;
        }
        Ok(())
    }

    /// How many are ready.
    async fn look(&mut self) -> Result<usize, Error> {
        let mut ready = 0;
        for pod in &mut self.pods {
            pod.check()?;
            ready += usize::from(pod.is_ready().await);
        }
        self.fewest_ready = self.fewest_ready.min(ready);
        Ok(ready)
    }

    async fn start(&mut self, name: &str) -> Result<Pod, Error> {
        self.starts += 1;
        Pod::start(&self.template, name, self.starts).await
    }

    /// The name of a pod: its ordinal in a StatefulSet, never the same again in a Deployment.
    fn name(&self, ordinal: usize) -> String {
        match self.template.durable {
            true => format!("rollout-{ordinal}"),
            false => format!("rollout-v{}-{}", self.revision, self.starts),
        }
    }
}
