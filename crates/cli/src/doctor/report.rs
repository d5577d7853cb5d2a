//! What the doctor says: a table, the profile and the settings for people, one JSON object for programs.

use std::fmt::Write as _;
use std::os::fd::AsFd;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;

use super::advice::Recommended;
use super::matching::Match;
use super::tell::{Finding, Level};
use crate::paint::Paint;
use crate::terminal::fit;

/// Everything that is known at the end.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) broker: &'a str,
    pub(super) findings: &'a [Finding],
    pub(super) profile: Match,
    /// What to set, or why no group can work.
    pub(super) recommended: &'a Result<Recommended, String>,
}

#[derive(Serialize)]
struct Json<'a> {
    broker: &'a str,
    usable: bool,
    profile: &'static str,
    confidence: f64,
    certainty: &'static str,
    next_profile: Option<&'static str>,
    recommended: Option<JsonRecommended<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable_because: Option<&'a str>,
    probes: Vec<JsonProbe<'a>>,
}

#[derive(Serialize)]
struct JsonRecommended<'a> {
    identity_mode: &'static str,
    window: u16,
    version: &'static str,
    reason: &'a str,
}

#[derive(Serialize)]
struct JsonProbe<'a> {
    probe: &'static str,
    level: &'static str,
    result: &'a str,
    meaning: &'a str,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Bad => "bad",
            Self::Skipped => "skipped",
        }
    }
}

impl Report<'_> {
    /// The object for programs, on one line.
    pub(super) fn json(&self) -> String {
        let probes = self.findings.iter().map(|finding| JsonProbe {
            probe: finding.name,
            level: finding.level.name(),
            result: &finding.result,
            meaning: &finding.meaning,
        });
        let json = Json {
            broker: self.broker,
            usable: self.recommended.is_ok(),
            profile: self.profile.profile.name(),
            confidence: (self.profile.confidence * 100.0).round() / 100.0,
            certainty: self.profile.certainty(),
            next_profile: self.profile.next.map(tidemill::profile::Profile::name),
            recommended: self.recommended.as_ref().ok().map(|recommended| JsonRecommended {
                identity_mode: recommended.identity_mode,
                window: recommended.window,
                version: recommended.version,
                reason: &recommended.reason,
            }),
            unusable_because: self.recommended.as_ref().err().map(String::as_str),
            probes: probes.collect(),
        };
        // Numbers and texts always serialize.
        serde_json::to_string(&json).unwrap_or_default()
    }

    /// The table, the profile and the settings, for people who look at `stream`.
    pub(super) fn text(&self, paint: Paint, stream: impl AsFd) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        fit(&mut table, stream);
        table.set_header(["probe", "result", "meaning"]);
        for finding in self.findings {
            let mark = match finding.level {
                Level::Good => " ",
                Level::Note => "i",
                Level::Bad => "!",
                Level::Skipped => "?",
            };
            table.add_row([&format!("{mark} {}", finding.name), &finding.result, &finding.meaning]);
        }
        let lines: Vec<_> = table.lines().map(|line| line.trim_end().to_owned()).collect();
        let mut text = format!("{}\n\n{}\n\n", self.broker, lines.join("\n"));
        let facts = self.profile.profile.facts();
        let sure = format!("{}, {:.0} % of what was seen", self.profile.certainty(), self.profile.confidence * 100.0);
        let _ = writeln!(text, "behaves like {}: {} ({sure})", paint.strong(self.profile.profile.name()), facts.title);
        if let Some(next) = self.profile.next {
            let _ = writeln!(text, "{}", paint.faint(&format!("next would be {next}")));
        }
        if !facts.note.is_empty() {
            let _ = writeln!(text, "{}", paint.faint(facts.note));
        }
        match self.recommended {
            Ok(recommended) => {
                let Recommended { identity_mode, window, version, reason } = recommended;
                let _ = write!(
                    text,
                    "\n{} a group can work on it. Set\n  mqtt.broker = \"{}\"\n  mqtt.version = \"{version}\"\n  \
                     mqtt.window = {window}\n  identity.mode = \"{identity_mode}\"\nbecause {reason}",
                    paint.good("OK"),
                    self.profile.profile
                );
            }
            Err(why) => {
                let _ = write!(
                    text,
                    "\n{} no group can work on it: {why}. Run one instance without group.name, or use another broker",
                    paint.bad("UNUSABLE")
                );
            }
        }
        text
    }
}
