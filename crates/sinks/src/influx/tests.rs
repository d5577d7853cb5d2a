//! The sink against real servers, and against answers that those do not give on demand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod real_server;

use std::time::{Duration, SystemTime};

use tidemill_core::{Record, Sink};

use super::{Influx, InfluxApi, InfluxConfig, InfluxField, InfluxPrecision, InfluxTime, point};
use crate::Template;

fn template(text: &str) -> Template {
    Template::new(text).unwrap()
}

fn config() -> InfluxConfig {
    let api = InfluxApi::V2 { org: "o".to_owned(), bucket: "b".to_owned() };
    InfluxConfig::new("http://localhost:1", api, template("m {header:site|none}"))
}

fn line(config: &InfluxConfig, record: &Record) -> Result<String, String> {
    let mut line = String::new();
    point::push(config, &mut line, record).map(|()| line)
}

#[test]
fn a_record_is_a_line_with_its_tags_fields_and_time() {
    let config = config()
        .tag("line", template("{key}"))
        .tag("none", template("{header:none|}"))
        .field("celsius", InfluxField::Field("/celsius".to_owned()))
        .field("hot", InfluxField::Field("/hot".to_owned()))
        .field("n", InfluxField::Integer("/n".to_owned()))
        .field("raw", InfluxField::Payload)
        .field("unit", InfluxField::Text(template("deg {header:unit|C}")))
        .field("void", InfluxField::Field("/void".to_owned()));
    let record = Record::new(r#"{"celsius":71,"hot":true,"n":3}"#)
        .with_key("a b,c=d")
        .with_time(SystemTime::UNIX_EPOCH + Duration::from_nanos(1_500_000_001));
    let wanted = r#"m\ none,line=a\ b\,c\=d celsius=71,hot=true,n=3i,raw="{\"celsius\":71,\"hot\":true,\"n\":3}",unit="deg C" 1500000001"#;
    assert_eq!(line(&config, &record), Ok(format!("{wanted}\n")));
}

#[test]
fn the_time_may_stand_in_the_payload_and_is_as_fine_as_told() {
    let mut config = config().field("n", InfluxField::Field("/n".to_owned()));
    let record = Record::new(r#"{"n":1,"s":1700000000,"ms":1700000000123,"text":"2023-11-14T23:13:20.5+01:00"}"#);
    for (time, precision, written) in [
        (InfluxTime::Seconds("/s".to_owned()), InfluxPrecision::S, "1700000000"),
        (InfluxTime::Milliseconds("/ms".to_owned()), InfluxPrecision::Us, "1700000000123000"),
        (InfluxTime::Milliseconds("/ms".to_owned()), InfluxPrecision::S, "1700000000"),
        (InfluxTime::Rfc3339("/text".to_owned()), InfluxPrecision::Ms, "1700000000500"),
    ] {
        (config.time, config.precision) = (time, precision);
        let line = line(&config, &record).unwrap();
        assert_eq!(line.trim_end().rsplit(' ').next(), Some(written));
    }
}

#[test]
fn a_record_that_is_no_point_is_refused_without_its_content() {
    let base = config().field("n", InfluxField::Integer("/n".to_owned())).tag("line", template("{key|none}"));
    let good = Record::new(r#"{"n":1}"#).with_time(SystemTime::UNIX_EPOCH);
    assert!(line(&base, &good).is_ok());
    let time = |pointer: &str| base.clone().time(InfluxTime::Milliseconds(pointer.to_owned()));
    for (config, record, reason) in [
        (&base, Record::new(r#"{"n":1}"#), "no time"),
        (&base, Record::new(r#"{"m":1}"#).with_time(SystemTime::UNIX_EPOCH), "none of the fields"),
        (&base, Record::new(r#"{"n":1.5}"#).with_time(SystemTime::UNIX_EPOCH), "whole number"),
        (&base, Record::new("s3cret").with_time(SystemTime::UNIX_EPOCH), "not JSON"),
        (&base, good.clone().with_key("s3cret\nx y=1"), "line break"),
        (&time("/at"), good.clone(), "nothing at /at"),
        (&time("/n"), Record::new(r#"{"n":9007199254740993000}"#), "out of range"),
    ] {
        let error = line(config, &record).unwrap_err();
        assert!(error.contains(reason) && !error.contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn a_pointer_without_its_slash_is_refused_when_the_sink_opens() {
    let good = || InfluxField::Field("/celsius".to_owned());
    let field = config().field("celsius", InfluxField::Field("celsius".to_owned()));
    let whole = config().field("n", InfluxField::Integer("n".to_owned()));
    let time = config().field("celsius", good()).time(InfluxTime::Seconds("at".to_owned()));
    for (config, named) in [(field, "celsius"), (whole, "n"), (time, "time")] {
        let error = Influx::new(config).open().await.unwrap_err();
        let text = tidemill_core::report(&error);
        assert!(text.contains(&format!("{named}: ")) && text.contains("begin it with a slash"), "{text}");
    }
}
