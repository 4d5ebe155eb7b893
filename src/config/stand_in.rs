//! Characters that a quoted text may hold, as JSON has it, and that the parser refuses: U+007F and its kind.
//!
//! YAML allows them between quotes, so that all JSON is YAML; the parser refuses them everywhere. A file that has some is
//! read with stand-ins in their place, which are put back between quotes and refused elsewhere.

use std::ops::RangeInclusive;

/// Where in the private planes of Unicode the stand-ins are; each is as far from the beginning as what it stands for.
const FIRST: u32 = 0xf_0000;
/// The same for U+FFFE and U+FFFF, which lie too far.
const NONCHARACTERS: u32 = 0xf_8000;
const ALL: RangeInclusive<char> = '\u{f0000}'..='\u{fffff}';

/// A file that needs more of them is no configuration, and is not worth the memory.
const STAND_INS_MAX: usize = 100_000;

/// A text with stand-ins, and how to get back.
#[derive(Debug)]
pub(super) struct StandIns {
    /// The text with stand-ins.
    pub(super) text: String,
    /// After each of them: its end in `text`, and how much longer the text has become up to there.
    longer_by: Vec<(usize, usize)>,
}

impl StandIns {
    /// The text with stand-ins; none if it has characters that could be taken for them, or needs too many.
    pub(super) fn new(source: &str) -> Option<Self> {
        let mut text = String::with_capacity(source.len() + 64);
        let (mut longer_by, mut longer) = (Vec::new(), 0);
        for char in source.chars() {
            if ALL.contains(&char) || longer_by.len() > STAND_INS_MAX {
                return None;
            }
            match stand_in(char) {
                Some(other) => {
                    text.push(other);
                    longer += other.len_utf8() - char.len_utf8();
                    longer_by.push((text.len(), longer));
                }
                None => text.push(char),
            }
        }
        Some(Self { text, longer_by })
    }

    /// The place in the source of a place in the text.
    pub(super) fn offset(&self, offset: usize) -> usize {
        let before = self.longer_by.partition_point(|&(end, _)| end <= offset);
        let longer = before
            .checked_sub(1)
            .and_then(|last| self.longer_by.get(last));
        offset - longer.map_or(0, |&(_, longer)| longer)
    }
}

/// Whether the parser refuses the character though a quoted text may hold it.
pub(super) fn is_refused(char: char) -> bool {
    matches!(char, '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}')
}

/// The first character of a text that is a stand-in, as the character it stands for.
pub(super) fn find(text: &str) -> Option<char> {
    text.chars().find_map(original)
}

/// The text without stand-ins.
pub(super) fn restore(text: &str) -> String {
    text.chars()
        .map(|char| original(char).unwrap_or(char))
        .collect()
}

fn stand_in(char: char) -> Option<char> {
    let number = u32::from(char);
    let first = if number >= 0xfffe {
        NONCHARACTERS - 0xfffe
    } else {
        FIRST
    };
    is_refused(char)
        .then(|| char::from_u32(first + number))
        .flatten()
}

fn original(char: char) -> Option<char> {
    if !ALL.contains(&char) {
        return None;
    }
    let number = u32::from(char);
    if number >= NONCHARACTERS {
        char::from_u32(number - NONCHARACTERS + 0xfffe)
    } else {
        char::from_u32(number - FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out_again() {
        let source = "a\u{7f}é\u{80}b\u{9f}\u{fffe}c\u{ffff}\u{7f}\u{7f}d\u{85}";
        let with = StandIns::new(source).unwrap();
        assert_eq!(restore(&with.text), source);
        assert!(!with.text.chars().any(is_refused));
        for char in ['a', 'é', 'b', 'c', 'd'] {
            let (at, there) = (source.find(char).unwrap(), with.text.find(char).unwrap());
            assert_eq!(with.offset(there), at, "{char}");
        }
        assert_eq!(with.offset(with.text.len()), source.len());
        assert_eq!(find(&with.text), Some('\u{7f}'));
        assert!(StandIns::new("\u{f007f}").is_none());
    }
}
