//! What happens to bytes on the way from a broker that is not well, and bytes that never were packets.

use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(super) enum Damage {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index),
}

pub(super) fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at(), 0_u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        at().prop_map(Damage::Cut),
        (at(), prop::collection::vec(any::<u8>(), 1..5)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        at().prop_map(Damage::Remove),
    ]
}

pub(super) fn damaged(mut bytes: Vec<u8>, damages: Vec<Damage>) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            return bytes;
        }
        let len = bytes.len();
        match damage {
            Damage::Set(at, byte) => bytes[at.index(len)] = byte,
            Damage::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Damage::Cut(at) => bytes.truncate(at.index(len)),
            Damage::Insert(at, more) => drop(bytes.splice(at.index(len)..at.index(len), more)),
            Damage::Remove(at) => drop(bytes.remove(at.index(len))),
        }
    }
    bytes
}

/// The same bytes with a remaining length that fits, so that damage reaches the inside of a packet.
pub(super) fn whole(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() < 2 {
        return bytes;
    }
    let rest = bytes.split_off(2);
    bytes.truncate(1);
    let mut remaining = rest.len();
    loop {
        let byte = u8::try_from(remaining & 0x7F).unwrap();
        remaining >>= 7;
        bytes.push(if remaining > 0 { byte | 0x80 } else { byte });
        if remaining == 0 {
            break;
        }
    }
    bytes.extend(rest);
    bytes
}

pub(super) fn pieces() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1_usize..300, 1..6)
}

/// Bytes that look like packets more often than chance would have it.
pub(super) fn noise() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![any::<u8>(), (1_u8..16).prop_map(|kind| kind << 4), 0x30_u8..0x40];
    let packet = (first, 0_u8..40, prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(first, length, rest)| [&[first, length][..], &rest].concat());
    prop::collection::vec(packet, 0..6).prop_map(|packets| packets.concat())
}
