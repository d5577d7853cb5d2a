//! Which letters a command is about. Everything that is given must fit; `limit` counts the letters that do.

use std::time::SystemTime;

use tidemill::topic::TopicFilter;

use super::letter::{ID_ALPHABET, Letter};

/// A letter as somebody names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// Numbers of the list, both included.
    Numbers(u64, u64),
    /// The beginning of an ID.
    Id(String),
}

/// Why a worker gives an event up, as its letter says it.
pub(super) const REASONS: [&str; 6] = ["permanent", "attempts", "elapsed", "expired", "stalled", "rejected"];

/// A time on the command line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times(pub(super) SystemTime);

/// Reads a number, a range or an ID.
pub(super) fn parse_reference(text: &str) -> Result<Reference, String> {
    const WANTED: &str = "write a number (3), a range (5-9) or at least four letters of an ID";
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0);
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        return match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Reference::Numbers(first, last)),
            _ => Err(WANTED.to_owned()),
        };
    }
    match text.len() >= 4 && text.bytes().all(|byte| ID_ALPHABET.contains(&byte)) {
        true => Ok(Reference::Id(text.to_owned())),
        false => Err(WANTED.to_owned()),
    }
}

/// Reads a time, or how long ago it was.
pub(super) fn parse_time(text: &str) -> Result<Times, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let time = SystemTime::now().checked_sub(ago).ok_or("that is too long ago")?;
        return Ok(Times(time));
    }
    humantime::parse_rfc3339_weak(text)
        .map(Times)
        .map_err(|_| "write a time as in 2026-01-31T08:00:00Z (UTC), or how long ago as in 2h".to_owned())
}

/// What a command is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    pub(super) references: Vec<Reference>,
    pub(super) route: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) topic: Option<TopicFilter>,
    pub(super) since: Option<SystemTime>,
    pub(super) until: Option<SystemTime>,
    pub(super) limit: Option<u64>,
}

impl Selection {
    /// Whether it fits every letter.
    pub(super) fn is_open(&self) -> bool {
        self.references.is_empty() && !self.has_filter() && self.limit.is_none()
    }

    fn has_filter(&self) -> bool {
        let Self { route, reason, topic, since, until, .. } = self;
        route.is_some() || reason.is_some() || topic.is_some() || since.is_some() || until.is_some()
    }

    fn names(&self, number: u64, id: Option<&str>) -> bool {
        self.references.iter().any(|reference| match reference {
            Reference::Numbers(first, last) => (*first..=*last).contains(&number),
            Reference::Id(start) => id.is_some_and(|id| id.starts_with(start)),
        })
    }

    fn fits(&self, number: u64, letter: &Letter) -> bool {
        let told =
            |wanted: &Option<String>, name| wanted.as_deref().is_none_or(|wanted| letter.told(name) == Some(wanted));
        let died = letter.died();
        (self.references.is_empty() || self.names(number, Some(&letter.id())))
            && told(&self.route, "tidemill-route")
            && told(&self.reason, "tidemill-reason")
            && self.topic.as_ref().is_none_or(|filter| letter.topic().is_some_and(|topic| filter.matches(topic)))
            && self.since.is_none_or(|since| died.is_some_and(|died| died >= since))
            && self.until.is_none_or(|until| died.is_some_and(|died| died < until))
    }
}

/// Goes through letters in their order and picks those that are meant.
#[derive(Debug)]
pub(super) struct Picker<'a> {
    selection: &'a Selection,
    picked: u64,
}

impl<'a> Picker<'a> {
    pub(super) fn new(selection: &'a Selection) -> Self {
        Self { selection, picked: 0 }
    }

    /// Whether this one is meant.
    pub(super) fn picks(&mut self, number: u64, letter: &Letter) -> bool {
        let picks = !self.is_done() && self.selection.fits(number, letter);
        self.picked += u64::from(picks);
        picks
    }

    /// Whether something that cannot be read as a letter is meant: only when its number is named and nothing else said.
    pub(super) fn picks_unreadable(&mut self, number: u64) -> bool {
        let picks = !self.is_done() && !self.selection.has_filter() && self.selection.names(number, None);
        self.picked += u64::from(picks);
        picks
    }

    /// Whether no more will be picked, whatever comes.
    pub(super) fn is_done(&self) -> bool {
        self.selection.limit.is_some_and(|limit| self.picked >= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;

    fn picked(selection: &Selection, letters: &[Letter]) -> Vec<u64> {
        let mut picker = Picker::new(selection);
        (1..).zip(letters).filter(|(number, letter)| picker.picks(*number, letter)).map(|(number, _)| number).collect()
    }

    #[test]
    fn references_are_numbers_ranges_and_ids() {
        assert_eq!(parse_reference("3"), Ok(Reference::Numbers(3, 3)));
        assert_eq!(parse_reference("3-7"), Ok(Reference::Numbers(3, 7)));
        assert_eq!(parse_reference("bcdf"), Ok(Reference::Id("bcdf".to_owned())));
        for wrong in ["0", "7-3", "3-", "-3", "", "bcd", "aeio", "3-x", "99999999999999999999999"] {
            assert!(parse_reference(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn everything_that_is_said_must_fit() {
        let letters = [letter("a", "permanent", "t/1"), letter("a", "attempts", "t/2"), letter("b", "attempts", "u/1")];
        let all = Selection::default();
        assert!(all.is_open());
        assert_eq!(picked(&all, &letters), [1, 2, 3]);
        let route = Selection { route: Some("a".to_owned()), ..Selection::default() };
        assert_eq!(picked(&route, &letters), [1, 2]);
        let both = Selection { reason: Some("attempts".to_owned()), ..route };
        assert_eq!(picked(&both, &letters), [2]);
        let topic = Selection { topic: Some(TopicFilter::new("+/1").unwrap()), ..Selection::default() };
        assert_eq!(picked(&topic, &letters), [1, 3]);
        let first = Selection { limit: Some(1), ..topic };
        assert_eq!(picked(&first, &letters), [1]);
        let numbers = Selection { references: vec![Reference::Numbers(2, 9)], ..Selection::default() };
        assert_eq!(picked(&numbers, &letters), [2, 3]);
        let id = Selection { references: vec![Reference::Id(letters[1].id()[..5].to_owned())], ..Selection::default() };
        assert_eq!(picked(&id, &letters), [2]);
    }

    #[test]
    fn times_bound_when_a_letter_died() {
        let letters = [letter("a", "permanent", "t/1")];
        let died = letters[0].died().unwrap();
        let at = |since, until| Selection { since, until, ..Selection::default() };
        assert_eq!(picked(&at(Some(died), None), &letters), [1]);
        assert_eq!(picked(&at(None, Some(died)), &letters), [0_u64; 0]);
        assert!(parse_time("2026-01-31T08:00:00Z").is_ok() && parse_time("90m").is_ok());
        assert!(parse_time("yesterday").unwrap_err().contains("2h"));
    }

    #[test]
    fn what_cannot_be_read_is_meant_only_by_its_number() {
        let all = Selection::default();
        assert!(!Picker::new(&all).picks_unreadable(1));
        let number = Selection { references: vec![Reference::Numbers(1, 2)], ..Selection::default() };
        assert!(Picker::new(&number).picks_unreadable(2));
        let filtered = Selection { route: Some("a".to_owned()), ..number };
        assert!(!Picker::new(&filtered).picks_unreadable(2));
    }
}
