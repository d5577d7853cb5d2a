//! `cargo xtask bench-report`: runs every benchmark in turn, and writes what came of it into the documents.
//!
//! INVARIANT: a figure in a place of the report was printed by the command above it. A section that fails keeps its old
//! text; one that is done is written at once, so that a report may be made in several goes (`--only`).

mod bounded;
mod document;
mod machine;
mod mosquitto;
mod sections;
mod shapes;
mod table;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::chart::target;
use crate::checkout::Checkout;
use crate::failure::Failure;
use crate::process;
use crate::report::{Report, Row, Stopwatch, Verdict};
use mosquitto::Mosquitto;
use sections::{MOSQUITTO, Program, Run, SECTIONS, Section};
use table::{Block, Cells, Table};

/// Where the report goes.
const DOCUMENT: &str = "docs/benchmarks.md";
/// Where the shortest version of it goes.
const README: &str = "README.md";
/// The profile whose figures are written there.
const RELEASE: &str = "release";

/// Options of `cargo xtask bench-report`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Measure these sections alone, in the order of all; the others keep their figures
    #[arg(long, value_name = "SECTION", value_delimiter = ',',
          value_parser = clap::builder::PossibleValuesParser::new(SECTIONS.map(|section| section.name)))]
    only: Vec<String>,
    /// Build everything, the peers in other languages too, and measure nothing
    #[arg(long)]
    build: bool,
    /// Profile to build with; figures of any other than `release` mean nothing and are only printed
    #[arg(long, default_value = RELEASE)]
    profile: String,
}

impl Args {
    fn sections(&self) -> impl Iterator<Item = &'static Section> {
        SECTIONS.iter().filter(|section| self.only.is_empty() || self.only.iter().any(|only| only == section.name))
    }
}

/// Builds, measures and writes; the exit code says whether all sections could be measured.
pub(crate) fn run(checkout: &Checkout, args: &Args) -> Result<ExitCode, Failure> {
    let chosen: Vec<&Section> = args.sections().collect();
    build(checkout, args, &chosen)?;
    if args.build {
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report::to_stdout();
    let mut rows = Vec::new();
    // Figures that stay may be of another machine.
    if args.only.is_empty() {
        write(checkout, args, DOCUMENT, "machine", &table::text(&machine::describe(checkout, &args.profile)))?;
    }
    for (at, section) in chosen.iter().enumerate() {
        let limit = section.limit.as_secs() / 60;
        report.heading(
            &format!("{}/{} {}", at + 1, chosen.len(), section.name),
            &format!("{}; {limit} min at most", section.about),
        )?;
        let watch = Stopwatch::start();
        let outcome = measure(checkout, args, section);
        let (verdict, note) = match &outcome {
            Ok(()) => (Verdict::Passed, String::new()),
            Err(failure) => (Verdict::Failed, failure.chain()),
        };
        let row = Row { step: section.name, verdict, took: watch.elapsed(), note };
        report.closing(&row)?;
        rows.push(row);
    }
    report.table(&rows)?;
    let good = rows.iter().all(|row| row.verdict == Verdict::Passed);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn build(checkout: &Checkout, args: &Args, chosen: &[&Section]) -> Result<(), Failure> {
    let mut programs: Vec<Program> = Vec::new();
    for run in chosen.iter().flat_map(|section| section.runs) {
        if !programs.contains(&run.program) {
            programs.push(run.program);
        }
    }
    for program in &programs {
        if !process::run(&mut process::cargo(checkout, &program.build(&args.profile)))?.success() {
            return Err(Failure::new(format!("{program:?} does not build")));
        }
    }
    // The peers build and install what they need; not in the time in which they are measured.
    let peers = Program::Bench("peers");
    if programs.contains(&peers) && !process::run(program(checkout, args, peers).arg("--prepare"))?.success() {
        return Err(Failure::new("the peers cannot be made ready"));
    }
    Ok(())
}

fn program(checkout: &Checkout, args: &Args, program: Program) -> Command {
    let path = program.path(&absolute(target(checkout)), &args.profile);
    process::clean(checkout, path.as_os_str())
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn measure(checkout: &Checkout, args: &Args, section: &Section) -> Result<(), Failure> {
    let watch = Stopwatch::start();
    let moment = machine::moment();
    let mut blocks = Vec::new();
    let mut printed = Vec::new();
    for run in section.runs {
        let texts = repeat(checkout, args, run, section.limit.saturating_sub(watch.elapsed()))?;
        let shaped = run.shape.blocks(&texts);
        blocks.extend(shaped.ok_or_else(|| Failure::new(format!("`{}` printed no figures", run.command())))?);
        printed.extend(texts);
    }
    let commands: Vec<String> = section.runs.iter().map(Run::command).collect();
    let commands = Block::Text(format!("```sh\n{}\n```", commands.join("\n")));
    let moment = Block::Text(format!("Measured on {moment}, in {} s.", watch.elapsed().as_secs()));
    let text = table::text(&[vec![commands], blocks, vec![moment]].concat());
    write(checkout, args, DOCUMENT, section.name, &text)?;
    match (section.name, printed.first()) {
        ("feed", Some(printed)) => write(checkout, args, README, "feed", &summary(printed)?),
        _ => Ok(()),
    }
}

/// What a program printed, once for each time that it ran.
fn repeat(checkout: &Checkout, args: &Args, run: &Run, limit: Duration) -> Result<Vec<String>, Failure> {
    let watch = Stopwatch::start();
    let mosquitto = if run.words.contains(&MOSQUITTO) { Some(Mosquitto::start()?) } else { None };
    let mut texts = Vec::new();
    for _ in 0..run.times {
        let mut command = program(checkout, args, run.program);
        for word in run.words {
            match (&mosquitto, *word) {
                (Some(mosquitto), MOSQUITTO) => command.arg(mosquitto.url()),
                (_, word) => command.arg(word),
            };
        }
        println!("{}", run.command());
        let ended = bounded::run(&mut command, limit.saturating_sub(watch.elapsed()))?;
        if !ended.status.success() {
            print!("{}", ended.stdout);
            return Err(Failure::new(format!("`{}` ended with {}", run.command(), ended.status)));
        }
        texts.push(ended.stdout);
    }
    Ok(texts)
}

/// The three rows of the feed that matter most.
fn summary(printed: &str) -> Result<String, Failure> {
    let cells = Cells::of(printed);
    let rate = |client: &str| cells.get(client, "events/s").and_then(|rate| rate.parse::<f64>().ok());
    let manual = ["rumqttc-manual", "rumqttc-manual-nagle"].into_iter().max_by(|a, b| {
        let rate = |client| rate(client).unwrap_or(0.0);
        rate(a).total_cmp(&rate(b))
    });
    let rows = [
        ("floor", "bare read loop, hand-decoded, no routes, no handler"),
        ("tidemill", "**Tidemill**: route with captures, lanes, boxed handler, metrics, ordered acks"),
        (manual.unwrap_or_default(), "rumqttc, manual acks, at its faster setting"),
    ];
    let row = |(client, what): (&str, &str)| {
        let rate = format!("{:.2} M", rate(client)? / 1e6);
        let (cpu, memory) = (cells.get(client, "CPU us")?, cells.get(client, "peak KiB")?.parse::<f64>().ok()?);
        Some(vec![what.to_owned(), rate, cpu.to_owned(), format!("{:.1}", memory / 1024.0)])
    };
    let rows = rows.into_iter().map(row).collect::<Option<Vec<_>>>();
    let rows = rows.ok_or_else(|| Failure::new("the feed printed no table of its clients"))?;
    let header = vec!["one instance, QoS 1, 128 bytes, Receive Maximum 1000", "events/s", "CPU us/event", "peak MiB"];
    Ok(table::text(&[Block::Table(Table { header, rows })]))
}

/// Writes to its place in a document. Figures of a profile that nobody is told to use are printed instead.
fn write(checkout: &Checkout, args: &Args, document: &str, place: &str, text: &str) -> Result<(), Failure> {
    if args.profile != RELEASE {
        println!("{text}");
        return Ok(());
    }
    let path = checkout.root().join(document);
    let old = fs::read_to_string(&path).map_err(|e| Failure::because(format!("read {document}"), e))?;
    let new = document::fill(&old, place, text).ok_or_else(|| {
        Failure::new(format!(
            "{document} has no place for this: <!-- bench-report {place} --> and <!-- /bench-report -->"
        ))
    })?;
    fs::write(&path, new).map_err(|e| Failure::because(format!("write {document}"), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_has_its_place_in_the_documents() {
        let checkout = Checkout::here().unwrap();
        let read = |name: &str| fs::read_to_string(checkout.root().join(name)).unwrap();
        let document = read(DOCUMENT);
        for name in SECTIONS.iter().map(|section| section.name).chain(["machine"]) {
            assert!(document::has(&document, name), "{name}");
        }
        assert!(document::has(&read(README), "feed"));
    }

    #[test]
    fn the_short_version_has_the_faster_of_both_manual_clients() {
        let printed = "\
| client               | events/s | min..max | CPU us | min..max | user | system | peak KiB |
|----------------------|----------|----------|--------|----------|------|--------|----------|
| floor                |  5153062 | 1..2     |  0.067 | 1..2     |    0 |      0 |     4952 |
| tidemill             |  2219778 | 1..2     |  0.301 | 1..2     |    0 |      0 |     7176 |
| rumqttc-manual       |   187852 | 1..2     |  2.840 | 1..2     |    0 |      0 |     5672 |
| rumqttc-manual-nagle |   226143 | 1..2     |  2.291 | 1..2     |    0 |      0 |     5652 |
";
        let summary = summary(printed).unwrap();
        let last = summary.lines().last().unwrap();
        assert!(last.contains("| 0.23 M   | 2.291        | 5.5      |"), "{summary}");
        assert!(super::summary("nothing").is_err());
    }
}
