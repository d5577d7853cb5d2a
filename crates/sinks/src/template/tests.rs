//! Templates against a naive model, and values that try to break out of their place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, SystemTime};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use smallvec::smallvec;
use tidemill_core::topic::TopicName;
use tidemill_core::{Captures, Record, Span};

use super::{Escape, Fields, Identifier, Part, RenderErrorKind, Source, Template, TemplateErrorKind};

/// `plant/7/temperature`, with the second level captured as `line`.
fn record() -> Record {
    let mut record = Record::new(r#"{"a":{"b":"x y"},"n":21.5,"t":true,"z":null,"list":[1,"two"]}"#)
        .with_key("k/1")
        .with_header("Unit", "C")
        .with_header("unit", "K")
        .with_header("empty", "")
        .with_time(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    record.topic = Some(TopicName::new("plant/7/temperature").unwrap());
    record.captures = Captures::new(["line".into()].into(), smallvec![Span { start: 6, end: 7 }]);
    record
}

fn render(template: &str, escape: Escape) -> Result<String, RenderErrorKind> {
    let template = Template::new(template).unwrap();
    template.render(&record(), escape).map(Into::into).map_err(|error| error.kind())
}

#[test]
fn every_kind_of_placeholder_gives_its_value() {
    for (template, text) in [
        ("{line}", "7"),
        ("{capture:line}", "7"),
        ("{topic}", "plant/7/temperature"),
        ("{key}", "k/1"),
        ("{field:/a/b}", "x y"),
        ("{field:/n}", "21.5"),
        ("{field:/t}", "true"),
        ("{field:/list/1}", "two"),
        ("{header:unit}", "C"),
        ("{time:%Y/%m/%d %H:%M:%S}", "2023/11/14 22:13:20"),
        ("{{{line}}}", "{7}"),
        ("{missing|no ne}", "no ne"),
        ("{missing|}", ""),
        ("{field:/z|null}", "null"),
        ("{header:empty|none}", "none"),
        ("", ""),
    ] {
        assert_eq!(render(template, Escape::None).as_deref(), Ok(text), "{template}");
    }
}

#[test]
fn a_record_that_does_not_fit_is_refused_with_the_reason() {
    for (template, kind) in [
        ("{missing}", RenderErrorKind::Absent),
        ("{header:empty}", RenderErrorKind::Absent),
        ("{field:/z}", RenderErrorKind::Absent),
        ("{field:/a}", RenderErrorKind::NotScalar),
        ("{field:}", RenderErrorKind::NotScalar),
    ] {
        assert_eq!(render(template, Escape::None), Err(kind), "{template}");
    }
    let kind = |template: &str, record: &Record| {
        Template::new(template).unwrap().render(record, Escape::None).unwrap_err().kind()
    };
    assert_eq!(kind("{key}", &Record::new("x").with_key(&b"\xff"[..])), RenderErrorKind::NotText);
    assert_eq!(kind("{field:/a|b}", &Record::new("x")), RenderErrorKind::NotJson);
    let error = Template::new("{line}").unwrap().render(&Record::new("x"), Escape::None).unwrap_err();
    assert_eq!(error.to_string(), "template value {line}: the record has none; give a fallback as in `{line|none}`");
}

#[test]
fn a_mistake_is_named_with_its_place_and_the_way_out() {
    for (text, kind, column) in [
        ("a{line", TemplateErrorKind::NotClosed, 2),
        ("ä{a{b}}", TemplateErrorKind::NotClosed, 2),
        ("a}b", TemplateErrorKind::StrayBrace, 2),
        ("{}", TemplateErrorKind::BadCaptureName, 1),
        ("{a b}", TemplateErrorKind::BadCaptureName, 1),
        ("{file:x}", TemplateErrorKind::UnknownKind, 1),
        ("{field:a}", TemplateErrorKind::BadPointer, 1),
        ("{header:}", TemplateErrorKind::NoHeaderName, 1),
        ("{time:}", TemplateErrorKind::BadTimeFormat, 1),
        ("{time:%!}", TemplateErrorKind::BadTimeFormat, 1),
    ] {
        let error = Template::new(text).unwrap_err();
        assert_eq!((error.kind(), error.column()), (kind, column), "{text}");
    }
    assert_eq!(
        Template::new("a/{field:b}").unwrap_err().to_string(),
        "template, column 3, near \"{field:b}\": a JSON pointer does not begin with a slash; write it as in \
         `{field:/reading/celsius}`"
    );
}

#[test]
fn values_do_not_break_out_of_their_place() {
    assert_eq!(render("http://h/{key}?q={field:/a/b}", Escape::UrlPathSegment).unwrap(), "http://h/k%2F1?q=x%20y");
    assert_eq!(render("{topic}", Escape::ObjectSegment).unwrap(), "plant/7/temperature");
    assert_eq!(render("{topic}", Escape::UrlQuery).unwrap(), "plant%2F7%2Ftemperature");
    assert_eq!(render("out/{topic}", Escape::TopicLevel).unwrap(), "out/plant/7/temperature");
    assert_eq!(render("out/{key}", Escape::TopicLevel), Err(RenderErrorKind::NotALevel));
    assert_eq!(render("out.{topic}", Escape::DottedWord).unwrap(), "out.plant.7.temperature");
    for value in ["a.b", "*", "a>", "a b", "a\n", "#"] {
        let error = Template::new("{header:x}").unwrap();
        let error = error.render(&Record::new("").with_header("x", value), Escape::DottedWord).unwrap_err();
        assert_eq!(error.kind(), RenderErrorKind::NotAWord, "{value:?}");
    }
    let template = Template::new("a/{header:x}{header:y|}/b").unwrap();
    for (x, y) in [("..", ""), (".", "."), (".", "")] {
        let record = Record::new("").with_header("x", x).with_header("y", y);
        let error = template.render(&record, Escape::ObjectSegment).unwrap_err();
        assert_eq!(error.kind(), RenderErrorKind::DotSegment);
    }
    let encoded = Template::new("a/%2E{header:x}").unwrap();
    let record = Record::new("").with_header("x", ".");
    assert_eq!(encoded.render(&record, Escape::UrlPathSegment).unwrap_err().kind(), RenderErrorKind::DotSegment);
}

#[test]
fn what_fails_leaves_the_text_as_it_was() {
    let record = record();
    let fields = Fields::new(&record);
    let mut text = "before".to_owned();
    Template::new("a{line}{missing}").unwrap().render_into(&mut text, &fields, Escape::None).unwrap_err();
    Template::new("../{line}").unwrap().render_into(&mut text, &fields, Escape::ObjectSegment).unwrap_err();
    assert_eq!(text, "before");
}

#[test]
fn the_payload_is_parsed_once_for_several_fields() {
    let record = record();
    let fields = Fields::new(&record);
    let first: *const _ = fields.payload().unwrap();
    let mut text = String::new();
    Template::new("{field:/n}{field:/t}").unwrap().render_into(&mut text, &fields, Escape::None).unwrap();
    assert!(std::ptr::eq(first, fields.payload().unwrap()));
    assert_eq!(text, "21.5true");
}

#[test]
fn settings_hold_a_template_as_text() {
    let template: Template = serde_json::from_str("\"{line|x}/{{}}\"").unwrap();
    assert_eq!(serde_json::to_string(&template).unwrap(), "\"{line|x}/{{}}\"");
    let error = serde_json::from_str::<Template>("\"{line\"").unwrap_err();
    assert!(error.to_string().contains("not closed"), "{error}");
}

#[test]
fn only_plain_names_are_identifiers() {
    for good in ["readings", "plant.readings", "a.b.c", "Größe", "a-b", "x$1", "1st"] {
        assert_eq!(Identifier::new(good).unwrap().as_str(), good);
    }
    for bad in ["", ".", "a.", "a.b.c.d", "a b", "a\"b", "a`b", "a\\b", "a;b", "a'b", "a\0", &"x".repeat(64)] {
        assert!(Identifier::new(bad).is_err(), "{bad}");
    }
    let name = Identifier::new("plant.readings").unwrap();
    assert_eq!((name.quoted_with('`').as_str(), name.last()), ("`plant`.`readings`", "readings"));
}

/// A template's parts as the parser should find them: no two literals in a row.
fn parts() -> impl Strategy<Value = Vec<Part>> {
    let source = prop_oneof![
        "[a-zA-Z_ö-]{1,5}".prop_map(|name| Source::Capture(name.into())),
        Just(Source::Capture("topic".into())),
        Just(Source::Topic),
        Just(Source::Key),
        "(/[^{}|]{0,4}){0,3}".prop_map(|pointer| Source::Field(pointer.into())),
        "[^{}|]{1,5}".prop_map(|name| Source::Header(name.into())),
        prop_oneof![Just("%Y"), Just("%m/%d"), Just("%s:%%")].prop_map(|format| Source::Time(format.into())),
    ];
    let source = source.prop_map(|source| match source {
        Source::Capture(name) if &*name == "key" => Source::Key,
        source => source,
    });
    let value = (source, option::of("[^{}]{0,5}"))
        .prop_map(|(source, fallback)| Part::Value { source, fallback: fallback.map(Into::into) });
    vec((option::of(".{1,5}"), option::of(value)), 0..5).prop_map(|pairs| {
        let mut parts: Vec<Part> = Vec::new();
        for (literal, value) in pairs {
            if let Some(literal) = literal {
                match parts.last_mut() {
                    Some(Part::Literal(before)) => *before = format!("{before}{literal}").into(),
                    _ => parts.push(Part::Literal(literal.into())),
                }
            }
            parts.extend(value);
        }
        parts
    })
}

fn percent_decode(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            decoded.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            decoded.push(byte);
        }
    }
    decoded
}

proptest! {
    #[test]
    fn a_template_that_is_written_and_read_again_is_the_same(parts in parts()) {
        let template = Template { parts: parts.into() };
        prop_assert_eq!(Template::new(&template.to_string()).unwrap(), template);
    }

    #[test]
    fn any_text_is_a_template_or_a_mistake_within_the_text(text in "[a-z{}|:/%ö\\PC]{0,30}") {
        match Template::new(&text) {
            Ok(template) => {
                let again = Template::new(&template.to_string()).unwrap();
                prop_assert_eq!(&again, &template);
                _ = template.render(&record(), Escape::ObjectSegment);
            }
            Err(error) => prop_assert!(error.column() <= text.chars().count()),
        }
    }

    #[test]
    fn literals_and_values_come_out_in_order(before in "[^{}]{0,9}", value in "\\PC{1,9}", after in "[^{}]{0,9}") {
        let template = Template::new(&format!("{before}{{header:x}}{after}")).unwrap();
        let record = Record::new("").with_header("x", value.clone());
        prop_assert_eq!(template.render(&record, Escape::None).unwrap(), format!("{before}{value}{after}"));
    }

    #[test]
    fn an_encoded_value_has_no_separators_and_decodes_to_itself(value in ".{1,12}") {
        let template = Template::new("a/{header:x}/b").unwrap();
        let record = Record::new("").with_header("x", value.clone());
        for escape in [Escape::UrlPathSegment, Escape::ObjectSegment, Escape::UrlQuery] {
            match template.render(&record, escape) {
                Ok(text) => {
                    let inner = text.strip_prefix("a/").unwrap().strip_suffix("/b").unwrap();
                    prop_assert!(inner.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)), "{inner}");
                    prop_assert_eq!(percent_decode(inner), value.as_bytes());
                }
                Err(error) => {
                    prop_assert_eq!(error.kind(), RenderErrorKind::DotSegment);
                    prop_assert!(value == "." || value == "..");
                }
            }
        }
    }

    #[test]
    fn a_value_in_a_topic_is_exactly_one_level(value in "(.|[/+#\0]){1,9}") {
        let template = Template::new("a/{header:x}/b").unwrap();
        let record = Record::new("").with_header("x", value.clone());
        match template.render(&record, Escape::TopicLevel) {
            Ok(topic) => {
                prop_assert!(TopicName::new(&topic).is_ok());
                prop_assert_eq!(topic.split('/').collect::<Vec<_>>(), ["a", value.as_str(), "b"]);
            }
            Err(_) => prop_assert!(value.contains(['/', '+', '#', '\0'])),
        }
    }

    #[test]
    fn any_text_is_an_identifier_that_stays_within_its_quotes_or_refused(name in ".{0,12}") {
        if let Ok(name) = Identifier::new(&name) {
            let quoted = name.quoted();
            prop_assert_eq!(quoted.matches('"').count(), 2 * name.parts().count());
        }
    }
}
