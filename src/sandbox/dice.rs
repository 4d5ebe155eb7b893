//! Random numbers and ids that a seed fixes: a failed test is run again with its seed.

use sha2::{Digest, Sha256};

/// A stream of random numbers (SplitMix64): good enough to toss, never for a secret.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    /// The stream of this seed and purpose.
    pub(super) fn new(seed: u64, purpose: &str, number: u64) -> Self {
        let bytes = digest(seed, purpose, number);
        Self(
            bytes
                .iter()
                .take(8)
                .fold(0, |sum, byte| (sum << 8) | u64::from(*byte)),
        )
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// True with this chance, 0 to 1.
    pub(super) fn chance(&mut self, chance: f64) -> bool {
        let step = u32::try_from(self.next() >> 32).unwrap_or(u32::MAX);
        f64::from(step) / (f64::from(u32::MAX) + 1.0) < chance
    }
}

fn digest(seed: u64, purpose: &str, number: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_be_bytes());
    hash.update(purpose.as_bytes());
    hash.update(number.to_be_bytes());
    hash.finalize().into()
}

/// An id of 32 hexadecimal digits, as the service's are.
pub(super) fn id(seed: u64, purpose: &str, number: u64) -> String {
    hex(digest(seed, purpose, number).get(..16).unwrap_or_default())
}

/// The id that always belongs to a name.
pub(super) fn id_of(name: &str) -> String {
    id(0, name, 0)
}

/// A key that the seed fixes, for what only this sandbox reads again.
pub(super) fn key(seed: u64, purpose: &str) -> [u8; 32] {
    digest(seed, purpose, 0)
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The bytes that `hex` wrote.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| {
            text.get(at..at + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same() {
        let throw = |seed| {
            let mut dice = Dice::new(seed, "test", 1);
            (0..8).map(|_| dice.below(6)).collect::<Vec<_>>()
        };
        assert_eq!(throw(7), throw(7));
        assert_ne!(throw(7), throw(8));
    }

    #[test]
    fn a_chance_comes_true_about_as_often_as_it_says() {
        let mut dice = Dice::new(1, "chance", 0);
        let hits = (0..10_000).filter(|_| dice.chance(0.2)).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
        assert!(!(0..1_000).any(|_| dice.chance(0.0)));
        assert!((0..1_000).all(|_| dice.chance(1.0)));
    }

    #[test]
    fn hexadecimal_goes_both_ways() {
        assert_eq!(hex(&[0, 15, 255]), "000fff");
        assert_eq!(unhex("000fff"), Some(vec![0, 15, 255]));
        assert_eq!(unhex("00f"), None);
        assert_eq!(unhex("zz"), None);
        assert_eq!(id_of("x").len(), 32);
    }
}
