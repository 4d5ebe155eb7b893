//! The wall-clock times a pattern names, as sets of bits, and the search in them.
//!
//! Times here are *local seconds*: the wall clock read as if it were UTC, in seconds since 1970. Nothing here knows
//! of zones or clock changes. A search goes by months (the matching days of a month are one 32-bit word), so its cost
//! does not depend on how many seconds lie between two matches.

/// Seconds in a day of the wall clock.
const DAY_SECS: i64 = 86_400;
/// Searches look at the years from [`FIRST_YEAR`] to this one, so that every search ends. A zone's table covers 1900 to
/// 2199, so nothing that anybody asks for lies outside.
const LAST_YEAR: i32 = 2_300;
/// The first year that searches look at.
const FIRST_YEAR: i32 = 1_800;

/// The wall-clock times that a pattern names. Sets are bits, numbered by the value they stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct LocalTimes {
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u32,
    /// Days of the month, 1 to 31.
    pub(super) days: u32,
    /// Days of the month whose nearest weekday is wanted (`15W`), 1 to 31.
    pub(super) nearest: u32,
    /// Months, 1 to 12.
    pub(super) months: u16,
    /// Days of the week, Sunday is 0.
    pub(super) weekdays: u8,
    /// Days of the week of which the last in the month is wanted (`5L`).
    pub(super) last_of: u8,
    /// Days of the week of which the first to fifth in the month is wanted (`5#2`).
    pub(super) nth_of: [u8; 5],
    /// The last day of the month (`L`).
    pub(super) last_day: bool,
    /// The last Monday-to-Friday day of the month (`LW`).
    pub(super) last_workday: bool,
    /// A day must satisfy both day fields; otherwise either is enough.
    pub(super) both_days: bool,
}

impl LocalTimes {
    /// No times at all: what a parser adds to.
    pub(super) const NONE: Self = Self {
        seconds: 0,
        minutes: 0,
        hours: 0,
        days: 0,
        nearest: 0,
        months: 0,
        weekdays: 0,
        last_of: 0,
        nth_of: [0; 5],
        last_day: false,
        last_workday: false,
        both_days: false,
    };

    /// The first of these times at or after `from`; `None` if there is none before the search ends.
    pub(super) fn at_or_after(&self, from: i64) -> Option<i64> {
        let day = from.div_euclid(DAY_SECS);
        let (mut month, date) = Month::of(day);
        let mut days = self.days_of(&month) & (u32::MAX << date);
        if days & (1 << date) != 0 {
            if let Some(second) = self.in_day_at_or_after(second_of_day(from)) {
                return Some(day * DAY_SECS + i64::from(second));
            }
            days &= !(1 << date);
        }
        while days == 0 {
            month = month.following(self.months)?;
            days = self.days_of(&month);
        }
        let day = month.first_day + i64::from(days.trailing_zeros()) - 1;
        Some(day * DAY_SECS + i64::from(self.first_in_day()))
    }

    /// The last of these times before `below`; `None` if there is none before the search ends.
    pub(super) fn before(&self, below: i64) -> Option<i64> {
        let day = below.div_euclid(DAY_SECS);
        let (mut month, date) = Month::of(day);
        let mut days = self.days_of(&month) & !(u32::MAX << date << 1);
        if days & (1 << date) != 0 {
            if let Some(second) = self.in_day_before(second_of_day(below)) {
                return Some(day * DAY_SECS + i64::from(second));
            }
            days &= !(1 << date);
        }
        while days == 0 {
            month = month.preceding(self.months)?;
            days = self.days_of(&month);
        }
        let day = month.first_day + i64::from(days.ilog2()) - 1;
        Some(day * DAY_SECS + i64::from(self.last_in_day()))
    }

    /// How many of these times lie in `from..to`. Costs months, not times: whole days are counted by multiplying.
    pub(super) fn count(&self, from: i64, to: i64) -> u64 {
        if from >= to {
            return 0;
        }
        let before = |local: i64| {
            let (month, date) = Month::of(local.div_euclid(DAY_SECS));
            if self.days_of(&month) & (1 << date) == 0 {
                0
            } else {
                self.count_in_day_before(second_of_day(local))
            }
        };
        let days = self.count_days(from.div_euclid(DAY_SECS), to.div_euclid(DAY_SECS));
        let per_day = u64::from(
            self.hours.count_ones() * self.minutes.count_ones() * self.seconds.count_ones(),
        );
        days * per_day + before(to) - before(from)
    }

    /// Whether any month of any year has a day that these times name.
    ///
    /// Every month has begun on every day of the week within any 12 years, February 29 has fallen on every day of the
    /// week within any 40, so what is possible here happens within 40 years.
    pub(super) fn can_happen(&self) -> bool {
        (1..=12)
            .filter(|number| self.months & (1 << number) != 0)
            .any(|number| {
                let longest = if number == 2 {
                    29
                } else {
                    days_in_month(2023, number)
                };
                let shortest = if number == 2 { 28 } else { longest };
                (shortest..=longest)
                    .any(|length| (0..7).any(|first| self.days_when(length, first) != 0))
            })
    }

    /// Whether every minute of a day that is named is.
    pub(super) fn is_whole_day(&self) -> bool {
        self.hours == (1 << 24) - 1 && self.minutes == (1 << 60) - 1 && self.seconds != 0
    }

    /// The same times of the day, on every day.
    pub(super) fn on_every_day(&self) -> Self {
        Self {
            seconds: self.seconds,
            minutes: self.minutes,
            hours: self.hours,
            days: !1,
            months: 0x1ffe,
            ..Self::NONE
        }
    }

    /// Matching days among the days `from..to`.
    fn count_days(&self, from: i64, to: i64) -> u64 {
        let (mut month, date) = Month::of(from);
        let mut days = self.days_of(&month) & (u32::MAX << date);
        let mut count = 0;
        loop {
            let left = to - month.first_day;
            if left < i64::from(month.length) {
                let whole = u32::try_from(left).unwrap_or(0);
                return count + u64::from((days & !(u32::MAX << whole << 1)).count_ones());
            }
            count += u64::from(days.count_ones());
            let Some(next) = month.following(self.months) else {
                return count;
            };
            month = next;
            days = self.days_of(&month);
            if month.first_day >= to {
                return count;
            }
        }
    }

    /// The matching days of a month, as bits 1 to 31.
    fn days_of(&self, month: &Month) -> u32 {
        if self.months & (1 << month.number) == 0 {
            0
        } else {
            self.days_when(month.length, month.first_weekday())
        }
    }

    /// The matching days of a month of `length` days that begins on `first` (Sunday is 0).
    fn days_when(&self, length: u32, first: u32) -> u32 {
        let all = !(u32::MAX << length << 1) & !1;
        let mut by_date = self.days;
        if self.last_day {
            by_date |= 1 << length;
        }
        if self.last_workday {
            by_date |= 1 << nearest_workday(length, length, first);
        }
        let mut nearest = self.nearest & all;
        while nearest != 0 {
            by_date |= 1 << nearest_workday(nearest.trailing_zeros(), length, first);
            nearest &= nearest - 1;
        }
        let mut by_weekday = every_week(self.weekdays, first);
        if self.last_of != 0 {
            by_weekday |= every_week(self.last_of, first) & (0x7f << (length - 6));
        }
        for (week, &wanted) in (0..).zip(&self.nth_of) {
            if wanted != 0 {
                by_weekday |= every_week(wanted, first) & (0x7f << (7 * week) << 1);
            }
        }
        (if self.both_days {
            by_date & by_weekday
        } else {
            by_date | by_weekday
        }) & all
    }

    /// The first second of a matching day that is wanted.
    fn first_in_day(&self) -> u32 {
        self.hours.trailing_zeros() * 3600
            + self.minutes.trailing_zeros() * 60
            + self.seconds.trailing_zeros()
    }

    /// The last second of a matching day that is wanted.
    fn last_in_day(&self) -> u32 {
        let top = |set: u64| set.checked_ilog2().unwrap_or(0);
        top(self.hours.into()) * 3600 + top(self.minutes) * 60 + top(self.seconds)
    }

    /// The first wanted second of a matching day at or after `from`.
    fn in_day_at_or_after(&self, from: u32) -> Option<u32> {
        let (hour, minute, second) = (from / 3600, from / 60 % 60, from % 60);
        let first = |set: u64| (set != 0).then(|| set.trailing_zeros());
        if self.hours & (1 << hour) != 0 {
            if self.minutes & (1 << minute) != 0
                && let Some(second) = first(self.seconds & (u64::MAX << second))
            {
                return Some(hour * 3600 + minute * 60 + second);
            }
            if let Some(minute) = first(self.minutes & (u64::MAX << minute << 1)) {
                return Some(hour * 3600 + minute * 60 + self.seconds.trailing_zeros());
            }
        }
        let hour = first(u64::from(self.hours) & (u64::MAX << hour << 1))?;
        Some(hour * 3600 + self.minutes.trailing_zeros() * 60 + self.seconds.trailing_zeros())
    }

    /// The last wanted second of a matching day before `below`.
    fn in_day_before(&self, below: u32) -> Option<u32> {
        let (hour, minute, second) = (below / 3600, below / 60 % 60, below % 60);
        let last = |set: u64| set.checked_ilog2();
        if self.hours & (1 << hour) != 0 {
            if self.minutes & (1 << minute) != 0
                && let Some(second) = last(self.seconds & !(u64::MAX << second))
            {
                return Some(hour * 3600 + minute * 60 + second);
            }
            if let Some(minute) = last(self.minutes & !(u64::MAX << minute)) {
                return Some(hour * 3600 + minute * 60 + last(self.seconds)?);
            }
        }
        let hour = last(u64::from(self.hours) & !(u64::MAX << hour))?;
        Some(hour * 3600 + last(self.minutes)? * 60 + last(self.seconds)?)
    }

    /// How many wanted seconds of a matching day lie before `below`.
    fn count_in_day_before(&self, below: u32) -> u64 {
        let (hour, minute, second) = (below / 3600, below / 60 % 60, below % 60);
        let per_minute = self.seconds.count_ones();
        let mut count = (self.hours & !(u32::MAX << hour)).count_ones()
            * self.minutes.count_ones()
            * per_minute;
        if self.hours & (1 << hour) != 0 {
            count += (self.minutes & !(u64::MAX << minute)).count_ones() * per_minute;
            if self.minutes & (1 << minute) != 0 {
                count += (self.seconds & !(u64::MAX << second)).count_ones();
            }
        }
        count.into()
    }
}

/// One month of one year.
#[derive(Debug, Clone, Copy)]
struct Month {
    year: i32,
    /// 1 to 12.
    number: u32,
    length: u32,
    /// Its first day, in days since 1970.
    first_day: i64,
}

impl Month {
    /// The month that holds `day` (days since 1970), and the day's number in it.
    fn of(day: i64) -> (Self, u32) {
        // Howard Hinnant's civil_from_days: eras of 400 years that begin on March 1, so that the leap day comes last.
        let shifted = day + 719_468;
        let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let since_march = (5 * of_year + 2) / 153;
        let date = of_year - (153 * since_march + 2) / 5 + 1;
        let number = if since_march < 10 {
            since_march + 3
        } else {
            since_march - 9
        };
        let year = era * 400 + year_of_era + i64::from(number <= 2);
        let (year, number, date) = (year as i32, number as u32, date as u32);
        (
            Self {
                year,
                number,
                length: days_in_month(year, number),
                first_day: day - i64::from(date) + 1,
            },
            date,
        )
    }

    fn new(year: i32, number: u32) -> Self {
        // Howard Hinnant's days_from_civil, for the first of the month.
        let shifted = i64::from(year) - i64::from(number <= 2);
        let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
        let since_march = i64::from((number + 9) % 12);
        let of_era =
            year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * since_march + 2) / 5;
        Self {
            year,
            number,
            length: days_in_month(year, number),
            first_day: era * 146_097 + of_era - 719_468,
        }
    }

    /// The next month whose number is in the set `months`; `None` past the last year of a search.
    fn following(&self, months: u16) -> Option<Self> {
        let later = months & (u16::MAX << self.number << 1);
        let (year, months) = if later == 0 {
            (self.year + 1, months)
        } else {
            (self.year, later)
        };
        (year <= LAST_YEAR && months != 0).then(|| Self::new(year, months.trailing_zeros()))
    }

    /// The last month before this one whose number is in the set `months`; `None` before the first year of a search.
    fn preceding(&self, months: u16) -> Option<Self> {
        let earlier = months & !(u16::MAX << self.number);
        let (year, months) = if earlier == 0 {
            (self.year - 1, months)
        } else {
            (self.year, earlier)
        };
        if year < FIRST_YEAR {
            None
        } else {
            Some(Self::new(year, months.checked_ilog2()?))
        }
    }

    /// The weekday of its first day, Sunday is 0. 1970 began on a Thursday.
    fn first_weekday(&self) -> u32 {
        (self.first_day + 4).rem_euclid(7) as u32
    }
}

/// The days, as bits 1 to 31 and more, on which a week's `wanted` days fall when day 1 is the weekday `first`.
fn every_week(wanted: u8, first: u32) -> u32 {
    let from_first = ((u32::from(wanted) >> first) | (u32::from(wanted) << (7 - first))) & 0x7f;
    // One copy of the week at days 1, 8, 15, 22 and 29; what runs over day 31 falls off.
    from_first.wrapping_mul(0x1020_4081) << 1
}

/// The Monday-to-Friday day nearest to `date`, never leaving a month of `length` days that begins on `first`.
fn nearest_workday(date: u32, length: u32, first: u32) -> u32 {
    match (first + date - 1) % 7 {
        6 if date == 1 => 3,
        6 => date - 1,
        0 if date == length => date - 2,
        0 => date + 1,
        _ => date,
    }
}

/// The length of a month.
fn days_in_month(year: i32, number: u32) -> u32 {
    match number {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The second of the day, 0 to 86 399.
fn second_of_day(local: i64) -> u32 {
    local.rem_euclid(DAY_SECS) as u32
}
