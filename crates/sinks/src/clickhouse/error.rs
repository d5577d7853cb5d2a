//! What a code means. Invariant: nothing of what the server quotes is passed on when records are to blame, since it quotes
//! rows.

use std::fmt;

use reqwest::StatusCode;
use tidemill_core::SinkError;

use crate::http_client::{Answer, unavailable};

/// A longer message is cut off.
const LONGEST_MESSAGE: usize = 300;

const UNKNOWN_SETTING: u32 = 115;

#[derive(Debug)]
pub(super) struct ClickhouseError {
    host: String,
    status: StatusCode,
    code: Option<u32>,
    /// Empty when records are to blame.
    message: String,
    meaning: Meaning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Busy,
    Refused,
    Setup,
}

impl Meaning {
    fn of(status: StatusCode, code: Option<u32>) -> Self {
        match code {
            // Values that cannot be read, are out of range, null or against a constraint; rows and blocks too large.
            Some(
                6 | 19 | 20 | 25..=29 | 32 | 33 | 38 | 40 | 41 | 43 | 49 | 53 | 69 | 70 | 72 | 100 | 117 | 129..=131,
            ) => Self::Refused,
            Some(158 | 190 | 297 | 301 | 321 | 349 | 376 | 377 | 396 | 441 | 469 | 628 | 636 | 675 | 676 | 691) => {
                Self::Refused
            }
            // Names, logins, privileges, settings.
            Some(10 | 15 | 16 | 36 | 47 | 60 | 62 | 73 | 81 | 115 | 164 | 192..=195 | 291 | 452 | 492 | 497 | 516) => {
                Self::Setup
            }
            // Limits of time and memory, parts that wait for merges, replicas and keepers; and what is not known here.
            Some(_) => Self::Busy,
            // A proxy before it.
            None => match status.as_u16() {
                300..=399 | 401 | 403 | 404 | 405 | 407 => Self::Setup,
                413 => Self::Refused,
                _ => Self::Busy,
            },
        }
    }
}

impl ClickhouseError {
    /// `None` for an answer that is a success.
    pub(super) fn of(host: &str, answer: &Answer) -> Option<Self> {
        let code = code(answer);
        // An error that came after the status had been sent stands in the text alone, or the answer breaks off. What is
        // no error and has a text comes from something else than ClickHouse.
        if answer.status.is_success() && code.is_none() && answer.is_whole && answer.text.trim().is_empty() {
            return None;
        }
        let meaning = Meaning::of(answer.status, code);
        let message = if meaning == Meaning::Refused { "" } else { message(&answer.text) };
        let message = message.chars().take(LONGEST_MESSAGE).collect();
        Some(Self { host: host.to_owned(), status: answer.status, code, message, meaning })
    }

    /// Whether the server does not know something that it was told to set.
    pub(super) fn is_unknown_setting(&self) -> bool {
        self.code == Some(UNKNOWN_SETTING)
    }

    /// Whether the login may be an old one.
    pub(super) fn doubts_login(&self) -> bool {
        matches!(self.code, Some(192..=194 | 516)) || matches!(self.status.as_u16(), 401 | 403)
    }

    pub(super) fn into_sink(self, answer: &Answer) -> SinkError {
        match self.meaning {
            Meaning::Busy => unavailable(self, answer),
            Meaning::Refused => SinkError::batch_refused(self),
            Meaning::Setup => SinkError::misconfigured(self),
        }
    }
}

fn code(answer: &Answer) -> Option<u32> {
    let header = answer.headers.get("x-clickhouse-exception-code").and_then(|code| code.to_str().ok()?.parse().ok());
    let text = || answer.text.split_once("Code: ")?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    header.or_else(text)
}

/// What stands between the name of the exception and its trailer.
fn message(text: &str) -> &str {
    let begun = text.split_once("DB::Exception: ").map_or(text, |(_, message)| message);
    begun.split(", e.what()").next().unwrap_or(begun).trim()
}

impl fmt::Display for ClickhouseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "ClickHouse answered with its error {code}")?,
            None => write!(f, "{} answered {}", self.host, self.status)?,
        }
        if !self.message.is_empty() {
            write!(f, " ({})", self.message)?;
        }
        f.write_str(match (self.code, self.meaning) {
            (Some(60 | 81), _) => ": create the table, or set the right one",
            (Some(10 | 16 | 47), _) => ": add the column to the table, or take it out of columns",
            (Some(192..=194 | 516), _) => ": set the right user and password",
            (Some(164 | 291 | 497), _) => ": grant the user INSERT on the table",
            (Some(UNKNOWN_SETTING), _) => {
                ": set deduplicate = false where ClickHouse is older than 22.2, async_insert = false before 21.11"
            }
            (_, Meaning::Refused) => ": a row has a value that the table does not take",
            (_, Meaning::Setup) => ": mend the settings or the table",
            (None, Meaning::Busy) if self.status.is_success() => {
                ": that is no answer of ClickHouse to an insert, or breaks off; look at what url leads to"
            }
            (_, Meaning::Busy) => "",
        })
    }
}

impl std::error::Error for ClickhouseError {}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn answer(status: u16, text: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            text: text.to_owned(),
            is_whole: true,
        }
    }

    #[test]
    fn a_code_tells_who_is_to_blame() {
        for (code, meaning) in [
            (27, Meaning::Refused),
            (469, Meaning::Refused),
            (60, Meaning::Setup),
            (516, Meaning::Setup),
            (202, Meaning::Busy),
            (241, Meaning::Busy),
            (252, Meaning::Busy),
            (319, Meaning::Busy),
        ] {
            let answer = answer(500, &format!("Code: {code}. DB::Exception: secret-value. (NAME)"));
            let error = ClickhouseError::of("h", &answer).unwrap();
            assert_eq!(error.meaning, meaning, "{code}");
            assert_eq!(error.to_string().contains("secret-value"), meaning != Meaning::Refused);
        }
    }

    #[test]
    fn an_error_after_the_status_is_noticed() {
        assert!(ClickhouseError::of("h", &answer(200, "")).is_none());
        assert!(ClickhouseError::of("h", &answer(200, "Code: 241. DB::Exception: memory")).is_some());
        let late = ClickhouseError::of("h", &answer(200, "__exception__\r\nCode: 241. DB::Exception: memory")).unwrap();
        assert_eq!(late.code, Some(241));
        assert_eq!(ClickhouseError::of("h", &answer(200, "welcome")).unwrap().meaning, Meaning::Busy);
        let broken_off = Answer { is_whole: false, ..answer(200, "") };
        assert_eq!(ClickhouseError::of("h", &broken_off).unwrap().meaning, Meaning::Busy);
        assert_eq!(ClickhouseError::of("h", &answer(502, "bad gateway")).unwrap().meaning, Meaning::Busy);
    }
}
