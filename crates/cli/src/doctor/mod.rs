//! `tidemill doctor`: finds out by trying what a broker does with sharing groups, which known broker that makes it, and
//! which settings of a worker suit it.
//!
//! ```text
//! probes ──> evidence ──> closest profile ──┐
//!    │           └──────> recommended ──────┴──> report, exit code
//!    └──> findings ─────────────────────────────────┘
//! ```
//!
//! ORDER: what was left on the broker is removed before anything is reported, also when time has run out.

mod advice;
mod args;
mod evidence;
mod examine;
mod matching;
mod probe;
mod report;
mod site;
mod tell;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tidemill_testkit::wire::Version;
use tokio::time::{Instant, timeout};

pub(crate) use args::DoctorArgs;

use args::Versions;
use report::Report;
use site::Site;

use crate::connect::in_options;
use crate::exit::{self, Failure};
use crate::paint::Paint;
use crate::terminal;

/// The exit code for a broker on which no group can work.
const UNUSABLE: u8 = 2;
/// How long cleaning up may take beyond the time of the probes.
const CLEANING: Duration = Duration::from_secs(3);

/// Runs the doctor.
pub(crate) fn run(args: &DoctorArgs) -> ExitCode {
    match examine(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(UNUSABLE),
        Err(failure) => exit::of(Err(failure)),
    }
}

/// Examines the broker and reports; whether a group can work on it.
fn examine(args: &DoctorArgs) -> Result<bool, Failure> {
    let reach = args.reach()?;
    let broker = reach.broker.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Run(format!("no threads to run on: {error}")))?;
    let wanted: &[Version] = match args.mqtt_version {
        Versions::V5 => &[Version::V5],
        Versions::V3_1_1 => &[Version::V4],
        Versions::Both => &[Version::V5, Version::V4],
    };
    let site = Site::new(reach, &args.prefix);
    let result = runtime.block_on(async {
        let deadline = Instant::now() + args.timeout;
        let probing = async {
            tokio::select! {
                found = examine::examine(&site, wanted, deadline) => found,
                _ = tidemill::shutdown_signal() => Err("stopped before it was examined".to_owned()),
            }
        };
        let found = Box::pin(probing).await;
        let _ = timeout(CLEANING, Box::pin(site.clean_up())).await;
        found
    });
    let found = result.map_err(|why| Failure::Run(format!("{broker} cannot be examined: {}", in_options(&why))))?;

    if found.evidence.shared().is_none() {
        let why = found.findings.iter().rfind(|finding| finding.name.starts_with("shared"));
        let why = why.map_or("no reason is known", |finding| finding.meaning.as_str());
        return Err(Failure::Run(format!(
            "{broker} cannot be examined: shared subscriptions could not be tried, {why}"
        )));
    }
    let profile = matching::closest(&found.evidence);
    let recommended = advice::recommend(&found.evidence, profile.profile);
    let report = Report { broker: &broker, findings: &found.findings, profile, recommended: &recommended };
    if args.json {
        terminal::tell(&report.text(Paint::stderr(), io::stderr()));
        terminal::line(&report.json())?;
    } else {
        terminal::line(&report.text(Paint::stdout(), io::stdout()))?;
    }
    Ok(recommended.is_ok())
}
