//! Whole numbers on the command line: `50K` is 50 000 and `2M` is 2 000 000.

/// Reads a number.
///
/// # Errors
/// The text is none, or too large.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    let number = digits.replace('_', "").parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number.ok_or_else(|| format!("{text:?} is no whole number such as 500, 20K or 2M"))
}

/// Reads a number from `low` to `high`.
pub(crate) fn within(low: u64, high: u64) -> impl Fn(&str) -> Result<u64, String> + Clone {
    move |text| {
        let number = parse(text)?;
        let fits = (low..=high).contains(&number);
        fits.then_some(number).ok_or_else(|| format!("choose {} to {}", short(low), short(high)))
    }
}

/// Writes a number the short way, where nothing is lost by it.
pub(crate) fn short(number: u64) -> String {
    match number {
        0 => "0".to_owned(),
        number if number.is_multiple_of(1_000_000) => format!("{}M", number / 1_000_000),
        number if number.is_multiple_of(1_000) => format!("{}K", number / 1_000),
        number => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_short_is_read_back(number in 0_u64..10_000_000_000) {
            prop_assert_eq!(parse(&short(number)), Ok(number));
            prop_assert_eq!(parse(&number.to_string()), Ok(number));
        }
    }

    #[test]
    fn letters_are_factors() {
        assert_eq!((parse("50K"), parse("2m"), parse("1_000")), (Ok(50_000), Ok(2_000_000), Ok(1000)));
        assert!(parse("K").is_err() && parse("1.5K").is_err() && parse("99999999999999999999").is_err());
    }

    #[test]
    fn a_number_out_of_range_is_told_the_range_as_it_is_written() {
        assert_eq!(within(1, 1_000)("1K"), Ok(1_000));
        assert_eq!(within(1, 1_000_000_000)("0"), Err("choose 1 to 1000M".to_owned()));
        assert!(within(1, 9)("-1").is_err_and(|why| why.contains("no whole number")));
    }
}
