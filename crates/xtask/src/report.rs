//! What a person sees: a heading and a closing line per step, and the table at the end.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};

use crate::failure::Failure;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything it looked at is in order.
    Passed,
    /// It found something that must change.
    Failed,
    /// It did not run.
    Skipped,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            // Upper case, to be found in a long log without colours.
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }

    fn colour(self) -> AnsiColor {
        match self {
            Self::Passed => AnsiColor::Green,
            Self::Failed => AnsiColor::Red,
            Self::Skipped => AnsiColor::Yellow,
        }
    }
}

/// A line of the table at the end.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The step.
    pub(crate) step: &'static str,
    /// How it ended.
    pub(crate) verdict: Verdict,
    /// How long it took; zero when it did not run.
    pub(crate) took: Duration,
    /// What else is worth knowing; may be empty.
    pub(crate) note: String,
}

/// Measures how long a step takes.
#[derive(Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    #[expect(clippy::disallowed_methods, reason = "measures the real time that other programs take")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Writes the report.
#[derive(Debug)]
pub(crate) struct Report<W> {
    out: W,
    coloured: bool,
}

impl Report<io::Stdout> {
    /// To standard output, in colours on a terminal unless `NO_COLOR` is set.
    pub(crate) fn to_stdout() -> Self {
        let out = io::stdout();
        let coloured = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { out, coloured }
    }
}

impl<W: Write> Report<W> {
    /// Opens a step.
    pub(crate) fn heading(&mut self, step: &str, about: &str) -> Result<(), Failure> {
        let bold = self.style(Style::new().bold());
        self.line(format_args!("\n{bold}==> {step}{bold:#}: {about}"))
    }

    /// Closes a step.
    pub(crate) fn closing(&mut self, row: &Row) -> Result<(), Failure> {
        let word = self.word(row.verdict, 0);
        let took = seconds(row.took);
        let note = if row.note.is_empty() { String::new() } else { format!(": {}", row.note) };
        self.line(format_args!("--- {} {word} in {took}{note}", row.step))
    }

    /// The table of all steps.
    pub(crate) fn table(&mut self, rows: &[Row]) -> Result<(), Failure> {
        let width = rows.iter().map(|row| row.step.len()).chain([5]).max().unwrap_or(0);
        let bold = self.style(Style::new().bold());
        self.line(format_args!("\n{bold}{:width$}  {:7}  {:>11}{bold:#}", "step", "result", "time"))?;
        for row in rows {
            let word = self.word(row.verdict, 7);
            let took = if row.verdict == Verdict::Skipped { "-".to_owned() } else { seconds(row.took) };
            let line = format!("{:width$}  {word}  {took:>11}  {}", row.step, row.note);
            self.line(line.trim_end())?;
        }
        let total = rows.iter().map(|row| row.took).sum();
        self.line(format_args!("{:width$}  {:7}  {:>11}", "total", "", seconds(total)))
    }

    /// Any other line.
    pub(crate) fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        writeln!(self.out, "{text}")
            .and_then(|()| self.out.flush())
            .map_err(|e| Failure::because("write the report", e))
    }

    fn word(&self, verdict: Verdict, width: usize) -> String {
        let style = self.style(verdict.colour().on_default().bold());
        format!("{style}{:width$}{style:#}", verdict.word())
    }

    fn style(&self, style: Style) -> Style {
        if self.coloured { style } else { Style::new() }
    }
}

/// `0.8 s` below a hundred seconds, `2 min 05 s` above.
fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(100) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |step, verdict, millis, note: &str| Row {
            step,
            verdict,
            took: Duration::from_millis(millis),
            note: note.to_owned(),
        };
        vec![
            row("format", Verdict::Passed, 800, ""),
            row("clippy", Verdict::Failed, 125_400, "exit status: 101"),
            row("tests", Verdict::Skipped, 0, "clippy failed"),
        ]
    }

    fn text(coloured: bool, write: impl FnOnce(&mut Report<Vec<u8>>)) -> String {
        let mut report = Report { out: Vec::new(), coloured };
        write(&mut report);
        String::from_utf8(report.out).unwrap()
    }

    #[test]
    fn the_table_is_aligned_and_plain_without_a_terminal() {
        let table = text(false, |report| report.table(&rows()).unwrap());
        let expected = "
step    result          time
format  passed         0.8 s
clippy  FAILED    2 min 05 s  exit status: 101
tests   skipped            -  clippy failed
total             2 min 06 s
";
        assert_eq!(table, expected);
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let coloured = text(true, |report| report.table(&rows()).unwrap());
        assert!(coloured.contains("\u{1b}["));
        let mut stripped = coloured;
        while let Some(start) = stripped.find('\u{1b}') {
            let end = stripped[start..].find('m').unwrap();
            stripped.replace_range(start..=start + end, "");
        }
        assert_eq!(stripped, text(false, |report| report.table(&rows()).unwrap()));
    }

    #[test]
    fn a_step_says_how_it_ended_and_why() {
        let closing = text(false, |report| report.closing(&rows()[1]).unwrap());
        assert_eq!(closing, "--- clippy FAILED in 2 min 05 s: exit status: 101\n");
    }
}
