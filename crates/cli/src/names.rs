//! Names that one run gives itself, so that two runs on one broker do not meet.

/// Letters without vowels, so that no word appears by chance.
const ALPHABET: &[u8] = b"bcdfghjkmnpqrstvwxz23456789";

/// The name of a run: a word, and eight letters by chance.
pub(crate) fn of_run(what: &str) -> String {
    let tail: String = (0..8).map(|_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())])).collect();
    format!("{what}-{tail}")
}

/// The number of an instance, which its ID ends with.
pub(crate) fn instance_number(id: &str) -> Option<usize> {
    id.rsplit_once('-')?.1.parse().ok()
}
