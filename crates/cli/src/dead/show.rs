//! What people and programs see of letters: a table, everything about one, or one JSON object per letter.
//!
//! INVARIANT: nothing that a letter says reaches a terminal with its control characters.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::letter::Letter;
use super::table::{self, Row};
use crate::exit::Failure;
use crate::terminal::{clean, columns, print};

/// How letters are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Table,
    /// All headers and the payload.
    Whole,
    Json {
        /// With headers and payload.
        whole: bool,
    },
}

/// Something that lies there, a letter or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    pub(super) number: u64,
    /// Or why it cannot be read.
    pub(super) letter: Result<&'a Letter, &'a str>,
    /// What is done, or would be done, with it.
    pub(super) action: Option<&'static str>,
}

/// Writes letters to standard output as they come; a table at the end.
#[derive(Debug)]
pub(super) struct Printer {
    style: Style,
    rows: Vec<Row>,
    shown: u64,
}

impl Printer {
    pub(super) fn new(style: Style) -> Self {
        Self { style, rows: Vec::new(), shown: 0 }
    }

    pub(super) fn style(&self) -> Style {
        self.style
    }

    /// How many it has shown.
    pub(super) fn shown(&self) -> u64 {
        self.shown
    }

    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn show(&mut self, shown: Shown<'_>) -> Result<(), Failure> {
        self.shown += 1;
        match self.style {
            Style::Table => {
                self.rows.push(Row::new(shown));
                Ok(())
            }
            Style::Whole => print(&whole(shown)),
            Style::Json { whole } => print(&format!("{}\n", object(shown, whole))),
        }
    }

    /// Writes the table.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let lines = table::lines(&self.rows, columns(io::stdout()));
        self.rows.clear();
        print(&format!("{}\n", lines.join("\n")))
    }
}

/// Says something to people, beside what goes to standard output.
pub(super) fn say(text: &str) {
    // A closed terminal is no reason to stop in the middle of something.
    let _ = writeln!(io::stderr(), "{text}");
}

fn whole(Shown { number, letter, .. }: Shown<'_>) -> String {
    let letter = match letter {
        Ok(letter) => letter,
        Err(why) => return format!("letter {number}\n  cannot be read: {}\n\n", clean(why)),
    };
    let mut text = format!("letter {number}  {}\n", letter.id());
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("  {:<24}  {}\n", clean(name), clean(value)));
    };
    if let Some(topic) = letter.carrier_topic() {
        line("lies in", topic);
    }
    if let Some(content_type) = letter.content_type() {
        line("content type", content_type);
    }
    for (name, value) in letter.headers() {
        line(name, value);
    }
    let payload = letter.payload();
    let body = match std::str::from_utf8(payload) {
        Ok(readable) if !readable.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) => {
            line("payload", &format!("{} bytes of text", payload.len()));
            readable.lines().map(|line| format!("  {line}\n")).collect::<String>()
        }
        _ => {
            line("payload", &format!("{} bytes", payload.len()));
            hex_dump(payload)
        }
    };
    format!("{text}\n{body}\n")
}

fn hex_dump(bytes: &[u8]) -> String {
    let rows = (0_usize..).step_by(16).zip(bytes.chunks(16));
    rows.map(|(at, row)| {
        let hex: Vec<_> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String =
            row.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
        format!("  {at:08x}  {:<47}  {text}\n", hex.join(" "))
    })
    .collect()
}

fn object(Shown { number, letter, action }: Shown<'_>, whole: bool) -> Value {
    let mut object = Map::new();
    object.insert("number".to_owned(), json!(number));
    if let Some(action) = action {
        object.insert("action".to_owned(), json!(action));
    }
    let letter = match letter {
        Ok(letter) => letter,
        Err(why) => {
            object.insert("unreadable".to_owned(), json!(why));
            return Value::Object(object);
        }
    };
    object.insert("id".to_owned(), json!(letter.id()));
    for name in ["reason", "error", "route", "instance", "topic", "first-seen", "last-seen"] {
        object.insert(name.replace('-', "_"), json!(letter.told(&format!("tidemill-{name}"))));
    }
    for name in ["attempts", "qos"] {
        let number = letter.told(&format!("tidemill-{name}")).and_then(|text| text.parse::<u64>().ok());
        object.insert(name.to_owned(), json!(number));
    }
    object.insert("replays".to_owned(), json!(letter.replays()));
    object.insert("bytes".to_owned(), json!(letter.payload().len()));
    if whole {
        object.insert("lies_in".to_owned(), json!(letter.carrier_topic()));
        object.insert("content_type".to_owned(), json!(letter.content_type()));
        object.insert("headers".to_owned(), json!(letter.headers().collect::<Vec<_>>()));
        let (encoding, payload) = match std::str::from_utf8(letter.payload()) {
            Ok(text) => ("text", text.to_owned()),
            Err(_) => ("base64", STANDARD.encode(letter.payload())),
        };
        object.insert("payload_encoding".to_owned(), json!(encoding));
        object.insert("payload".to_owned(), json!(payload));
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let letter = letter("r", "permanent", "a/\u{1b}[2Jb");
        let text = whole(Shown { number: 1, letter: Ok(&letter), action: None });
        assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[2J"), "{text}");
    }

    #[test]
    fn an_object_has_numbers_as_numbers() {
        let letter = letter("r", "permanent", "a");
        let object = object(Shown { number: 7, letter: Ok(&letter), action: Some("replayed") }, true);
        assert_eq!((&object["number"], &object["attempts"], &object["qos"]), (&json!(7), &json!(3), &json!(1)));
        assert_eq!(
            (&object["action"], &object["payload"], &object["bytes"]),
            (&json!("replayed"), &json!("x"), &json!(1))
        );
        assert_eq!(object["headers"][0], json!(["tidemill-reason", "permanent"]));
    }

    #[test]
    fn bytes_are_dumped_sixteen_to_a_row() {
        assert_eq!(hex_dump(b"\xFFab").trim(), format!("00000000  {:<47}  .ab", "ff 61 62"));
        assert_eq!(hex_dump(&[0; 33]).lines().count(), 3);
    }
}
