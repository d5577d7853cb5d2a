//! `tidemill check`: loads a configuration as a worker would and tells everything that is wrong with it, at once.
//!
//! Nothing is connected to and nothing changed. What a worker adds in its code is not known here, so that a rule about
//! several keys may be broken now and hold there; such a configuration is best completed in the file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use tidemill::Config;
use tidemill::config::{ConfigErrors, ConfigProblem, ProcessEnv};

use crate::exit::{self, Failure};
use crate::paint::Paint;
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  tidemill check --config tidemill.toml
  TIDEMILL_MQTT__WINDOW=64 tidemill check --config tidemill.toml --files
  tidemill check --json | jq .errors

Exit codes: 0 a worker can start with it (there may be warnings), 2 it cannot, 64 wrong usage.";

/// The exit code for a configuration that no worker can start with.
const UNUSABLE: u8 = 2;

/// Arguments of `tidemill check`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    /// A file without its option is answered with the option.
    #[arg(hide = true, value_name = "FILE")]
    misplaced: Option<PathBuf>,
    /// The file [default: the one that TIDEMILL_CONFIG names, or else tidemill.toml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Reads the file alone, without the TIDEMILL_ variables of the environment
    #[arg(long, requires = "config")]
    no_env: bool,
    /// Looks at the files that it names, too: certificates, keys, passwords
    #[arg(long)]
    files: bool,
    /// Writes the result to standard output as one JSON object
    #[arg(long)]
    json: bool,
}

/// Checks, and tells.
pub(crate) fn run(args: &CheckArgs) -> ExitCode {
    if let Some(file) = &args.misplaced {
        let text = format!("a file goes with --config: tidemill check --config {}", file.display());
        return exit::of(Err(Failure::Usage(text)));
    }
    let findings = findings(args);
    if args.json {
        // A closed pipe is no reason to change the verdict.
        if let Ok(text) = serde_json::to_string(&Report::of(&findings)) {
            let _ = terminal::line(&text);
        }
    } else {
        let paint = Paint::stderr();
        for problem in &findings.warnings {
            terminal::tell(&format!("{} {problem}", paint.strong("warning:")));
        }
        for problem in &findings.errors {
            terminal::tell(&format!("{} {problem}", paint.bad("error:")));
        }
        if findings.errors.is_empty() {
            let verdict = paint.good("a worker can start with this configuration");
            match &findings.file {
                Some(file) => terminal::tell(&format!("{verdict}: {}", file.display())),
                None => terminal::tell(&format!(
                    "{verdict}: the defaults and variables alone, as there is no tidemill.toml here"
                )),
            }
        }
    }
    if findings.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(UNUSABLE) }
}

/// What was found.
#[derive(Debug, Default)]
struct Findings {
    /// The file that was read; none where one is wrong already as it is read.
    file: Option<PathBuf>,
    errors: Vec<ConfigProblem>,
    warnings: Vec<ConfigProblem>,
}

fn findings(args: &CheckArgs) -> Findings {
    let mut loader = Config::loader();
    loader = match &args.config {
        Some(path) => loader.file(path),
        None => loader.default_file("tidemill.toml"),
    };
    if !args.no_env {
        loader = loader.env(&ProcessEnv);
    }
    let config = match loader.load() {
        Ok(config) => config,
        Err(errors) => return Findings { errors: problems(&errors), ..Findings::default() },
    };
    let mut errors = config.validate().err().as_ref().map(problems).unwrap_or_default();
    if args.files {
        errors.extend(config.check_files().err().as_ref().map(problems).unwrap_or_default());
    }
    Findings { file: config.file().map(Path::to_owned), errors, warnings: config.warnings() }
}

fn problems(errors: &ConfigErrors) -> Vec<ConfigProblem> {
    errors.problems().to_vec()
}

/// The findings for programs.
#[derive(Serialize)]
struct Report {
    ok: bool,
    file: Option<PathBuf>,
    errors: Vec<Entry>,
    warnings: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    key: String,
    origin: Option<String>,
    why: String,
    fix: String,
}

impl Report {
    fn of(findings: &Findings) -> Self {
        let entries = |problems: &[ConfigProblem]| problems.iter().map(Entry::of).collect();
        Self {
            ok: findings.errors.is_empty(),
            file: findings.file.clone(),
            errors: entries(&findings.errors),
            warnings: entries(&findings.warnings),
        }
    }
}

impl Entry {
    fn of(problem: &ConfigProblem) -> Self {
        Self {
            key: problem.key().to_owned(),
            origin: problem.origin().map(ToString::to_string),
            why: problem.why().to_owned(),
            fix: problem.fix().to_owned(),
        }
    }
}
