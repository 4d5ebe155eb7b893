//! Mutations of inputs: what a person's slip, a cut line or an ill-meaning server makes of them. The same seed makes the
//! same input.

use super::targets::Target;

/// How often an input is changed.
const CHANGES_MAX: u64 = 8;
/// How often a piece is repeated.
const REPEATS_MAX: u64 = 400;
/// Characters that end something, separate something, or are not what they seem.
const ODD: [&str; 16] = [
    "\0",
    "\t",
    "\n",
    "\r",
    "\u{1b}",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{301}",
    "\u{200b}",
    "\u{2028}",
    "\u{202e}",
    "\u{feff}",
    "\u{fffd}",
    "\u{10ffff}",
    "🚀",
];

/// Inputs made from seeds.
#[derive(Debug)]
pub(crate) struct Mutations {
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
    bytes_max: usize,
}

impl Mutations {
    pub(crate) fn new(target: &Target, seeds: Vec<Vec<u8>>) -> Self {
        Self {
            seeds,
            words: target.words,
            bytes_max: target.bytes_max,
        }
    }

    /// The input of a seed.
    pub(crate) fn input(&self, seed: u64) -> Vec<u8> {
        let mut dice = Dice(seed);
        let mut input = match dice.below(20) {
            // From nothing but words.
            0 => (0..=dice.below(40))
                .flat_map(|_| self.word(&mut dice))
                .collect(),
            _ => self.seed(&mut dice).to_vec(),
        };
        for _ in 0..=dice.below(CHANGES_MAX) {
            self.change(&mut dice, &mut input);
        }
        input.truncate(self.bytes_max);
        input
    }

    fn seed(&self, dice: &mut Dice) -> &[u8] {
        self.seeds
            .get(dice.index(self.seeds.len()))
            .map_or(b"", Vec::as_slice)
    }

    fn word(&self, dice: &mut Dice) -> Vec<u8> {
        self.words
            .get(dice.index(self.words.len()))
            .map_or_else(Vec::new, |word| word.as_bytes().to_vec())
    }

    fn change(&self, dice: &mut Dice, input: &mut Vec<u8>) {
        let piece = dice.piece(input);
        match dice.below(14) {
            0 => drop(input.drain(piece)),
            1 => input.truncate(piece.start),
            2 | 3 => insert(input, piece.start, &self.word(dice)),
            4 | 5 => drop(input.splice(piece, self.word(dice))),
            6 => insert(input, piece.start, ODD[dice.index(ODD.len())].as_bytes()),
            7 => insert(input, piece.start, &[dice.below(256) as u8]),
            8 => {
                if let Some(byte) = input.get_mut(piece.start) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            9 => {
                let copy = input[piece].to_vec();
                let at = dice.index(input.len() + 1);
                insert(input, at, &copy);
            }
            10 => {
                let other = self.seed(dice);
                let from = dice.piece(other);
                drop(input.splice(piece, other[from].to_vec()));
            }
            11 => {
                let times = dice.below(REPEATS_MAX) as usize;
                let times = times.min(self.bytes_max / piece.len().max(1));
                let copies = input[piece.clone()].repeat(times);
                insert(input, piece.end, &copies);
            }
            12 => number(dice, input),
            _ => lines(dice, input),
        }
    }
}

fn insert(input: &mut Vec<u8>, at: usize, what: &[u8]) {
    drop(input.splice(at..at, what.iter().copied()));
}

/// Puts another number in place of one.
fn number(dice: &mut Dice, input: &mut Vec<u8>) {
    const NUMBERS: [&str; 12] = [
        "0",
        "1",
        "-1",
        "7",
        "59",
        "60",
        "255",
        "1025",
        "2147483648",
        "18446744073709551616",
        "1e999",
        "0.1",
    ];
    let from = dice.index(input.len() + 1);
    let Some(start) = (from..input.len()).find(|&at| input[at].is_ascii_digit()) else {
        return;
    };
    let end = (start..input.len())
        .find(|&at| !input[at].is_ascii_digit())
        .unwrap_or(input.len());
    drop(input.splice(start..end, NUMBERS[dice.index(NUMBERS.len())].bytes()));
}

/// Puts a line elsewhere, or at another depth.
fn lines(dice: &mut Dice, input: &mut Vec<u8>) {
    let mut lines: Vec<Vec<u8>> = input
        .split_inclusive(|&byte| byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    if lines.is_empty() {
        return;
    }
    let (from, to) = (dice.index(lines.len()), dice.index(lines.len()));
    let mut line = lines.remove(from);
    match dice.below(3) {
        0 => insert(&mut line, 0, b"  "),
        1 if line.starts_with(b"  ") => drop(line.drain(..2)),
        _ => {}
    }
    lines.insert(to, line);
    *input = lines.concat();
}

/// Numbers that look random and are the same for the same seed (splitmix64, public domain).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// A piece of an input, mostly a short one.
    fn piece(&mut self, of: &[u8]) -> std::ops::Range<usize> {
        let start = self.index(of.len() + 1);
        let most = of.len() - start;
        let len = if self.below(4) == 0 {
            self.index(most + 1)
        } else {
            self.index(most.min(16) + 1)
        };
        start..start + len
    }
}

#[cfg(test)]
mod tests {
    use super::super::targets::words::TARGET;
    use super::*;

    #[test]
    fn mutations_are_the_same_for_the_same_seed_and_different_for_another() {
        let mutations = Mutations::new(
            &TARGET,
            vec![b"lost=reset,on=run".to_vec(), b"1h30m".to_vec()],
        );
        let some: Vec<Vec<u8>> = (0..500).map(|seed| mutations.input(seed)).collect();
        assert!(
            (0..500)
                .zip(&some)
                .all(|(seed, input)| mutations.input(seed) == *input)
        );
        let apart: std::collections::HashSet<_> = some.iter().collect();
        assert!(apart.len() > 400, "only {} of 500 differ", apart.len());
        assert!(some.iter().all(|input| input.len() <= TARGET.bytes_max));
        assert!(
            some.iter().any(|input| input.len() == TARGET.bytes_max),
            "none is long"
        );
    }
}
