//! Writes batches to standard output.
//!
//! Invariant: a line is never mixed with another one. A batch is written under one lock of standard output, and
//! after a write that stopped inside a line the next one begins on a fresh line.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tidemill_core::{Record, Sink, SinkError, SinkTraits};

use super::StdoutConfig;
use crate::LineFormat;
use crate::blocking;
use crate::encode::{Encoded, Encoder};
use crate::written;

/// Writes records as lines to standard output.
///
/// Records of a batch are handed over, in order, before `write` returns. A slow reader makes `write` wait; a reader
/// that went away is [`Misconfigured`](tidemill_core::SinkErrorKind::Misconfigured), since it does not come back.
/// A try after a failure writes the whole batch, so a line may come twice. A `write` that is dropped half-way still
/// runs to its end.
pub struct Stdout {
    encoder: Encoder,
    output: Arc<Mutex<Output>>,
}

impl Stdout {
    /// A sink with these settings.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "every sink takes its settings by value")]
    pub fn new(config: StdoutConfig) -> Self {
        Self::to(config.format, Box::new(|| Box::new(io::stdout().lock())))
    }

    /// Writes elsewhere, so that tests can read it and make it fail.
    pub(super) fn to(format: LineFormat, target: Target) -> Self {
        Self { encoder: Encoder::new(format), output: Arc::new(Mutex::new(Output { target, inside_line: false })) }
    }
}

impl fmt::Debug for Stdout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdout").finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for Stdout {
    fn traits(&self) -> SinkTraits {
        SinkTraits::default().ordered()
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let Encoded { lines, rejections } = self.encoder.encode(batch);
        let (lines, result) = blocking::run(&self.output, move |output| {
            let result = output.write(&lines);
            (lines, result)
        })
        .await?;
        self.encoder.recycle(lines);
        result.map_err(sink_error)?;
        written(rejections)
    }
}

/// Locks what is written to, for one batch: nothing else in the process can write in between.
pub(super) type Target = Box<dyn FnMut() -> Box<dyn Write> + Send>;

struct Output {
    target: Target,
    /// The last write stopped inside a line.
    inside_line: bool,
}

impl Output {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut writer = (self.target)();
        if self.inside_line {
            writer.write_all(b"\n")?;
            self.inside_line = false;
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match writer.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.inside_line = rest[count - 1] != b'\n';
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        writer.flush()
    }
}

fn sink_error(source: io::Error) -> SinkError {
    let error = StdoutError(source);
    if error.is_closed() { SinkError::misconfigured(error) } else { SinkError::unavailable(error) }
}

#[derive(Debug)]
struct StdoutError(io::Error);

impl StdoutError {
    fn is_closed(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

impl fmt::Display for StdoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_closed() {
            f.write_str("standard output is closed: its reader has gone, start the worker with one that stays")
        } else {
            f.write_str("write to standard output")
        }
    }
}

impl std::error::Error for StdoutError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
