//! Finds, locks and repairs the file that is written.
//!
//! Invariant: a file is changed only while its lock is held, so two sinks never write the same one. What is handed
//! out ends with a whole line.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::disk::Identity;
use super::error::FileError;
use super::rotated::Names;
use crate::LineFormat;

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
pub(super) fn open(path: &Path, format: LineFormat, changed_dirs: Vec<PathBuf>) -> Result<Opened, FileError> {
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
fn repair(file: &mut fs::File, path: &Path, format: LineFormat) -> Result<u64, FileError> {
    let (whole, tail) = find_tail(file).map_err(FileError::io("read", path))?;
    let Some(tail) = tail else { return Ok(whole) };
    // A zero byte is what some file systems put where a power failure lost the data.
    if format == LineFormat::Ndjson && !matches!(tail.first_byte, b'{' | 0) {
        return Err(FileError::not_ndjson(path));
    }
    file.set_len(whole).map_err(FileError::io("repair", path))?;
    tracing::warn!(path = %path.display(), cut_bytes = tail.len, "cut off a line that a crash left unfinished");
    Ok(whole)
}

/// What follows the last line break.
struct Tail {
    len: u64,
    first_byte: u8,
}

/// Returns where the last whole line ends, and what follows it.
fn find_tail(file: &mut fs::File) -> io::Result<(u64, Option<Tail>)> {
    const CHUNK_BYTES: u64 = 64 * 1024;
    let len = file.seek(SeekFrom::End(0))?;
    let mut chunk = Vec::new();
    let mut first_byte = None;
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES);
        file.seek(SeekFrom::Start(start))?;
        chunk.clear();
        Read::by_ref(file).take(end - start).read_to_end(&mut chunk)?;
        if let Some(at) = memchr::memrchr(b'\n', &chunk) {
            let whole = start + at as u64 + 1;
            let first_byte = chunk.get(at + 1).copied().or(first_byte);
            return Ok((whole, first_byte.map(|first_byte| Tail { len: len - whole, first_byte })));
        }
        first_byte = chunk.first().copied().or(first_byte);
        end = start;
    }
    Ok((0, first_byte.map(|first_byte| Tail { len, first_byte })))
}
