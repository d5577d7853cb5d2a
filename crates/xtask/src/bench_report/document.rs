//! The places in a document that a command writes, each between two comments. Pure.
//!
//! INVARIANT: nothing outside of the two comments changes, and a place is found or said to be missing, never made up.

/// The line behind which a place begins.
fn opening(name: &str) -> String {
    format!("<!-- bench-report {name} -->")
}

/// The line in front of which every place ends.
const CLOSING: &str = "<!-- /bench-report -->";

/// The document with other text in one of its places; `None` when it has no such place.
pub(super) fn fill(document: &str, name: &str, text: &str) -> Option<String> {
    let opening = opening(name);
    let begin = document.find(&opening)? + opening.len();
    let end = begin + document[begin..].find(CLOSING)?;
    // A place that never ends would swallow the one behind it.
    if document[begin..end].contains("<!-- bench-report ") {
        return None;
    }
    Some(format!("{}\n\n{}\n\n{}", &document[..begin], text.trim(), &document[end..]))
}

/// Whether the document has a place of this name.
#[cfg(test)]
pub(super) fn has(document: &str, name: &str) -> bool {
    fill(document, name, "").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
before
<!-- bench-report feed -->

old

<!-- /bench-report -->
between
<!-- bench-report peers -->
<!-- /bench-report -->
after
";

    #[test]
    fn a_place_is_filled_and_everything_else_stays() {
        let filled = fill(DOCUMENT, "feed", "new\n").unwrap();
        assert_eq!(filled, DOCUMENT.replace("old", "new"));
        let filled = fill(&filled, "peers", "| a |").unwrap();
        assert!(filled.contains("<!-- bench-report peers -->\n\n| a |\n\n<!-- /bench-report -->\nafter\n"), "{filled}");
        assert_eq!(fill(&filled, "peers", "| a |").as_deref(), Some(&*filled));
    }

    #[test]
    fn a_place_that_is_missing_or_open_is_none() {
        assert_eq!(fill(DOCUMENT, "sinks", "x"), None);
        assert_eq!(fill(&DOCUMENT.replacen(CLOSING, "", 1), "feed", "x"), None);
    }
}
