//! A time zone as plain data: the instants at which its offset changes, and the offsets.
//!
//! Zone rules are loaded at the door (`os::zones`) and handed to the core as this table, so that nothing in the
//! core looks at a file and a search costs a binary search. The table covers [`FIRST_INSTANT`] to [`LAST_INSTANT`];
//! instants outside it are not scheduled by anybody.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// The first instant a zone's table covers: 1900-01-01T00:00:00Z, in seconds since 1970.
pub const FIRST_INSTANT: i64 = -2_208_988_800;
/// The end of a zone's table (exclusive): 2200-01-01T00:00:00Z, in seconds since 1970.
pub const LAST_INSTANT: i64 = 7_258_118_400;

/// One change of a zone's offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The first instant with the new offset, in seconds since 1970.
    pub at: i64,
    /// Seconds east of UTC from then on.
    pub offset: i32,
}

/// A stretch of time in which a zone's offset stays the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// First instant of the stretch, in seconds since 1970; `i64::MIN` if nothing comes before.
    pub start: i64,
    /// First instant after the stretch; `i64::MAX` if nothing comes after.
    pub end: i64,
    /// Seconds east of UTC.
    pub offset: i32,
}

/// A time zone: a name and its offsets over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: Box<str>,
    first_offset: i32,
    changes: Box<[Change]>,
}

impl Zone {
    /// A zone from its offset before the first change and its changes. Changes are put in order; those that change
    /// nothing are dropped, so neighbouring stretches always differ.
    pub fn new(name: &str, first_offset: i32, mut changes: Vec<Change>) -> Self {
        changes.sort_by_key(|change| change.at);
        let mut offset = first_offset;
        changes.retain(|change| std::mem::replace(&mut offset, change.offset) != change.offset);
        Self {
            name: name.into(),
            first_offset,
            changes: changes.into(),
        }
    }

    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self::new("UTC", 0, Vec::new())
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The changes, oldest first.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The stretch of constant offset that holds `instant` (seconds since 1970).
    pub fn stretch_at(&self, instant: i64) -> Stretch {
        let after = self.changes.partition_point(|change| change.at <= instant);
        let before = after.checked_sub(1).map(|at| self.changes[at]);
        Stretch {
            start: before.map_or(i64::MIN, |change| change.at),
            end: self.changes.get(after).map_or(i64::MAX, |change| change.at),
            offset: before.map_or(self.first_offset, |change| change.offset),
        }
    }

    /// The wall clock in this zone at `instant`.
    pub fn local(&self, instant: DateTime<Utc>) -> NaiveDateTime {
        let offset = self.stretch_at(instant.timestamp()).offset;
        instant.naive_utc() + chrono::TimeDelta::seconds(i64::from(offset))
    }

    /// The first instant at which the wall clock shows `local`, or the end of the gap in which a clock change skips it.
    pub fn earliest(&self, local: NaiveDateTime) -> DateTime<Utc> {
        let wanted = local.and_utc().timestamp();
        // Offsets lie within 26 hours of UTC.
        let mut at = wanted - 26 * 3600;
        loop {
            let stretch = self.stretch_at(at);
            let shown = wanted - i64::from(stretch.offset);
            if shown < stretch.end || stretch.end > wanted + 52 * 3600 {
                let start = shown.max(stretch.start).max(at);
                return DateTime::from_timestamp(start, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
            }
            at = stretch.end;
        }
    }

    /// The first instant of a day; a clock change may skip midnight.
    pub fn start_of_day(&self, day: NaiveDate) -> DateTime<Utc> {
        self.earliest(day.and_time(NaiveTime::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_where_the_clock_first_shows_it() {
        // Midnight of 1970-04-11 is skipped: the clock goes from 00:00 to 01:00.
        let gap = Zone::new(
            "gap",
            0,
            vec![Change {
                at: 8_640_000,
                offset: 3600,
            }],
        );
        let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap();
        assert_eq!(gap.start_of_day(day("1970-04-11")).timestamp(), 8_640_000);
        assert_eq!(
            gap.start_of_day(day("1970-04-12")).timestamp(),
            8_640_000 + 82_800
        );
        // At midnight the clock goes back to 23:00: the day begins an hour later.
        let back = Zone::new(
            "back",
            3600,
            vec![Change {
                at: 8_636_400,
                offset: 0,
            }],
        );
        assert_eq!(back.start_of_day(day("1970-04-11")).timestamp(), 8_640_000);
        // Samoa had no 30 December 2011; the day after is what there is of it.
        let samoa = Zone::new(
            "samoa",
            -36_000,
            vec![Change {
                at: 1_325_239_200,
                offset: 50_400,
            }],
        );
        assert_eq!(
            samoa.start_of_day(day("2011-12-30")).timestamp(),
            1_325_239_200
        );
        assert_eq!(
            samoa.start_of_day(day("2011-12-31")).timestamp(),
            1_325_239_200
        );
        assert_eq!(
            samoa.start_of_day(day("2011-12-29")).timestamp(),
            1_325_239_200 - 86_400
        );
    }
}
