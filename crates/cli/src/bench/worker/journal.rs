//! A file with a line for every handling, written before the event is acknowledged: what a worker did is known even
//! after it was killed. Lines are of fixed size, so that a last one which is cut short is seen.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use super::super::stamp::{self, Stamp};

/// A stamp, when it was handled, and by which instance.
pub(crate) const BYTES: usize = stamp::BYTES + 16;

/// One handling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) stamp: Stamp,
    pub(crate) handled_ns: u64,
    pub(crate) instance: u32,
}

/// Where handlings are written.
#[derive(Debug)]
pub(crate) struct Journal(File);

impl Journal {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        File::options().create(true).append(true).open(path).map(Self)
    }

    /// Writes one line with one system call. Threads may do so at the same time.
    pub(crate) fn write(&self, entry: &Entry) -> io::Result<()> {
        let mut line = [0; BYTES];
        line[..stamp::BYTES].copy_from_slice(&entry.stamp.bytes());
        line[stamp::BYTES..stamp::BYTES + 8].copy_from_slice(&entry.handled_ns.to_be_bytes());
        line[stamp::BYTES + 8..stamp::BYTES + 12].copy_from_slice(&entry.instance.to_be_bytes());
        (&self.0).write_all(&line)
    }
}

/// Everything in a journal.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let bytes = std::fs::read(path)?;
    let entry = |line: &[u8]| {
        let handled = line.get(stamp::BYTES..stamp::BYTES + 8)?.try_into().ok()?;
        let instance = line.get(stamp::BYTES + 8..stamp::BYTES + 12)?.try_into().ok()?;
        Some(Entry {
            stamp: Stamp::read(line)?,
            handled_ns: u64::from_be_bytes(handled),
            instance: u32::from_be_bytes(instance),
        })
    };
    Ok(bytes.chunks_exact(BYTES).filter_map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_a_line_that_is_cut_short_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let journal = Journal::create(&path).unwrap();
        let stamp = Stamp { publisher: 1, key: 2, resent: true, seq: 3, due_ns: 4 };
        let entry = Entry { stamp, handled_ns: 9, instance: 7 };
        journal.write(&entry).unwrap();
        journal.write(&entry).unwrap();
        (&journal.0).write_all(&[0; 5]).unwrap();
        assert_eq!(read(&path).unwrap(), [entry, entry]);
    }
}
