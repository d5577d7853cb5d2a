//! The checkout that a command works on: where it is and which files belong to it.
//!
//! Git decides what belongs: tracked files plus new ones that `.gitignore` does not name. Build output never counts.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;

/// A working copy of the repository.
#[derive(Debug)]
pub(crate) struct Checkout {
    root: PathBuf,
}

impl Checkout {
    /// The checkout that this program was built from.
    pub(crate) fn here() -> Result<Self, Failure> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.ancestors().nth(2).ok_or_else(|| Failure::new("find the root of the checkout"))?;
        let root = root.canonicalize().map_err(|e| Failure::because(format!("open {}", root.display()), e))?;
        Ok(Self { root })
    }

    /// Its top folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Every file of it, relative to the root, with `/` between folders, sorted.
    pub(crate) fn files(&self) -> Result<Vec<String>, Failure> {
        let listing = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .output()
            .map_err(|e| Failure::because("list the files of the checkout with git", e))?;
        if !listing.status.success() {
            let said = String::from_utf8_lossy(&listing.stderr).trim().to_owned();
            return Err(Failure::because("list the files of the checkout with git", said));
        }
        let mut files: Vec<String> = String::from_utf8_lossy(&listing.stdout)
            .split('\0')
            // A file that was deleted but not yet staged is still listed.
            .filter(|path| !path.is_empty() && self.root.join(path).is_file())
            .map(str::to_owned)
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }
}
