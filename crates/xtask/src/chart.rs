//! `cargo xtask chart`: the checks of the chart, and its README; also a step of `cargo xtask test`.
//!
//! The checks are written in Python, because Helm's own code can be had there as a package, as can the schemas of
//! Kubernetes. The packages live below `target`, at the versions that `helm/tests/requirements.txt` names, and nowhere
//! else.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use crate::checkout::Checkout;
use crate::counts::{self, Counts};
use crate::failure::Failure;
use crate::process;

const REQUIREMENTS: &str = "helm/tests/requirements.txt";
const CHECKS: &str = "helm/tests/check.py";

/// Options of `cargo xtask chart`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Write the chart's README anew instead of checking
    #[arg(long)]
    update: bool,
}

/// Checks the chart or writes its README.
pub(crate) fn run(checkout: &Checkout, args: &Args) -> Result<ExitCode, Failure> {
    let python = match environment(checkout, true)? {
        Ok(python) => python,
        Err(obstacle) => return Err(Failure::new(obstacle)),
    };
    let good = if args.update {
        process::run(python_command(checkout, &python).arg("--update"))?.success()
    } else {
        match check(checkout, &python)? {
            Checked::Ran { good, .. } => good,
            Checked::NotBuilt => false,
        }
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of the checks.
#[derive(Debug)]
pub(crate) enum Checked {
    /// The program that checks configurations does not build.
    NotBuilt,
    /// They ran.
    Ran {
        /// Whether all is in order.
        good: bool,
        /// How many there were.
        counts: Counts,
    },
}

/// Builds what the checks need, and runs them.
pub(crate) fn check(checkout: &Checkout, python: &Path) -> Result<Checked, Failure> {
    // With the features that the tests are built with, so that nothing is built twice.
    let build = ["build", "--workspace", "--all-features", "--bin", "tidemill"];
    if !process::run(&mut process::cargo(checkout, &build))?.success() {
        return Ok(Checked::NotBuilt);
    }
    let tidemill = target(checkout).join("debug").join("tidemill");
    let watched = process::watch(python_command(checkout, python).arg("--tidemill").arg(tidemill), |line| {
        counts::from_libtest(line).is_some()
    })?;
    let counts = watched.lines.iter().filter_map(|line| counts::from_libtest(line)).next_back().unwrap_or_default();
    // A run that ends well without having looked at anything is none.
    Ok(Checked::Ran { good: watched.status.success() && !counts.ran_none(), counts })
}

/// Python with the packages, or what stands in the way. Installs them when they are missing and `may_install`.
pub(crate) fn environment(checkout: &Checkout, may_install: bool) -> Result<Result<PathBuf, String>, Failure> {
    let wanted = checkout.root().join(REQUIREMENTS);
    let wanted = fs::read_to_string(&wanted).map_err(|e| Failure::because(format!("read {}", wanted.display()), e))?;
    let folder = target(checkout).join("chart-python");
    let python = folder.join("bin").join("python");
    // Written last: an installation that was cut off is none.
    let installed = folder.join("installed.txt");
    if python.is_file() && fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(Ok(python));
    }
    if !may_install {
        return Ok(Err("the Python packages are not installed, and nothing may be".to_owned()));
    }
    if !process::makes_python_environments() {
        return Ok(Err("python3 with the module venv is missing; install on Debian with: sudo apt-get install \
                       python3-venv"
            .to_owned()));
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|e| Failure::because(format!("remove {}", folder.display()), e))?;
    }
    let made = process::run(Command::new("python3").args(["-m", "venv"]).arg(&folder).stdin(Stdio::null()))?;
    if !made.success() {
        return Ok(Err(format!("python3 -m venv ended with {made}")));
    }
    let got = process::run(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", REQUIREMENTS])
            .current_dir(checkout.root())
            .stdin(Stdio::null()),
    )?;
    if !got.success() {
        return Ok(Err(format!("the Python packages could not be installed: pip ended with {got}")));
    }
    fs::write(&installed, &wanted).map_err(|e| Failure::because(format!("write {}", installed.display()), e))?;
    Ok(Ok(python))
}

fn python_command(checkout: &Checkout, python: &Path) -> Command {
    let mut command = Command::new(python);
    // No folders of compiled modules in the checkout.
    command.arg("-B").arg(checkout.root().join(CHECKS)).current_dir(checkout.root()).stdin(Stdio::null());
    command
}

/// Where cargo builds.
pub(crate) fn target(checkout: &Checkout) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout.root().join("target"), PathBuf::from)
}
