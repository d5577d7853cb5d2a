//! Line protocol. Invariant: what a record says stays where it was put: it begins no tag, field or line of its own.
//!
//! Servers read backslashes in names and tags in different ways, and no server has a way to write a line break there.
//! What not all of them would read alike is refused; text in fields takes anything.

/// Why a text cannot stand in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    Empty,
    ControlCharacter,
    Backslash,
    Comment,
}

impl Unfit {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Empty => "is empty",
            Self::ControlCharacter => {
                "has a line break or another control character, which line protocol cannot hold here"
            }
            Self::Backslash => {
                "has a backslash at its end or before a comma, an equals sign, a space or a backslash, which servers read \
                 in different ways"
            }
            Self::Comment => "begins with #, which makes the line a comment",
        }
    }
}

/// Appends the name of a measurement.
pub(super) fn push_measurement(line: &mut String, name: &str) -> Result<(), Unfit> {
    if name.starts_with('#') {
        return Err(Unfit::Comment);
    }
    push_escaped(line, name, &[',', ' '])
}

/// Appends the name of a tag or field, or the value of a tag.
pub(super) fn push_name(line: &mut String, name: &str) -> Result<(), Unfit> {
    push_escaped(line, name, &[',', '=', ' '])
}

fn push_escaped(line: &mut String, text: &str, special: &[char]) -> Result<(), Unfit> {
    if text.is_empty() {
        return Err(Unfit::Empty);
    }
    // Most texts have nothing special in them, which their bytes tell at once: C2 begins the control characters above ASCII.
    let is_odd = |byte: u8| byte < b' ' || matches!(byte, b' ' | b',' | b'=' | b'\\' | 0x7F | 0xC2);
    if !text.bytes().fold(false, |odd, byte| odd | is_odd(byte)) {
        line.push_str(text);
        return Ok(());
    }
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character.is_control() {
            return Err(Unfit::ControlCharacter);
        }
        if character == '\\' && characters.peek().is_none_or(|next| matches!(next, ',' | '=' | ' ' | '\\')) {
            return Err(Unfit::Backslash);
        }
        if special.contains(&character) {
            line.push('\\');
        }
        line.push(character);
    }
    Ok(())
}

/// Appends text as the value of a field.
pub(super) fn push_text(line: &mut String, text: &str) {
    line.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            line.push('\\');
        }
        line.push(character);
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A point as a naive reader of line protocol sees it: measurement, tags and fields in the order of the line.
    #[derive(Debug, PartialEq, Eq)]
    struct Read {
        measurement: String,
        tags: Vec<(String, String)>,
        fields: Vec<(String, String)>,
    }

    /// Reads one line with a tag and a text field; every backslash before a special character is taken away.
    fn read(line: &str) -> Option<Read> {
        let mut rest = line.chars().peekable();
        let mut until = |ends: &[char]| {
            let mut text = String::new();
            while let Some(&character) = rest.peek() {
                if ends.contains(&character) {
                    break;
                }
                rest.next();
                match (character, rest.peek()) {
                    ('\\', Some(&next)) if matches!(next, ',' | '=' | ' ') => {
                        rest.next();
                        text.push(next);
                    }
                    _ => text.push(character),
                }
            }
            (text, rest.next())
        };
        let (measurement, end) = until(&[',', ' ']);
        let (tag, equals) = if end == Some(',') { until(&['=']) } else { return None };
        let (value, space) = until(&[' ', ',']);
        let (field, quote) = until(&['=']);
        if (equals, space, quote) != (Some('='), Some(' '), Some('=')) || rest.next() != Some('"') {
            return None;
        }
        let mut text = String::new();
        loop {
            match rest.next()? {
                '\\' => text.push(rest.next()?),
                '"' => break,
                character => text.push(character),
            }
        }
        rest.next().is_none().then_some(Read { measurement, tags: vec![(tag, value)], fields: vec![(field, text)] })
    }

    fn tricky() -> impl Strategy<Value = String> {
        prop_oneof!["[a,= \\\\\"#\n]{0,6}", ".{0,8}"]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(m in tricky(), t in tricky(), v in tricky(), f in tricky(), x in "(?s).{0,9}") {
            let mut line = String::new();
            let mut write = || -> Result<(), Unfit> {
                push_measurement(&mut line, &m)?;
                line.push(',');
                push_name(&mut line, &t)?;
                line.push('=');
                push_name(&mut line, &v)?;
                line.push(' ');
                push_name(&mut line, &f)?;
                line.push('=');
                push_text(&mut line, &x);
                Ok(())
            };
            if write().is_ok() {
                let wanted = Read { measurement: m, tags: vec![(t, v)], fields: vec![(f, x)] };
                prop_assert_eq!(read(&line), Some(wanted), "{}", line);
            }
        }
    }

    #[test]
    fn what_servers_read_in_different_ways_is_refused() {
        let name = |text: &str| push_name(&mut String::new(), text);
        assert_eq!(name(""), Err(Unfit::Empty));
        assert_eq!(name("a\nb c=1"), Err(Unfit::ControlCharacter));
        assert_eq!(name("a\\"), Err(Unfit::Backslash));
        assert_eq!(name("a\\,b"), Err(Unfit::Backslash));
        assert_eq!(name("C:\\plant"), Ok(()));
        assert_eq!(push_measurement(&mut String::new(), "# a"), Err(Unfit::Comment));
    }
}
