//! `H`: a value that the name of an entry fixes, so that entries which are due "at two" are not all due at once.
//!
//! It is drawn by SHA-256 from the name and the field: no upgrade and no second node moves it. `H` stands for any value of
//! its field, `H(0-29)` for one of the range, `H/15` for a first value below 15 and each fifteenth after it, `H(0-29)/10`
//! for the same within the range. In day-of-month it stays within 1 to 28, which every month has.

use std::ops::RangeInclusive;

use sha2::{Digest, Sha256};

use super::parse::{Field, PatternError, PatternErrorKind, Piece, read_value};

/// The last day of a month that every month has.
const COMMON_DAY_MAX: u32 = 28;

/// The values that an item of a field stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Drawn {
    pub(super) range: RangeInclusive<u32>,
    pub(super) step: u32,
}

impl Drawn {
    /// The item without `H`.
    pub(super) fn text(&self) -> String {
        let (from, to) = (self.range.start(), self.range.end());
        match self.step {
            _ if from == to => from.to_string(),
            step if step > to - from => from.to_string(),
            step => format!("{from}-{to}/{step}"),
        }
    }
}

/// Whether an item of a field's list is one with `H`.
pub(super) fn is_one(item: &str) -> bool {
    let bytes = item.as_bytes();
    matches!(bytes.first(), Some(b'H' | b'h'))
        && matches!(bytes.get(1), None | Some(b'(' | b'/' | b'-'))
}

/// Reads an item with `H`. Without a name it stands for nothing.
pub(super) fn read(
    field: Field,
    item: Piece<'_>,
    name: Option<&str>,
) -> Result<Drawn, PatternError> {
    let wrong =
        |piece: Piece<'_>, kind, message: &str| Err(piece.error(Some(field), kind, message));
    let (base, step) = match item.split_once('/') {
        None => (item, None),
        Some((base, step)) => {
            let number = step
                .text
                .parse()
                .ok()
                .filter(|number| step.is_digits() && *number > 0);
            let Some(number) = number else {
                let message = "after the `/` comes a whole number from 1 on, such as `H/15`";
                return wrong(item, PatternErrorKind::Step, message);
            };
            (base, Some(number))
        }
    };
    let possible = match field {
        Field::DayOfMonth => 1..=COMMON_DAY_MAX,
        Field::DayOfWeek => 0..=6,
        Field::Second | Field::Minute | Field::Hour | Field::Month => field.min()..=field.max(),
    };
    let range = match base.slice(1..base.text.len()) {
        rest if rest.text.is_empty() => possible,
        rest => {
            let within = (rest.text.strip_prefix('(')).and_then(|text| text.strip_suffix(')'));
            let ends = within.and_then(|_| rest.slice(1..rest.text.len() - 1).split_once('-'));
            let Some((low, high)) = ends else {
                let message = "a range of `H` stands in brackets, such as `H(0-29)`";
                return wrong(base, PatternErrorKind::Range, message);
            };
            let (low, high) = (read_value(field, low)?, read_value(field, high)?);
            if low > high {
                let message = "the range runs backwards; write the lesser value first";
                return wrong(base, PatternErrorKind::Range, message);
            }
            if !(possible.contains(&low) && possible.contains(&high)) {
                let message = if field == Field::DayOfMonth {
                    "`H` stays within 1-28, the days that every month has"
                } else {
                    "day-of-week is 0 to 6 in a range of `H`"
                };
                return wrong(base, PatternErrorKind::Range, message);
            }
            low..=high
        }
    };
    let Some(name) = name else {
        let message = "`H` stands for a value that the name of an entry fixes, and there is no name here; write a value";
        return wrong(item, PatternErrorKind::Unsupported, message);
    };
    let (low, high) = (*range.start(), *range.end());
    let count = high - low + 1;
    let first = low + draw(name, field, step.map_or(count, |step: u32| step.min(count)));
    Ok(Drawn {
        range: match step {
            None => first..=first,
            Some(_) => first..=high,
        },
        step: step.unwrap_or(1),
    })
}

/// A number below `count` that depends on nothing but the name and the field.
fn draw(name: &str, field: Field, count: u32) -> u32 {
    let digest = Sha256::digest(format!("{name}\n{}", field.name()).as_bytes());
    let head = digest
        .iter()
        .take(8)
        .fold(0_u64, |head, byte| head << 8 | u64::from(*byte));
    u32::try_from(head % u64::from(count.max(1))).unwrap_or(0)
}

/// The pattern with every `H` replaced by what it stands for under this name; none if it has no `H`, or is wrong.
pub(super) fn resolved(text: &str, name: &str) -> Option<String> {
    if !has_one(text) {
        return None;
    }
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let fields = Field::ALL.get(6_usize.checked_sub(words.len())?..)?;
    let word = |(field, word): (&Field, &&str)| {
        let items = word.split(',').map(|item| match is_one(item) {
            true => Some(read(*field, Piece::new(item), Some(name)).ok()?.text()),
            false => Some(item.to_owned()),
        });
        Some(items.collect::<Option<Vec<String>>>()?.join(","))
    };
    let words = fields.iter().zip(&words).map(word);
    Some(words.collect::<Option<Vec<String>>>()?.join(" "))
}

/// Whether a pattern has an item with `H`.
pub(super) fn has_one(text: &str) -> bool {
    let mut words = text.split_ascii_whitespace();
    words.any(|word| word.split(',').any(is_one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cron::CronPattern;

    #[test]
    fn no_upgrade_moves_a_tick() {
        // These were printed once, and hold for ever: a change here moves ticks of every configuration that uses `H`.
        for (name, pattern, expected) in GOLDEN {
            assert_eq!(
                resolved(pattern, name).as_deref(),
                Some(expected),
                "{name} {pattern}"
            );
        }
    }

    const GOLDEN: [(&str, &str, &str); 10] = [
        ("nightly-web", "H 2 * * 1-5", "53 2 * * 1-5"),
        ("nightly-api", "H 2 * * 1-5", "42 2 * * 1-5"),
        ("nightly-web", "H H * * *", "53 2 * * *"),
        ("nightly-web", "H(0-29) H(1-4) * * *", "23 3 * * *"),
        ("nightly-web", "H/15 * * * *", "8-59/15 * * * *"),
        ("nightly-web", "H(0-29)/10 * * * *", "3-29/10 * * * *"),
        ("nightly-web", "H H H H *", "53 2 23 2 *"),
        ("nightly-web", "0 0 * * H", "0 0 * * 0"),
        ("nightly-web", "H H H/7 * *", "53 2 2-28/7 * *"),
        ("nightly-web", "H 5,H(10-20) 2 * * FRI", "41 5,16 2 * * FRI"),
    ];

    #[test]
    fn every_value_of_a_range_is_drawn_and_no_other() {
        for (pattern, least, most) in [
            ("H 0 * * *", 0, 59),
            ("0 H(3-5) * * *", 3, 5),
            ("0 0 H * *", 1, 28),
            ("0 0 1 H *", 1, 12),
            ("0 0 * * H", 0, 6),
        ] {
            let values: std::collections::BTreeSet<u32> = (0..2_000)
                .map(|number| {
                    let resolved = resolved(pattern, &format!("entry-{number}")).unwrap();
                    let at = pattern.split(' ').position(is_one).unwrap();
                    resolved.split(' ').nth(at).unwrap().parse().unwrap()
                })
                .collect();
            let all: std::collections::BTreeSet<u32> = (least..=most).collect();
            assert_eq!(values, all, "{pattern}");
        }
    }

    #[test]
    fn what_it_stands_for_is_the_same_pattern() {
        for pattern in [
            "H H * * *",
            "H/7 H(2-9)/3 H * 1-5",
            "5,H(10-20)/2 * * H *",
            "H H/5 H H/2 H H",
            "H(5-9)/4294967295 2 * * *",
        ] {
            for number in 0..200 {
                let name = format!("n{number}");
                let text = resolved(pattern, &name).unwrap();
                assert_eq!(
                    CronPattern::parse_named(pattern, &name),
                    CronPattern::parse(&text),
                    "{pattern} is {text}"
                );
            }
        }
        // A first value below the step, and then every one of it.
        for number in 0..200 {
            let text = resolved("H/15 3 * * *", &format!("n{number}")).unwrap();
            let first: u32 = text.split('-').next().unwrap().parse().unwrap();
            assert!(
                first < 15 && text == format!("{first}-59/15 3 * * *"),
                "{text}"
            );
        }
    }

    #[test]
    fn it_is_no_leading_star() {
        let fixed = |text: &str| CronPattern::parse_named(text, "a").unwrap().is_fixed_time();
        assert!(fixed("H 2 * * *") && fixed("H H * * *") && fixed("H/15 2 * * *"));
        assert!(!fixed("H * * * *") && !fixed("*/5 H * * *"));
        // Beside a day of the week it is a day of its own.
        let both = CronPattern::parse_named("0 0 H * 1", "a").unwrap();
        assert_eq!(
            both.restricts_both_day_fields(),
            Some(crate::domain::cron::BothDays::Either)
        );
    }

    #[test]
    fn what_is_none_is_refused_at_its_place() {
        for (pattern, piece, message) in [
            (
                "H() * * * *",
                "H()",
                "a range of `H` stands in brackets, such as `H(0-29)`",
            ),
            (
                "H-5 * * * *",
                "H-5",
                "a range of `H` stands in brackets, such as `H(0-29)`",
            ),
            (
                "H(5) * * * *",
                "H(5)",
                "a range of `H` stands in brackets, such as `H(0-29)`",
            ),
            (
                "0 H(9-3) * * *",
                "H(9-3)",
                "the range runs backwards; write the lesser value first",
            ),
            (
                "0 H/0 * * *",
                "H/0",
                "after the `/` comes a whole number from 1 on, such as `H/15`",
            ),
            (
                "0 H/x * * *",
                "H/x",
                "after the `/` comes a whole number from 1 on, such as `H/15`",
            ),
            ("H(0-60) * * * *", "60", "minute is 0 to 59"),
            (
                "0 0 H(1-31) * *",
                "H(1-31)",
                "`H` stays within 1-28, the days that every month has",
            ),
        ] {
            let error = CronPattern::parse_named(pattern, "a").unwrap_err();
            assert_eq!(
                (error.piece.as_str(), error.message.as_str()),
                (piece, message),
                "{pattern}"
            );
            assert_eq!(&pattern[error.span.clone()], piece, "{pattern}");
        }
        let error = CronPattern::parse("H 2 * * *").unwrap_err();
        assert_eq!(error.kind, PatternErrorKind::Unsupported);
        assert_eq!(resolved("0 2 * * THU", "a"), None);
        assert_eq!(resolved("@hourly", "a"), None);
        assert_eq!(resolved("H H H H H H H", "a"), None);
    }
}
