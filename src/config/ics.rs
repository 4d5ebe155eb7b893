//! iCalendar files: which days their events name.
//!
//! Lines, folds and parameters are read by `ical`, recurrence rules are expanded by it; what they mean for a calendar is
//! decided here:
//!
//! - An all-day event names its days; `DTEND` is the day after the last, as the standard says.
//! - An event with times names every day that it touches on its own clock, as it is written; one in UTC those of UTC.
//! - `RRULE`, `RDATE`, `EXDATE` and changed instances (`RECURRENCE-ID`) count. Rules are followed to the end of the tenth
//!   year after the present one, and at most [`OCCURRENCES_MAX`] occurrences of a file.
//! - Events that are cancelled or do not take up time (`TRANSP:TRANSPARENT`) name nothing. So do tasks, journals, alarms,
//!   time zones, and properties that nobody knows.
//! - A file that cannot be read to its end names nothing at all: half a calendar is worse than the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::{Datelike, NaiveDate, TimeDelta};
use ical::recur::expand::IcalRecurExpand;
use ical::recur::{IcalRecurDateTime, IcalRecurFreq, IcalRecurRule};
use ical::tree::line::IcalLine;
use ical::value::duration::IcalDuration;

use super::excerpt::quoted;
use crate::domain::calendar::Span;

/// The largest text of a calendar file, in bytes.
pub const CALENDAR_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A file has at most so many events.
const EVENTS_MAX: usize = 20_000;
/// Its events occur at most so often together.
const OCCURRENCES_MAX: usize = 100_000;
/// Most days that the rules of a file look at.
const DAYS_LOOKED_AT_MAX: u64 = 2_000_000;
/// Rules are followed so many years ahead.
const YEARS_AHEAD: i32 = 10;
/// An event is no longer than this, in days.
const DAYS_MAX: i64 = 3_660;
/// A summary is shown up to here.
const SUMMARY_CHARS_MAX: usize = 60;

/// What a calendar file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Events {
    /// The days of each occurrence.
    pub(super) spans: Vec<Span>,
    /// How many events have times.
    pub(super) timed: usize,
}

/// Why a text is no calendar file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrongFile {
    /// Which bytes are wrong.
    pub(super) at: Range<usize>,
    /// What is wrong, in a sentence without a full stop.
    pub(super) message: String,
    /// What to do.
    pub(super) help: &'static str,
}

/// Reads a calendar file. `today` bounds how far rules are followed.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn read(text: &str, today: NaiveDate) -> Result<Events, WrongFile> {
    let mut reader = Reader {
        open: Vec::new(),
        is_over: false,
        event: None,
        events: Vec::new(),
    };
    let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let mut rest = text.as_bytes().get(start..).unwrap_or_default();
    loop {
        let blank = rest
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        rest = rest.get(blank..).unwrap_or_default();
        if rest.iter().all(u8::is_ascii_whitespace) {
            break;
        }
        let from = text.len() - rest.len();
        let to = from + rest.iter().take_while(|byte| **byte != b'\n').count();
        let at = from..text
            .get(from..to)
            .map_or(to, |line| from + line.trim_end().len());
        let Ok((line, after)) = IcalLine::take(rest) else {
            let message = "this line has no colon between a name and a value".to_owned();
            return Err(wrong(at, message, NOT_A_CALENDAR));
        };
        reader.line(&line, at)?;
        rest = after;
    }
    let end = text.trim_end().len();
    if !reader.is_over {
        let message = match reader.open.last() {
            Some(open) => format!("the file ends within {}", quoted(open)),
            None => "the file is empty".to_owned(),
        };
        return Err(wrong(end..end, message, CUT_OFF));
    }
    expand(reader.events, today)
}

const NOT_A_CALENDAR: &str = "an iCalendar file begins with BEGIN:VCALENDAR; look whether this is what was meant to be saved";
const CUT_OFF: &str = "fetch it again; it ends with END:VCALENDAR";
const DATE: &str = "dates are written 20270205, times 20270205T180000, in UTC with a Z at the end";

fn wrong(at: Range<usize>, message: String, help: &'static str) -> WrongFile {
    WrongFile { at, message, help }
}

/// An event as it is read.
#[derive(Debug, Default)]
struct Event {
    /// Where it begins.
    at: Range<usize>,
    uid: String,
    summary: String,
    start: Option<When>,
    end: Option<(When, Range<usize>)>,
    duration: Option<i64>,
    rules: Vec<(IcalRecurRule, Range<usize>)>,
    dates: Vec<NaiveDate>,
    exdates: BTreeSet<NaiveDate>,
    /// Which instance of another event of the same UID it is in place of.
    instead_of: Option<NaiveDate>,
    is_no_day_off: bool,
}

/// A date, or a date and a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct When {
    civil: IcalRecurDateTime,
    is_timed: bool,
}

impl When {
    fn day(self) -> Option<NaiveDate> {
        day(&self.civil)
    }
}

fn day(civil: &IcalRecurDateTime) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(civil.year, civil.month.into(), civil.day.into())
}

struct Reader {
    /// The components that are open, the innermost last.
    open: Vec<String>,
    /// Whether the outermost was closed.
    is_over: bool,
    event: Option<Event>,
    events: Vec<Event>,
}

impl Reader {
    fn line(&mut self, line: &IcalLine<'_>, at: Range<usize>) -> Result<(), WrongFile> {
        let name = line.name.get().to_ascii_uppercase();
        let value = line.raw_value_str();
        let value = value.trim_end();
        match name.as_str() {
            "BEGIN" => self.begin(value.to_ascii_uppercase(), at),
            "END" => self.end(&value.to_ascii_uppercase(), at),
            _ if self.open.is_empty() => Err(wrong(
                at,
                format!("{} stands outside of any calendar", quoted(&name)),
                NOT_A_CALENDAR,
            )),
            _ => match (&mut self.event, self.open.len()) {
                // What belongs to an alarm within it lies deeper.
                (Some(event), 2) => event.property(&name, value, line, at),
                _ => Ok(()),
            },
        }
    }

    fn begin(&mut self, name: String, at: Range<usize>) -> Result<(), WrongFile> {
        if self.open.is_empty() && name != "VCALENDAR" {
            let message = format!("{} stands outside of any calendar", quoted(&name));
            return Err(wrong(at, message, NOT_A_CALENDAR));
        }
        if self.open.len() > 16 {
            let message = "components are nested too deeply".to_owned();
            return Err(wrong(at, message, NOT_A_CALENDAR));
        }
        if self.open.len() == 1 && name == "VEVENT" {
            if self.events.len() >= EVENTS_MAX {
                let message = format!("the file has more than {EVENTS_MAX} events");
                return Err(wrong(at, message, "leave out what is long over"));
            }
            self.event = Some(Event {
                at,
                ..Event::default()
            });
        }
        self.is_over = false;
        self.open.push(name);
        Ok(())
    }

    fn end(&mut self, name: &str, at: Range<usize>) -> Result<(), WrongFile> {
        match self.open.pop() {
            Some(open) if open == name => {}
            Some(open) => {
                let message = format!("{} is closed where {} is open", quoted(name), quoted(&open));
                return Err(wrong(at, message, CUT_OFF));
            }
            None => {
                let message = format!("{} is closed and was not open", quoted(name));
                return Err(wrong(at, message, NOT_A_CALENDAR));
            }
        }
        self.is_over = self.open.is_empty();
        if self.open.len() == 1
            && let Some(event) = self.event.take()
        {
            self.events.push(event);
        }
        Ok(())
    }
}

impl Event {
    fn property(
        &mut self,
        name: &str,
        value: &str,
        line: &IcalLine<'_>,
        at: Range<usize>,
    ) -> Result<(), WrongFile> {
        match name {
            "DTSTART" => self.start = Some(when(value, &at)?),
            "DTEND" => self.end = Some((when(value, &at)?, at)),
            "DURATION" => {
                let Some(seconds) = IcalDuration(value.into()).seconds() else {
                    let message = format!("{} is no duration", quoted(value));
                    return Err(wrong(at, message, "durations are written P3D or PT8H"));
                };
                self.duration = Some(seconds);
            }
            "RRULE" => self.rules.push((rule(value, &at)?, at)),
            "RDATE" => {
                for item in value.split(',') {
                    let (start, _) = item.split_once('/').unwrap_or((item, ""));
                    self.dates.extend(when(start, &at)?.day());
                }
            }
            "EXDATE" => {
                for item in value.split(',') {
                    self.exdates.extend(when(item, &at)?.day());
                }
            }
            "RECURRENCE-ID" => self.instead_of = when(value, &at)?.day(),
            "UID" => value.clone_into(&mut self.uid),
            "SUMMARY" => {
                let text = line.value.decode();
                let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
                self.summary = words.chars().take(SUMMARY_CHARS_MAX).collect();
            }
            "STATUS" => self.is_no_day_off |= value.eq_ignore_ascii_case("CANCELLED"),
            "TRANSP" => self.is_no_day_off |= value.eq_ignore_ascii_case("TRANSPARENT"),
            _ => {}
        }
        Ok(())
    }

    /// Its first day, and how many days follow that one.
    fn days(&self) -> Result<(When, NaiveDate, i64), WrongFile> {
        let start = self.start.and_then(|start| Some((start, start.day()?)));
        let Some((start, first)) = start else {
            let message = "this event has no DTSTART".to_owned();
            return Err(wrong(self.at.clone(), message, DATE));
        };
        let seconds = match (&self.end, self.duration) {
            (Some((end, _)), _) => end.civil.seconds() - start.civil.seconds(),
            (None, Some(seconds)) => seconds,
            (None, None) => 0,
        };
        if !(0..=DAYS_MAX * 86_400).contains(&seconds) {
            let at = self.end.as_ref().map_or(&self.at, |(_, at)| at).clone();
            let message = match seconds < 0 {
                true => "this event ends before it begins".to_owned(),
                false => format!("this event is longer than {DAYS_MAX} days"),
            };
            return Err(wrong(at, message, DATE));
        }
        // The end is the first moment after it.
        let into_day = start.civil.seconds().rem_euclid(86_400);
        let more = (into_day + seconds - 1).max(0).div_euclid(86_400);
        Ok((start, first, more))
    }
}

fn when(value: &str, at: &Range<usize>) -> Result<When, WrongFile> {
    match IcalRecurDateTime::parse(value.trim()) {
        Ok(civil) => Ok(When {
            civil,
            is_timed: value.trim().len() > 8,
        }),
        Err(_) => {
            let message = format!("there is no date {}", quoted(value.trim()));
            Err(wrong(at.clone(), message, DATE))
        }
    }
}

fn rule(value: &str, at: &Range<usize>) -> Result<IcalRecurRule, WrongFile> {
    let help = "rules are written FREQ=YEARLY;BYMONTH=5;BYMONTHDAY=1";
    let rule = IcalRecurRule::parse(value).map_err(|error| {
        let message = format!("the recurrence rule {} is wrong: {error}", quoted(value));
        wrong(at.clone(), message, help)
    })?;
    let is_fine = matches!(
        rule.freq,
        IcalRecurFreq::Hourly | IcalRecurFreq::Minutely | IcalRecurFreq::Secondly
    );
    if is_fine {
        let message = "this event repeats within a day, and a calendar is about days".to_owned();
        return Err(wrong(at.clone(), message, help));
    }
    if !(rule.by_hour.is_empty() && rule.by_minute.is_empty() && rule.by_second.is_empty()) {
        let message =
            "this event repeats at hours of a day, and a calendar is about days".to_owned();
        let help = "leave BYHOUR, BYMINUTE and BYSECOND out";
        return Err(wrong(at.clone(), message, help));
    }
    if rule
        .scale
        .as_deref()
        .is_some_and(|scale| scale != "GREGORIAN")
    {
        let message = "this rule counts in another calendar system than the Gregorian".to_owned();
        let help = "write its days as RDATE, or into the YAML as `holidays`";
        return Err(wrong(at.clone(), message, help));
    }
    Ok(rule)
}

/// The days of all occurrences.
fn expand(events: Vec<Event>, today: NaiveDate) -> Result<Events, WrongFile> {
    let horizon = NaiveDate::from_ymd_opt(today.year() + YEARS_AHEAD, 12, 31).unwrap_or(today);
    let mut changed: BTreeMap<&str, BTreeSet<NaiveDate>> = BTreeMap::new();
    for event in &events {
        if let Some(id) = event.instead_of {
            changed.entry(&event.uid).or_default().insert(id);
        }
    }
    let mut found = Events::default();
    let mut looked_at = 0;
    for event in &events {
        let (start, first, more) = event.days()?;
        if event.is_no_day_off {
            continue;
        }
        found.timed += usize::from(start.is_timed);
        let mut firsts: BTreeSet<NaiveDate> = event.dates.iter().copied().collect();
        firsts.insert(first);
        for (rule, at) in &event.rules {
            let mut rule = rule.clone();
            let last = IcalRecurDateTime {
                hour: 23,
                minute: 59,
                second: 59,
                ..civil(horizon)
            };
            rule.until = Some(rule.until.map_or(last, |until| until.min(last)));
            // A rule that nothing fits is walked to its end all the same.
            looked_at += days_looked_at(&rule, first, horizon);
            if looked_at > DAYS_LOOKED_AT_MAX {
                return Err(too_long(at.clone()));
            }
            let room = OCCURRENCES_MAX.saturating_sub(found.spans.len() + firsts.len());
            let occurrences = IcalRecurExpand::new(rule, start.civil).take(room + 1);
            let before = firsts.len();
            let mut count = 0;
            for occurrence in occurrences {
                count += 1;
                firsts.extend(day(&occurrence));
            }
            if count > room || firsts.len() - before > room {
                return Err(too_many(at.clone()));
            }
        }
        if event.instead_of.is_none() {
            let changed = changed.get(event.uid.as_str());
            firsts.retain(|day| {
                !event.exdates.contains(day) && !changed.is_some_and(|of| of.contains(day))
            });
        }
        if found.spans.len() + firsts.len() > OCCURRENCES_MAX {
            return Err(too_many(event.at.clone()));
        }
        found.spans.extend(firsts.into_iter().map(|first| {
            Span {
                first,
                last: first
                    .checked_add_signed(TimeDelta::days(more))
                    .unwrap_or(first),
                label: event.summary.clone(),
            }
        }));
    }
    Ok(found)
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

fn too_many(at: Range<usize>) -> WrongFile {
    let message = format!("the events of the file occur more than {OCCURRENCES_MAX} times");
    wrong(at, message, "write such days as `weekend` or `patterns`")
}

fn civil(day: NaiveDate) -> IcalRecurDateTime {
    let small = |number: u32| u8::try_from(number).unwrap_or(1);
    IcalRecurDateTime::date(day.year(), small(day.month()), small(day.day()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn today() -> NaiveDate {
        "2026-11-24".parse().unwrap()
    }

    fn events(lines: &str) -> Events {
        let text = format!("BEGIN:VCALENDAR\n{lines}\nEND:VCALENDAR\n");
        read(&text, today()).unwrap()
    }

    fn days(lines: &str) -> Vec<String> {
        let event = format!("BEGIN:VEVENT\n{lines}\nEND:VEVENT");
        let spans = events(&event).spans;
        spans.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_that_nothing_fits_do_not_hold_up_whoever_reads_them() {
        let wrong = |lines: &str| {
            let text = format!("BEGIN:VCALENDAR\n{lines}\nEND:VCALENDAR\n");
            read(&text, today()).unwrap_err().message
        };
        let event = |rule: &str| {
            format!("BEGIN:VEVENT\nDTSTART;VALUE=DATE:16010101\nRRULE:{rule}\nEND:VEVENT\n")
        };
        for rule in [
            "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
            "FREQ=WEEKLY;BYDAY=MO;BYMONTH=1",
            "FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=2",
            "FREQ=YEARLY;BYYEARDAY=366;BYMONTH=2",
        ] {
            let message = wrong(&event(rule).repeat(200));
            assert!(message.contains("2000000 days"), "{rule}: {message}");
        }
        let message = wrong(&event("FREQ=DAILY;BYHOUR=0,1;BYSETPOS=1"));
        assert!(message.contains("hours of a day"), "{message}");
        // What people have: hundreds of yearly days for half a century, and some that come each day or week.
        let usual = [
            "FREQ=YEARLY",
            "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
            "FREQ=YEARLY;BYMONTH=5;BYMONTHDAY=1",
        ];
        let many: String = (0..600)
            .map(|n| {
                let rule = usual[n % 3];
                format!(
                    "BEGIN:VEVENT\nUID:{n}\nDTSTART;VALUE=DATE:19700501\nRRULE:{rule}\nEND:VEVENT\n"
                )
            })
            .collect();
        assert!(events(&many).spans.len() > 600 * 50);
        let weekly =
            "BEGIN:VEVENT\nDTSTART;VALUE=DATE:20000103\nRRULE:FREQ=WEEKLY;BYDAY=MO\nEND:VEVENT\n";
        assert!(events(&weekly.repeat(20)).spans.len() > 1_000);
    }

    #[test]
    fn an_event_names_its_days() {
        for (lines, expected) in [
            ("DTSTART;VALUE=DATE:20270501", vec!["2027-05-01"]),
            ("DTSTART:20270501\nDTEND:20270502", vec!["2027-05-01"]),
            ("DTSTART:20270501\nDTEND:20270501", vec!["2027-05-01"]),
            (
                "DTSTART:20270205\nDTEND:20270212",
                vec!["2027-02-05..2027-02-11"],
            ),
            (
                "DTSTART:20270205\nDURATION:P1W",
                vec!["2027-02-05..2027-02-11"],
            ),
            (
                "DTSTART;TZID=\"Asia/Shanghai\":20270205T180000\nDTEND:20270208T000000",
                vec!["2027-02-05..2027-02-07"],
            ),
            (
                "DTSTART:20270205T180000Z\nDTEND:20270206T000001Z",
                vec!["2027-02-05..2027-02-06"],
            ),
            ("DTSTART:20270205T180000Z", vec!["2027-02-05"]),
            (
                "DTSTART:20270205T230000\nDURATION:PT2H",
                vec!["2027-02-05..2027-02-06"],
            ),
            (
                "DTSTART:20270501\nRDATE;VALUE=DATE:20270601,20270701",
                vec!["2027-05-01", "2027-06-01", "2027-07-01"],
            ),
            (
                "DTSTART:20270501\nRRULE:FREQ=YEARLY;COUNT=3",
                vec!["2027-05-01", "2028-05-01", "2029-05-01"],
            ),
            (
                "DTSTART:20270104\nRRULE:FREQ=WEEKLY;UNTIL=20270125\nEXDATE:20270111",
                vec!["2027-01-04", "2027-01-18", "2027-01-25"],
            ),
            (
                "DTSTART:20270404\nDTEND:20270406\nRRULE:FREQ=MONTHLY;BYDAY=1SU;UNTIL=20270601",
                vec!["2027-04-04..2027-04-05", "2027-05-02..2027-05-03"],
            ),
            // A year that has no such day, and no end.
            (
                "DTSTART:20280229\nRRULE:FREQ=YEARLY",
                vec!["2028-02-29", "2032-02-29", "2036-02-29"],
            ),
            ("DTSTART:20270501\nSTATUS:CANCELLED", vec![]),
            ("DTSTART:20270501\nTRANSP:TRANSPARENT", vec![]),
            (
                "DTSTART:20270501\nX-WHATEVER;A=\"b:c\":d\nBEGIN:VALARM\nDTSTART:x\nEND:VALARM",
                vec!["2027-05-01"],
            ),
        ] {
            assert_eq!(days(lines), expected, "{lines}");
        }
    }

    #[test]
    fn folds_line_ends_marks_and_escapes_are_as_people_send_them() {
        let text = "\u{feff}\r\n\r\nBEGIN:VCALENDAR\r\nVERSION:2.0\r\nbegin:vevent\r\nSUMMARY;LANGUAGE=zh:春节\\, al\r\n l \
                    of it\r\nDTSTART;VALUE=DA\r\n TE:2027\r\n\t0205\r\nend:vevent\r\nBEGIN:VTODO\r\nDUE:what\r\nEND:VTODO\r\n\
                    END:VCALENDAR";
        let found = read(text, today()).unwrap();
        assert_eq!(found.spans.len(), 1);
        assert_eq!(found.spans[0].to_string(), "2027-02-05");
        assert_eq!(found.spans[0].label, "春节, all of it");
    }

    #[test]
    fn a_changed_instance_takes_the_place_of_the_rules() {
        let series =
            "BEGIN:VEVENT\nUID:a\nDTSTART:20270104\nRRULE:FREQ=WEEKLY;COUNT=3\nEND:VEVENT\n";
        let moved = "BEGIN:VEVENT\nUID:a\nRECURRENCE-ID:20270111\nDTSTART:20270113\nEND:VEVENT\n";
        let gone = "BEGIN:VEVENT\nUID:a\nRECURRENCE-ID:20270118\nDTSTART:20270118\nSTATUS:CANCELLED\nEND:VEVENT";
        let mut days: Vec<String> = events(&format!("{moved}{series}{gone}"))
            .spans
            .iter()
            .map(ToString::to_string)
            .collect();
        days.sort();
        assert_eq!(days, ["2027-01-04", "2027-01-13"]);
    }

    #[test]
    fn what_is_wrong_is_said_at_its_line() {
        let event = |line: &str| {
            format!(
                "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20270104\n{line}\nEND:VEVENT\nEND:VCALENDAR"
            )
        };
        for (text, piece, message) in [
            ("", "", "the file is empty"),
            ("<html>\n", "<html>", "this line has no colon"),
            (
                "Content-Type: text\n",
                "Content-Type: text",
                "outside of any calendar",
            ),
            ("BEGIN:VCARD\n", "BEGIN:VCARD", "outside of any calendar"),
            (
                "BEGIN:VCALENDAR\nBEGIN:VEVENT\n",
                "",
                "the file ends within `VEVENT`",
            ),
            (
                "BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR\n",
                "END:VCALENDAR",
                "`VCALENDAR` is closed where `VEVENT` is open",
            ),
            (
                "BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VEVENT\nEND:VCALENDAR\n",
                "BEGIN:VEVENT",
                "no DTSTART",
            ),
            (&event("oops"), "oops", "no colon"),
            (
                &event("DTEND:20270230"),
                "DTEND:20270230",
                "there is no date `20270230`",
            ),
            (
                &event("DTEND:20270103"),
                "DTEND:20270103",
                "ends before it begins",
            ),
            (
                &event("DTEND:20990103"),
                "DTEND:20990103",
                "longer than 3660 days",
            ),
            (
                &event("DURATION:3 days"),
                "DURATION:3 days",
                "is no duration",
            ),
            (&event("RRULE:FREQ=NEVER"), "RRULE:FREQ=NEVER", "is wrong"),
            (
                &event("RRULE:FREQ=HOURLY"),
                "RRULE:FREQ=HOURLY",
                "within a day",
            ),
            (
                &event("RRULE:RSCALE=CHINESE;FREQ=YEARLY"),
                "RRULE:RSCALE=CHINESE;FREQ=YEARLY",
                "another calendar system",
            ),
            (&event("EXDATE:soon"), "EXDATE:soon", "there is no date"),
        ] {
            let wrong = read(text, today()).unwrap_err();
            assert!(wrong.message.contains(message), "{text}: {wrong:?}");
            assert_eq!(&text[wrong.at.clone()], piece, "{text}: {wrong:?}");
        }
        let ancient = "DTSTART:00010101\nRRULE:FREQ=DAILY";
        let text = format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\n{ancient}\nEND:VEVENT\nEND:VCALENDAR");
        let wrong = read(&text, today()).unwrap_err();
        assert!(
            wrong.message.contains("more than 100000 times"),
            "{wrong:?}"
        );
    }

    #[test]
    fn a_rule_that_nothing_satisfies_ends() {
        let odd = "DTSTART:20270104\nRRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30";
        assert_eq!(days(odd), ["2027-01-04"]);
        let empty = "DTSTART:20270104\nRRULE:FREQ=DAILY;BYDAY=MO;BYSETPOS=2";
        assert_eq!(days(empty), ["2027-01-04"]);
    }
}
