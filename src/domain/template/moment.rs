//! An instant as a template sees it: with the zone whose clock and calendar it is read in.

use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::sync::Arc;

use chrono::format::{Item, StrftimeItems};
use chrono::{
    DateTime, Datelike, Days, FixedOffset, Months, NaiveDate, NaiveTime, SecondsFormat, TimeDelta,
    Utc,
};
use minijinja::value::{DynObject, Object};
use minijinja::{Value, value::ObjectRepr};

use super::{RENDERED_BYTES_MAX, Zones};
use crate::domain::zone::{FIRST_INSTANT, LAST_INSTANT, Zone};

/// Longest format of `date`, in bytes.
const FORMAT_BYTES_MAX: usize = 256;
/// The largest number in a step.
const STEP_MAX: u32 = 100_000;

/// What is wrong, and what to write.
pub(super) type Advice = (String, String);

#[derive(Debug, Clone)]
pub(super) struct Moment {
    at: DateTime<Utc>,
    /// None: UTC.
    zone: Option<Arc<Zone>>,
    zones: Arc<Zones>,
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        let other = other.downcast_ref::<Self>()?;
        Some(self.at.cmp(&other.at))
    }

    fn render(self: &Arc<Self>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.rfc3339())
    }
}

impl Moment {
    pub(super) fn new(at: DateTime<Utc>, zone: Option<Arc<Zone>>, zones: &Arc<Zones>) -> Self {
        Self {
            at,
            zone,
            zones: Arc::clone(zones),
        }
    }

    pub(super) fn into_value(self) -> Value {
        Value::from_object(self)
    }

    /// The instant with its zone's offset, to the second.
    pub(super) fn rfc3339(&self) -> String {
        match self.with_offset() {
            // An offset with seconds, of long ago, cannot be written so.
            Some(local) if local.offset().local_minus_utc() % 60 == 0 && self.zone.is_some() => {
                local.to_rfc3339_opts(SecondsFormat::Secs, false)
            }
            _ => self.at.to_rfc3339_opts(SecondsFormat::Secs, true),
        }
    }

    fn offset(&self) -> i32 {
        let zone = self.zone.as_ref();
        zone.map_or(0, |zone| zone.stretch_at(self.at.timestamp()).offset)
    }

    fn with_offset(&self) -> Option<DateTime<FixedOffset>> {
        Some(
            self.at
                .with_timezone(&FixedOffset::east_opt(self.offset())?),
        )
    }

    pub(super) fn unix(&self) -> i64 {
        self.at.timestamp()
    }

    /// The same instant, read in the entry's zone.
    pub(super) fn local(&self) -> Self {
        Self {
            zone: Some(Arc::clone(&self.zones.own)),
            ..self.clone()
        }
    }

    /// The same instant, read in a zone that the template names.
    pub(super) fn in_zone(&self, name: &str) -> Result<Self, Advice> {
        let own = &self.zones.own;
        let zone = match self.zones.named.get(name) {
            Some(zone) => zone,
            None if own.name() == name => own,
            None => {
                let help = "write an IANA name in quotes, such as in_zone('Europe/Berlin')";
                return Err((format!("there is no time zone {name:?}"), help.to_owned()));
            }
        };
        Ok(Self {
            zone: Some(Arc::clone(zone)),
            ..self.clone()
        })
    }

    pub(super) fn date(&self, format: &str) -> Result<String, Advice> {
        if let Some(wrong) = format_wrong(format) {
            return Err(wrong);
        }
        let mut made = String::new();
        let local = self.with_offset();
        let written = local.map(|local| write!(made, "{}", local.format(format)));
        match written {
            Some(Ok(())) if made.len() <= RENDERED_BYTES_MAX => Ok(made),
            _ => Err(format_advice(format)),
        }
    }

    /// Moved by a step: its years, months, weeks and days by the calendar of the zone, its hours, minutes and seconds by
    /// the clock that never changes. A time that a clock change skips is the first instant after it; one that occurs twice
    /// is the first.
    pub(super) fn moved(&self, step: Step, back: bool) -> Result<Self, Advice> {
        let too_far = || {
            let message = "this leads out of the years 1900 to 2199".to_owned();
            (message, "write a shorter step".to_owned())
        };
        let mut at = self.at;
        if step.months > 0 || step.days > 0 {
            let local = match &self.zone {
                Some(zone) => zone.local(at),
                None => at.naive_utc(),
            };
            let (months, days) = (Months::new(step.months), Days::new(step.days));
            let moved = if back {
                local
                    .checked_sub_months(months)
                    .and_then(|local| local.checked_sub_days(days))
            } else {
                local
                    .checked_add_months(months)
                    .and_then(|local| local.checked_add_days(days))
            };
            at = self.first(
                moved
                    .filter(|moved| is_covered(moved.and_utc()))
                    .ok_or_else(too_far)?,
            );
        }
        let seconds = TimeDelta::try_seconds(step.seconds).ok_or_else(too_far)?;
        let moved = if back {
            at.checked_sub_signed(seconds)
        } else {
            at.checked_add_signed(seconds)
        };
        Ok(Self {
            at: moved.filter(|at| is_covered(*at)).ok_or_else(too_far)?,
            ..self.clone()
        })
    }

    /// The first instant of the hour, day, week, ... that it lies in, by the zone's calendar.
    pub(super) fn start_of(&self, unit: Unit) -> Self {
        let local = match &self.zone {
            Some(zone) => zone.local(self.at),
            None => self.at.naive_utc(),
        };
        let day = local.date();
        let first = |year: i32, month: u32| NaiveDate::from_ymd_opt(year, month, 1).unwrap_or(day);
        let start = match unit {
            Unit::Hour => {
                return Self {
                    at: self.start_of_hour(),
                    ..self.clone()
                };
            }
            Unit::Day => day,
            Unit::Week => {
                let since = u64::from(day.weekday().num_days_from_monday());
                day.checked_sub_days(Days::new(since)).unwrap_or(day)
            }
            Unit::Month => first(day.year(), day.month()),
            Unit::Quarter => first(day.year(), day.month0() / 3 * 3 + 1),
            Unit::Year => first(day.year(), 1),
        };
        Self {
            at: self.first(start.and_time(NaiveTime::MIN)),
            ..self.clone()
        }
    }

    /// Since when the clock has shown this hour without a break. An hour that a clock change repeats in full is two hours,
    /// each with its own start. Where the clock goes by half an hour (`Australia/Lord_Howe`), it shows one hour for 90
    /// minutes, or begins one in its middle.
    fn start_of_hour(&self) -> DateTime<Utc> {
        let now = self.at.timestamp();
        let hour_of = |at: i64, offset: i32| (at + i64::from(offset)).div_euclid(3600);
        let stretch_at = |at| self.zone.as_ref().map(|zone| zone.stretch_at(at));
        let hour = hour_of(now, self.offset());
        let mut start = hour * 3600 - i64::from(self.offset());
        if let Some(stretch) = stretch_at(now)
            && start < stretch.start
        {
            let before = stretch_at(stretch.start - 1);
            let before = before.filter(|before| hour_of(stretch.start - 1, before.offset) == hour);
            start = before.map_or(stretch.start, |before| {
                (hour * 3600 - i64::from(before.offset)).max(before.start)
            });
        }
        DateTime::from_timestamp(start, 0).unwrap_or(self.at)
    }

    fn first(&self, local: chrono::NaiveDateTime) -> DateTime<Utc> {
        match &self.zone {
            Some(zone) => zone.earliest(local),
            None => local.and_utc(),
        }
    }
}

fn is_covered(at: DateTime<Utc>) -> bool {
    (FIRST_INSTANT..LAST_INSTANT).contains(&at.timestamp())
}

fn format_advice(format: &str) -> Advice {
    let help = "write what strftime knows: %Y%m%d, %H:%M, %G-W%V for the ISO week, %j for the day of the year, %% for a percent sign";
    (
        format!("{format:?} is not the form of a date"),
        help.to_owned(),
    )
}

/// What is wrong with a format, if something is.
pub(super) fn format_wrong(format: &str) -> Option<Advice> {
    let is_wrong = format.len() > FORMAT_BYTES_MAX
        || StrftimeItems::new(format).any(|item| matches!(item, Item::Error));
    is_wrong.then(|| format_advice(format))
}

/// What an instant is moved by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Step {
    months: u32,
    days: u64,
    seconds: i64,
}

impl Step {
    /// No more days than this.
    pub(super) fn days_max(self) -> u64 {
        let months = (u64::from(self.months) * 366).div_ceil(12);
        self.days + months + self.seconds.unsigned_abs().div_ceil(86_400)
    }

    /// Reads `1d`, `2w`, `1mo`, `1y`, `90m`, `1d12h`.
    pub(super) fn parse(text: &str) -> Result<Self, Advice> {
        let wrong = || {
            let help = "write a number and a unit, such as 1d, 2w, 1mo, 1y (of the calendar) or 90s, 30m, 2h (of the clock), or several: 1d12h";
            (format!("{text:?} is not a step in time"), help.to_owned())
        };
        let mut step = Self::default();
        let mut rest = text.trim();
        if rest.is_empty() || rest.len() > 64 {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let (number, after) = rest.split_at(digits);
            let letters = after.find(|c: char| !c.is_ascii_lowercase());
            let (unit, after) = after.split_at(letters.unwrap_or(after.len()));
            let number: u32 = number.parse().map_err(|_| wrong())?;
            if number > STEP_MAX {
                return Err(wrong());
            }
            match unit {
                "y" => step.months += number * 12,
                "mo" => step.months += number,
                "w" => step.days += u64::from(number) * 7,
                "d" => step.days += u64::from(number),
                "h" => step.seconds += i64::from(number) * 3600,
                "m" => step.seconds += i64::from(number) * 60,
                "s" => step.seconds += i64::from(number),
                _ => return Err(wrong()),
            }
            rest = after.trim_start();
        }
        Ok(step)
    }
}

/// What an instant lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    pub(super) fn parse(text: &str) -> Result<Self, Advice> {
        Ok(match text {
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "quarter" => Self::Quarter,
            "year" => Self::Year,
            _ => {
                let help = "write hour, day, week (which begins on Monday), month, quarter or year";
                return Err((
                    format!("nothing starts that is called {text:?}"),
                    help.to_owned(),
                ));
            }
        })
    }
}
