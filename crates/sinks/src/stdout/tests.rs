//! The sink over pipes, over a device that is always full, and over a writer that stops half-way.
#![allow(clippy::unwrap_used)]

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};

use tidemill_core::{Record, Sink, SinkErrorKind, report};

use super::{Stdout, StdoutConfig};
use crate::LineFormat;

/// Takes `room` bytes, then refuses until it gets more room.
#[derive(Clone, Default)]
struct Narrow(Arc<Mutex<(usize, Vec<u8>)>>);

impl Narrow {
    fn set_room(&self, bytes: usize) {
        self.0.lock().unwrap().0 = bytes;
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().1.clone()).unwrap()
    }
}

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (room, taken) = &mut *self.0.lock().unwrap();
        if *room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = bytes.len().min(*room);
        *room -= count;
        taken.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn sink(format: LineFormat, mut writer: impl FnMut() -> Box<dyn Write> + Send + 'static) -> Stdout {
    Stdout::to(format, Box::new(move || writer()))
}

#[tokio::test]
async fn writes_a_batch_as_lines_in_order() {
    let (mut reader, writer) = io::pipe().unwrap();
    let sink = sink(LineFormat::Ndjson, move || Box::new(writer.try_clone().unwrap()));
    assert!(sink.traits().ordered);
    sink.open().await.unwrap();
    sink.write(&[Record::new("a"), Record::new("b\n")]).await.unwrap();
    sink.write(&[Record::new("c")]).await.unwrap();
    sink.close().await.unwrap();
    drop(sink);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "{\"payload\":\"a\"}\n{\"payload\":\"b\\n\"}\n{\"payload\":\"c\"}\n");
}

#[tokio::test]
async fn refuses_what_cannot_be_a_line_and_writes_the_others() {
    let narrow = Narrow::default();
    narrow.set_room(1000);
    let writer = narrow.clone();
    let sink = sink(LineFormat::Lines, move || Box::new(writer.clone()));
    let error = sink.write(&[Record::new("a\rb"), Record::new("c")]).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Rejected);
    assert_eq!(error.rejections()[0].index, 0);
    assert_eq!(narrow.text(), "c\n");
}

#[tokio::test]
async fn a_reader_that_has_gone_needs_someone_to_act() {
    let (reader, writer) = io::pipe().unwrap();
    let sink = sink(LineFormat::Ndjson, move || Box::new(writer.try_clone().unwrap()));
    drop(reader);
    let error = sink.write(&[Record::new("a")]).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Misconfigured);
    assert!(report(&error).contains("its reader has gone"), "{}", report(&error));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_behind_a_redirection_is_worth_another_try() {
    let sink = sink(LineFormat::Ndjson, || Box::new(OpenOptions::new().write(true).open("/dev/full").unwrap()));
    let error = sink.write(&[Record::new("a")]).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Unavailable);
}

#[tokio::test]
async fn after_a_write_that_stopped_inside_a_line_the_next_begins_a_fresh_one() {
    let narrow = Narrow::default();
    let writer = narrow.clone();
    let sink = sink(LineFormat::Lines, move || Box::new(writer.clone()));
    let batch = [Record::new("one"), Record::new("two")];
    narrow.set_room(6);
    assert_eq!(sink.write(&batch).await.unwrap_err().kind(), SinkErrorKind::Unavailable);
    narrow.set_room(1000);
    sink.write(&batch).await.unwrap();
    assert_eq!(narrow.text(), "one\ntw\none\ntwo\n");
}

#[tokio::test]
async fn after_a_write_that_stopped_between_lines_no_empty_line_appears() {
    let narrow = Narrow::default();
    let writer = narrow.clone();
    let sink = sink(LineFormat::Lines, move || Box::new(writer.clone()));
    let batch = [Record::new("one"), Record::new("two")];
    narrow.set_room(4);
    sink.write(&batch).await.unwrap_err();
    narrow.set_room(1000);
    sink.write(&batch).await.unwrap();
    assert_eq!(narrow.text(), "one\none\ntwo\n");
}

#[test]
fn settings_are_complete_when_empty_and_refuse_strangers() {
    assert_eq!(serde_json::from_str::<StdoutConfig>("{}").unwrap(), StdoutConfig::default());
    let config: StdoutConfig = serde_json::from_str("{\"format\":\"lines\"}").unwrap();
    assert_eq!(config, StdoutConfig::default().format(LineFormat::Lines));
    assert!(serde_json::from_str::<StdoutConfig>("{\"fromat\":\"lines\"}").is_err());
}
