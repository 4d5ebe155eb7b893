//! Whose clock a time of a calendar file is meant on.
//!
//! An event may say its start on the clock of Shanghai, and the end of its rule, an exception or a changed instance in UTC.
//! Their dates may differ by a day, so two times are compared on one clock: that of the series. A zone is looked up only
//! then, by what its `TZID` is:
//!
//! 1. an IANA name, also at the end of a path (`/example.org/20270101/Europe/Berlin`);
//! 2. a name of Windows, as Outlook writes it (`China Standard Time`);
//! 3. any other name, by the `VTIMEZONE` of the file that describes it.
//!
//! If it is none of these, the file is refused, as one of its days would be a guess.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use chrono::DateTime;
use ical::recur::IcalRecurDateTime;

use super::rule::{Walk, rule};
use super::{DATE, Line, WrongFile, windows, wrong};
use crate::config::excerpt::quoted;
use crate::domain::zone::{Change, Zone};

/// A description of a zone has at most so many parts.
const OBSERVANCES_MAX: usize = 100;
/// Each of its rules changes the clock at most so often.
const CHANGES_MAX: usize = 2_000;

/// Whose clock shows a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Clock {
    /// Nobody's: it is a date.
    Day,
    /// That of whoever looks.
    Floating,
    Utc,
    /// That of the zone with this `TZID`.
    Zone(String),
}

/// A date, or a date and a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct When {
    pub(super) civil: IcalRecurDateTime,
    pub(super) clock: Clock,
    pub(super) at: Range<usize>,
}

impl When {
    pub(super) fn read(
        value: &str,
        zone: Option<&str>,
        at: &Range<usize>,
    ) -> Result<Self, WrongFile> {
        let value = value.trim();
        let Ok(civil) = IcalRecurDateTime::parse(value) else {
            let message = format!("there is no date {}", quoted(value));
            return Err(wrong(at.clone(), message, DATE));
        };
        let clock = match (value.len(), zone) {
            (8, _) => Clock::Day,
            (16, _) => Clock::Utc,
            (_, Some(zone)) => Clock::Zone(zone.to_owned()),
            (_, None) => Clock::Floating,
        };
        Ok(Self {
            civil,
            clock,
            at: at.clone(),
        })
    }
}

/// A zone that the file describes.
#[derive(Debug, Default)]
pub(super) struct Described {
    pub(super) name: String,
    /// Its `STANDARD` and `DAYLIGHT` parts.
    pub(super) observances: Vec<Vec<Line>>,
}

/// What is needed to compare times of different clocks.
pub(super) struct Clocks<'c> {
    iana: &'c dyn Fn(&str) -> Option<Arc<Zone>>,
    described: Vec<Described>,
    /// The zone that the whole calendar says it is of (`X-WR-TIMEZONE`).
    own: Option<String>,
    found: HashMap<String, Option<Arc<Zone>>>,
    pub(super) walk: Walk,
    /// What is read although it may be meant otherwise.
    pub(super) doubts: Vec<WrongFile>,
}

impl<'c> Clocks<'c> {
    pub(super) fn new(
        iana: &'c dyn Fn(&str) -> Option<Arc<Zone>>,
        described: Vec<Described>,
        own: Option<String>,
        walk: Walk,
    ) -> Self {
        Self {
            iana,
            described,
            own,
            found: HashMap::new(),
            walk,
            doubts: Vec::new(),
        }
    }

    /// What `clock` shows at that time.
    pub(super) fn on(
        &mut self,
        when: &When,
        clock: &Clock,
    ) -> Result<IcalRecurDateTime, WrongFile> {
        match (&when.clock, clock) {
            (own, other) if own == other => Ok(when.civil),
            // Dates are the same on every clock, and one that stands for a date shows its own.
            (Clock::Day | Clock::Floating, _) | (Clock::Zone(_), Clock::Day | Clock::Floating) => {
                Ok(when.civil)
            }
            (Clock::Utc, Clock::Day | Clock::Floating) => self.on_own(when, clock),
            (_, Clock::Utc) => Ok(IcalRecurDateTime::from_seconds(self.instant(when)?)),
            (_, Clock::Zone(name)) => {
                let zone = self.zone(name, &when.at)?;
                Ok(shown(&zone, self.instant(when)?))
            }
        }
    }

    /// A time in UTC where one without a zone belongs. Some programs write a date as its midnight in UTC, others as that of
    /// their own zone.
    fn on_own(&mut self, when: &When, clock: &Clock) -> Result<IcalRecurDateTime, WrongFile> {
        let is_midnight = when.civil.seconds().rem_euclid(86_400) == 0;
        if is_midnight && *clock == Clock::Day {
            return Ok(when.civil);
        }
        if let Some(name) = self.own.clone()
            && let Some(zone) = self.look_up(&name)?
        {
            return Ok(shown(&zone, when.civil.seconds()));
        }
        let message =
            "this time is in UTC and its event has no zone, so its date is taken as written";
        if !self.doubts.iter().any(|doubt| doubt.message == message) {
            let help = "let the event have a TZID, or the calendar an X-WR-TIMEZONE; or write this as a date";
            self.doubts
                .push(wrong(when.at.clone(), message.to_owned(), help));
        }
        Ok(when.civil)
    }

    /// In seconds since 1970; a time without a zone as if in UTC. The first, if a clock shows a time twice.
    pub(super) fn instant(&mut self, when: &When) -> Result<i64, WrongFile> {
        let seconds = when.civil.seconds();
        let Clock::Zone(name) = &when.clock else {
            return Ok(seconds);
        };
        let zone = self.zone(name, &when.at)?;
        let local = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        Ok(zone.earliest(local.naive_utc()).timestamp())
    }

    fn zone(&mut self, name: &str, at: &Range<usize>) -> Result<Arc<Zone>, WrongFile> {
        self.look_up(name)?.ok_or_else(|| {
            let message = format!(
                "times of two clocks meet here, and nothing is known of the time zone {}",
                quoted(name)
            );
            let help = "save the calendar with its VTIMEZONE, or with an IANA name as TZID, such as Asia/Shanghai";
            wrong(at.clone(), message, help)
        })
    }

    fn look_up(&mut self, name: &str) -> Result<Option<Arc<Zone>>, WrongFile> {
        if let Some(found) = self.found.get(name) {
            return Ok(found.clone());
        }
        let ends = name.match_indices('/').map(|(slash, _)| &name[slash + 1..]);
        let path = ends.filter(|_| name.starts_with('/'));
        let windows = windows::iana(name);
        let mut names = std::iter::once(name).chain(path).chain(windows);
        let mut found = names.find_map(|name| (self.iana)(name));
        if found.is_none() {
            let is = |described: &Described| described.name == name;
            if let Some(index) = self.described.iter().position(is) {
                let described = std::mem::take(&mut self.described[index]);
                found = Some(Arc::new(self.described_zone(&described)?));
            }
        }
        self.found.insert(name.to_owned(), found.clone());
        Ok(found)
    }

    /// The zone of a `VTIMEZONE`.
    fn described_zone(&mut self, of: &Described) -> Result<Zone, WrongFile> {
        let mut changes = Vec::new();
        let mut first: Option<(i64, i32)> = None;
        if let Some(beyond) = of.observances.get(OBSERVANCES_MAX) {
            let at = beyond.first().map_or(0..0, |line| line.at.clone());
            let message = format!(
                "the time zone {} has more than {OBSERVANCES_MAX} parts",
                quoted(&of.name)
            );
            return Err(wrong(at, message, "leave out what is long over"));
        }
        for observance in &of.observances {
            let line = |name: &str| observance.iter().rev().find(|line| line.name == name);
            let (Some(start), Some(from), Some(to)) =
                (line("DTSTART"), line("TZOFFSETFROM"), line("TZOFFSETTO"))
            else {
                let at = observance.first().map_or(0..0, |line| line.at.clone());
                let message = format!(
                    "this part of the time zone {} lacks its DTSTART, TZOFFSETFROM or TZOFFSETTO",
                    quoted(&of.name)
                );
                return Err(wrong(at, message, OFFSET));
            };
            let (from, to) = (offset(from)?, offset(to)?);
            // Within a zone's description times are on the clock before the change.
            let start = When::read(&start.value, None, &start.at)?.civil;
            let mut onsets = vec![start];
            for line in observance {
                match line.name.as_str() {
                    "RDATE" => {
                        for date in line.value.split(',') {
                            onsets.push(When::read(date, None, &line.at)?.civil);
                        }
                    }
                    "RRULE" => {
                        let mut rule = rule(&line.value, &line.at)?;
                        if let (Some(until), Some(text)) = (&mut rule.rule.until, &rule.until)
                            && text.len() == 16
                        {
                            let local = until.seconds() + i64::from(from);
                            *until = IcalRecurDateTime::from_seconds(local);
                        }
                        let found =
                            self.walk
                                .occurrences(rule.rule, start, CHANGES_MAX, &line.at)?;
                        onsets.extend(found.ok_or_else(|| {
                            let message = format!("the clock of the time zone {} changes here more than {CHANGES_MAX} times", quoted(&of.name));
                            wrong(line.at.clone(), message, OFFSET)
                        })?);
                    }
                    _ => {}
                }
            }
            for onset in onsets {
                let at = onset.seconds() - i64::from(from);
                changes.push(Change { at, offset: to });
                if first.is_none_or(|(earliest, _)| at < earliest) {
                    first = Some((at, from));
                }
            }
        }
        Ok(Zone::new(
            &of.name,
            first.map_or(0, |(_, from)| from),
            changes,
        ))
    }
}

const OFFSET: &str = "offsets of a time zone are written +0800";

/// The seconds of `+0800`, `-033000`.
fn offset(line: &Line) -> Result<i32, WrongFile> {
    let text = line.value.trim();
    let read = || {
        let (sign, digits) = text.split_at_checked(1)?;
        let sign = match sign {
            "+" => 1,
            "-" => -1,
            _ => return None,
        };
        let is_number = digits.bytes().all(|c| c.is_ascii_digit());
        let part = |start: usize| digits.get(start..start + 2)?.parse::<i32>().ok();
        let seconds = match digits.len() {
            4 => 0,
            6 => part(4)?,
            _ => return None,
        };
        let (hours, minutes) = (part(0)?, part(2)?);
        let is_one = is_number && hours < 24 && minutes < 60 && seconds < 60;
        is_one.then_some(sign * (hours * 3_600 + minutes * 60 + seconds))
    };
    read().ok_or_else(|| {
        let message = format!("{} is no offset from UTC", quoted(text));
        wrong(line.at.clone(), message, OFFSET)
    })
}

fn shown(zone: &Zone, instant: i64) -> IcalRecurDateTime {
    let offset = zone.stretch_at(instant).offset;
    IcalRecurDateTime::from_seconds(instant + i64::from(offset))
}
