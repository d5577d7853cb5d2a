//! `cargo xtask bench-gate`: what an event costs, in instructions and allocations, against a committed baseline.
//!
//! Not a step of `cargo xtask test`: it needs valgrind, an optimised build and some minutes. Unlike time, these figures
//! are about the same on every run of a build, so that a limit of a few per cent means something. They do depend on
//! the compiler; the baseline names the one that it was written with.

mod baseline;

use std::fs;
use std::process::{Command, ExitCode, Stdio};

use crate::chart::target;
use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::process;
use baseline::{Baseline, Figures, Limits, compare, table};

const BASELINE: &str = "benches/baseline.json";

/// Options of `cargo xtask bench-gate`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Write what was measured as the new baseline
    #[arg(long)]
    update: bool,
    /// Most instructions more than in the baseline, in per cent
    #[arg(long, default_value_t = 3.0, value_name = "PERCENT")]
    limit: f64,
    /// Most allocations per event more than in the baseline; what is allocated per read, not per event, moves a little
    #[arg(long, default_value_t = 0.02, value_name = "COUNT")]
    allocations: f64,
}

/// What is measured: the name in front of what the program reports, the program, and its words.
const CASES: [(&str, &str, &[&str]); 4] = [
    ("receive qos 1", "feed", &["--qos", "1", "--clients", "tidemill,tidemill-emit"]),
    ("receive qos 0", "feed", &["--qos", "0", "--clients", "tidemill"]),
    ("publish qos 1", "publish", &["--qos", "1"]),
    ("publish qos 0", "publish", &["--qos", "0", "--who", "publisher"]),
];

/// Measures and compares, or writes the baseline.
pub(crate) fn run(checkout: &Checkout, args: &Args) -> Result<ExitCode, Failure> {
    if !process::has_program("valgrind") {
        return Err(Failure::new("valgrind is missing; install on Debian with: sudo apt-get install valgrind"));
    }
    let build = ["build", "--release", "--locked", "-p", "tidemill-benches", "--bin", "feed", "--bin", "publish"];
    if !process::run(&mut process::cargo(checkout, &build))?.success() {
        return Err(Failure::new("the benchmarks do not build"));
    }
    let now = Baseline { rustc: compiler()?, figures: measure(checkout)? };
    let path = checkout.root().join(BASELINE);
    if args.update {
        fs::write(&path, now.to_json()).map_err(|e| Failure::because(format!("write {}", path.display()), e))?;
        println!("{BASELINE} is written, with {} figures", now.figures.len());
        return Ok(ExitCode::SUCCESS);
    }
    let text = fs::read_to_string(&path).map_err(|e| Failure::because(format!("read {}", path.display()), e))?;
    let old = Baseline::from_json(&text)
        .ok_or_else(|| Failure::new(format!("{BASELINE} is not what `cargo xtask bench-gate --update` writes")))?;
    let limits = Limits { instructions_percent: args.limit, allocations: args.allocations };
    let rows = compare(&old.figures, &now.figures, limits);
    print!("{}", table(&rows));
    if old.rustc != now.rustc {
        println!("The baseline is of {}, this is {}: differences may be the compiler's.", old.rustc, now.rustc);
    }
    if rows.iter().all(baseline::Row::is_good) {
        return Ok(ExitCode::SUCCESS);
    }
    println!("Meant to be so? Then write it down: cargo xtask bench-gate --update");
    Ok(ExitCode::FAILURE)
}

fn measure(checkout: &Checkout) -> Result<Figures, Failure> {
    let mut figures = Figures::new();
    for (case, program, words) in CASES {
        println!("==> {case}");
        let path = target(checkout).join("release").join(program);
        let mut command = Command::new(path);
        command.args(["--instructions", "--json"]).args(words).current_dir(checkout.root()).stdin(Stdio::null());
        let output =
            command.stderr(Stdio::inherit()).output().map_err(|e| Failure::because(format!("run {program}"), e))?;
        if !output.status.success() {
            return Err(Failure::new(format!("{program} ended with {}", output.status)));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let counted = baseline::counted(case, &text)
            .ok_or_else(|| Failure::new(format!("{program} reported no instructions: {text}")))?;
        figures.extend(counted);
    }
    Ok(figures)
}

/// What a benchmark reported with `--instructions --json`: names, each with instructions and allocations.
pub(crate) fn counted(case: &str, json: &str) -> Option<Vec<(String, f64, f64)>> {
    let figures = baseline::counted(case, json)?;
    Some(figures.into_iter().map(|(name, figure)| (name, figure.instructions, figure.allocations)).collect())
}

fn compiler() -> Result<String, Failure> {
    let output =
        Command::new("rustc").arg("--version").output().map_err(|e| Failure::because("run rustc --version", e))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
