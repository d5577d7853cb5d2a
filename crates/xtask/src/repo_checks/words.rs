//! Words that do not belong into the repository: marks of unfinished work, names of the places that packages come
//! from, paths of one machine, and talk about how the text came to be. The repository speaks of the project alone.
//!
//! The lists hold every word in two halves, so that this file passes its own check.

use super::{Finding, Tree};

/// Files that others wrote or that a tool writes.
const EXEMPT: [&str; 2] = ["Cargo.lock", "LICENSE"];

/// A list of words, where it applies and what to say.
struct Rule {
    words: &'static [(&'static str, &'static str)],
    /// Whether upper and lower case differ.
    exact_case: bool,
    advice: &'static str,
}

const RULES: [Rule; 4] = [
    Rule {
        words: &[("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("to", "do!("), ("unimple", "mented!(")],
        exact_case: true,
        advice: "finish it, or file it where work is planned",
    },
    Rule {
        words: &[
            ("crates", ".io"),
            ("pypi", ".org"),
            ("python", "hosted.org"),
            ("npm", "js.org"),
            ("npm", "js.com"),
            ("deb.", "debian.org"),
            ("proxy.", "golang.org"),
        ],
        exact_case: false,
        advice: "name the package and its kind, not the host it comes from",
    },
    Rule {
        words: &[("/wo", "rk/"), ("/ro", "ot/"), ("/Use", "rs/")],
        exact_case: true,
        advice: "a path of one machine; write it relative to the checkout",
    },
    Rule {
        words: &[
            ("as disc", "ussed"),
            ("as requ", "ested by"),
            ("this pull re", "quest"),
            ("co-auth", "ored-by"),
            ("language mo", "del"),
            ("ai-gene", "rated"),
            ("coding ag", "ent"),
        ],
        exact_case: false,
        advice: "say what the project does, not how the text came to be",
    },
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let words: Vec<(String, &Rule)> = RULES
        .iter()
        .flat_map(|rule| rule.words.iter().map(move |(head, tail)| (format!("{head}{tail}"), rule)))
        .collect();
    let mut findings = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| !EXEMPT.contains(path)) {
        let lower = text.to_ascii_lowercase();
        for (word, rule) in &words {
            let searched = if rule.exact_case { text } else { lower.as_str() };
            for place in places(searched, word) {
                let line = 1 + text[..place].matches('\n').count();
                findings.push(Finding::error(path, line, format!("`{word}`: {}", rule.advice)));
            }
        }
    }
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings
}

/// Where `word` stands as a whole: neither its first nor its last letter goes on outside of it, and a path starts
/// at its slash.
fn places<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    let comes_before = move |c: char| is_letter(c) || (word.starts_with('/') && "./-}".contains(c));
    let goes_on = move |rest: &str| word.ends_with(is_letter) && rest.starts_with(is_letter);
    text.match_indices(word)
        .filter(move |&(place, _)| !text[..place].ends_with(comes_before) && !goes_on(&text[place + word.len()..]))
        .map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<Option<usize>> {
        check(&Tree::from([("a.md", text)])).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn every_listed_word_is_found_with_its_line() {
        for rule in &RULES {
            for (head, tail) in rule.words {
                assert_eq!(found(&format!("fine\nsee {head}{tail} there")), [Some(2)], "{head}|{tail}");
            }
        }
    }

    #[test]
    fn case_matters_only_for_marks_and_paths() {
        assert_eq!(found(concat!("CRATES", ".IO")), [Some(1)]);
        assert_eq!(found(concat!("to", "do")), []);
    }

    #[test]
    fn parts_of_longer_words_are_fine() {
        assert_eq!(found(concat!("mycrates", ".io MAS", "TO", "DON")), []);
    }

    #[test]
    fn a_folder_below_another_is_fine() {
        assert_eq!(found(concat!("docs/wo", "rk/a.md and ../wo", "rk/")), []);
        assert_eq!(found(concat!("in (/wo", "rk/main)")), [Some(1)]);
    }

    #[test]
    fn files_of_others_are_left_alone() {
        assert_eq!(check(&Tree::from([("Cargo.lock", concat!("crates", ".io"))])), []);
    }
}
