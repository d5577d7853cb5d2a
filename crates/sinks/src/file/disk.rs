//! What the journal needs from outside: the wall clock, and the calls on an open file.
//!
//! Behind values, because a full disk, a failed sync and a day's end cannot be had in a test otherwise.

use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

/// The calls on a file that is open and locked.
pub(super) trait Medium: Send {
    /// Appends all bytes, or fails after some of them.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file to this length.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Forces what was appended to the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Gives the lock back.
    fn unlock(&mut self) -> io::Result<()>;
}

impl Medium for fs::File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn unlock(&mut self) -> io::Result<()> {
        fs::File::unlock(self)
    }
}

/// The outside world of a journal.
#[derive(Clone)]
pub(super) struct Disk {
    /// Names rotated files and tells the age of a file found at start. Everything else runs on tokio's clock.
    pub(super) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Turns a locked and repaired file into what is written to.
    pub(super) medium: Arc<dyn Fn(fs::File) -> Box<dyn Medium> + Send + Sync>,
}

impl Disk {
    pub(super) fn real() -> Self {
        Self { now: Arc::new(Timestamp::now), medium: Arc::new(|file| Box::new(file)) }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

/// Tells whether a path still leads to the file that we hold. Where the platform has no such number, all files
/// are taken for the same; there an open file cannot be renamed or deleted by others anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    #[cfg(unix)]
    pub(super) fn of(file: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: file.dev(), inode: file.ino() }
    }

    #[cfg(not(unix))]
    pub(super) fn of(_: &Metadata) -> Self {
        Self { device: 0, inode: 0 }
    }
}

/// Forces the entries of a directory to the disk: without it a new or renamed file may be gone after a power
/// failure, however often the file itself was synced.
#[cfg(unix)]
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    match fs::File::open(dir)?.sync_all() {
        // Some file systems know no such call for directories; there is nothing to be forced then.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}

#[cfg(not(unix))]
pub(super) fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}
