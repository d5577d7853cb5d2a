//! What became of the letters, in numbers and in one sentence.

use super::Act;

/// How many letters met which fate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) replayed: u64,
    pub(super) dropped: u64,
    /// Put back to the end, because others had to go.
    pub(super) kept: u64,
    /// Letters that cannot be replayed, or whose replay the broker refused. They stay.
    pub(super) refused: u64,
    /// Why the first of them was.
    why: Option<String>,
}

impl Tally {
    /// Counts one that cannot be replayed.
    pub(super) fn refuse(&mut self, why: String) {
        self.refused += 1;
        self.why.get_or_insert(why);
    }

    pub(super) fn add(&mut self, more: &Self) {
        self.replayed += more.replayed;
        self.dropped += more.dropped;
        self.kept += more.kept;
        self.refused += more.refused;
        if self.why.is_none() {
            self.why.clone_from(&more.why);
        }
    }

    /// The sentence.
    pub(super) fn told(&self, act: &Act, stopped: bool) -> String {
        let would = if act.dry_run { "would be " } else { "" };
        let (count, what) = match act.replay {
            Some(_) => (self.replayed, "replayed"),
            None => (self.dropped, "dropped"),
        };
        let mut text = format!("{count} {would}{what}");
        if self.kept > 0 {
            text.push_str(&format!(", {} {would}put back to the end", self.kept));
        }
        if self.refused > 0 {
            text.push_str(&format!(", {} not replayed and kept", self.refused));
        }
        if let Some(why) = &self.why {
            text.push_str(&format!(" ({why})"));
        }
        if stopped {
            text.push_str("; stopped early, the rest is as it was");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_what_happened_or_would() {
        let mut tally = Tally { replayed: 3, kept: 1, ..Tally::default() };
        let act = Act { replay: Some(0), dry_run: false, through: false };
        assert_eq!(tally.told(&act, false), "3 replayed, 1 put back to the end");
        tally.refuse("letter 2: no topic".to_owned());
        tally.refuse("letter 4: no topic".to_owned());
        let dry = Act { dry_run: true, ..act };
        let text = "3 would be replayed, 1 would be put back to the end, 2 not replayed and kept (letter 2: no topic)";
        assert_eq!(tally.told(&dry, false), text);
        assert!(Tally::default().told(&Act { replay: None, ..act }, true).starts_with("0 dropped; stopped early"));
    }
}
