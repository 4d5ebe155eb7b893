//! Reading a pattern, and saying what is wrong with a text that is none.
//!
//! The reader stops at the first problem of a text: a pattern is one line, and the second problem of a line is mostly
//! the first one's shadow. Every problem has its place and says what to write instead, for somebody who sees it in the
//! middle of the night.

use std::fmt;
use std::ops::Range;

use super::calendar::LocalTimes;
use super::{BothDays, CronPattern, hash};

/// A longer text is refused unread. Every list of every value of all six fields fits.
const LENGTH_MAX: usize = 1_024;
/// How much of a piece an error keeps.
const PIECE_LENGTH_MAX: usize = 60;

const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const FULL_WEEKDAYS: [&str; 7] = [
    "SUNDAY",
    "MONDAY",
    "TUESDAY",
    "WEDNESDAY",
    "THURSDAY",
    "FRIDAY",
    "SATURDAY",
];
const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const FULL_MONTHS: [&str; 12] = [
    "JANUARY",
    "FEBRUARY",
    "MARCH",
    "APRIL",
    "MAY",
    "JUNE",
    "JULY",
    "AUGUST",
    "SEPTEMBER",
    "OCTOBER",
    "NOVEMBER",
    "DECEMBER",
];
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// A field of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// 0 to 59; only patterns of six fields have it.
    Second,
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31, `L`, `LW`, `15W`.
    DayOfMonth,
    /// 1 to 12 or `JAN` to `DEC`.
    Month,
    /// 0 to 7 (0 and 7 are Sunday) or `SUN` to `SAT`, `5L`, `5#2`.
    DayOfWeek,
}

impl Field {
    /// The fields in the order of a pattern of six.
    pub const ALL: [Self; 6] = [
        Self::Second,
        Self::Minute,
        Self::Hour,
        Self::DayOfMonth,
        Self::Month,
        Self::DayOfWeek,
    ];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day-of-month",
            Self::Month => "month",
            Self::DayOfWeek => "day-of-week",
        }
    }

    pub(super) fn min(self) -> u32 {
        match self {
            Self::Second | Self::Minute | Self::Hour | Self::DayOfWeek => 0,
            Self::DayOfMonth | Self::Month => 1,
        }
    }

    pub(super) fn max(self) -> u32 {
        match self {
            Self::Second | Self::Minute => 59,
            Self::Hour => 23,
            Self::DayOfMonth => 31,
            Self::Month => 12,
            Self::DayOfWeek => 7,
        }
    }

    /// The names that may stand for its values; the first stands for the least value.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Second | Self::Minute | Self::Hour | Self::DayOfMonth => &[],
            Self::Month => &MONTHS,
            Self::DayOfWeek => &WEEKDAYS,
        }
    }

    /// What its values are, as part of a message.
    fn values(self) -> &'static str {
        match self {
            Self::Second => "second is 0 to 59",
            Self::Minute => "minute is 0 to 59",
            Self::Hour => "hour is 0 to 23",
            Self::DayOfMonth => "day-of-month is 1 to 31",
            Self::Month => "month is 1 to 12 or JAN to DEC",
            Self::DayOfWeek => "day-of-week is 0 to 7 (0 and 7 are Sunday) or SUN to SAT",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What kind of mistake a [`PatternError`] reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PatternErrorKind {
    /// Too long to be a pattern.
    Length,
    /// A character that no pattern contains, such as a look-alike of `*` or `-`.
    Character,
    /// Not five or six fields.
    FieldCount,
    /// An `@` word that is no nickname.
    Nickname,
    /// Something that other schedulers know and this one does not.
    Unsupported,
    /// Not a value of the field.
    Value,
    /// A range that runs backwards or lacks an end.
    Range,
    /// A step that is no step.
    Step,
    /// A spare comma.
    List,
    /// `L`, `W`, `#`, `?` or `*` where it means nothing.
    Special,
    /// Well formed, but no day of any year satisfies it.
    Never,
}

/// Why a text is not a pattern: where, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// The field, if the mistake is in one.
    pub field: Option<Field>,
    /// The piece of the text that is wrong (its beginning, if it is long).
    pub piece: String,
    /// Where the piece stands in the text, in bytes.
    pub span: Range<usize>,
    /// What kind of mistake it is.
    pub kind: PatternErrorKind,
    /// What is wrong and what to write instead.
    pub message: String,
    /// The first mistake of each later field that has one.
    pub later: Vec<Self>,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = self.field {
            write!(f, "in {field}, ")?;
        }
        // Everything before the first mistake is ASCII, so bytes are characters here.
        let (piece, place) = (self.piece.escape_debug(), self.span.start + 1);
        write!(f, "`{piece}` at character {place}: {}", self.message)
    }
}

impl std::error::Error for PatternError {}

/// A piece of the text, and where it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    start: usize,
}

impl<'a> Piece<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, start: 0 }
    }

    pub(super) fn slice(self, range: Range<usize>) -> Self {
        let start = self.start + range.start;
        Self {
            text: self.text.get(range).unwrap_or_default(),
            start,
        }
    }

    pub(super) fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        Some((
            self.slice(0..at),
            self.slice(at + separator.len_utf8()..self.text.len()),
        ))
    }

    /// The pieces between `separator`s, empty ones included.
    fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let piece = rest?;
            let (first, later) = piece
                .split_once(separator)
                .map_or((piece, None), |(a, b)| (a, Some(b)));
            rest = later;
            Some(first)
        })
    }

    /// The pieces between white space, none of them empty.
    fn words(self) -> impl Iterator<Item = Self> {
        // The words are slices of this text, so the distance between the addresses is the place.
        let base = self.text.as_ptr().addr();
        self.text.split_ascii_whitespace().map(move |word| Self {
            text: word,
            start: self.start + (word.as_ptr().addr() - base),
        })
    }

    pub(super) fn is_digits(self) -> bool {
        !self.text.is_empty() && self.text.bytes().all(|byte| byte.is_ascii_digit())
    }

    fn is(self, word: &str) -> bool {
        self.text.eq_ignore_ascii_case(word)
    }

    /// The text, cut after so many characters.
    fn beginning(self, length_max: usize) -> String {
        let mut beginning: String = self.text.chars().take(length_max).collect();
        if beginning.len() < self.text.len() {
            beginning.push('…');
        }
        beginning
    }

    /// The text as a message may repeat it: what is too long for that is put as `otherwise`.
    fn repeated(self, otherwise: &'a str) -> &'a str {
        if self.text.len() > PIECE_LENGTH_MAX {
            otherwise
        } else {
            self.text
        }
    }

    pub(super) fn error(
        self,
        field: Option<Field>,
        kind: PatternErrorKind,
        message: impl Into<String>,
    ) -> PatternError {
        let piece = self.beginning(PIECE_LENGTH_MAX);
        let span = self.start..self.start + self.text.len();
        PatternError {
            field,
            piece,
            span,
            kind,
            message: message.into(),
            later: Vec::new(),
        }
    }
}

/// Reads a pattern. `name` is what `H` is fixed by.
pub(super) fn pattern(text: &str, name: Option<&str>) -> Result<CronPattern, PatternError> {
    let whole = Piece::new(text);
    if text.len() > LENGTH_MAX {
        let message = format!(
            "a pattern has at most {LENGTH_MAX} bytes, and this has {}",
            text.len()
        );
        return Err(PatternError {
            // It was not looked at, and each of its characters may be shown as ten.
            piece: whole.beginning(20),
            ..whole.error(None, PatternErrorKind::Length, message)
        });
    }
    refuse_odd_characters(whole)?;
    let words: Vec<Piece<'_>> = whole.words().collect();
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        let message = "the pattern is empty; write five fields, such as `0 2 * * *`, or a nickname, such as @daily";
        return Err(whole.error(None, PatternErrorKind::FieldCount, message));
    };
    let trimmed = whole.slice(first.start..last.start + last.text.len());
    if first.text.starts_with('@') {
        return nickname(trimmed);
    }
    match *words {
        [minute, hour, day, month, weekday] => {
            let second = Piece {
                text: "0",
                start: minute.start,
            };
            fields(whole, [second, minute, hour, day, month, weekday], name)
        }
        [second, minute, hour, day, month, weekday] => {
            fields(whole, [second, minute, hour, day, month, weekday], name)
        }
        _ => Err(trimmed.error(
            None,
            PatternErrorKind::FieldCount,
            field_count_message(&words),
        )),
    }
}

/// Reads a nickname.
fn nickname(trimmed: Piece<'_>) -> Result<CronPattern, PatternError> {
    let word = trimmed
        .text
        .split_ascii_whitespace()
        .next()
        .unwrap_or_default();
    if let Some((name, meaning)) = NICKNAMES
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name))
    {
        if word.len() < trimmed.text.len() {
            let message =
                format!("a nickname stands alone; write `{name}`, or a pattern of five fields");
            return Err(trimmed.error(None, PatternErrorKind::Nickname, message));
        }
        return pattern(meaning, None);
    }
    let (kind, message) = match word.to_ascii_lowercase().as_str() {
        "@every" => (
            PatternErrorKind::Unsupported,
            "@every is not supported, as it would count from the start of the daemon; write a step, such as `*/15 * * * *`",
        ),
        "@reboot" => (
            PatternErrorKind::Unsupported,
            "@reboot is not supported, as a restart starts no pipeline; write when it is due, such as `0 2 * * *`",
        ),
        _ => (
            PatternErrorKind::Nickname,
            "no such nickname; there are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly and @manually",
        ),
    };
    Err(trimmed.error(None, kind, message))
}

/// What to say about a text of neither five nor six fields.
fn field_count_message(words: &[Piece<'_>]) -> String {
    let count = words.len();
    let wanted = "a pattern has five fields (minute, hour, day-of-month, month, day-of-week), or six with the second first";
    let names = &Field::ALL[1..];
    if count > 6 {
        let list = words
            .iter()
            .any(|word| word.text.starts_with(',') || word.text.ends_with(','));
        let hint = if list {
            "a list has no spaces: `1,3,5`"
        } else {
            "there is no field for the year"
        };
        return format!("{wanted}; here are {count}; {hint}");
    }
    let (are, missing) = names.split_at(count.min(names.len()));
    let are: Vec<_> = are
        .iter()
        .zip(words)
        .map(|(field, word)| format!("{field} `{}`", word.beginning(20)))
        .collect();
    let missing: Vec<_> = missing.iter().map(|field| field.name()).collect();
    let verb = if missing.len() == 1 { "is" } else { "are" };
    let found = if count == 1 {
        "here is one".to_owned()
    } else {
        format!("here are {count}")
    };
    format!(
        "{wanted}; {found}: {}; {} {verb} missing",
        are.join(", "),
        missing.join(", ")
    )
}

/// Reads the six fields.
fn fields(
    whole: Piece<'_>,
    words: [Piece<'_>; 6],
    name: Option<&str>,
) -> Result<CronPattern, PatternError> {
    let mut times = LocalTimes::NONE;
    // All fields are looked at, also after one that is wrong.
    let wrong: Vec<PatternError> = (Field::ALL.into_iter().zip(words))
        .filter_map(|(field, word)| read_field(field, word, name, &mut times).err())
        .collect();
    let mut wrong = wrong.into_iter();
    if let Some(first) = wrong.next() {
        let later = wrong.collect();
        return Err(PatternError { later, ..first });
    }
    let [second, minute, hour, day, month, weekday] = words;
    let open = |word: Piece<'_>| word.text.starts_with(['*', '?']);
    times.both_days = open(day) || open(weekday);
    let every_date = times.days == !1;
    let every_weekday = times.weekdays == 0x7f;
    let both_days = if !times.both_days {
        Some(BothDays::Either)
    } else if every_date || every_weekday {
        None
    } else {
        Some(BothDays::Both)
    };
    if !times.can_happen() {
        let dates_alone = LocalTimes {
            weekdays: 0x7f,
            both_days: true,
            ..times
        };
        let (last, what) = if times.both_days && dates_alone.can_happen() {
            (
                weekday,
                "no day is ever all of this: a day must satisfy both day fields, as one begins with `*`",
            )
        } else {
            (
                month,
                "none of these months has such a day, so this never fires",
            )
        };
        let days = whole.slice(day.start..last.start + last.text.len());
        return Err(days.error(Some(Field::DayOfMonth), PatternErrorKind::Never, what));
    }
    let wildcard = [second, minute, hour]
        .iter()
        .any(|word| word.text.starts_with('*'));
    Ok(CronPattern {
        times,
        fixed_time: !wildcard,
        both_days,
    })
}

/// Reads one field into `times`.
fn read_field(
    field: Field,
    word: Piece<'_>,
    name: Option<&str>,
    times: &mut LocalTimes,
) -> Result<(), PatternError> {
    let is_day = matches!(field, Field::DayOfMonth | Field::DayOfWeek);
    if word.text.contains('?') {
        if word.text == "?" && is_day {
            add(field, field.min()..=field.max(), 1, times);
            return Ok(());
        }
        let message = if is_day {
            "`?` stands alone in its field; write `*`"
        } else {
            "`?` stands only in a day field; write `*`"
        };
        return Err(word.error(Some(field), PatternErrorKind::Special, message));
    }
    if word.split(',').any(|item| item.text.is_empty()) {
        let message = "a spare comma; take it out (a list has no spaces: `1,3,5`)";
        return Err(word.error(Some(field), PatternErrorKind::List, message));
    }
    word.split(',')
        .try_for_each(|item| read_item(field, item, name, times))
}

/// Reads one item of a field's list.
fn read_item(
    field: Field,
    item: Piece<'_>,
    name: Option<&str>,
    times: &mut LocalTimes,
) -> Result<(), PatternError> {
    if hash::is_one(item.text) {
        let drawn = hash::read(field, item, name)?;
        add(field, drawn.range, drawn.step, times);
        return Ok(());
    }
    let (base, step) = match item.split_once('/') {
        Some((base, step)) => (base, Some(read_step(field, base, step)?)),
        None => (item, None),
    };
    if read_special(field, base, times)? {
        let message = format!(
            "a step cannot follow `{}`; write it alone",
            base.beginning(PIECE_LENGTH_MAX)
        );
        return if step.is_none() {
            Ok(())
        } else {
            Err(item.error(Some(field), PatternErrorKind::Step, message))
        };
    }
    let range = if base.text == "*" {
        field.min()..=field.max()
    } else if base.text.is_empty() {
        let message = format!(
            "there is nothing before the step; write `*{}`",
            item.repeated("/2")
        );
        return Err(item.error(Some(field), PatternErrorKind::Step, message));
    } else if base.text.contains('*') {
        let message = "`*` stands alone or before a step, such as `*/5`";
        return Err(base.error(Some(field), PatternErrorKind::Special, message));
    } else if base.text.contains('-') {
        read_range(field, base)?
    } else {
        let value = read_value(field, base)?;
        value..=(if step.is_some() { field.max() } else { value })
    };
    add(field, range, step.unwrap_or(1), times);
    Ok(())
}

/// Reads what follows the `/`.
fn read_step(field: Field, base: Piece<'_>, step: Piece<'_>) -> Result<u32, PatternError> {
    let example = if base.text.is_empty() {
        "*"
    } else {
        base.repeated("*")
    };
    if !step.is_digits() {
        let message = format!("a step is one whole number, such as `{example}/2`");
        let shown = if step.text.is_empty() { base } else { step };
        return Err(shown.error(Some(field), PatternErrorKind::Step, message));
    }
    // What does not fit is longer than any field, and so are many numbers that do: they leave the first value alone.
    match step.text.parse().unwrap_or(u32::MAX) {
        0 => {
            let message = format!("a step is 1 or more; write `{example}` for every value");
            Err(step.error(Some(field), PatternErrorKind::Step, message))
        }
        number => Ok(number),
    }
}

/// Reads `a-b`.
fn read_range(
    field: Field,
    base: Piece<'_>,
) -> Result<std::ops::RangeInclusive<u32>, PatternError> {
    let error = |message: String| Err(base.error(Some(field), PatternErrorKind::Range, message));
    let mut ends = base.split('-');
    let (Some(low), Some(high), None) = (ends.next(), ends.next(), ends.next()) else {
        return error("a range has one hyphen and a value on each side, such as `1-5`".to_owned());
    };
    if low.text.is_empty() || high.text.is_empty() {
        return error(format!(
            "a range has a value on each side, such as `1-5`; {}",
            field.values()
        ));
    }
    let (from, to) = (read_value(field, low)?, read_value(field, high)?);
    if from <= to {
        return Ok(from..=to);
    }
    if field == Field::DayOfWeek && to == 0 {
        return Ok(from..=7);
    }
    if base.repeated("").is_empty() {
        return error("the range runs backwards; write the lesser value first".to_owned());
    }
    let (least, most) = match field.names() {
        [first, .., last] if !low.is_digits() => ((*first).to_owned(), (*last).to_owned()),
        _ if field == Field::DayOfWeek => ("0".to_owned(), "6".to_owned()),
        _ => (field.min().to_string(), field.max().to_string()),
    };
    let end = |from: &str, to: &str| {
        if from == to {
            from.to_owned()
        } else {
            format!("{from}-{to}")
        }
    };
    let (upper, lower) = (
        low.text.to_ascii_uppercase(),
        high.text.to_ascii_uppercase(),
    );
    let instead = if field == Field::DayOfWeek && from == 7 {
        format!("0-{lower}")
    } else {
        format!("{},{}", end(&upper, &most), end(&least, &lower))
    };
    error(format!("the range runs backwards; write `{instead}`"))
}

/// Reads `L`, `LW`, `15W`, `5L` and `5#2`; false if the text is none of their kind.
fn read_special(
    field: Field,
    base: Piece<'_>,
    times: &mut LocalTimes,
) -> Result<bool, PatternError> {
    match field {
        Field::DayOfMonth => read_special_date(base, times),
        Field::DayOfWeek => read_special_weekday(base, times),
        Field::Second | Field::Minute | Field::Hour | Field::Month => {
            let Some(letter) = base
                .text
                .chars()
                .find(|&letter| letter == '#')
                .or_else(|| lone_letter(base))
            else {
                return Ok(false);
            };
            let message = format!("`{letter}` stands only in a day field; {}", field.values());
            Err(base.error(Some(field), PatternErrorKind::Special, message))
        }
    }
}

/// The letter of a text such as `L`, `LW` or `15W`, in upper case.
fn lone_letter(base: Piece<'_>) -> Option<char> {
    let letters = base
        .text
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .to_ascii_uppercase();
    matches!(letters.as_str(), "L" | "LW" | "W")
        .then(|| letters.chars().next())
        .flatten()
}

/// Reads `L`, `LW` and `15W`.
fn read_special_date(base: Piece<'_>, times: &mut LocalTimes) -> Result<bool, PatternError> {
    let upper = base.text.to_ascii_uppercase();
    let error = |kind, message: String| Err(base.error(Some(Field::DayOfMonth), kind, message));
    if upper == "L" {
        times.last_day = true;
        return Ok(true);
    }
    if upper == "LW" {
        times.last_workday = true;
        return Ok(true);
    }
    if let Some(date) = upper
        .strip_suffix('W')
        .filter(|date| date.bytes().all(|byte| byte.is_ascii_digit()))
    {
        if date.is_empty() {
            return error(
                PatternErrorKind::Special,
                "`W` needs a day before it, such as `15W`, or `LW`".to_owned(),
            );
        }
        let date = read_value(Field::DayOfMonth, base.slice(0..date.len()))?;
        times.nearest |= 1 << date;
        return Ok(true);
    }
    if upper.contains('#') {
        let message = "`#` stands only in day-of-week, such as `5#2` for the second Friday";
        return error(PatternErrorKind::Special, message.to_owned());
    }
    if upper.starts_with("L-") || upper.starts_with("L+") {
        let message = "days before the last are not supported; write `L` or a day from 1 to 31";
        return error(PatternErrorKind::Unsupported, message.to_owned());
    }
    let odd = upper
        .bytes()
        .all(|byte| matches!(byte, b'L' | b'W' | b'-') || byte.is_ascii_digit());
    if odd && upper.contains(['L', 'W']) {
        let message = "day-of-month knows `L` (the last day), `LW` (the last Monday-to-Friday day) and `15W` (the one \
                       nearest to the 15th), each for one day and alone";
        return error(PatternErrorKind::Special, message.to_owned());
    }
    Ok(false)
}

/// Reads `5L` and `5#2`.
fn read_special_weekday(base: Piece<'_>, times: &mut LocalTimes) -> Result<bool, PatternError> {
    let error = |piece: Piece<'_>, message: &str| {
        Err(piece.error(Some(Field::DayOfWeek), PatternErrorKind::Special, message))
    };
    if let Some((day, nth)) = base.split_once('#') {
        if day.text.is_empty() {
            return error(
                base,
                "`#` needs a day of the week before it, such as `5#2` for the second Friday",
            );
        }
        if day.text.contains('-') || nth.text.contains('-') {
            return error(
                base,
                "`#` goes with one day and one number; write a list, such as `1#2,2#2`",
            );
        }
        let day = read_value(Field::DayOfWeek, day)? % 7;
        let number = nth.text.parse::<usize>().ok().filter(|_| nth.is_digits());
        let Some(days) = number.and_then(|nth| times.nth_of.get_mut(nth.wrapping_sub(1))) else {
            return error(
                base,
                "after `#` comes 1 to 5, such as `5#2` for the second Friday, or `5L` for the last",
            );
        };
        *days |= 1 << day;
        return Ok(true);
    }
    let Some((day, last)) = base
        .text
        .len()
        .checked_sub(1)
        .and_then(|end| base.text.split_at_checked(end))
    else {
        return Ok(false);
    };
    if last.eq_ignore_ascii_case("L")
        && !MONTHS.iter().chain(&FULL_MONTHS).any(|name| base.is(name))
    {
        if day.is_empty() {
            return error(
                base,
                "`L` needs a day of the week before it, such as `5L` for the last Friday",
            );
        }
        if day.contains('-') {
            return error(base, "`L` goes with one day; write a list, such as `4L,5L`");
        }
        let day = read_value(Field::DayOfWeek, base.slice(0..day.len()))? % 7;
        times.last_of |= 1 << day;
        return Ok(true);
    }
    if base.text.starts_with(['L', 'l']) {
        return error(
            base,
            "`L` comes after the day of the week, such as `5L` for the last Friday",
        );
    }
    if base.text.contains(['L', 'l']) && base.text.starts_with(|first: char| first.is_ascii_digit())
    {
        return error(base, "`5L` (the last Friday) stands alone in a list");
    }
    let upper = base.text.to_ascii_uppercase();
    if upper
        .strip_suffix('W')
        .is_some_and(|day| day.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return error(
            base,
            "`W` stands only in day-of-month, such as `15W`; write MON-FRI for working days",
        );
    }
    Ok(false)
}

/// Reads one value: a number, or a name where the field has names.
pub(super) fn read_value(field: Field, piece: Piece<'_>) -> Result<u32, PatternError> {
    if piece.is_digits() {
        let value = piece.text.parse().unwrap_or(u32::MAX);
        if (field.min()..=field.max()).contains(&value) {
            return Ok(value);
        }
        return Err(piece.error(
            Some(field),
            PatternErrorKind::Value,
            value_message(field, value),
        ));
    }
    if let Some(at) = field.names().iter().position(|name| piece.is(name)) {
        return Ok(field.min() + u32::try_from(at).unwrap_or(0));
    }
    Err(piece.error(
        Some(field),
        PatternErrorKind::Value,
        word_message(field, piece),
    ))
}

/// What to say about a number that is no value of the field.
fn value_message(field: Field, value: u32) -> String {
    let hint = match (field, value) {
        (Field::Hour, 24) => "; midnight is 0",
        (Field::Month, 0) => "; January is 1",
        _ => "",
    };
    format!("{}{hint}", field.values())
}

/// What to say about a word that is no value of the field.
fn word_message(field: Field, piece: Piece<'_>) -> String {
    let short_of = |names: &[&'static str], full: &[&'static str]| {
        let upper = piece.text.to_ascii_uppercase();
        // `Ma` may be March or May.
        let is_one = full.iter().filter(|full| full.starts_with(&upper)).count() == 1;
        let at = (upper.len() >= 2 && is_one)
            .then(|| full.iter().position(|full| full.starts_with(&upper)))
            .flatten();
        at.and_then(|at| names.get(at).copied())
    };
    let month = short_of(&MONTHS, &FULL_MONTHS);
    let weekday = short_of(&WEEKDAYS, &FULL_WEEKDAYS);
    match (field, month, weekday) {
        (Field::Month, Some(name), _) | (Field::DayOfWeek, _, Some(name)) => {
            format!("names have three letters; write {name}")
        }
        (_, Some(name), _) => format!(
            "{name} is a month, which is the {}; {}",
            place(Field::Month),
            field.values()
        ),
        (_, _, Some(name)) => {
            format!(
                "{name} is a day of the week, which is the {}; {}",
                place(Field::DayOfWeek),
                field.values()
            )
        }
        _ if piece.text.contains(';') => {
            "a list is written with commas, such as `1,3,5`".to_owned()
        }
        _ if piece.text.contains('~') => {
            "random values (`~`) are not supported; write a value".to_owned()
        }
        _ if piece.text.contains(['.', '+', '_']) => {
            format!("values are plain whole numbers; {}", field.values())
        }
        _ => format!("not a value; {}", field.values()),
    }
}

/// Where a field stands.
fn place(field: Field) -> &'static str {
    match field {
        Field::Second => "first of six fields",
        Field::Minute => "first of five fields",
        Field::Hour => "second of five fields",
        Field::DayOfMonth => "third of five fields",
        Field::Month => "fourth of five fields",
        Field::DayOfWeek => "last field",
    }
}

/// Adds every `step`-th value of `range` to the field's set.
fn add(field: Field, range: std::ops::RangeInclusive<u32>, step: u32, times: &mut LocalTimes) {
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    let set = range
        .step_by(step)
        .fold(0_u64, |set, value| set | (1 << value));
    match field {
        Field::Second => times.seconds |= set,
        Field::Minute => times.minutes |= set,
        Field::Hour => times.hours |= set as u32,
        Field::DayOfMonth => times.days |= set as u32,
        Field::Month => times.months |= set as u16,
        // Sunday is 0 and 7.
        Field::DayOfWeek => times.weekdays |= (set & 0x7f | set >> 7) as u8,
    }
}

/// Refuses what is not plain ASCII: mostly a look-alike, typed on another keyboard or pasted from a document.
fn refuse_odd_characters(whole: Piece<'_>) -> Result<(), PatternError> {
    let odd = |c: char| !(c.is_ascii_graphic() || c.is_ascii_whitespace());
    let Some((at, found)) = whole.text.char_indices().find(|&(_, c)| odd(c)) else {
        return Ok(());
    };
    let words: Vec<Piece<'_>> = whole.words().collect();
    let index = words
        .iter()
        .position(|word| (word.start..word.start + word.text.len()).contains(&at));
    let field = index.and_then(|index| match words.len() {
        5 => Field::ALL.get(index + 1),
        6 => Field::ALL.get(index),
        _ => None,
    });
    let piece = whole.slice(at..at + found.len_utf8());
    let code = u32::from(found);
    let what = match plain(found) {
        Some(' ') => format!("U+{code:04X} is not a plain space; write a space"),
        Some(plain) => format!("U+{code:04X} only looks like `{plain}`; write `{plain}`"),
        None if found.is_numeric() => format!("U+{code:04X} is not a plain digit; write 0 to 9"),
        None if found.is_control() || is_invisible(found) => {
            format!("U+{code:04X} cannot be seen; delete it")
        }
        None => format!("U+{code:04X} does not stand in a pattern; write plain ASCII"),
    };
    Err(piece.error(field.copied(), PatternErrorKind::Character, what))
}

/// The ASCII character that somebody who typed `found` meant.
fn plain(found: char) -> Option<char> {
    match found {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            Some(' ')
        }
        '∗' | '⁎' | '✱' | '✲' | '﹡' | '×' | '⋆' | '٭' => Some('*'),
        '\u{ad}' | '‐'..='―' | '−' | '﹣' | '﹘' => Some('-'),
        '⁄' | '∕' | '╱' | '÷' => Some('/'),
        '、' | '،' | '﹐' | '‚' | '﹑' => Some(','),
        '﹖' | '؟' => Some('?'),
        '﹟' => Some('#'),
        '﹫' => Some('@'),
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(found) - 0xfee0),
        _ => None,
    }
}

/// Characters that take no room on the screen.
fn is_invisible(found: char) -> bool {
    matches!(found, '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
