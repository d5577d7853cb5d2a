//! What people see while the demo runs: a bar for the run and one for each instance. On a terminal only; elsewhere it
//! draws nothing at all.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::fleet::Errand;
use crate::figures::{grouped, percent};
use crate::paint::Paint;

/// How often it is drawn.
const FRAME: Duration = Duration::from_millis(100);
/// More instances than this are only summed up: the view must fit on a screen.
const MOST_BARS: usize = 12;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Live {
    bars: MultiProgress,
}

impl Live {
    /// For standard error. Nothing is drawn yet.
    pub(crate) fn new() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)) }
    }

    /// Where other lines can be written around the bars.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Draws until `over`, and takes everything away then.
    pub(crate) async fn run(&self, errand: &Errand, over: &CancellationToken) {
        if self.bars.is_hidden() {
            return;
        }
        let whole = self.bar("{bar:60.cyan/238} {percent:>3} %", errand.plan.events);
        let sums = self.bar("{msg}", 1);
        let instances: Vec<ProgressBar> = match errand.plan.instances as usize {
            count if count > MOST_BARS => Vec::new(),
            count => (0..count).map(|_| self.bar("{prefix:>12} {bar:30.blue/238} {msg}", 1)).collect(),
        };
        let mut speed = Speed::default();
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stopping = tokio::select! {
                () = over.cancelled() => break,
                _ = frames.tick() => errand.stop.is_cancelled(),
            };
            let handled = errand.ledger.total().events();
            let per_second = speed.after(handled, errand.clock.ns());
            whole.set_position(handled);
            sums.set_message(format!(
                "{} events/s  {} handled  {} on the way{}",
                Paint::stderr().strong(&grouped(per_second)),
                grouped(handled),
                grouped(errand.progress.started().saturating_sub(handled)),
                if stopping { "  stopping" } else { "" }
            ));
            for ((number, bar), events) in instances.iter().enumerate().zip(errand.ledger.shares()) {
                bar.set_length(handled.max(1));
                bar.set_position(events);
                bar.set_prefix(format!("instance {number}"));
                bar.set_message(format!("{:>5}  {}", percent(events, handled), grouped(events)));
            }
        }
        // A view that cannot be cleared is the terminal's trouble, not the run's.
        let _ = self.bars.clear();
    }

    fn bar(&self, template: &str, length: u64) -> ProgressBar {
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(length).with_style(style.progress_chars("━━─"));
        self.bars.add(bar)
    }
}

/// Events per second, smoothed a little so that the number can be read.
#[derive(Debug, Default)]
struct Speed {
    last: (u64, u64),
    smooth: f64,
}

impl Speed {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "for show"
    )]
    fn after(&mut self, events: u64, now_ns: u64) -> u64 {
        let (events_before, before_ns) = self.last;
        let seconds = now_ns.saturating_sub(before_ns) as f64 / 1e9;
        if seconds > 0.0 {
            let current = (events - events_before) as f64 / seconds;
            self.smooth = if before_ns == 0 { current } else { 0.7 * self.smooth + 0.3 * current };
            self.last = (events, now_ns);
        }
        self.smooth as u64
    }
}
