//! A schedule: one or more cron patterns in a time zone, and the instants at which any of them is due.
//!
//! Patterns are a union: an instant that two of them name is one instant. Calendars and freezes take some away, or move
//! them (`days`); what is left are the starts, and all that a schedule yields. It knows nothing of spread or marks.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::cron::{self, BothDays, ClockNote, CronPattern, PatternError};
use super::zone::Zone;

mod days;

pub use days::{DAYS_LOOKED_AT_MAX, Days, Exclusion, Freeze, MOVED_DAYS_MAX, Moved, OnExcluded};

/// A schedule has at most so many patterns; somebody who needs more needs more entries.
pub const PATTERNS_MAX: usize = 64;
/// Counting the union of several patterns looks at no more firings than this.
pub const COUNTED_MAX: u64 = 100_000;

/// One or more cron patterns in a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    patterns: Box<[CronPattern]>,
    texts: Box<[String]>,
    /// The texts as they were given, where they had an `H`.
    hashed: Box<[(String, String)]>,
    zone: Arc<Zone>,
    days: Days,
}

/// Why a list of texts makes no schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleError {
    /// The list is empty.
    NoPattern,
    /// The list has so many texts, more than [`PATTERNS_MAX`].
    TooMany(usize),
    /// These texts, by their place in the list, are no patterns.
    Patterns(Vec<(usize, PatternError)>),
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPattern => f.write_str("a schedule needs at least one cron pattern"),
            Self::TooMany(count) => write!(
                f,
                "a schedule has at most {PATTERNS_MAX} cron patterns, and here are {count}"
            ),
            Self::Patterns(errors) => {
                for (place, (index, error)) in errors.iter().enumerate() {
                    let separator = if place == 0 { "" } else { "; " };
                    write!(f, "{separator}pattern {}: {error}", index + 1)?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ScheduleError {}

/// Whether a schedule of that fingerprint may be due on another day than a pattern names.
pub fn moves(fingerprint: &str) -> bool {
    fingerprint.contains(days::MOVED_TO)
}

/// How many instants lie in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Exactly so many.
    Exactly(u64),
    /// So many or more.
    AtLeast(u64),
}

impl Count {
    /// The number, without the word before it.
    pub fn number(self) -> u64 {
        match self {
            Self::Exactly(number) | Self::AtLeast(number) => number,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(number) => write!(f, "{number}"),
            Self::AtLeast(number) => write!(f, "at least {number}"),
        }
    }
}

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    ///
    /// All texts that are no patterns, or a list of no or too many texts.
    pub fn parse<S: AsRef<str>>(texts: &[S], zone: Arc<Zone>) -> Result<Self, ScheduleError> {
        Self::read(texts, None, zone)
    }

    /// Reads the schedule of the entry of that name, which fixes what `H` stands for.
    ///
    /// # Errors
    ///
    /// As for [`Schedule::parse`].
    pub fn parse_named<S: AsRef<str>>(
        texts: &[S],
        name: &str,
        zone: Arc<Zone>,
    ) -> Result<Self, ScheduleError> {
        Self::read(texts, Some(name), zone)
    }

    fn read<S: AsRef<str>>(
        texts: &[S],
        name: Option<&str>,
        zone: Arc<Zone>,
    ) -> Result<Self, ScheduleError> {
        if texts.is_empty() {
            return Err(ScheduleError::NoPattern);
        }
        if texts.len() > PATTERNS_MAX {
            return Err(ScheduleError::TooMany(texts.len()));
        }
        let (mut patterns, mut errors) = (Vec::with_capacity(texts.len()), Vec::new());
        for (index, text) in texts.iter().enumerate() {
            let read = match name {
                Some(name) => CronPattern::parse_named(text.as_ref(), name),
                None => CronPattern::parse(text.as_ref()),
            };
            match read {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => errors.push((index, error)),
            }
        }
        if !errors.is_empty() {
            return Err(ScheduleError::Patterns(errors));
        }
        let mut hashed = Vec::new();
        let texts = texts.iter().map(|text| {
            let text = text.as_ref();
            let resolved = name.and_then(|name| cron::resolved(text, name));
            hashed.extend(resolved.clone().map(|is| (text.to_owned(), is)));
            resolved.unwrap_or_else(|| text.to_owned())
        });
        let texts = texts.collect();
        Ok(Self {
            patterns: patterns.into(),
            texts,
            hashed: hashed.into(),
            zone,
            days: Days::default(),
        })
    }

    /// The first start strictly later than `after`.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.days.is_empty() {
            true => self.named_after(after),
            false => self.start_after(after),
        }
    }

    /// The last start at or before `until`.
    pub fn last_until(&self, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.days.is_empty() {
            true => self.named_until(until),
            false => self.start_until(until),
        }
    }

    /// The first instant later than `after` that a pattern names, whatever calendars say.
    pub fn named_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.patterns
            .iter()
            .filter_map(|pattern| pattern.next_after(&self.zone, after))
            .min()
    }

    /// The last instant at or before `until` that a pattern names, whatever calendars say.
    pub fn named_until(&self, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.patterns
            .iter()
            .filter_map(|pattern| pattern.last_until(&self.zone, until))
            .max()
    }

    /// The starts later than `after` and not later than `until`, oldest first, found as they are asked for.
    pub fn between(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> impl Iterator<Item = DateTime<Utc>> {
        let next = |start: &DateTime<Utc>| self.next_after(*start);
        std::iter::successors(self.next_after(after), next).take_while(move |&start| start <= until)
    }

    /// The newest `max` starts later than `after` and not later than `until`, oldest first. Costs what is kept, not
    /// the length of the window.
    pub fn latest(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
        max: usize,
    ) -> Vec<DateTime<Utc>> {
        let mut kept = Vec::new();
        let mut until = Some(until);
        while kept.len() < max
            && let Some(instant) = until
                .and_then(|until| self.last_until(until))
                .filter(|&instant| instant > after)
        {
            kept.push(instant);
            until = instant.checked_sub_signed(chrono::TimeDelta::seconds(1));
        }
        kept.reverse();
        kept
    }

    /// How many starts are later than `after` and not later than `until`. Exact for one pattern without calendars, however
    /// long the window; for several, exact up to about [`COUNTED_MAX`].
    pub fn count_between(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Count {
        match self.days.is_empty() {
            true => self.count_named(after, until),
            false => self.count_starts(after, until),
        }
    }

    /// The same of the instants that patterns name, whatever calendars say.
    fn count_named(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Count {
        let counts = self
            .patterns
            .iter()
            .map(|pattern| pattern.count_between(&self.zone, after, until));
        let most = counts.max().unwrap_or(0);
        if self
            .patterns
            .iter()
            .all(|pattern| Some(pattern) == self.patterns.first())
        {
            return Count::Exactly(most);
        }
        if most > COUNTED_MAX {
            return Count::AtLeast(most);
        }
        let (mut count, mut looked_at) = (0, 0);
        for (_, named_by) in Union::new(self, after).take_while(|&(instant, _)| instant <= until) {
            count += 1;
            looked_at += named_by;
            if looked_at > COUNTED_MAX {
                return Count::AtLeast(most.max(count));
            }
        }
        Count::Exactly(count)
    }

    /// A text that is the same for two schedules if and only if they are: the same patterns, in any order, letter case
    /// and spacing, in a zone of the same name, under calendars of the same names. It is kept in the ledger, so its form
    /// never changes. What stands in the calendars is not in it: a list of holidays that grows is no new schedule.
    pub fn fingerprint(&self) -> String {
        let words = |text: &String| {
            text.split_ascii_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .to_ascii_uppercase()
        };
        let mut texts: Vec<String> = self.texts.iter().map(words).collect();
        texts.sort();
        texts.dedup();
        format!(
            "{} | in {}{}",
            texts.join(" | "),
            self.zone.name(),
            self.days.fingerprint()
        )
    }

    /// What a change of the clock has to do with the instant `firing`.
    pub fn clock_note(&self, firing: DateTime<Utc>) -> Option<ClockNote> {
        self.patterns
            .iter()
            .find_map(|pattern| pattern.clock_note(&self.zone, firing))
    }

    /// Whether it can fire more often than once a minute: one of its patterns can, or two of them name different seconds
    /// of the same minute.
    pub fn is_subminute(&self) -> bool {
        let shares = |one: &CronPattern| {
            self.patterns
                .iter()
                .any(|other| one.shares_minute_with(other))
        };
        self.patterns
            .iter()
            .any(|pattern| pattern.is_subminute() || shares(pattern))
    }

    /// The texts whose day fields are both restricted, and how these are joined.
    pub fn both_day_fields(&self) -> impl Iterator<Item = (&str, BothDays)> {
        let pairs = self.texts.iter().zip(&self.patterns);
        pairs.filter_map(|(text, pattern)| {
            Some((text.as_str(), pattern.restricts_both_day_fields()?))
        })
    }

    /// The patterns, in the order of the texts.
    pub fn patterns(&self) -> &[CronPattern] {
        &self.patterns
    }

    /// The texts that have an `H`, each with what it stands for.
    pub fn hashed(&self) -> &[(String, String)] {
        &self.hashed
    }

    /// The texts, with what `H` stands for in its place.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The zone in which the patterns are read.
    pub fn zone(&self) -> &Arc<Zone> {
        &self.zone
    }
}

/// Walks the instants of a schedule; each comes with the number of patterns that name it.
struct Union<'a> {
    zone: &'a Zone,
    /// The next instant of each pattern that has one.
    due: Vec<(DateTime<Utc>, &'a CronPattern)>,
}

impl<'a> Union<'a> {
    fn new(schedule: &'a Schedule, after: DateTime<Utc>) -> Self {
        let zone = &schedule.zone;
        let next = |pattern: &'a CronPattern| Some((pattern.next_after(zone, after)?, pattern));
        Self {
            zone,
            due: schedule.patterns.iter().filter_map(next).collect(),
        }
    }
}

impl Iterator for Union<'_> {
    type Item = (DateTime<Utc>, u64);

    fn next(&mut self) -> Option<Self::Item> {
        let instant = self.due.iter().map(|&(due, _)| due).min()?;
        let mut named_by = 0;
        let zone = self.zone;
        self.due.retain_mut(|(due, pattern)| {
            if *due > instant {
                return true;
            }
            named_by += 1;
            let next = pattern.next_after(zone, instant);
            next.is_some_and(|next| {
                *due = next;
                true
            })
        });
        Some((instant, named_by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::zone::Change;

    fn instant(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn schedule(texts: &[&str]) -> Schedule {
        // Berlin in the year 2025, without the rest of its history.
        let changes = vec![
            Change {
                at: instant("2025-03-30T01:00:00Z").timestamp(),
                offset: 7200,
            },
            Change {
                at: instant("2025-10-26T01:00:00Z").timestamp(),
                offset: 3600,
            },
        ];
        Schedule::parse(texts, Arc::new(Zone::new("Europe/Berlin", 3600, changes))).unwrap()
    }

    fn instants(found: &[DateTime<Utc>]) -> Vec<String> {
        found
            .iter()
            .map(|instant| instant.format("%d %H:%M").to_string())
            .collect()
    }

    #[test]
    fn an_instant_that_two_patterns_name_is_one() {
        let nightly = schedule(&["0 2 * * *", "0 2,14 * * 1-5", "0 2 * * *"]);
        let (after, until) = (
            instant("2025-03-28T00:00:00Z"),
            instant("2025-03-31T00:00:00Z"),
        );
        let found: Vec<_> = nightly.between(after, until).collect();
        // The 28th is a Friday; on the 30th the clock skips 02:00.
        assert_eq!(
            instants(&found),
            ["28 01:00", "28 13:00", "29 01:00", "30 01:00", "31 00:00"]
        );
        assert_eq!(nightly.count_between(after, until), Count::Exactly(5));
        assert_eq!(nightly.next_after(after), found.first().copied());
        assert_eq!(nightly.last_until(until), found.last().copied());
        assert_eq!(nightly.latest(after, until, usize::MAX), found);
        assert_eq!(nightly.latest(after, until, 2), found[3..]);
        assert!(nightly.latest(after, until, 0).is_empty());
        assert!(nightly.latest(until, until, 5).is_empty());
        assert!(nightly.latest(until, after, 5).is_empty());
        assert_eq!(nightly.between(until, after).count(), 0);
        assert_eq!(nightly.count_between(until, after), Count::Exactly(0));
    }

    #[test]
    fn the_latest_cost_what_is_kept() {
        let busy = schedule(&["* * * * * *", "30 4 * * *"]);
        let kept = busy.latest(
            DateTime::<Utc>::MIN_UTC,
            instant("2199-01-01T00:00:00.9Z"),
            3,
        );
        assert_eq!(kept.len(), 3);
        assert_eq!(kept.last(), Some(&instant("2199-01-01T00:00:00Z")));
        assert_eq!(
            busy.latest(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC, 3)
                .len(),
            3
        );
        assert!(
            busy.latest(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MIN_UTC, 3)
                .is_empty()
        );
    }

    #[test]
    fn one_pattern_is_counted_exactly_and_several_as_far_as_it_is_cheap() {
        let (after, until) = (
            instant("2024-12-31T23:00:00Z"),
            instant("2025-12-31T23:00:00Z"),
        );
        assert_eq!(
            schedule(&["* * * * *"]).count_between(after, until),
            Count::Exactly(365 * 1440)
        );
        assert_eq!(
            schedule(&["* * * * *", "* * * * *"]).count_between(after, until),
            Count::Exactly(365 * 1440)
        );
        let hourly_and_nightly = schedule(&["0 * * * *", "0 2 * * *", "15 2 * * *"]);
        // The shifted run of 02:15 on the day with 23 hours falls on a full hour.
        assert_eq!(
            hourly_and_nightly.count_between(after, until),
            Count::Exactly(365 * 25 - 1)
        );
        let many = schedule(&["*/5 * * * *", "2-59/5 * * * *"]).count_between(after, until);
        assert_eq!(many, Count::AtLeast(365 * 288));
        let some = schedule(&["*/10 * * * *", "2-59/10 * * * *"]).count_between(after, until);
        assert_eq!(some, Count::AtLeast(COUNTED_MAX + 1));
        assert_eq!(some.to_string(), "at least 100001");
    }

    #[test]
    fn the_fingerprint_is_the_same_for_the_same_patterns_and_zone() {
        let one = schedule(&["0 2 * * mon", " 30  4\t* * * "]);
        let other = schedule(&["30 4 * * *", "0 2 * * MON", "0 2 * * Mon"]);
        assert_eq!(
            one.fingerprint(),
            "0 2 * * MON | 30 4 * * * | in Europe/Berlin"
        );
        assert_eq!(one.fingerprint(), other.fingerprint());
        assert_ne!(one.fingerprint(), schedule(&["0 2 * * MON"]).fingerprint());
        let elsewhere =
            Schedule::parse(&["0 2 * * MON", "30 4 * * *"], Arc::new(Zone::utc())).unwrap();
        assert_ne!(one.fingerprint(), elsewhere.fingerprint());
    }

    #[test]
    fn all_problems_of_a_list_are_told_at_once() {
        let zone = Arc::new(Zone::utc());
        let parse = |texts: &[&str]| Schedule::parse(texts, Arc::clone(&zone)).unwrap_err();
        assert_eq!(parse(&[]), ScheduleError::NoPattern);
        assert_eq!(parse(&["@daily"; 65]), ScheduleError::TooMany(65));
        let message = parse(&["60 * * * *", "@daily", "0 0 31 2 *"]).to_string();
        assert!(
            message.starts_with("pattern 1: in minute, `60`"),
            "{message}"
        );
        assert!(
            message.contains("; pattern 3: in day-of-month, `31 2`"),
            "{message}"
        );
    }

    #[test]
    fn it_tells_of_what_deserves_a_note() {
        let both: Vec<_> = schedule(&["0 2 * * 1", "0 2 13 * 5"])
            .both_day_fields()
            .map(|(text, both)| (text.to_owned(), both))
            .collect();
        assert_eq!(both, [("0 2 13 * 5".to_owned(), BothDays::Either)]);
        assert!(!schedule(&["0 2 * * *", "15 2 * * *"]).is_subminute());
        assert!(!schedule(&["0 2 * * *", "30 0 14 * * *"]).is_subminute());
        assert!(schedule(&["0 2 * * *", "30 0 2 * * *"]).is_subminute());
        assert!(schedule(&["0 2 * * *", "*/30 0 2 * * *"]).is_subminute());
        let note =
            schedule(&["0 4 * * *", "30 2 * * *"]).clock_note(instant("2025-03-30T01:00:00Z"));
        assert!(matches!(note, Some(ClockNote::Shifted { .. })), "{note:?}");
    }
}
