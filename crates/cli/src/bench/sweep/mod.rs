//! `tidemill bench sweep`: the scale-out curve, and how many instances with which window a load needs.

mod advice;
mod linear;
mod page;
mod tell;

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::args::{BrokerArgs, LoadArgs, Size};
use super::bound::{self, Point, Verdict};
use super::output::{self, OutputArgs};
use super::range::Numbers;
use super::stage::{Setup, measure};
use super::terminal::Bar;
use super::venue::Venue;
use crate::exit::{Failure, Outcome};
use crate::figures::grouped;
use crate::paint::Paint;
use crate::terminal;
use advice::Recommended;
use linear::Scaling;

const EXAMPLES: &str = "\
Examples:
  How many instances until more do not help
    tidemill bench sweep --work 5ms
    tidemill bench sweep --instances 1..16 --window 16,64,256 --html sweep.html
  How many instances does this load need
    tidemill bench sweep --work 5ms --rate 20K
  The recommendation, for programs
    tidemill bench sweep --work cpu:200us --concurrency 0,2,8 --json | tail -n 1

`1..16` means 1, 2, 4, 8, 16: the powers of two and both ends. Every combination \
is measured.";

/// Arguments of `tidemill bench sweep`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SweepArgs {
    /// Numbers of instances, such as 1..16 or 1,3,6
    #[arg(long, value_name = "LIST", default_value = "1..8")]
    pub(crate) instances: Numbers,
    /// Windows: unfinished events of one instance at most
    #[arg(long, value_name = "LIST", default_value = "64,1024")]
    pub(crate) window: Numbers,
    /// Handlers of one instance that run at the same time; 0 is as many as the window
    #[arg(long, value_name = "LIST", default_value = "0")]
    pub(crate) concurrency: Numbers,
    /// Measures each combination for so long
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,
    /// What is not measured at the beginning of each
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = humantime::parse_duration)]
    pub(crate) warm_up: Duration,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) broker: BrokerArgs,
}

/// The result, as programs read it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SweepResult {
    command: &'static str,
    ok: bool,
    stopped: bool,
    /// Combinations that were to be measured.
    planned: usize,
    broker: &'static str,
    work: super::work::Work,
    /// 0 is as fast as events are handled.
    rate: u64,
    recommended: Option<Recommended>,
    scaling: Vec<Scaling>,
    points: Vec<Judged>,
}

impl SweepResult {
    /// What has to be said besides the figures, a phrase each.
    fn remarks(&self) -> Vec<String> {
        let sum = |count: fn(&Point) -> u64| self.points.iter().map(|judged| count(&judged.point)).sum::<u64>();
        let counted = [
            (sum(|point| point.lost), "events were lost"),
            (sum(|point| point.refused), "publications were refused by the broker"),
        ];
        let counted = counted.iter().filter(|(count, _)| *count > 0);
        let mut remarks: Vec<String> = counted.map(|(count, what)| format!("{} {what}", grouped(*count))).collect();
        if self.stopped {
            remarks.push(format!("stopped after {} of {} combinations", self.points.len(), self.planned));
        } else if self.points.is_empty() {
            remarks.push("nothing was measured".to_owned());
        }
        remarks
    }
}

/// A point and what it is bound by.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Judged {
    #[serde(flatten)]
    point: Point,
    #[serde(flatten)]
    verdict: Verdict,
}

/// Runs it.
///
/// # Errors
/// Wrong arguments, or a measurement that could not be made.
pub(crate) async fn run(args: &SweepArgs, stop: CancellationToken) -> Result<Outcome, Failure> {
    if args.load.scenario.is_some_and(|scenario| !args.instances.get().contains(&scenario.instances)) {
        return Err(Failure::Usage("--scenario names a number of instances that is not in --instances".to_owned()));
    }
    let sizes = sizes(args)?;
    let setup = |link: &_, size| args.load.setup(&args.broker, link, size);
    // Wrong usage is said before anything is started.
    let unknown = args.broker.link()?;
    sizes.iter().try_for_each(|size| setup(&unknown, *size).map(drop))?;
    let _created = output::writable(&[("--html", args.output.html.as_ref())])?;
    let (mut venue, link) = Venue::start(&args.broker, false).await?;
    let bar = Bar::new();
    bar.say(&format!("measuring {} combinations of instances and window", sizes.len()));
    let mut points = Vec::with_capacity(sizes.len());
    let mut stopped = false;
    for (step, size) in sizes.iter().enumerate() {
        let setup: Setup = setup(&link, *size)?;
        let name = format!("{} x {}", size.instances, size.window);
        let show = |progress| bar.show(&name, step, sizes.len(), progress);
        let measured = measure(&setup, &mut venue, &stop, show).await;
        // A measurement that was cut short is none.
        if stop.is_cancelled() {
            stopped = true;
            break;
        }
        let measured = measured?;
        let point = measured.point(&setup);
        bar.say(&tell::line(&point));
        points.push(point);
    }
    bar.clear();
    venue.end().await;

    let judged = points.iter().map(|point| Judged { point: point.clone(), verdict: bound::name(point, &points) });
    let result = SweepResult {
        command: "sweep",
        ok: !points.is_empty() && points.iter().all(|point| point.lost == 0 && point.refused == 0),
        stopped,
        planned: sizes.len(),
        broker: args.broker.label(),
        work: args.load.work,
        rate: args.load.rate(),
        recommended: advice::recommend(&points),
        scaling: linear::scaling(&points),
        points: judged.collect(),
    };
    terminal::tell(&tell::text(&result, Paint::stderr()));
    if let Some(path) = &args.output.html {
        output::file(path, &page::html(&result))?;
    }
    if args.output.json {
        output::json(&result)?;
    }
    Ok(if result.ok { Outcome::Good } else { Outcome::Bad })
}

/// Every combination: windows one after another, instances from few to many.
fn sizes(args: &SweepArgs) -> Result<Vec<Size>, Failure> {
    let mut sizes = Vec::new();
    for concurrency in args.concurrency.get() {
        for window in args.window.get() {
            let window = u16::try_from(*window).ok().filter(|window| *window > 0);
            let Some(window) = window else {
                return Err(Failure::Usage("--window: choose 1 to 65535".to_owned()));
            };
            for instances in args.instances.get() {
                sizes.push(Size {
                    instances: *instances,
                    window,
                    concurrency: u32::try_from(*concurrency).unwrap_or(u32::MAX),
                    warm_up: args.warm_up,
                    duration: args.duration,
                    count: None,
                });
            }
        }
    }
    Ok(sizes)
}
