//! What people see of the scene: a bar for each member while an act is played, a line when it is over, and the sum. On
//! a pipe only the lines. Programs get one JSON object on the last line of standard output.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::tape::{Tape, Verdict};
use super::{ACTS, Act, Played, Stage};
use crate::exit::Failure;
use crate::paint::Paint;
use crate::terminal;

/// How many cells the bar of a whole has.
const CELLS: usize = 30;

/// See the module's description.
pub(crate) struct Show {
    bars: MultiProgress,
    members: Vec<ProgressBar>,
    paint: Paint,
}

#[derive(Serialize)]
struct Json<'a> {
    acts: Vec<JsonAct<'a>>,
    published: u64,
    lost: u64,
    duplicated: u64,
    ok: bool,
}

#[derive(Serialize)]
struct JsonAct<'a> {
    title: &'a str,
    members: usize,
    /// In parts of 1, of every member up to now; one that has left has none.
    shares: Vec<f64>,
    even: bool,
}

impl Show {
    pub(crate) fn new() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(20));
        let most = ACTS.iter().map(|act| act.most).max().unwrap_or_default();
        let style = ProgressStyle::with_template("  {prefix} {bar:30.blue/238} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━━─");
        let bar = |number| {
            let bar = bars.add(ProgressBar::new(1).with_style(style.clone()));
            bar.with_prefix(format!("member {}", number + 1))
        };
        let members = if bars.is_hidden() { Vec::new() } else { (0..most).map(bar).collect() };
        Self { bars, members, paint: Paint::stderr() }
    }

    pub(crate) fn opening(&self, stage: &Stage) {
        self.say(&format!("{}, {} events/s, {} events an act\n", stage.place, stage.rate, stage.events));
    }

    /// The act as it is played.
    pub(crate) fn tick(&self, act: &Act, tape: &Tape, from: u64, to: u64) {
        if self.members.is_empty() {
            return;
        }
        let counts = tape.counts(from, to, self.members.len());
        let handled: u64 = counts.iter().sum();
        for ((number, bar), count) in self.members.iter().enumerate().zip(counts) {
            bar.set_length(handled.max(1));
            bar.set_position(count);
            bar.set_message(match number {
                number if number < act.members => crate::figures::percent(count, handled),
                number if number < act.most => "has left".to_owned(),
                _ => "not there yet".to_owned(),
            });
        }
    }

    /// What the act came to.
    pub(crate) fn act(&self, played: &Played) {
        let even = played.act.is_even(&played.shares);
        let mark = if even { self.paint.good("ok") } else { self.paint.bad("uneven") };
        let mut text = format!("{}  {mark}\n", self.paint.strong(played.act.title));
        for (number, share) in played.shares.iter().enumerate() {
            text.push_str(&format!("  member {}  {}  {:>5.1} %\n", number + 1, cells(*share), share * 100.0));
        }
        self.say(&text);
    }

    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn verdict(&self, stage: &Stage, played: &[Played], verdict: &Verdict) -> Result<(), Failure> {
        // A view that cannot be cleared is the terminal's trouble, not the scene's.
        let _ = self.bars.clear();
        let Verdict { published, lost, duplicated, .. } = *verdict;
        let mark = if verdict.is_good() { self.paint.good("ok") } else { self.paint.bad("not ok") };
        let published_text = crate::figures::grouped(published);
        terminal::tell(&format!("{published_text} published, {lost} lost, {duplicated} handed out twice  {mark}"));
        if stage.json {
            let acts = played.iter().map(|played| JsonAct {
                title: played.act.title,
                members: played.act.members,
                shares: played.shares.iter().map(|share| (share * 10_000.0).round() / 10_000.0).collect(),
                even: played.act.is_even(&played.shares),
            });
            let json = Json { acts: acts.collect(), published, lost, duplicated, ok: verdict.is_good() };
            // Numbers and texts always serialize.
            return terminal::line(&serde_json::to_string(&json).unwrap_or_default());
        }
        Ok(())
    }

    /// Writes lines above the bars.
    fn say(&self, text: &str) {
        self.bars.suspend(|| terminal::tell(text));
    }
}

/// A share as a bar of characters.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "for show")]
fn cells(share: f64) -> String {
    let filled = ((share * CELLS as f64).round() as usize).min(CELLS);
    format!("{}{}", "█".repeat(filled), "·".repeat(CELLS - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_fills_its_part_of_the_bar() {
        assert_eq!(cells(0.0).matches('█').count(), 0);
        assert_eq!(cells(0.5).matches('█').count(), 15);
        assert_eq!(cells(1.2).chars().count(), CELLS);
    }
}
