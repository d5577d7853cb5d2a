//! JSON gone through without making values of it: many payloads are only passed on, or asked for a member or two.
//!
//! Invariant: a text that passes is one JSON value (RFC 8259) whose parts stand where they are said to. Nesting is
//! bounded, so that no payload overflows the stack.

/// Levels of nesting that a text may have. Common parsers stop at 128, and a record's object takes one.
const MAX_DEPTH: u8 = 120;

/// Whether the text is one JSON value that common parsers accept inside a record's object. Stricter than the grammar where
/// parsers differ: a number that no double holds, half a surrogate pair and very deep nesting are valid JSON and still
/// break many readers.
#[cfg(feature = "lines")]
pub(crate) fn is_portable(text: &str) -> bool {
    let mut scan = Scan { text, at: 0, portable: true };
    scan.value(MAX_DEPTH).and_then(|()| scan.end()).is_some()
}

/// Tells the members of a JSON object in their order: the name as it is written, with its quotes, and the value.
/// `None` when the text is no object. Numbers may be out of range, and surrogate pairs halved.
#[cfg(feature = "template")]
pub(crate) fn members<'t>(text: &'t str, each: impl FnMut(&'t str, &'t str) -> Option<()>) -> Option<()> {
    let mut scan = Scan { text, at: 0, portable: false };
    scan.space();
    scan.take(b'{')?;
    scan.object(MAX_DEPTH, each)?;
    scan.end()
}

/// A place in a text. What gives `None` has found no JSON there.
struct Scan<'t> {
    text: &'t str,
    at: usize,
    /// Whether what is not [portable](is_portable) counts as wrong.
    portable: bool,
}

impl<'t> Scan<'t> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn end(&mut self) -> Option<()> {
        self.space();
        (self.at == self.text.len()).then_some(())
    }

    fn value(&mut self, depth: u8) -> Option<()> {
        self.space();
        match self.next()? {
            b'"' => self.string(),
            b'{' => self.object(depth, |_, _| Some(())),
            b'[' => self.array(depth),
            b't' => self.word("rue"),
            b'f' => self.word("alse"),
            b'n' => self.word("ull"),
            first => self.number(first),
        }
    }

    /// The rest of an object.
    fn object(&mut self, depth: u8, mut each: impl FnMut(&'t str, &'t str) -> Option<()>) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.space();
            let name = self.at;
            self.take(b'"')?;
            self.string()?;
            let name = &self.text[name..self.at];
            self.space();
            self.take(b':')?;
            self.space();
            let value = self.at;
            self.value(depth)?;
            each(name, &self.text[value..self.at])?;
            self.space();
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// The rest of an array.
    fn array(&mut self, depth: u8) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.space();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.value(depth)?;
            self.space();
            match self.next()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    /// The rest of a string.
    fn string(&mut self) -> Option<()> {
        loop {
            while let Some(eight) = self.text.as_bytes().get(self.at..).and_then(|rest| rest.first_chunk()) {
                match first_odd(u64::from_le_bytes(*eight)) {
                    None => self.at += 8,
                    Some(odd) => {
                        self.at += odd;
                        break;
                    }
                }
            }
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                ..b' ' => return None,
                _ => {}
            }
        }
    }

    /// The rest of an escape.
    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => match self.hex()? {
                0xD800..0xDC00 if self.portable => {
                    self.word("\\u")?;
                    matches!(self.hex()?, 0xDC00..0xE000).then_some(())
                }
                0xDC00..0xE000 if self.portable => None,
                _ => Some(()),
            },
            _ => None,
        }
    }

    fn hex(&mut self) -> Option<u32> {
        let mut number = 0;
        for _ in 0..4 {
            number = number * 16 + char::from(self.next()?).to_digit(16)?;
        }
        Some(number)
    }

    fn word(&mut self, rest: &str) -> Option<()> {
        let found = self.text.as_bytes().get(self.at..)?.starts_with(rest.as_bytes());
        self.at += rest.len();
        found.then_some(())
    }

    /// The rest of a number.
    fn number(&mut self, first: u8) -> Option<()> {
        /// So many digits before the point stay below the greatest double.
        const SURE: usize = 300;
        let start = self.at - 1;
        match if first == b'-' { self.next()? } else { first } {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return None,
        }
        let mut is_sure = self.at - start < SURE;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
            is_sure = false;
        }
        let fits = !self.portable || is_sure || self.text[start..self.at].parse().is_ok_and(f64::is_finite);
        fits.then_some(())
    }

    #[inline]
    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Option<()> {
        let start = self.at;
        self.digits();
        (self.at > start).then_some(())
    }
}

/// The first of eight bytes that is a quote, a backslash or a control character.
#[inline]
fn first_odd(eight: u64) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES << 7;
    // The lowest bit that this sets is right; a borrow may set others above it.
    let zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let control = eight.wrapping_sub(ONES * 0x20) & !eight;
    let odd = (zero(eight ^ (ONES * 0x22)) | zero(eight ^ (ONES * 0x5C)) | control) & HIGH;
    (odd != 0).then(|| odd.trailing_zeros() as usize / 8)
}

#[cfg(all(test, feature = "lines", feature = "template"))]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// A text of pieces of JSON, mostly wrong.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"b\":", "\\", "\\u", "\\ud83d", "\\ude00", "\\n", "0", "-",
            "1", "12", ".5", "e", "E+3", "e999", "true", "false", "null", "nul", " ", "\n", "\t", "\u{1}", "é",
            "\u{2028}", "/",
        ]);
        prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "(?s).{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("(?s).{0,9}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn agrees(text: &str) -> Result<(), TestCaseError> {
        prop_assert_eq!(is_portable(text), serde_json::from_str::<Value>(text).is_ok(), "{:?}", text);
        let mut names = Vec::new();
        let all = members(text, |name, value| {
            // A lone surrogate has no text.
            names.push(serde_json::from_str::<String>(name).ok());
            serde_json::from_str::<&serde_json::value::RawValue>(value).is_ok().then_some(())
        });
        if let Ok(Value::Object(object)) = serde_json::from_str(text) {
            prop_assert!(all.is_some());
            prop_assert!(object.keys().all(|key| names.contains(&Some(key.clone()))));
        } else if is_portable(text) {
            prop_assert!(all.is_none());
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn it_takes_what_a_parser_takes(text in pieces()) {
            agrees(&text)?;
            agrees(&format!("{{\"a\":{text}}}"))?;
            agrees(&format!("[\"{text}\",1]"))?;
        }

        #[test]
        fn a_value_passes_and_without_one_of_its_bytes_as_a_parser_says(
            value in json(), pretty in any::<bool>(), cut in any::<prop::sample::Index>(),
        ) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            prop_assert!(is_portable(&text), "{}", text);
            agrees(&text)?;
            let mut shorter: Vec<char> = text.chars().collect();
            shorter.remove(cut.index(shorter.len()));
            agrees(&shorter.into_iter().collect::<String>())?;
        }
    }

    #[test]
    fn nesting_ends_before_the_stack_does() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(is_portable(&nested(120)) && !is_portable(&nested(121)));
        assert!(!is_portable(&"[".repeat(1_000_000)) && !is_portable(&"{\"a\":".repeat(1_000_000)));
    }
}
