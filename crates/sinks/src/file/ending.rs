//! Where the last whole line of a file ends. Only reads; memory does not grow with the file.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};

const CHUNK_BYTES: u64 = 64 * 1024;

/// How a file of lines ends.
pub(super) struct LinesEnding {
    pub(super) len: u64,
    /// Where the last whole line ends.
    pub(super) whole: u64,
    /// The first byte of what follows it.
    pub(super) tail_begins: Option<u8>,
}

/// Looks for the last line break, from behind.
pub(super) fn of_lines(file: &mut fs::File) -> io::Result<LinesEnding> {
    let len = file.seek(SeekFrom::End(0))?;
    let mut chunk = Vec::new();
    let mut tail_begins = None;
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES);
        file.seek(SeekFrom::Start(start))?;
        chunk.clear();
        Read::by_ref(file).take(end - start).read_to_end(&mut chunk)?;
        if let Some(at) = memchr::memrchr(b'\n', &chunk) {
            let tail_begins = chunk.get(at + 1).copied().or(tail_begins);
            return Ok(LinesEnding { len, whole: start + at as u64 + 1, tail_begins });
        }
        tail_begins = chunk.first().copied().or(tail_begins);
        end = start;
    }
    Ok(LinesEnding { len, whole: 0, tail_begins })
}

/// How a file of rows ends.
#[cfg(feature = "csv")]
pub(super) struct RowsEnding {
    pub(super) len: u64,
    /// Where the last whole row ends.
    pub(super) whole: u64,
    /// It begins with the header, or with what a crash left of one.
    pub(super) has_header: bool,
}

/// Looks for the last line break outside quotes, from the beginning: only the number of quotes before it tells.
#[cfg(feature = "csv")]
pub(super) fn of_rows(file: &mut fs::File, header: &[u8]) -> io::Result<RowsEnding> {
    let mut begins = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    Read::by_ref(file).take(header.len() as u64).read_to_end(&mut begins)?;
    file.seek(SeekFrom::Start(0))?;
    let mut chunk = Vec::new();
    let (mut len, mut whole, mut is_quoted) = (0, 0, false);
    loop {
        chunk.clear();
        if Read::by_ref(file).take(CHUNK_BYTES).read_to_end(&mut chunk)? == 0 {
            break;
        }
        for at in memchr::memchr2_iter(b'"', b'\n', &chunk) {
            if chunk[at] == b'"' {
                is_quoted = !is_quoted;
            } else if !is_quoted {
                whole = len + at as u64 + 1;
            }
        }
        len += chunk.len() as u64;
    }
    // A zero byte is what some file systems put where a power failure lost the data.
    let has_header = match whole {
        0 => begins.iter().zip(header).all(|(found, wanted)| found == wanted || *found == 0),
        _ => begins == header,
    };
    Ok(RowsEnding { len, whole, has_header })
}
