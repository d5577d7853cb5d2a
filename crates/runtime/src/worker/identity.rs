//! Instance IDs: the prefix, a random part that no other replica has, and the instance's number.

/// Letters and digits without vowels, so that no word appears by chance, and without look-alikes.
const ALPHABET: &[u8] = b"bcdfghjkmnpqrstvwxz23456789";
const RANDOM_LEN: usize = 8;

/// The random part of a worker's instance IDs: 27^8, some 282 thousand million, possibilities.
pub(super) fn random_part() -> String {
    (0..RANDOM_LEN).map(|_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())])).collect()
}

/// The ID of an instance. Letters, digits and `-`, which every broker accepts `[MQTT-3.1.3-5]`.
pub(super) fn instance_id(prefix: &str, random: &str, index: u32) -> String {
    format!("{prefix}-{random}-{index}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_prefix_stays_within_the_23_characters_that_every_broker_takes() {
        let id = instance_id("tidemill", &random_part(), 1023);
        assert!(id.len() <= 23, "{id}");
    }

    #[test]
    fn random_parts_differ() {
        let parts: std::collections::HashSet<_> = (0..1000).map(|_| random_part()).collect();
        assert_eq!(parts.len(), 1000);
    }
}
