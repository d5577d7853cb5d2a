//! Secrets: text that can be used but never shown `G12`.
//!
//! The `Secret` of the sinks is another thing: the place of a secret, read whenever a sink connects. This one is the
//! text: from the key, when the configuration is loaded, or from the file that its `_file` key names, on every connect
//! (`admin.token_file`: once, at the start).

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ConfigProblem;

/// Larger files are no secrets but mistakes, such as a device that never ends.
const MAX_FILE_BYTES: u64 = 64 * 1024;

const REDACTED: &str = "***";

/// A text that `Debug`, `Display` and `Serialize` show as `***`.
#[derive(Clone, Default)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into().into_boxed_str())
    }

    /// The text itself. Do not log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `given` is this secret. How long it takes depends on the length of `given` alone.
    #[must_use]
    pub fn matches(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let mut difference = usize::from(own.len() != given.len());
        for (at, byte) in given.iter().enumerate() {
            let expected = own.get(at).copied().unwrap_or(0);
            difference |= usize::from(std::hint::black_box(byte ^ expected));
        }
        difference == 0
    }

    /// Reads a secret from a file without the one line break that most files end with.
    pub(super) fn read(key: &str, path: &Path) -> Result<Self, ConfigProblem> {
        let problem = |why: &str, fix| ConfigProblem::new(key, format!("file {} {why}", path.display()), fix);
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|error| problem(&format!("cannot be read, {error}"), "name a file that this process may read"))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(problem("is larger than 64KiB", "name the file that holds the secret alone"));
        }
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return Err(problem("is not UTF-8", "write the secret as text"));
        };
        let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        if text.is_empty() {
            return Err(problem("is empty", "write the secret into it or leave the key out"));
        }
        Ok(Self::new(text))
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // `writeOnly` is also what keeps the value out of error texts: see `keys`.
        json_schema!({ "type": "string", "writeOnly": true })
    }
}
