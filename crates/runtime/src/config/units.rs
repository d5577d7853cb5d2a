//! Values with units: durations and sizes as text, QoS as a number. Parsing and writing are exact inverses.
//!
//! A number alone is never a duration: nobody can see whether `30` means seconds or milliseconds.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Why a text is not a duration or a size, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnitError {
    pub(super) fix: String,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fix)
    }
}

/// Reads a duration such as `30s`, `250ms` or `1h 30m`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    const UNITS: &str = "write a number and one of the units ns, us, ms, s, m, h, d";
    const ROUNDER: &str = "write a smaller or a rounder number";
    let text = text.trim();
    if text.parse::<f64>().is_ok_and(|number| number >= 0.0 && number.is_finite()) {
        return Err(UnitError { fix: format!("add a unit, as in {text}s or {text}ms") });
    }
    // To humantime `5M` is five months. Whoever writes it means minutes.
    if text.contains('M') {
        return Err(UnitError { fix: "write minutes as m".into() });
    }
    // Numbers near the end of 64 bits make humantime panic when it adds them up.
    let too_long = text.len() > 64 || text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 11);
    if too_long {
        return Err(UnitError { fix: ROUNDER.into() });
    }
    humantime::parse_duration(text).map_err(|error| UnitError {
        fix: match error {
            humantime::DurationError::NumberOverflow => ROUNDER.into(),
            _ => UNITS.into(),
        },
    })
}

/// Writes a duration so that [`parse_duration`] reads the same value back, up to some thousand years.
pub(super) fn format_duration(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    let whole = match seconds {
        0 => None,
        _ if seconds.is_multiple_of(3600) => Some(format!("{}h", seconds / 3600)),
        _ if seconds.is_multiple_of(60) => Some(format!("{}m", seconds / 60)),
        _ => Some(format!("{seconds}s")),
    };
    let part = match nanos {
        0 => None,
        _ if nanos.is_multiple_of(1_000_000) => Some(format!("{}ms", nanos / 1_000_000)),
        _ if nanos.is_multiple_of(1_000) => Some(format!("{}us", nanos / 1_000)),
        _ => Some(format!("{nanos}ns")),
    };
    match (whole, part) {
        (Some(whole), Some(part)) => format!("{whole} {part}"),
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => "0s".into(),
    }
}

const SIZE_UNITS: [(&str, &str, u64); 3] = [("gib", "gi", 1 << 30), ("mib", "mi", 1 << 20), ("kib", "ki", 1 << 10)];

/// Reads a size such as `64KiB`, `1MiB`, `512B` or `512`. The units of Kubernetes, `Ki` and `Mi`, are read too.
pub(super) fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let error = |fix: &str| Err(UnitError { fix: fix.into() });
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (&text[..unit_at], text[unit_at..].trim().to_ascii_lowercase());
    let factor = match unit.as_str() {
        "" | "b" => 1,
        unit => match SIZE_UNITS.iter().find(|(long, short, _)| unit == *long || unit == *short) {
            Some((_, _, factor)) => *factor,
            None if unit.starts_with('.') => return error("write a whole number, with a smaller unit if need be"),
            // `KB` and `K` mean 1000 to some and 1024 to others.
            None => return error("write a whole number of bytes, or one with KiB, MiB or GiB"),
        },
    };
    let Ok(number) = number.parse::<u64>() else {
        return error(if number.is_empty() {
            "write a whole number of bytes, or one with KiB, MiB or GiB"
        } else {
            "write a smaller number"
        });
    };
    number.checked_mul(factor).map_or_else(|| error("write a smaller number"), Ok)
}

/// Writes a size so that [`parse_bytes`] reads the same value back.
pub(super) fn format_bytes(bytes: u64) -> String {
    const NAMES: [&str; 3] = ["GiB", "MiB", "KiB"];
    for ((_, _, factor), name) in SIZE_UNITS.iter().zip(NAMES) {
        if bytes != 0 && bytes.is_multiple_of(*factor) {
            return format!("{}{name}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

/// serde of a [`Duration`] as text with a unit.
pub(super) mod duration {
    use super::*;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(in super::super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(*value))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse_duration(&Cow::<str>::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// serde of an optional [`Duration`].
pub(super) mod optional_duration {
    use super::*;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::trivially_copy_pass_by_ref, clippy::ref_option, reason = "serde calls it so")]
    pub(in super::super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_some(&format_duration(*value)),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<Cow<'_, str>>::deserialize(deserializer)?
            .map(|text| parse_duration(&text).map_err(D::Error::custom))
            .transpose()
    }
}

/// serde of a number of bytes as an integer or as text with a unit.
pub(super) mod bytes {
    use super::*;
    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub(in super::super) fn serialize<T: Copy + Into<u64>, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_bytes((*value).into()))
    }

    pub(in super::super) fn deserialize<'de, T: TryFrom<u64>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = u64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(BytesText::SHAPE)
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
                Ok(value)
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
                u64::try_from(value).map_err(|_| E::custom("a size is not negative"))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<u64, E> {
                parse_bytes(value).map_err(E::custom)
            }
        }
        T::try_from(deserializer.deserialize_any(Bytes)?).map_err(|_| D::Error::custom("the size is too large"))
    }
}

/// serde of a [`QoS`](tidemill_core::QoS) as its number.
pub(super) mod qos {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use tidemill_core::QoS;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(in super::super) fn serialize<S: Serializer>(value: &QoS, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(value.level())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<QoS, D::Error> {
        // 2 is read, so that `validate` can say why it is refused.
        QoS::from_level(u8::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("there are QoS 0, 1 and 2"))
    }
}

macro_rules! schema_of_text {
    ($(#[$doc:meta])* $name:ident, $shape:literal, $schema:tt) => {
        $(#[$doc])*
        pub(super) enum $name {}

        impl $name {
            pub(super) const SHAPE: &'static str = $shape;
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = json_schema!($schema);
                schema.insert("x-shape".to_owned(), Self::SHAPE.into());
                schema
            }
        }
    };
}

schema_of_text!(
    /// Schema of a duration.
    DurationText,
    r#"a duration such as "30s""#,
    { "type": "string", "format": "duration-with-unit" }
);
schema_of_text!(
    /// Schema of a size.
    BytesText,
    r#"a size such as "64KiB""#,
    { "type": ["integer", "string"], "format": "bytes", "minimum": 0 }
);
schema_of_text!(
    /// Schema of a QoS.
    QosNumber,
    "0 or 1",
    { "type": "integer", "enum": [0, 1] }
);
schema_of_text!(
    /// Schema of an address to listen on.
    AddressText,
    r#"an address with a port such as "127.0.0.1:9464""#,
    { "type": "string", "format": "address-with-port" }
);
