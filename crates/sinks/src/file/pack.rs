//! Compresses rotated files, away from the journal and its lock.
//!
//! Invariant: at every moment the records of a rotated file stand whole under one of its two names, on the disk before
//! the other one goes. After a crash they may stand under both, with the same content, and something unfinished under a
//! third name that ends with `.tmp`: the next pass finishes what it finds. Who compresses a file holds its lock. What is
//! wrong with a file is said once, however many passes find it.

use std::collections::HashMap;
use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidemill_core::report;
use tokio::sync::watch;
use tokio::task::{self, JoinHandle};

use super::config::Compression;
use super::disk::{Identity, sync_dir};
use super::error::FileError;
use super::rotated::{Names, TEMPORARY};
use crate::compress::{Codec, Encoder};

/// Compresses what is there whenever it is told to; ends when dropped, at the latest some kilobytes later.
pub(super) struct Packer {
    task: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl Packer {
    /// `rotated` changes when there may be something to compress.
    pub(super) fn start(compression: Compression, mut rotated: watch::Receiver<Option<Names>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut told = Told::default();
            loop {
                let names = rotated.borrow_and_update().clone();
                if let Some(names) = names {
                    let stop = Arc::clone(&stopped);
                    let pass = task::spawn_blocking(move || pack_all(&names, compression, &stop, &told));
                    told = match pass.await {
                        Ok(told) => told,
                        Err(error) => {
                            tracing::error!(%error, "file sink's compression stopped");
                            return;
                        }
                    }
                }
                if rotated.changed().await.is_err() {
                    return;
                }
            }
        });
        Self { task, stop }
    }

    /// Its runtime has gone or its work panicked; a new one is needed.
    pub(super) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        // A worker that ends does not wait for gigabytes: the next one goes on.
        self.stop.store(true, Ordering::Relaxed);
        self.task.abort();
    }
}

/// What was said of which path by the last pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told(HashMap<PathBuf, String>);

impl Told {
    /// Takes down what is wrong with a path; `true` when the last pass did not say the same of it.
    fn is_news(&mut self, last: &Self, path: &Path, what: String) -> bool {
        let is_news = last.0.get(path) != Some(&what);
        self.0.insert(path.to_owned(), what);
        is_news
    }
}

/// Compresses all rotated files that are not yet, earliest first. One that cannot be compressed costs space, but no
/// records, and is tried again at the next pass. Given what the last pass said, returns what this one found.
pub(super) fn pack_all(names: &Names, compression: Compression, stop: &AtomicBool, last: &Told) -> Told {
    let codec = Codec::from(compression);
    if codec == Codec::None {
        return Told::default();
    }
    let plain = match names.list_plain() {
        Ok(plain) => plain,
        Err(error) => {
            let mut told = last.clone();
            if told.is_news(last, names.dir(), error.to_string()) {
                tracing::warn!(path = %names.dir().display(), %error, "could not list rotated files to compress");
            }
            return told;
        }
    };
    let mut told = Told::default();
    for stamp in plain {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let path = names.path(stamp);
        if let Err(error) = pack(&path, codec, stop) {
            let error = report(&error);
            if told.is_news(last, &path, error.clone()) {
                tracing::warn!(path = %path.display(), %error, "could not compress a rotated file; says so once, and tries again at each rotation");
            }
        }
    }
    told
}

fn pack(path: &Path, codec: Codec, stop: &AtomicBool) -> Result<(), FileError> {
    let Some(source) = take(path)? else { return Ok(()) };
    let target = with_suffix(path, codec.suffix());
    let temporary = with_suffix(&target, TEMPORARY);
    let written = write(Stoppable { file: &source, stop }, &temporary, codec);
    if let Err(error) = written {
        // What is left over is written over at the next try.
        drop(fs::remove_file(&temporary));
        return if stop.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err(FileError::io("compress into", &temporary)(error))
        };
    }
    match fs::rename(&temporary, &target) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        result => result.map_err(FileError::io("put compressed records into", &target))?,
    }
    if let Some(dir) = path.parent() {
        sync_dir(dir).map_err(FileError::io("sync directory", dir))?;
    }
    match fs::remove_file(path) {
        // Whoever deleted or collected it meanwhile has dealt with its records: they must not come back.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::remove_file(&target).map_err(FileError::io("delete", &target))
        }
        result => result.map_err(FileError::io("delete after compressing", path)),
    }
}

/// Opens and locks a rotated file; `None` when another worker compresses it just then, or has done so.
fn take(path: &Path) -> Result<Option<fs::File>, FileError> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        result => result.map_err(FileError::io("open", path))?,
    };
    if !is_locked(file.try_lock(), path)? {
        return Ok(None);
    }
    let found = file.metadata().map_err(FileError::io("open", path))?;
    let is_there = fs::metadata(path).is_ok_and(|there| Identity::of(&there) == Identity::of(&found));
    Ok(is_there.then_some(file))
}

/// What the answer to asking for a lock means; `false` when another worker has it. Without locks two would compress the
/// same file, and the one that finds it gone deletes what the other made of it.
fn is_locked(answer: Result<(), TryLockError>, path: &Path) -> Result<bool, FileError> {
    match answer {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Err(FileError::no_locks(path)),
        Err(TryLockError::Error(error)) => Err(FileError::io("lock", path)(error)),
    }
}

/// Writes a file that is on the disk when this returns, and as readable for others as its source.
fn write(mut source: Stoppable<'_>, temporary: &Path, codec: Codec) -> io::Result<()> {
    let target = OpenOptions::new().write(true).create(true).truncate(true).open(temporary)?;
    target.set_permissions(source.file.metadata()?.permissions())?;
    let mut encoder = Encoder::new(codec, target)?;
    io::copy(&mut source, &mut encoder)?;
    encoder.finish()?.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A file that cannot be read any further once it is told to stop.
struct Stoppable<'a> {
    file: &'a fs::File,
    stop: &'a AtomicBool,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
        self.file.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn nothing_is_compressed_where_there_are_no_locks() {
        let path = Path::new("out.1.ndjson");
        let unsupported = || TryLockError::Error(ErrorKind::Unsupported.into());
        let error = is_locked(Err(unsupported()), path).unwrap_err().to_string();
        assert!(error.contains("cannot be compressed safely without locks"), "{error}");
        assert!(error.contains("set compress to none"), "{error}");
        assert!(is_locked(Ok(()), path).unwrap());
        assert!(!is_locked(Err(TryLockError::WouldBlock), path).unwrap());
    }
}
