//! Recurrence rules: read in full or refused, and followed within bounds.
//!
//! `ical` overlooks parts that it does not know, and those that mean nothing at a frequency. A rule read so names other days
//! than its author meant, so here it is refused, by name.

use std::ops::Range;

use chrono::{Datelike, NaiveDate};
use ical::recur::expand::IcalRecurExpand;
use ical::recur::validate::IcalRecurRuleProblem;
use ical::recur::{IcalRecurDateTime, IcalRecurFreq, IcalRecurRule};

use super::{WrongFile, day, wrong};
use crate::config::excerpt::quoted;

/// Most days that the rules of a file look at.
const DAYS_LOOKED_AT_MAX: u64 = 2_000_000;
/// Rules are followed so many years ahead.
const YEARS_AHEAD: i32 = 10;

/// The parts of a rule.
const PARTS: [&str; 16] = [
    "FREQ",
    "UNTIL",
    "COUNT",
    "INTERVAL",
    "BYSECOND",
    "BYMINUTE",
    "BYHOUR",
    "BYDAY",
    "BYMONTHDAY",
    "BYYEARDAY",
    "BYWEEKNO",
    "BYMONTH",
    "BYSETPOS",
    "WKST",
    "RSCALE",
    "SKIP",
];

const FORM: &str = "rules are written FREQ=YEARLY;BYMONTH=5;BYMONTHDAY=1";
const UNREADABLE: &str = "write its days as RDATE, or into the YAML as `holidays`";

/// A rule, and where it stands. Its end is still on the clock on which it is written.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) rule: IcalRecurRule,
    /// Its `UNTIL` as it is written.
    pub(super) until: Option<String>,
    pub(super) at: Range<usize>,
}

/// Reads a rule.
pub(super) fn rule(value: &str, at: &Range<usize>) -> Result<Rule, WrongFile> {
    let refuse = |message: String, help| Err(wrong(at.clone(), message, help));
    let mut seen: Vec<String> = Vec::new();
    let mut until = None;
    for part in value.split(';').filter(|part| !part.trim().is_empty()) {
        let (name, text) = part.split_once('=').unwrap_or((part, ""));
        let (name, text) = (name.trim().to_ascii_uppercase(), text.trim());
        if !PARTS.contains(&name.as_str()) {
            let message = format!(
                "the part {} of this rule is not known, and the rule means other days without it",
                quoted(part.trim())
            );
            return refuse(message, UNREADABLE);
        }
        if text.is_empty() {
            return refuse(format!("{name} of this rule has no value"), FORM);
        }
        if seen.contains(&name) {
            return refuse(format!("{name} of this rule is given twice"), FORM);
        }
        if name == "UNTIL" {
            until = Some(text.to_owned());
        }
        seen.push(name);
    }
    let rule = match IcalRecurRule::parse(value) {
        Ok(rule) => rule,
        Err(error) => {
            return refuse(
                format!("the recurrence rule {} is wrong: {error}", quoted(value)),
                FORM,
            );
        }
    };
    let is_fine = matches!(
        rule.freq,
        IcalRecurFreq::Hourly | IcalRecurFreq::Minutely | IcalRecurFreq::Secondly
    );
    if is_fine {
        let message = "this event repeats within a day, and a calendar is about days".to_owned();
        return refuse(message, FORM);
    }
    if !(rule.by_hour.is_empty() && rule.by_minute.is_empty() && rule.by_second.is_empty()) {
        let message =
            "this event repeats at hours of a day, and a calendar is about days".to_owned();
        return refuse(message, "leave BYHOUR, BYMINUTE and BYSECOND out");
    }
    let scale = rule.scale.as_deref().filter(|scale| *scale != "GREGORIAN");
    if let Some(scale) = scale {
        let message = format!(
            "this rule counts in another calendar system than the Gregorian: RSCALE={}",
            quoted(scale)
        );
        return refuse(message, UNREADABLE);
    }
    let problems = rule.clone().validate().err().unwrap_or_default();
    // With both ends a rule says too much, and ends at the first: nothing is overlooked.
    let problem = problems
        .iter()
        .find(|problem| !matches!(problem, IcalRecurRuleProblem::UntilWithCount));
    if let Some(problem) = problem {
        return refuse(
            format!("the recurrence rule {} is wrong: {problem}", quoted(value)),
            FORM,
        );
    }
    Ok(Rule {
        rule,
        until,
        at: at.clone(),
    })
}

/// How far the rules of a file are followed.
#[derive(Debug)]
pub(super) struct Walk {
    horizon: NaiveDate,
    looked_at: u64,
}

impl Walk {
    pub(super) fn new(today: NaiveDate) -> Self {
        Self {
            horizon: NaiveDate::from_ymd_opt(today.year() + YEARS_AHEAD, 12, 31).unwrap_or(today),
            looked_at: 0,
        }
    }

    /// The occurrences of a rule that begins at `start`; `None` if there are more than `room`.
    pub(super) fn occurrences(
        &mut self,
        mut rule: IcalRecurRule,
        start: IcalRecurDateTime,
        room: usize,
        at: &Range<usize>,
    ) -> Result<Option<Vec<IcalRecurDateTime>>, WrongFile> {
        let last = IcalRecurDateTime {
            hour: 23,
            minute: 59,
            second: 59,
            ..civil(self.horizon)
        };
        rule.until = Some(rule.until.map_or(last, |until| until.min(last)));
        // A rule that nothing fits is walked to its end all the same.
        if let Some(first) = day(&start) {
            self.looked_at += days_looked_at(&rule, first, self.horizon);
        }
        if self.looked_at > DAYS_LOOKED_AT_MAX {
            return Err(too_long(at.clone()));
        }
        let found: Vec<_> = IcalRecurExpand::new(rule, start).take(room + 1).collect();
        Ok((found.len() <= room).then_some(found))
    }
}

/// How many days have to be looked at for a rule that begins on `first`: all of a week, a month or a year, unless it only names
/// the day of the year on which it began.
fn days_looked_at(rule: &IcalRecurRule, first: NaiveDate, horizon: NaiveDate) -> u64 {
    let months = match rule.by_month.len() {
        0 => 12,
        some => some as u64,
    };
    let names_days = !rule.by_day.is_empty()
        || !rule.by_month_day.is_empty()
        || !rule.by_year_day.is_empty()
        || !rule.by_week_no.is_empty();
    let (period, each) = match rule.freq {
        IcalRecurFreq::Yearly if names_days => (365, 31 * months),
        IcalRecurFreq::Yearly => (365, months),
        IcalRecurFreq::Monthly => (28, 31),
        IcalRecurFreq::Weekly => (7, 7),
        IcalRecurFreq::Daily
        | IcalRecurFreq::Hourly
        | IcalRecurFreq::Minutely
        | IcalRecurFreq::Secondly => (1, 1),
    };
    let days = (horizon - first).num_days().max(0).unsigned_abs();
    let periods = days / (period * u64::from(rule.interval.max(1))) + 1;
    periods.saturating_mul(each)
}

fn too_long(at: Range<usize>) -> WrongFile {
    let message = format!(
        "to find when the events of the file recur, more than {DAYS_LOOKED_AT_MAX} days would have to be looked at"
    );
    let help =
        "let rules begin in the year from which they count, and leave out events that are over";
    wrong(at, message, help)
}

fn civil(day: NaiveDate) -> IcalRecurDateTime {
    let small = |number: u32| u8::try_from(number).unwrap_or(1);
    IcalRecurDateTime::date(day.year(), small(day.month()), small(day.day()))
}
