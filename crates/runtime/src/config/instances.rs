//! How many instances: a number, or limits between which the worker finds the number itself.
//!
//! INVARIANT: written and read are exact inverses, for numbers and for limits.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::validate::MAX_INSTANCES;

/// How many instances a worker runs: `4`, or `{ min = 2, max = 8 }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instances {
    /// So many, whatever the load.
    Fixed(u32),
    /// As many as the load needs, within limits: see the section `[elastic]`.
    Elastic {
        /// At least so many.
        min: u32,
        /// At most so many.
        max: u32,
    },
}

impl Instances {
    /// The lower limit; of a fixed number the number.
    #[must_use]
    pub fn min(self) -> u32 {
        match self {
            Self::Fixed(number) => number,
            Self::Elastic { min, .. } => min,
        }
    }

    /// The upper limit; of a fixed number the number.
    #[must_use]
    pub fn max(self) -> u32 {
        match self {
            Self::Fixed(number) => number,
            Self::Elastic { max, .. } => max,
        }
    }
}

impl From<u32> for Instances {
    fn from(number: u32) -> Self {
        Self::Fixed(number)
    }
}

impl PartialEq<u32> for Instances {
    fn eq(&self, number: &u32) -> bool {
        *self == Self::Fixed(*number)
    }
}

impl fmt::Display for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(number) => write!(f, "{number}"),
            Self::Elastic { min, max } => write!(f, "{min} to {max}"),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    min: u32,
    max: u32,
}

impl Serialize for Instances {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Fixed(number) => serializer.serialize_u32(number),
            Self::Elastic { min, max } => Limits { min, max }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Instances {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrLimits;

        impl<'de> Visitor<'de> for NumberOrLimits {
            type Value = Instances;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SHAPE)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Instances, E> {
                u32::try_from(number).map(Instances::Fixed).map_err(|_| E::custom("the number is out of range"))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Instances, E> {
                u32::try_from(number).map(Instances::Fixed).map_err(|_| E::custom("the number is out of range"))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Instances, A::Error> {
                let Limits { min, max } = Limits::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Instances::Elastic { min, max })
            }
        }

        deserializer.deserialize_any(NumberOrLimits)
    }
}

const SHAPE: &str = "a whole number from 1 to 1024 or limits such as { min = 2, max = 8 }";

impl JsonSchema for Instances {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Instances".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let number = serde_json::json!({ "type": "integer", "minimum": 1, "maximum": MAX_INSTANCES });
        json_schema!({
            "type": ["integer", "object"],
            "format": "number-or-limits",
            "x-shape": SHAPE,
            "minimum": 1,
            "maximum": MAX_INSTANCES,
            "properties": { "min": number, "max": number },
            "required": ["min", "max"],
            "additionalProperties": false
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn read(toml: &str) -> Result<Instances, String> {
        Config::from_toml(toml).map(|config| config.instances).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_number_and_limits_are_read_inline_as_a_section_and_from_the_environment() {
        let elastic = Instances::Elastic { min: 2, max: 8 };
        assert_eq!(read("instances = 3"), Ok(Instances::Fixed(3)));
        assert_eq!(read("instances = { min = 2, max = 8 }"), Ok(elastic));
        assert_eq!(read("[instances]\nmin = 2\nmax = 8"), Ok(elastic));
        for (text, expected) in [("3", Instances::Fixed(3)), ("{ min = 2, max = 8 }", elastic)] {
            let config = Config::loader().text("instances = 1").env(&[("TIDEMILL_INSTANCES", text)]).load().unwrap();
            assert_eq!(config.instances, expected);
        }
    }

    #[test]
    fn what_is_neither_is_refused_with_what_to_write() {
        for wrong in ["{ min = 2 }", "{ min = 2, max = 8, most = 9 }", "[2, 8]", "{ min = 'two', max = 8 }", "-1"] {
            let text = read(&format!("instances = {wrong}")).unwrap_err();
            assert!(text.starts_with("instances (line 1)") && text.contains("{ min = 2, max = 8 }"), "{text}");
        }
        for wrong in ["{ min = 0, max = 2 }", "{ min = 1, max = 1025 }", "{ min = 3, max = 2 }"] {
            let text = read(&format!("instances = {wrong}")).unwrap_err();
            assert!(text.starts_with("instances (line 1): limits"), "{text}");
        }
    }
}
