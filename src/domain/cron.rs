//! Cron patterns: what a text such as `30 2 * * 1-5` names, and the instants at which it fires in a time zone.
//!
//! A pattern has five fields (minute, hour, day-of-month, month, day-of-week) or six with the second first, or is a
//! nickname such as `@daily`. The dialect is written down, with cases, in `tests/vectors/cron/README.md`; it is that
//! of Vixie cron and its children, so a line moves here from a crontab without a change of meaning.
//!
//! **The clock-change rule.** A pattern is *wildcard* if its minute or hour text (or, with six fields, its second text)
//! begins with `*`; otherwise it is *fixed-time*.
//!
//! - Wildcard patterns follow real time: a skipped hour has no matches, a repeated hour matches in both passes.
//! - A fixed-time pattern runs once for each wall-clock time it names: at the first instant at which the clock shows that
//!   time *or has just jumped over it*. So what the clock skips runs right after the gap (several skipped times, and one
//!   that is due at that instant anyway, are one run), and what occurs twice runs in the first pass.
//! - A jump of more than three hours is a change of calendar (Samoa had no December 30 in 2011): what it skips does
//!   not run.
//!
//! Every search ends: a pattern that names no day of any year is refused when it is read, and the searches look only
//! at a zone's table, from [`zone::FIRST_INSTANT`](super::zone::FIRST_INSTANT) to
//! [`zone::LAST_INSTANT`](super::zone::LAST_INSTANT). A pattern may still never fire *in a zone*, when all it names falls
//! into hours that the clock skips each year; then `next_after` is `None`.
//!
//! ```
//! use chrono::{DateTime, Utc};
//! use pipecron::domain::{cron::CronPattern, zone::Zone};
//!
//! let nightly = CronPattern::parse("30 2 * * 1-5")?;
//! let friday: DateTime<Utc> = "2026-11-27T12:00:00Z".parse()?;
//! let monday: DateTime<Utc> = "2026-11-30T02:30:00Z".parse()?;
//! assert_eq!(nightly.next_after(&Zone::utc(), friday), Some(monday));
//!
//! let error = CronPattern::parse("60 2 * * *").unwrap_err();
//! assert_eq!(error.to_string(), "in minute, `60` at character 1: minute is 0 to 59");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What this module refuses to do: read a clock, know a calendar of holidays, or resolve `H` without a name.

mod calendar;
mod hash;
mod parse;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Utc};

use self::calendar::LocalTimes;
pub use self::parse::{Field, PatternError, PatternErrorKind};
use super::zone::{FIRST_INSTANT, LAST_INSTANT, Zone};

/// A longer jump of the clock is a change of calendar, and what it skips does not run.
const MADE_UP_SECS_MAX: i64 = 3 * 3600;
/// Offsets lie between -26 and +26 hours, so a stretch that ended longer ago than this cannot have shown a time that
/// the wall clock shows again now.
const OFFSETS_APART_SECS: i64 = 52 * 3600;

const DAY_SECS: i64 = 86_400;
/// Days from the first of the year 1 to 1970.
const DAYS_TO_1970: i32 = 719_163;

/// The pattern with every `H` replaced by what it stands for in the entry of that name; none if it has no `H`.
pub fn resolved(text: &str, name: &str) -> Option<String> {
    hash::resolved(text, name)
}

/// Whether what a pattern names depends on the name of its entry.
pub fn has_hash(text: &str) -> bool {
    hash::has_one(text)
}

/// A cron pattern, read and checked: a few sets of bits, cheap to copy and to keep by the thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CronPattern {
    times: LocalTimes,
    fixed_time: bool,
    both_days: Option<BothDays>,
}

/// How a pattern with both day fields restricted joins them. People guess this wrong, so it is worth a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BothDays {
    /// A day that satisfies either field is enough, as in `0 0 13 * 5`.
    Either,
    /// A day must satisfy both, because one of the texts begins with `*`, as in `0 0 */2 * 1`.
    Both,
}

/// What a change of the clock has to do with a firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockNote {
    /// The clock skips the wall time that was wanted; it runs right after the gap.
    Shifted {
        /// The (first) skipped wall time.
        wanted: NaiveDateTime,
    },
    /// It is due at this wall time, and stands for a skipped one as well: one run, not two.
    Merged {
        /// The (first) skipped wall time.
        wanted: NaiveDateTime,
    },
    /// The wall time occurs twice; a fixed-time pattern runs only now, in the first pass.
    OnlyFirstPass {
        /// When the wall clock shows the same again, without a run.
        second: DateTime<Utc>,
    },
    /// The wall time occurs twice, and a wildcard pattern runs in both passes; this is the first.
    FirstPass {
        /// The other run.
        second: DateTime<Utc>,
    },
    /// The wall time occurs twice, and a wildcard pattern runs in both passes; this is the second.
    SecondPass {
        /// The other run.
        first: DateTime<Utc>,
    },
}

impl CronPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// A text that is not a pattern, or one that can never fire, with the place and what to write instead.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        parse::pattern(text, None)
    }

    /// Reads a pattern of the entry of that name, which fixes what `H` stands for.
    ///
    /// # Errors
    ///
    /// As for [`CronPattern::parse`].
    pub fn parse_named(text: &str, name: &str) -> Result<Self, PatternError> {
        parse::pattern(text, Some(name))
    }

    /// The first firing strictly later than `after`; `None` if there is none before the end of the zone's table.
    pub fn next_after(&self, zone: &Zone, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // Firings are whole seconds, so the first one that is later than any part of this second is the next or later.
        let from = after.timestamp().checked_add(1)?.max(FIRST_INSTANT);
        let mut wanted = Ahead {
            times: &self.times,
            known: None,
        };
        let mut index = stretch_index(zone, from);
        while from < LAST_INSTANT && index <= zone.changes().len() {
            let stretch = self.stretch(zone, index);
            if stretch.start >= LAST_INSTANT {
                return None;
            }
            if stretch.makes_up
                && from <= stretch.start
                && wanted
                    .at_or_after(stretch.shown)
                    .is_some_and(|local| local < stretch.start + stretch.offset)
            {
                return instant(stretch.start);
            }
            let local = (from.max(stretch.start) + stretch.offset).max(stretch.shown);
            if let Some(local) = wanted.at_or_after(local)
                && local < stretch.end + stretch.offset
            {
                return instant(local - stretch.offset);
            }
            index += 1;
        }
        None
    }

    /// The last firing at or before `until`; `None` if there is none since the beginning of the zone's table. Costs the
    /// same whatever the distance.
    pub fn last_until(&self, zone: &Zone, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let end = until.timestamp().min(LAST_INSTANT - 1) + 1;
        let mut wanted = Behind {
            times: &self.times,
            known: None,
        };
        if end <= FIRST_INSTANT {
            return None;
        }
        let mut index = stretch_index(zone, end - 1);
        loop {
            let stretch = self.stretch(zone, index);
            let floor = (stretch.start.max(FIRST_INSTANT) + stretch.offset).max(stretch.shown);
            if let Some(local) = wanted.before(stretch.end.min(end) + stretch.offset)
                && local >= floor
            {
                return instant(local - stretch.offset);
            }
            if stretch.start < FIRST_INSTANT {
                return None;
            }
            if stretch.makes_up
                && wanted
                    .before(stretch.start + stretch.offset)
                    .is_some_and(|local| local >= stretch.shown)
            {
                return instant(stretch.start);
            }
            index = index.checked_sub(1)?;
        }
    }

    /// How many firings are later than `after` and not later than `until`. Exact, and costs months and clock changes,
    /// not firings.
    pub fn count_between(&self, zone: &Zone, after: DateTime<Utc>, until: DateTime<Utc>) -> u64 {
        let from = after.timestamp().saturating_add(1).max(FIRST_INSTANT);
        let end = until.timestamp().min(LAST_INSTANT - 1) + 1;
        let mut count = 0;
        let mut index = stretch_index(zone, from);
        while from < end && index <= zone.changes().len() {
            let stretch = self.stretch(zone, index);
            if stretch.start >= end {
                break;
            }
            let local = (from.max(stretch.start) + stretch.offset).max(stretch.shown);
            count += self
                .times
                .count(local, stretch.end.min(end) + stretch.offset);
            // Skipped times are one run, and the same run as one that is due at that very instant.
            if stretch.makes_up && from <= stretch.start {
                let begin = stretch.start + stretch.offset;
                let next = self.times.at_or_after(stretch.shown);
                let due_anyway = self.times.count(begin, begin + 1);
                count += u64::from(next.is_some_and(|local| local < begin)) * (1 - due_anyway);
            }
            index += 1;
        }
        count
    }

    /// What a change of the clock has to do with the firing at `instant`; `None` if nothing, or if the pattern does not
    /// fire then.
    pub fn clock_note(&self, zone: &Zone, firing: DateTime<Utc>) -> Option<ClockNote> {
        if self.last_until(zone, firing) != Some(firing) {
            return None;
        }
        let at = firing.timestamp();
        let index = stretch_index(zone, at);
        let stretch = self.stretch(zone, index);
        let local = at + stretch.offset;
        if stretch.makes_up && stretch.start == at {
            let skipped = self
                .times
                .at_or_after(stretch.shown)
                .filter(|&skipped| skipped < local);
            if let Some(wanted) = skipped.and_then(instant).map(|wanted| wanted.naive_utc()) {
                let due = self.times.count(local, local + 1) == 1;
                return Some(if due {
                    ClockNote::Merged { wanted }
                } else {
                    ClockNote::Shifted { wanted }
                });
            }
        }
        let later = (index + 1..=zone.changes().len()).map(|index| Bounds::of(zone, index));
        let later = later.take_while(|bounds| bounds.start < at + OFFSETS_APART_SECS);
        let earlier = (0..index).rev().map(|index| Bounds::of(zone, index));
        let earlier = earlier.take_while(|bounds| bounds.end > at - OFFSETS_APART_SECS);
        if self.fixed_time {
            let second = later
                .filter_map(|bounds| bounds.shows(local))
                .next()
                .and_then(instant)?;
            Some(ClockNote::OnlyFirstPass { second })
        } else if let Some(first) = earlier
            .filter_map(|bounds| bounds.shows(local))
            .next()
            .and_then(instant)
        {
            Some(ClockNote::SecondPass { first })
        } else {
            let second = later
                .filter_map(|bounds| bounds.shows(local))
                .next()
                .and_then(instant)?;
            Some(ClockNote::FirstPass { second })
        }
    }

    /// Whether it can fire more often than once a minute.
    pub fn is_subminute(&self) -> bool {
        self.times.seconds.count_ones() > 1
    }

    /// Whether both can fire in the same minute of a day, at different seconds of it.
    pub(super) fn shares_minute_with(&self, other: &Self) -> bool {
        self.times.hours & other.times.hours != 0
            && self.times.minutes & other.times.minutes != 0
            && self.times.seconds != other.times.seconds
    }

    /// Whether it names any time of that day of the wall clock.
    pub fn names_day(&self, day: NaiveDate) -> bool {
        let start = i64::from(day.num_days_from_ce() - DAYS_TO_1970) * DAY_SECS;
        self.times.count(start, start + DAY_SECS) > 0
    }

    /// Whether it names whole days: every minute of each of them.
    pub fn names_whole_days(&self) -> bool {
        self.times.is_whole_day()
    }

    /// The same times of the day, on every day.
    #[must_use]
    pub fn on_every_day(&self) -> Self {
        Self {
            times: self.times.on_every_day(),
            both_days: None,
            ..*self
        }
    }

    /// Whether the text is fixed-time, which decides what happens when the clock changes (see the module).
    pub fn is_fixed_time(&self) -> bool {
        self.fixed_time
    }

    /// Whether day-of-month and day-of-week are both restricted, and how they are then joined.
    pub fn restricts_both_day_fields(&self) -> Option<BothDays> {
        self.both_days
    }

    /// Stretch `index` of the zone, as this pattern sees it.
    fn stretch(&self, zone: &Zone, index: usize) -> Stretch {
        let Bounds { start, end, offset } = Bounds::of(zone, index);
        let mut stretch = Stretch {
            start,
            end,
            offset,
            shown: i64::MIN,
            makes_up: false,
        };
        if !self.fixed_time || start >= end {
            return stretch;
        }
        let earlier = (0..index).rev().map(|index| Bounds::of(zone, index));
        let earlier = earlier.take_while(|bounds| bounds.end > start - OFFSETS_APART_SECS);
        for bounds in earlier.filter(|bounds| bounds.start < bounds.end) {
            if stretch.shown == i64::MIN {
                let jump = offset - bounds.offset;
                stretch.makes_up = (1..=MADE_UP_SECS_MAX).contains(&jump);
            }
            stretch.shown = stretch.shown.max(bounds.end + bounds.offset);
        }
        stretch
    }
}

/// A stretch of constant offset.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Its first instant; `i64::MIN` if nothing comes before.
    start: i64,
    /// The first instant after it; not after the end of the table.
    end: i64,
    offset: i64,
}

impl Bounds {
    /// The stretch after the first `index` changes.
    fn of(zone: &Zone, index: usize) -> Self {
        let changes = zone.changes();
        let end = changes
            .get(index)
            .map_or(LAST_INSTANT, |change| change.at.min(LAST_INSTANT));
        match index.checked_sub(1).and_then(|before| changes.get(before)) {
            Some(change) => Self {
                start: change.at,
                end,
                offset: change.offset.into(),
            },
            None => Self {
                start: i64::MIN,
                end,
                offset: zone.stretch_at(i64::MIN).offset.into(),
            },
        }
    }

    /// The instant of this stretch at which the wall clock shows `local`.
    fn shows(&self, local: i64) -> Option<i64> {
        let at = local - self.offset;
        (self.start <= at && at < self.end).then_some(at)
    }
}

/// A stretch of constant offset, with what the clock-change rule needs to know about its beginning.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// Its first instant; `i64::MIN` if nothing comes before.
    start: i64,
    /// The first instant after it.
    end: i64,
    offset: i64,
    /// For a fixed-time pattern: wall times before this were shown or jumped over in earlier stretches.
    shown: i64,
    /// For a fixed-time pattern: wall times from `shown` to the beginning of this stretch run at its beginning.
    makes_up: bool,
}

/// Which stretch holds `instant`: the number of changes up to it.
fn stretch_index(zone: &Zone, instant: i64) -> usize {
    zone.changes()
        .partition_point(|change| change.at <= instant)
}

/// A search forwards that remembers the stretch of wall clock it found empty, so that walking over the clock changes
/// of many years for a rare date costs one search and not one a change.
struct Ahead<'a> {
    times: &'a LocalTimes,
    known: Option<(i64, Option<i64>)>,
}

impl Ahead<'_> {
    fn at_or_after(&mut self, from: i64) -> Option<i64> {
        if let Some((start, hit)) = self.known
            && start <= from
            && hit.is_none_or(|hit| from <= hit)
        {
            return hit;
        }
        let hit = self.times.at_or_after(from);
        self.known = Some((from, hit));
        hit
    }
}

/// The same backwards.
struct Behind<'a> {
    times: &'a LocalTimes,
    known: Option<(i64, Option<i64>)>,
}

impl Behind<'_> {
    fn before(&mut self, below: i64) -> Option<i64> {
        if let Some((end, hit)) = self.known
            && below <= end
            && hit.is_none_or(|hit| hit < below)
        {
            return hit;
        }
        let hit = self.times.before(below);
        self.known = Some((below, hit));
        hit
    }
}

/// An instant from seconds since 1970.
fn instant(seconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds, 0)
}
