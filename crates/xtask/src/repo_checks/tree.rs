//! The files of the checkout in memory, so that checks are pure and tests need no disk.

use std::collections::BTreeMap;
use std::fs;

use crate::checkout::Checkout;
use crate::failure::Failure;

/// Larger files are data, not something that people write.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// Every file by its path from the root, with its text unless it is binary or large.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// Reads all files of a checkout.
    pub(crate) fn read(checkout: &Checkout) -> Result<Self, Failure> {
        let mut files = BTreeMap::new();
        for path in checkout.files()? {
            let place = checkout.root().join(&path);
            let read = |e| Failure::because(format!("read {path}"), e);
            let text = if fs::metadata(&place).map_err(read)?.len() <= MAX_TEXT_BYTES {
                String::from_utf8(fs::read(&place).map_err(read)?).ok()
            } else {
                None
            };
            files.insert(path, text);
        }
        Ok(Self { files })
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Path and text of every text file.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// Path and text of every text file whose name ends in `.extension`.
    pub(crate) fn with_extension(&self, extension: &str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| path.rsplit_once('.').is_some_and(|(_, end)| end == extension))
    }

    /// Whether there is such a file or folder; `""` is the root.
    pub(crate) fn has(&self, path: &str) -> bool {
        path.is_empty() || self.files.contains_key(path) || self.is_folder(path)
    }

    fn is_folder(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        self.files.range(inside.clone()..).next().is_some_and(|(file, _)| file.starts_with(&inside))
    }
}

#[cfg(test)]
impl<'a, const N: usize> From<[(&'a str, &'a str); N]> for Tree {
    fn from(files: [(&'a str, &'a str); N]) -> Self {
        let files = files.into_iter().map(|(path, text)| (path.to_owned(), Some(text.to_owned()))).collect();
        Self { files }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_known_by_the_files_in_them() {
        let tree = Tree::from([("docs/a.md", ""), ("docs-old", "")]);
        assert!(tree.has(""));
        assert!(tree.has("docs"));
        assert!(tree.has("docs/a.md"));
        assert!(!tree.has("doc"));
        assert!(!tree.has("docs/b.md"));
    }

    #[test]
    fn binary_files_are_there_but_have_no_text() {
        let mut tree = Tree::from([("a.rs", "")]);
        tree.files.insert("image.png".to_owned(), None);
        assert!(tree.has("image.png"));
        assert_eq!(tree.text("image.png"), None);
        assert_eq!(tree.texts().count(), 1);
    }
}
