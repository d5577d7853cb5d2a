//! Text as a JSON string, as serde_json writes it, without a branch per quote: in payloads that are JSON themselves nobody
//! foresees where the next one stands.

/// Appends the text with its quotes.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut written = [0; 2 * BLOCK];
    for block in text.as_bytes().chunks(BLOCK) {
        let mut len = 0;
        for byte in block {
            let Escape { backslash, then } = ESCAPES[usize::from(*byte)];
            // Overwritten where there is none.
            written[len] = b'\\';
            len += usize::from(backslash);
            written[len] = then;
            len += 1;
            if then == b'u' && backslash {
                out.extend_from_slice(&written[..len]);
                out.extend_from_slice(b"00");
                out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
                len = 0;
            }
        }
        out.extend_from_slice(&written[..len]);
    }
    out.push(b'"');
}

const BLOCK: usize = 32;

/// How a byte is written.
#[derive(Clone, Copy)]
struct Escape {
    backslash: bool,
    then: u8,
}

const ESCAPES: [Escape; 256] = {
    let mut escapes = [Escape { backslash: false, then: 0 }; 256];
    let mut byte = 0;
    loop {
        let (backslash, then) = match byte {
            0x08 => (true, b'b'),
            0x09 => (true, b't'),
            0x0A => (true, b'n'),
            0x0C => (true, b'f'),
            0x0D => (true, b'r'),
            0..0x20 => (true, b'u'),
            byte => (matches!(byte, b'"' | b'\\'), byte),
        };
        escapes[byte as usize] = Escape { backslash, then };
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    escapes
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_written_as_serde_json_writes_it(text in "(?s)(.|[\u{0}-\u{7F}\"\\\\]{1,9}){0,60}") {
            let mut out = b"x".to_vec();
            push_string(&mut out, &text);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("x{}", serde_json::to_string(&text).unwrap()));
        }
    }
}
