//! The files of a layer, and the layer they make.
//!
//! INVARIANT: equal files make equal bytes. Entries are sorted, belong to fixed users, and carry no time; the compressed
//! stream carries none either.

use std::collections::BTreeMap;
use std::io::Write;

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::failure::Failure;

/// Files and folders by their path from the root, without a slash in front. Folders above an entry come by themselves.
#[derive(Debug, Default)]
pub(super) struct Files(BTreeMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    mode: u32,
    owner: u32,
    /// `None`: a folder.
    content: Option<Vec<u8>>,
}

/// A layer: its compressed bytes, and the digest of what they hold.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) compressed: Vec<u8>,
    pub(super) diff_id: String,
}

impl Files {
    /// Adds a file that belongs to root.
    pub(super) fn add(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        self.insert(path, Entry { mode, owner: 0, content: Some(content) });
    }

    /// Adds an empty folder.
    pub(super) fn add_folder(&mut self, path: &str, mode: u32, owner: u32) {
        self.insert(path, Entry { mode, owner, content: None });
    }

    fn insert(&mut self, path: &str, entry: Entry) {
        for (end, _) in path.match_indices('/') {
            let above = Entry { mode: 0o755, owner: 0, content: None };
            self.0.entry(path[..end].to_owned()).or_insert(above);
        }
        self.0.insert(path.to_owned(), entry);
    }

    /// The layer of these files.
    pub(super) fn layer(&self) -> Result<Layer, Failure> {
        let packing = |e| Failure::because("pack a layer", e);
        let tar = self.tar().map_err(packing)?;
        let diff_id = digest(&tar);
        let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        gzip.write_all(&tar).map_err(packing)?;
        Ok(Layer { compressed: gzip.finish().map_err(packing)?, diff_id })
    }

    fn tar(&self) -> std::io::Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        for (path, entry) in &self.0 {
            let content = entry.content.as_deref().unwrap_or_default();
            let mut header = Header::new_ustar();
            header.set_entry_type(if entry.content.is_some() { EntryType::Regular } else { EntryType::Directory });
            header.set_mode(entry.mode);
            header.set_uid(entry.owner.into());
            header.set_gid(entry.owner.into());
            header.set_mtime(0);
            header.set_size(content.len() as u64);
            let name = if entry.content.is_some() { path.clone() } else { format!("{path}/") };
            tar.append_data(&mut header, name, content)?;
        }
        tar.into_inner()
    }
}

/// A digest as images write it.
pub(super) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
