//! What every sink must hold, with a file for a server. Nothing can be cut here, and every record is taken as NDJSON;
//! plain lines refuse some, and CSV what is no text.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tempfile::TempDir;
use tidemill_core::{Record, Sink};
use tidemill_testkit::sink_conformance::{Capabilities, Misconfigured, Payloads, Seen, Target};

use super::super::{File, FileConfig, FileFormat};

struct Folder {
    dir: TempDir,
    format: FileFormat,
}

impl Folder {
    fn new(format: impl Into<FileFormat>) -> Option<Self> {
        Some(Self { dir: TempDir::new().unwrap(), format: format.into() })
    }

    fn config(&self) -> FileConfig {
        FileConfig::new(self.dir.path().join("out")).format(self.format.clone())
    }
}

/// The payload of an NDJSON line, as it was.
fn payload(line: &[u8]) -> Seen {
    use base64::Engine;
    let line: Value = serde_json::from_slice(line).unwrap();
    let payload = match (&line["payload"], line["payload_encoding"].as_str()) {
        (Value::String(text), Some("base64")) => base64::engine::general_purpose::STANDARD.decode(text).unwrap(),
        (Value::String(text), _) => text.clone().into_bytes(),
        // The records of the suite are written by `format!`, with their members in this order.
        (value, _) => format!("{{\"number\":{},\"key\":{}}}", value["number"], value["key"]).into_bytes(),
    };
    Seen::new(payload).with_key(line["key"].as_str().unwrap().to_owned())
}

#[async_trait]
impl Target for Folder {
    fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(File::new(self.config()))
    }

    async fn read_all(&self) -> Vec<Seen> {
        let text = std::fs::read(self.dir.path().join("out")).unwrap_or_default();
        let lines = text.strip_suffix(b"\n").unwrap_or(&text).split(|byte| *byte == b'\n');
        let lines = lines.filter(|_| !text.is_empty());
        match self.format {
            FileFormat::Ndjson => lines.map(payload).collect(),
            FileFormat::Lines => lines.map(|line| Seen::new(line.to_vec())).collect(),
            #[cfg(feature = "csv")]
            FileFormat::Csv(_) => {
                let mut reader = ::csv::Reader::from_reader(&text[..]);
                let rows = reader.records().map(Result::unwrap);
                rows.map(|row| Seen::new(row[1].to_owned()).with_key(row[0].to_owned())).collect()
            }
        }
    }

    fn capabilities(&self) -> Capabilities {
        let payloads = match self.format {
            FileFormat::Ndjson => Payloads::Any,
            FileFormat::Lines => Payloads::Selected,
            #[cfg(feature = "csv")]
            FileFormat::Csv(_) => Payloads::Text,
        };
        Capabilities::default().no_outage().payloads(payloads)
    }

    fn bad_record(&self) -> Option<Record> {
        match self.format {
            FileFormat::Ndjson => None,
            FileFormat::Lines => Some(Record::new("two\nlines")),
            #[cfg(feature = "csv")]
            FileFormat::Csv(_) => Some(Record::new(&b"\xff"[..])),
        }
    }

    fn misconfigured(&self) -> Vec<Misconfigured> {
        let folder = FileConfig::new(self.dir.path());
        vec![Misconfigured::new(Arc::new(File::new(folder)), "not a regular file")]
    }
}

mod ndjson {
    use super::{FileFormat, Folder};

    tidemill_testkit::conformance!(async || Folder::new(FileFormat::Ndjson));
}

mod lines {
    use super::{FileFormat, Folder};

    tidemill_testkit::conformance! { async || Folder::new(FileFormat::Lines);
        what_was_confirmed_can_be_read
        a_bad_record_is_refused_alone
        awkward_text_comes_back_or_is_refused
    }
}

#[cfg(feature = "csv")]
mod csv {
    use super::Folder;
    use crate::{CsvColumn, CsvFormat, Template};

    fn format() -> CsvFormat {
        let key = CsvColumn::template("key", Template::new("{key}").unwrap());
        CsvFormat::new([key, CsvColumn::payload("payload")]).unwrap()
    }

    tidemill_testkit::conformance!(async || Folder::new(format()));
}
