//! Calendars: which days are working days, and which rule says that one is not.
//!
//! A calendar answers for a date, whatever the zone: the date on the wall clock of whoever asks. Its rules, the strongest
//! first:
//!
//! 1. `workdays`: a day that is listed there is a working day, also on a weekend or within a holiday (China's shifted
//!    working days).
//! 2. `holidays`, the events of its iCalendar files, and `patterns`: days off, by date.
//! 3. `weekend`: days off, by day of the week. Without the key a calendar has no weekend: a list of freeze days says nothing
//!    of Sundays.
//! 4. A calendar that has `workdays` and no rule for days off has these working days and no others.
//!
//! What this module refuses to do: read files or texts, or know instants.

use std::fmt;

use chrono::{Datelike, NaiveDate};

use super::cron::CronPattern;

/// Days that follow each other, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first day.
    pub first: NaiveDate,
    /// The last day.
    pub last: NaiveDate,
    /// What it is called, if anything.
    pub label: String,
}

/// `2027-05-01`, or `2027-02-05..2027-02-11`.
impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.first)?;
        if self.last > self.first {
            write!(out, "..{}", self.last)?;
        }
        Ok(())
    }
}

/// Spans in order, so that a date is found quickly although they may overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Spans {
    spans: Box<[Span]>,
    /// Where which span counts, in order: from a first day to a last one.
    pieces: Box<[(NaiveDate, NaiveDate, u32)]>,
}

impl Spans {
    fn new(mut spans: Vec<Span>) -> Self {
        spans.sort();
        spans.dedup();
        Self {
            pieces: pieces(&spans).into(),
            spans: spans.into(),
        }
    }

    /// The span that holds the day; of several the one that began last.
    fn find(&self, day: NaiveDate) -> Option<&Span> {
        let begun = self.pieces.partition_point(|(first, ..)| *first <= day);
        let (_, last, at) = self.pieces.get(begun.checked_sub(1)?)?;
        (*last >= day).then(|| self.spans.get(*at as usize))?
    }

    fn last(&self) -> Option<NaiveDate> {
        self.pieces.last().map(|(_, last, _)| *last)
    }
}

/// Cuts sorted spans into pieces that do not overlap, each for the last span that holds it. A span that lies within another
/// splits it, so there are at most twice as many.
fn pieces(spans: &[Span]) -> Vec<(NaiveDate, NaiveDate, u32)> {
    let mut pieces: Vec<(NaiveDate, NaiveDate, u32)> = Vec::new();
    // What has begun and is not over, the last at the top; what ends before the one above it can never count.
    let mut open: Vec<(NaiveDate, u32)> = Vec::new();
    let mut cursor = NaiveDate::MIN;
    let mut close = |open: &mut Vec<(NaiveDate, u32)>, cursor: &mut NaiveDate, until: NaiveDate| {
        while let Some(&(last, at)) = open.last() {
            if *cursor >= until {
                return;
            }
            if last >= *cursor {
                let end = last.min(until.pred_opt().unwrap_or(until));
                pieces.push((*cursor, end, at));
                *cursor = end.succ_opt().unwrap_or(end);
            }
            if last >= until {
                return;
            }
            open.pop();
        }
    };
    for (at, span) in (0_u32..).zip(spans) {
        close(&mut open, &mut cursor, span.first);
        cursor = span.first;
        while open.last().is_some_and(|(last, _)| *last <= span.last) {
            open.pop();
        }
        open.push((span.last, at));
    }
    close(&mut open, &mut cursor, NaiveDate::MAX);
    pieces
}

/// A calendar, read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    name: String,
    /// Bits by day of the week, Sunday is 0.
    weekend: u8,
    holidays: Spans,
    events: Spans,
    workdays: Spans,
    patterns: Box<[(String, CronPattern)]>,
    has_days_off: bool,
}

/// What a calendar is made of.
#[derive(Debug, Clone, Default)]
pub struct CalendarParts {
    /// Days off by day of the week: bits, Sunday is 0.
    pub weekend: u8,
    /// Days off.
    pub holidays: Vec<Span>,
    /// Days off of iCalendar files, each with the event's summary.
    pub events: Vec<Span>,
    /// Working days, whatever else is said of them.
    pub workdays: Vec<Span>,
    /// Days off: every day that a pattern names.
    pub patterns: Vec<(String, CronPattern)>,
    /// Whether something was to say which days are off, also if it names none: a file of events that came out empty must
    /// not turn the calendar round.
    pub has_days_off: bool,
}

/// Why a day is no working day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayOff<'c> {
    /// It is one of the weekend.
    Weekend,
    /// It lies in this holiday.
    Holiday(&'c Span),
    /// It lies in this event of an iCalendar file.
    Event(&'c Span),
    /// This pattern names it.
    Pattern(&'c str),
    /// The calendar lists working days alone, and this is none of them.
    NotListed,
}

impl fmt::Display for DayOff<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weekend => out.write_str("weekend"),
            Self::Holiday(span) => write!(out, "holiday {span}"),
            Self::Event(span) if span.label.is_empty() => write!(out, "event {span}"),
            Self::Event(span) => write!(out, "event \"{}\" {span}", span.label),
            Self::Pattern(text) => write!(out, "pattern `{text}`"),
            Self::NotListed => out.write_str("none of its working days"),
        }
    }
}

impl Calendar {
    /// A calendar of that name.
    pub fn new(name: &str, parts: CalendarParts) -> Self {
        Self {
            name: name.to_owned(),
            weekend: parts.weekend,
            holidays: Spans::new(parts.holidays),
            events: Spans::new(parts.events),
            workdays: Spans::new(parts.workdays),
            patterns: parts.patterns.into(),
            has_days_off: parts.has_days_off,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which rule says that the day is no working day; none if it is one.
    pub fn day_off(&self, day: NaiveDate) -> Option<DayOff<'_>> {
        if self.workdays.find(day).is_some() {
            return None;
        }
        if let Some(span) = self.holidays.find(day) {
            return Some(DayOff::Holiday(span));
        }
        if let Some(span) = self.events.find(day) {
            return Some(DayOff::Event(span));
        }
        let named = self.patterns.iter();
        if let Some((text, _)) = named.clone().find(|(_, pattern)| pattern.names_day(day)) {
            return Some(DayOff::Pattern(text));
        }
        if self.weekend & (1 << day.weekday().num_days_from_sunday()) != 0 {
            return Some(DayOff::Weekend);
        }
        self.lists_working_days_alone().then_some(DayOff::NotListed)
    }

    /// Whether it has `workdays`, and nothing that says which days are off.
    pub fn lists_working_days_alone(&self) -> bool {
        let has_days_off = self.has_days_off
            || self.weekend != 0
            || !self.holidays.spans.is_empty()
            || !self.events.spans.is_empty()
            || !self.patterns.is_empty();
        !has_days_off && !self.workdays.spans.is_empty()
    }

    /// Whether no day after this one is a working day.
    pub fn is_over_after(&self, day: NaiveDate) -> bool {
        const ALL_DAYS: u8 = 0b111_1111;
        let takes_the_rest = self.lists_working_days_alone() || self.weekend == ALL_DAYS;
        takes_the_rest && self.workdays.last().is_none_or(|last| last <= day)
    }

    /// The last day that it lists by date; none if it lists none.
    pub fn last_date(&self) -> Option<NaiveDate> {
        let ends = [&self.holidays, &self.events, &self.workdays];
        ends.into_iter().filter_map(Spans::last).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: &str, last: &str, label: &str) -> Span {
        Span {
            first: first.parse().unwrap(),
            last: last.parse().unwrap(),
            label: label.to_owned(),
        }
    }

    #[test]
    fn of_spans_that_overlap_the_one_that_began_last_counts() {
        let start: NaiveDate = "2027-01-01".parse().unwrap();
        let day = |days: u64| start.checked_add_days(chrono::Days::new(days)).unwrap();
        // Every arrangement of a few short spans, against looking at each.
        let mut dice = 1_u64;
        let mut roll = move |sides: u64| {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        for round in 0..2_000 {
            let spans: Vec<Span> = (0..roll(7))
                .map(|number| {
                    let first = roll(12);
                    Span {
                        first: day(first),
                        last: day(first + roll(9)),
                        label: number.to_string(),
                    }
                })
                .collect();
            let mut sorted = spans.clone();
            sorted.sort();
            let found = Spans::new(spans);
            for offset in 0..25 {
                let day = day(offset);
                let holds = |span: &&Span| span.first <= day && day <= span.last;
                let expected = sorted.iter().rev().find(holds);
                assert_eq!(
                    found.find(day),
                    expected,
                    "round {round}, {day}: {sorted:?}"
                );
            }
            assert!(found.pieces.len() <= 2 * sorted.len());
            let last = sorted.iter().map(|span| span.last).max();
            assert_eq!(found.last(), last);
        }
    }

    #[test]
    fn what_lists_its_last_working_day_is_over_after_it() {
        let parts = || CalendarParts {
            workdays: vec![
                span("2027-01-04", "2027-01-05", ""),
                span("2026-01-04", "2026-01-04", ""),
            ],
            ..CalendarParts::default()
        };
        let holidays = vec![span("2027-01-02", "2027-01-02", "")];
        for (calendar, is_over) in [
            (Calendar::new("listed", parts()), true),
            (
                Calendar::new(
                    "all",
                    CalendarParts {
                        weekend: 0x7f,
                        ..parts()
                    },
                ),
                true,
            ),
            (
                Calendar::new(
                    "some",
                    CalendarParts {
                        weekend: 0x3f,
                        ..parts()
                    },
                ),
                false,
            ),
            (
                Calendar::new(
                    "off",
                    CalendarParts {
                        holidays,
                        ..parts()
                    },
                ),
                false,
            ),
        ] {
            let before: NaiveDate = "2027-01-04".parse().unwrap();
            let last: NaiveDate = "2027-01-05".parse().unwrap();
            assert!(!calendar.is_over_after(before), "{}", calendar.name());
            assert_eq!(calendar.is_over_after(last), is_over, "{}", calendar.name());
            // As it says, so it is.
            let later = (1..400).filter_map(|days| last.checked_add_days(chrono::Days::new(days)));
            let open = later.filter(|day| calendar.day_off(*day).is_none()).count();
            assert_eq!(open == 0, is_over, "{}", calendar.name());
        }
    }

    #[test]
    fn each_rule_says_no_in_its_own_words_and_a_listed_working_day_wins() {
        let pattern = "* * 24-31 DEC *";
        let cn = Calendar::new(
            "cn",
            CalendarParts {
                has_days_off: false,
                weekend: 0b100_0001,
                holidays: vec![span("2027-02-05", "2027-02-11", "")],
                events: vec![
                    span("2027-10-01", "2027-10-07", "National Day"),
                    span("2027-10-03", "2027-10-03", ""),
                ],
                workdays: vec![span("2027-02-14", "2027-02-14", "")],
                patterns: vec![(pattern.to_owned(), CronPattern::parse(pattern).unwrap())],
            },
        );
        for (day, said) in [
            ("2027-02-04", None),
            ("2027-02-05", Some("holiday 2027-02-05..2027-02-11")),
            ("2027-02-11", Some("holiday 2027-02-05..2027-02-11")),
            ("2027-02-12", None),
            ("2027-02-13", Some("weekend")),
            ("2027-02-14", None), // a Sunday
            (
                "2027-10-02",
                Some("event \"National Day\" 2027-10-01..2027-10-07"),
            ),
            ("2027-10-03", Some("event 2027-10-03")),
            (
                "2027-10-04",
                Some("event \"National Day\" 2027-10-01..2027-10-07"),
            ),
            ("2027-10-08", None),
            ("2027-12-23", None),
            ("2027-12-24", Some("pattern `* * 24-31 DEC *`")),
        ] {
            let off = cn.day_off(day.parse().unwrap());
            assert_eq!(off.map(|off| off.to_string()).as_deref(), said, "{day}");
        }
        assert_eq!(cn.last_date(), Some("2027-10-07".parse().unwrap()));
    }

    #[test]
    fn a_list_of_days_off_knows_no_weekend_and_a_list_of_working_days_no_others() {
        let days = || vec![span("2027-03-01", "2027-03-02", "")];
        let freeze = CalendarParts {
            holidays: days(),
            ..CalendarParts::default()
        };
        let freeze = Calendar::new("freeze", freeze);
        let release = CalendarParts {
            workdays: days(),
            ..CalendarParts::default()
        };
        let release = Calendar::new("release", release);
        for (day, freezes, releases) in [
            ("2027-02-28", false, false), // a Sunday
            ("2027-03-01", true, true),
            ("2027-03-03", false, false),
        ] {
            let day = day.parse().unwrap();
            assert_eq!(freeze.day_off(day).is_some(), freezes, "{day}");
            assert_eq!(release.day_off(day).is_none(), releases, "{day}");
        }
        let sunday = "2027-02-28".parse().unwrap();
        assert_eq!(release.day_off(sunday), Some(DayOff::NotListed));
    }
}
