//! Dead letters as a file sink writes them: one JSON object per line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::letter::Letter;

/// A record's line.
#[derive(Deserialize)]
struct Line {
    content_type: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    payload_encoding: Option<String>,
    payload: Box<RawValue>,
}

/// Reads a line, without its line break.
///
/// # Errors
/// Why it is no dead letter.
pub(super) fn parse(line: &[u8]) -> Result<Letter, String> {
    let Line { content_type, headers, payload_encoding, payload } =
        serde_json::from_slice(line).map_err(|error| format!("no record of a file sink: {error}"))?;
    let text = || serde_json::from_str::<String>(payload.get());
    let payload = match payload_encoding.as_deref() {
        // A string unless it was JSON that could be copied.
        None if !content_type.as_deref().is_some_and(is_json) => {
            Bytes::from(text().map_err(|_| "payload is no string")?)
        }
        None => Bytes::from(payload.get().to_owned()),
        Some("text") => Bytes::from(text().map_err(|_| "payload is no string")?),
        Some("base64") => {
            let text = text().map_err(|_| "payload is no string")?;
            Bytes::from(STANDARD.decode(text).map_err(|_| "payload is no base64")?)
        }
        Some(other) => return Err(format!("unknown payload encoding {other:?}")),
    };
    Letter::of_headers(headers, content_type, payload).map_err(str::to_owned)
}

/// Whether a MIME type says JSON, parameters aside.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split_once(';').map_or(content_type, |(essence, _)| essence).trim();
    let suffix = essence.rsplit_once('+').map(|(_, suffix)| suffix);
    essence.eq_ignore_ascii_case("application/json") || suffix.is_some_and(|it| it.eq_ignore_ascii_case("json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rest: &str) -> Result<Letter, String> {
        parse(format!(r#"{{"headers":[["tidemill-reason","permanent"],["tidemill-topic","a/b"]],{rest}}}"#).as_bytes())
    }

    #[test]
    fn payloads_are_read_in_every_encoding() {
        let cases: [(&str, &[u8]); 5] = [
            (r#""payload":"plain \"text\"""#, b"plain \"text\""),
            (r#""content_type":"application/json","payload":{"b":1.50,"a":[]}"#, b"{\"b\":1.50,\"a\":[]}"),
            (r#""content_type":"application/json","payload":"a string""#, b"\"a string\""),
            (r#""content_type":"application/json","payload_encoding":"text","payload":"{broken""#, b"{broken"),
            (r#""payload_encoding":"base64","payload":"/wB/""#, &[0xFF, 0, 0x7F]),
        ];
        for (rest, payload) in cases {
            let letter = line(rest).unwrap();
            assert_eq!((letter.topic(), &letter.payload()[..]), (Some("a/b"), payload), "{rest}");
        }
    }

    #[test]
    fn what_is_no_letter_says_why() {
        for (text, why) in [
            (&b"not json"[..], "no record"),
            (b"{\"payload\":\"x\"}", "no dead letter"),
            (b"{\"payload\":1}", "no string"),
            (b"{\"payload_encoding\":\"rot13\",\"payload\":\"x\"}", "rot13"),
            (b"{\"payload_encoding\":\"base64\",\"payload\":\"?\"}", "base64"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
