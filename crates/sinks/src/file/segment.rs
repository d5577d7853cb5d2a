//! One open file. Invariant: after every call the file holds whole batches only, or `torn` says that it does not
//! and the next call mends that first.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use tidemill_core::report;
use tokio::time::Instant;

use super::disk::{Identity, Medium, sync_dir};
use super::error::FileError;

/// A file that is open, locked and at the end of a line.
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) medium: Box<dyn Medium>,
    pub(super) identity: Identity,
    /// What an empty file begins with.
    pub(super) header: Vec<u8>,
    /// Where the last whole batch ends, in bytes.
    pub(super) len: u64,
    /// Something may stand behind `len`: a write or its sync failed, or panicked.
    pub(super) torn: bool,
    /// Records were written since the last sync.
    pub(super) unsynced: bool,
    /// Directories with an entry that is not known to be on the disk.
    pub(super) unsynced_dirs: Vec<PathBuf>,
    /// When the interval policy syncs next.
    pub(super) sync_at: Option<Instant>,
    /// When the file is too old; `None` while it is empty or age does not matter.
    pub(super) rotate_at: Option<Instant>,
}

/// Closing the file is not enough: a child process that is being started just then has it open a little longer,
/// and the lock with it.
impl Drop for Segment {
    fn drop(&mut self) {
        if let Err(error) = self.medium.unlock() {
            tracing::warn!(path = %self.path.display(), %error, "could not unlock a file");
        }
    }
}

impl Segment {
    /// Appends a batch, and forces it to the disk when asked to. When either fails, nothing of the batch stays: a
    /// repeated batch must not stand there twice, and half a line must not stay at all.
    pub(super) fn append(&mut self, lines: &[u8], sync: bool) -> Result<(), FileError> {
        self.mend()?;
        self.torn = true;
        self.unsynced = true;
        let header = if self.len == 0 { &self.header[..] } else { &[] };
        let written = if header.is_empty() { Ok(()) } else { self.medium.append(header) };
        let written = written.and_then(|()| self.medium.append(lines));
        let len = self.len + header.len() as u64 + lines.len() as u64;
        let mut result = written.map_err(FileError::io("append to", &self.path));
        if sync {
            result = result.and_then(|()| self.sync());
        }
        if let Err(error) = result {
            if let Err(error) = self.mend() {
                tracing::warn!(path = %self.path.display(), error = %report(&error), "failed write not taken back yet");
            }
            return Err(error);
        }
        self.torn = false;
        self.len = len;
        Ok(())
    }

    /// Takes back what a failed write left.
    pub(super) fn mend(&mut self) -> Result<(), FileError> {
        if self.torn {
            self.medium.truncate(self.len).map_err(FileError::io("take back a failed write to", &self.path))?;
            self.torn = false;
        }
        Ok(())
    }

    /// Forces everything to the disk, the way to the file included.
    pub(super) fn sync(&mut self) -> Result<(), FileError> {
        if self.unsynced {
            self.medium.sync().map_err(FileError::io("sync", &self.path))?;
            self.unsynced = false;
        }
        while let Some(dir) = self.unsynced_dirs.last() {
            sync_dir(dir).map_err(FileError::io("sync directory", dir))?;
            self.unsynced_dirs.pop();
        }
        Ok(())
    }

    /// Whether the path still leads to this file. Learns its length on the way: others may have cut it.
    pub(super) fn is_in_place(&mut self) -> bool {
        match fs::metadata(&self.path) {
            Ok(found) if Identity::of(&found) == self.identity => {
                if !self.torn {
                    self.len = found.len();
                }
                true
            }
            Ok(_) => false,
            // Anything else than a missing file says nothing about it; the write will tell.
            Err(error) => error.kind() != ErrorKind::NotFound,
        }
    }
}
