//! The elastic mode: looks at the load and asks for an instance more or less. What to do is [`decide`]d by a pure
//! function of samples; only the loop here looks at clocks, windows and the CPU.

mod cpu;
mod decide;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::cpu::CpuMeter;
use self::decide::{Controller, Sample, Verdict};
use super::scaling::ScalingMode;
use super::state::Shared;
use crate::config::Instances;
use crate::session::Phase;

/// How often the load is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Watches the load for ever, while it is the load that sets the number. Dropping the future leaves everything as it
/// stands.
pub(super) async fn watch(shared: &Shared) {
    let mut settings = shared.scaling.watch();
    let began = Instant::now();
    loop {
        if settings.wait_for(|state| state.mode() == ScalingMode::Elastic).await.is_err() {
            return std::future::pending().await;
        }
        let mut controller = Controller::default();
        let mut cpu = CpuMeter::new();
        while let (Instances::Elastic { min, max }, ScalingMode::Elastic, config) = {
            let state = settings.borrow_and_update();
            (state.configured, state.mode(), state.elastic.clone())
        } {
            tokio::select! {
                () = sleep(LOOK) => {}
                // Another mode or setting.
                _ = settings.changed() => continue,
            }
            let sample = sample(shared, began.elapsed(), cpu.read());
            let verdict = controller.look((min, max), &config, &sample);
            shared.scaling.show(verdict);
            if let Verdict::Grow { .. } | Verdict::Shrink { .. } = verdict {
                let from = sample.instances;
                let to = if matches!(verdict, Verdict::Grow { .. }) { from + 1 } else { from - 1 };
                shared.decide(from, to, verdict);
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "windows and instances are small numbers")]
fn sample(shared: &Shared, at: Duration, cpu: f64) -> Sample {
    let now = shared.snapshot();
    let wanted = shared.scaling.wanted();
    let all_ready = now.phases.len() == wanted as usize && now.phases.iter().all(|phase| *phase == Phase::Ready);
    let paused = shared.paused.borrow().iter().any(|paused| *paused);
    Sample {
        at,
        instances: wanted,
        saturation: now.occupied as f64 / now.capacity.max(1) as f64,
        busy: now.busy as f64 / now.phases.len().max(1) as f64,
        cpu,
        steady: all_ready && !paused && !shared.is_draining(),
    }
}
