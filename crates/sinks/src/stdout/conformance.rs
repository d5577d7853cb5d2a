//! What every sink must hold, with a buffer for a reader of standard output.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tidemill_core::{Record, Sink};
use tidemill_testkit::sink_conformance::{Capabilities, Payloads, Seen, Target};

use super::Stdout;
use crate::LineFormat;

#[derive(Clone, Default)]
struct Reader(Arc<Mutex<Vec<u8>>>);

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Target for Reader {
    fn sink(&self) -> Arc<dyn Sink> {
        let reader = self.clone();
        Arc::new(Stdout::to(LineFormat::Lines, Box::new(move || Box::new(reader.clone()))))
    }

    async fn read_all(&self) -> Vec<Seen> {
        let text = self.0.lock().unwrap();
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        lines.map(|line| Seen::new(line.strip_suffix(b"\n").unwrap().to_vec())).collect()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().no_outage().payloads(Payloads::Selected)
    }

    fn bad_record(&self) -> Option<Record> {
        Some(Record::new("two\nlines"))
    }
}

tidemill_testkit::conformance!(async || Some(Reader::default()));
