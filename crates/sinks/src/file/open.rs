//! Finds, locks and repairs the file that is written.
//!
//! Invariant: a file is changed only while its lock is held, so two sinks never write the same one. What is handed
//! out ends with a whole line.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::config::FileFormat;
use super::disk::Identity;
use super::ending;
use super::error::FileError;
use super::rotated::Names;

/// Where the file is. Found once, so that a later change of the working directory moves nothing.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Absolute, symbolic links followed: rotation renames the file and not a link to it.
    pub(super) path: PathBuf,
    pub(super) names: Names,
}

/// A file that is ours.
pub(super) struct Opened {
    pub(super) file: fs::File,
    pub(super) identity: Identity,
    pub(super) len: u64,
    /// Directories that have a new entry.
    pub(super) changed_dirs: Vec<PathBuf>,
}

impl Place {
    /// Finds the file, and creates its directories when asked to.
    pub(super) fn find(path: &Path, create_dirs: bool) -> Result<(Self, Vec<PathBuf>), FileError> {
        let Some(name) = path.file_name() else { return Err(FileError::no_name(path)) };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let created = if create_dirs { create(parent)? } else { 0 };
        let path = match fs::canonicalize(path) {
            Ok(path) => path,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::canonicalize(parent).map_err(FileError::io("open", path))?.join(name)
            }
            Err(error) => return Err(FileError::io("open", path)(error)),
        };
        let Some(names) = Names::of(&path) else { return Err(FileError::no_name(&path)) };
        // Each created directory is an entry in the one above it, and the file is one in the last.
        let changed_dirs = path.ancestors().skip(1).take(created + 1).map(Path::to_owned).collect();
        Ok((Self { path, names }, changed_dirs))
    }
}

/// Creates a directory with all that lead to it; says how many there were to create.
fn create(dir: &Path) -> Result<usize, FileError> {
    let missing = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).count();
    fs::create_dir_all(dir).map_err(FileError::io("create directory", dir))?;
    Ok(missing)
}

/// Opens, locks and repairs the file, after creating it if need be.
pub(super) fn open(path: &Path, format: &FileFormat, changed_dirs: Vec<PathBuf>) -> Result<Opened, FileError> {
    // Asked before opening: to open a pipe may wait, and has effects.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(FileError::not_a_file(path));
    }
    let (mut file, identity) = open_locked(path)?;
    let len = repair(&mut file, path, format)?;
    Ok(Opened { file, identity, len, changed_dirs })
}

fn open_locked(path: &Path) -> Result<(fs::File, Identity), FileError> {
    // The file may be renamed between opening and locking when another sink rotates it just then. What is locked
    // is a rotated file in that case, so look again; that sink has the new one, and the next lock tells so.
    let mut tries_left = 3;
    loop {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(path).map_err(FileError::io("open", path))?;
        lock(&file, path)?;
        let identity = Identity::of(&file.metadata().map_err(FileError::io("open", path))?);
        if fs::metadata(path).is_ok_and(|found| Identity::of(&found) == identity) {
            return Ok((file, identity));
        }
        tries_left -= 1;
        if tries_left == 0 {
            return Err(FileError::locked(path));
        }
    }
}

fn lock(file: &fs::File, path: &Path) -> Result<(), FileError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(FileError::locked(path)),
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
            let path = path.display();
            tracing::warn!(%path, "file system knows no locks: make sure that no other sink writes this file");
            Ok(())
        }
        Err(TryLockError::Error(error)) => Err(FileError::io("lock", path)(error)),
    }
}

/// Cuts off an unfinished last line and returns the length of the rest. A crash in the middle of a write leaves
/// one; that write was never confirmed, so its events were not acknowledged and come again (G1).
fn repair(file: &mut fs::File, path: &Path, format: &FileFormat) -> Result<u64, FileError> {
    let (len, whole) = match format {
        FileFormat::Ndjson | FileFormat::Lines => {
            let ending = ending::of_lines(file).map_err(FileError::io("read", path))?;
            // A zero byte is what some file systems put where a power failure lost the data.
            if *format == FileFormat::Ndjson && !matches!(ending.tail_begins, None | Some(b'{' | 0)) {
                return Err(FileError::not_ndjson(path));
            }
            (ending.len, ending.whole)
        }
        #[cfg(feature = "csv")]
        FileFormat::Csv(csv) => {
            let ending = ending::of_rows(file, &csv.header()).map_err(FileError::io("read", path))?;
            if !ending.has_header {
                return Err(FileError::other_columns(path));
            }
            (ending.len, ending.whole)
        }
    };
    if whole < len {
        file.set_len(whole).map_err(FileError::io("repair", path))?;
        let cut_bytes = len - whole;
        tracing::warn!(path = %path.display(), cut_bytes, "cut off a line that a crash left unfinished");
    }
    Ok(whole)
}
