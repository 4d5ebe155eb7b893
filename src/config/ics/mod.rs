//! iCalendar files: which days their events name.
//!
//! Lines, folds and parameters are read by `ical`, recurrence rules are expanded by it; what they mean for a calendar is
//! decided here:
//!
//! - An all-day event names its days; `DTEND` is the day after the last, as the standard says.
//! - An event with times names every day that it touches on the clock of its `DTSTART`; one in UTC those of UTC.
//! - `RRULE`, `EXRULE`, `RDATE`, `EXDATE` and changed instances (`RECURRENCE-ID`) count; one that changes all later ones
//!   as well (`RANGE=THISANDFUTURE`) moves them by as many days. Rules are followed to the end of the tenth year after the present
//!   one, and at most [`OCCURRENCES_MAX`] occurrences of a file.
//! - What belongs to a series is compared with it on the clock of the series ([`clock`]).
//! - Events that are cancelled or do not take up time (`TRANSP:TRANSPARENT`) name nothing, and need not be readable; as a changed
//!   instance they take that instance away. Tasks, journals, alarms, and properties that nobody knows name nothing either.
//! - A file that cannot be read to its end names nothing at all: half a calendar is worse than the old one. So it is with a rule that
//!   is not understood in full.

mod clock;
mod rule;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};
use ical::recur::IcalRecurDateTime;
use ical::tree::line::IcalLine;
use ical::value::duration::IcalDuration;

use self::clock::{Clock, Clocks, Described, When};
use self::rule::{Rule, Walk};
use super::excerpt::quoted;
use crate::domain::calendar::Span;
use crate::domain::zone::Zone;

/// The largest text of a calendar file, in bytes.
pub const CALENDAR_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A file has at most so many events.
const EVENTS_MAX: usize = 20_000;
/// And so many time zones.
const ZONES_MAX: usize = 1_000;
/// Its events occur at most so often together.
const OCCURRENCES_MAX: usize = 100_000;
/// An event is no longer than this, in days.
const DAYS_MAX: i64 = 3_660;
/// The name of a time zone is no longer than this; every time that names it keeps a copy.
const TZID_BYTES_MAX: usize = 256;
/// A summary is shown up to here.
const SUMMARY_CHARS_MAX: usize = 60;

/// What a calendar file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Events {
    /// The days of each occurrence.
    pub(super) spans: Vec<Span>,
    /// How many events have times.
    pub(super) timed: usize,
    /// What was read one way and may be meant another.
    pub(super) doubts: Vec<WrongFile>,
}

/// Why a text is no calendar file, or what is doubtful in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrongFile {
    /// Which bytes are wrong.
    pub(super) at: Range<usize>,
    /// What is wrong, in a sentence without a full stop.
    pub(super) message: String,
    /// What to do.
    pub(super) help: &'static str,
}

/// Reads a calendar file. `today` bounds how far rules are followed, `zone` knows the zones of IANA names.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn read(
    text: &str,
    today: NaiveDate,
    zone: &dyn Fn(&str) -> Option<Arc<Zone>>,
) -> Result<Events, WrongFile> {
    let mut reader = Reader::default();
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
    let clocks = Clocks::new(zone, reader.zones, reader.own_zone, Walk::new(today));
    expand(reader.events, clocks)
}

const NOT_A_CALENDAR: &str = "an iCalendar file begins with BEGIN:VCALENDAR; look whether this is what was meant to be saved";
const CUT_OFF: &str = "fetch it again; it ends with END:VCALENDAR";
const DATE: &str = "dates are written 20270205, times 20270205T180000, in UTC with a Z at the end";

fn wrong(at: Range<usize>, message: String, help: &'static str) -> WrongFile {
    WrongFile { at, message, help }
}

fn day(civil: &IcalRecurDateTime) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(civil.year, civil.month.into(), civil.day.into())
}

/// A property that matters.
#[derive(Debug)]
struct Line {
    name: String,
    value: String,
    /// Its parameters that matter, by name.
    params: Vec<(&'static str, String)>,
    at: Range<usize>,
}

impl Line {
    const OF_EVENTS: [&str; 12] = [
        "DTSTART",
        "DTEND",
        "DURATION",
        "RRULE",
        "EXRULE",
        "RDATE",
        "EXDATE",
        "RECURRENCE-ID",
        "UID",
        "SUMMARY",
        "STATUS",
        "TRANSP",
    ];
    const OF_ZONES: [&str; 5] = ["DTSTART", "TZOFFSETFROM", "TZOFFSETTO", "RRULE", "RDATE"];

    fn new(
        name: &str,
        value: &str,
        line: &IcalLine<'_>,
        at: Range<usize>,
    ) -> Result<Self, WrongFile> {
        let params = ["TZID", "RANGE"].into_iter().filter_map(|wanted| {
            let mut all = line.params.iter();
            let param = all.find(|param| param.name.get().eq_ignore_ascii_case(wanted))?;
            // The comma of an unquoted name belongs to it.
            let values: Vec<&str> = param.values.iter().map(|value| value.get()).collect();
            Some((wanted, values.join(",").trim_matches('"').to_owned()))
        });
        let line = Self {
            name: name.to_owned(),
            value: match name {
                "SUMMARY" => line.value.decode().to_string(),
                _ => value.to_owned(),
            },
            params: params.collect(),
            at,
        };
        let zone = line.param("TZID").unwrap_or_default();
        if zone.len() > TZID_BYTES_MAX {
            let message = format!("this TZID is longer than {TZID_BYTES_MAX} bytes");
            let help = "zones have IANA names, such as Asia/Shanghai";
            return Err(wrong(line.at, message, help));
        }
        Ok(line)
    }

    fn param(&self, name: &str) -> Option<&str> {
        let mut params = self.params.iter();
        let found = params.find(|(of, _)| *of == name);
        found.map(|(_, value)| value.as_str())
    }

    fn when(&self, value: &str) -> Result<When, WrongFile> {
        When::read(value, self.param("TZID"), &self.at)
    }
}

/// The lines of an event.
#[derive(Debug, Default)]
struct Lines {
    /// Where it begins.
    at: Range<usize>,
    lines: Vec<Line>,
}

#[derive(Debug, Default)]
struct Reader {
    /// The components that are open, the innermost last.
    open: Vec<String>,
    /// Whether the outermost was closed.
    is_over: bool,
    event: Option<Lines>,
    events: Vec<Lines>,
    zone: Option<Described>,
    zones: Vec<Described>,
    /// The zone that the calendar itself says it is of.
    own_zone: Option<String>,
}

impl Reader {
    fn line(&mut self, line: &IcalLine<'_>, at: Range<usize>) -> Result<(), WrongFile> {
        let name = line.name.get().to_ascii_uppercase();
        let value = line.raw_value_str();
        let value = value.trim_end();
        match name.as_str() {
            "BEGIN" => return self.begin(value.to_ascii_uppercase(), at),
            "END" => return self.end(&value.to_ascii_uppercase(), at),
            _ if self.open.is_empty() => {
                let message = format!("{} stands outside of any calendar", quoted(&name));
                return Err(wrong(at, message, NOT_A_CALENDAR));
            }
            _ => {}
        }
        match (&mut self.event, &mut self.zone, self.open.len()) {
            // What belongs to an alarm within it lies deeper.
            (Some(event), _, 2) if Line::OF_EVENTS.contains(&name.as_str()) => {
                event.lines.push(Line::new(&name, value, line, at)?);
            }
            (_, Some(zone), 2) if name == "TZID" => value.clone_into(&mut zone.name),
            (_, Some(zone), 3) if Line::OF_ZONES.contains(&name.as_str()) => {
                if let Some(observance) = zone.observances.last_mut() {
                    observance.push(Line::new(&name, value, line, at)?);
                }
            }
            (None, None, 1) if name == "X-WR-TIMEZONE" && value.len() <= TZID_BYTES_MAX => {
                self.own_zone = Some(value.to_owned());
            }
            _ => {}
        }
        Ok(())
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
            self.event = Some(Lines {
                at,
                lines: Vec::new(),
            });
        } else if self.open.len() == 1 && name == "VTIMEZONE" {
            if self.zones.len() >= ZONES_MAX {
                let message = format!("the file describes more than {ZONES_MAX} time zones");
                return Err(wrong(at, message, "leave out those that no event names"));
            }
            self.zone = Some(Described::default());
        } else if self.open.len() == 2
            && let Some(zone) = &mut self.zone
        {
            zone.observances.push(Vec::new());
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
        if self.open.len() == 1 {
            self.events.extend(self.event.take());
            self.zones.extend(self.zone.take());
        }
        Ok(())
    }
}

/// Which instance of a series an event stands in place of.
#[derive(Debug)]
struct Instead {
    of: When,
    /// Of all later ones as well.
    and_later: bool,
}

impl Lines {
    /// The last one of that name.
    fn one(&self, name: &str) -> Option<&Line> {
        self.lines.iter().rev().find(|line| line.name == name)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.one(name)
            .is_some_and(|line| line.value.trim().eq_ignore_ascii_case(value))
    }

    /// The series that it is or belongs to; without a name it is one of its own.
    fn uid(&self) -> Option<&str> {
        let uid = self.one("UID").map(|line| line.value.trim());
        uid.filter(|uid| !uid.is_empty())
    }

    fn is_no_day_off(&self) -> bool {
        self.is("STATUS", "CANCELLED") || self.is("TRANSP", "TRANSPARENT")
    }

    fn start(&self) -> Result<When, WrongFile> {
        match self.one("DTSTART") {
            Some(line) => line.when(&line.value),
            None => Err(wrong(
                self.at.clone(),
                "this event has no DTSTART".to_owned(),
                DATE,
            )),
        }
    }

    fn instead(&self) -> Result<Option<Instead>, WrongFile> {
        let Some(line) = self.one("RECURRENCE-ID") else {
            return Ok(None);
        };
        let and_later = match line.param("RANGE") {
            None => false,
            Some(range) if range.eq_ignore_ascii_case("THISANDFUTURE") => true,
            Some(range) => {
                let message = format!("RANGE={} is not known", quoted(range));
                let help = "THISANDFUTURE is, and without a RANGE one instance is changed";
                return Err(wrong(line.at.clone(), message, help));
            }
        };
        let of = line.when(&line.value)?;
        Ok(Some(Instead { of, and_later }))
    }

    /// What it says, on `clock`, or on that of its start.
    fn event(&self, clock: Option<&Clock>, clocks: &mut Clocks<'_>) -> Result<Event, WrongFile> {
        let start = self.start()?;
        let clock = clock.unwrap_or(&start.clock);
        let first = clocks.on(&start, clock)?;
        let seconds = match (self.one("DTEND"), self.one("DURATION")) {
            (Some(line), _) => clocks.length(&start, first, &line.when(&line.value)?, clock)?,
            (None, Some(line)) => duration(&line.value, &line.at)?,
            (None, None) => 0,
        };
        let at = self.one("DTEND").or_else(|| self.one("DURATION"));
        let at = at.map_or(&self.at, |line| &line.at);
        let mut event = Event {
            first,
            more: days_after(first, seconds, at)?,
            rules: Vec::new(),
            exrules: Vec::new(),
            dates: Vec::new(),
            exdates: BTreeSet::new(),
        };
        for line in &self.lines {
            match line.name.as_str() {
                "RRULE" => event.rules.push(clocks.rule(line, clock)?),
                "EXRULE" => event.exrules.push(clocks.rule(line, clock)?),
                "RDATE" => {
                    for item in line.value.split(',') {
                        let (start, end) = item.split_once('/').unwrap_or((item, ""));
                        let start = line.when(start)?;
                        let first = clocks.on(&start, clock)?;
                        let seconds = match end.trim() {
                            "" => seconds,
                            end if end.starts_with(['P', 'p', '+', '-']) => {
                                duration(end, &line.at)?
                            }
                            end => clocks.length(&start, first, &line.when(end)?, clock)?,
                        };
                        let more = days_after(first, seconds, &line.at)?;
                        event.dates.extend(day(&first).map(|first| (first, more)));
                    }
                }
                "EXDATE" => {
                    for item in line.value.split(',') {
                        let gone = clocks.on(&line.when(item)?, clock)?;
                        event.exdates.extend(day(&gone));
                    }
                }
                _ => {}
            }
        }
        Ok(event)
    }

    fn label(&self) -> String {
        let text = self.one("SUMMARY").map_or("", |line| line.value.as_str());
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        words.chars().take(SUMMARY_CHARS_MAX).collect()
    }
}

/// An event, its times on one clock.
#[derive(Debug)]
struct Event {
    first: IcalRecurDateTime,
    /// How many days follow its first.
    more: i64,
    rules: Vec<Rule>,
    exrules: Vec<Rule>,
    /// Further first days, each with how many follow.
    dates: Vec<(NaiveDate, i64)>,
    exdates: BTreeSet<NaiveDate>,
}

impl Event {
    fn is_series(&self) -> bool {
        !(self.rules.is_empty() && self.dates.is_empty())
    }

    /// The first day of each occurrence, with how many follow; at most `room`.
    fn days(
        &self,
        at: &Range<usize>,
        room: usize,
        walk: &mut Walk,
    ) -> Result<BTreeMap<NaiveDate, i64>, WrongFile> {
        let mut days = BTreeMap::new();
        let mut add = |first: NaiveDate, more: i64| {
            let known = days.entry(first).or_insert(more);
            *known = more.max(*known);
            days.len()
        };
        let mut count = 0;
        for (first, more) in day(&self.first)
            .map(|first| (first, self.more))
            .into_iter()
            .chain(self.dates.iter().copied())
        {
            count = add(first, more);
        }
        for Rule { rule, at, .. } in &self.rules {
            let room = room.saturating_sub(count);
            let found = walk.occurrences(rule.clone(), self.first, room, at)?;
            for occurrence in found.ok_or_else(|| too_many(at.clone()))? {
                if let Some(first) = day(&occurrence) {
                    count = add(first, self.more);
                }
            }
        }
        for Rule { rule, at, .. } in &self.exrules {
            let found = walk.occurrences(rule.clone(), self.first, OCCURRENCES_MAX, at)?;
            for occurrence in found.ok_or_else(|| too_many(at.clone()))? {
                if let Some(first) = day(&occurrence) {
                    days.remove(&first);
                }
            }
        }
        days.retain(|first, _| !self.exdates.contains(first));
        if days.len() > room {
            return Err(too_many(at.clone()));
        }
        Ok(days)
    }
}

impl Clocks<'_> {
    /// The seconds from a start, which `clock` shows as `first`, to an end.
    fn length(
        &mut self,
        start: &When,
        first: IcalRecurDateTime,
        end: &When,
        clock: &Clock,
    ) -> Result<i64, WrongFile> {
        let seconds = self.on(end, clock)?.seconds() - first.seconds();
        // Where the clock goes back, what ends later may show an earlier time.
        let is_back = seconds < 0 && end.clock != start.clock;
        if is_back && self.instant(end)? >= self.instant(start)? {
            return Ok(0);
        }
        Ok(seconds)
    }

    /// A rule, its end on `clock`.
    fn rule(&mut self, line: &Line, clock: &Clock) -> Result<Rule, WrongFile> {
        let mut rule = rule::rule(&line.value, &line.at)?;
        if let Some(text) = &rule.until {
            let until = When::read(text, None, &line.at)?;
            let mut last = self.on(&until, clock)?;
            // The day that ends a series is part of it, whatever the time of its events.
            if until.clock == Clock::Day {
                (last.hour, last.minute, last.second) = (23, 59, 59);
            }
            rule.rule.until = Some(last);
        }
        Ok(rule)
    }
}

fn duration(value: &str, at: &Range<usize>) -> Result<i64, WrongFile> {
    IcalDuration(value.into()).seconds().ok_or_else(|| {
        let message = format!("{} is no duration", quoted(value));
        wrong(at.clone(), message, "durations are written P3D or PT8H")
    })
}

/// How many days follow the first of what begins then and lasts so long. The end is the first moment after it.
fn days_after(first: IcalRecurDateTime, seconds: i64, at: &Range<usize>) -> Result<i64, WrongFile> {
    if !(0..=DAYS_MAX * 86_400).contains(&seconds) {
        let message = match seconds < 0 {
            true => "this event ends before it begins".to_owned(),
            false => format!("this event is longer than {DAYS_MAX} days"),
        };
        return Err(wrong(at.clone(), message, DATE));
    }
    let into_day = first.seconds().rem_euclid(86_400);
    Ok((into_day + seconds - 1).max(0).div_euclid(86_400))
}

/// What is changed in a series.
#[derive(Debug, Default)]
struct Changes {
    /// Instances that other events stand in place of, or that are gone.
    instances: BTreeSet<NaiveDate>,
    /// From which instance on all are otherwise.
    later: BTreeMap<NaiveDate, Later>,
}

/// How a series goes on.
#[derive(Debug)]
enum Later {
    /// Each instance moves by so many days, and has so many after its first.
    Moved {
        by: TimeDelta,
        more: i64,
        label: String,
    },
    /// There are none, or the changed one says itself which.
    Over,
}

/// The clock of each series.
fn clocks_of(events: &[Lines]) -> BTreeMap<&str, Clock> {
    let series = events
        .iter()
        .filter(|event| event.one("RECURRENCE-ID").is_none());
    // What cannot be read is said later, if it matters.
    series
        .filter_map(|event| Some((event.uid()?, event.start().ok()?.clock)))
        .collect()
}

/// What is changed in each series.
fn changes<'e>(
    events: &'e [Lines],
    series: &BTreeMap<&str, Clock>,
    clocks: &mut Clocks<'_>,
) -> Result<BTreeMap<&'e str, Changes>, WrongFile> {
    let mut changes: BTreeMap<&str, Changes> = BTreeMap::new();
    for event in events {
        let (Some(uid), Some(instead)) = (event.uid(), event.instead()?) else {
            continue;
        };
        let clock = series.get(uid).unwrap_or(&instead.of.clock);
        let Some(id) = day(&clocks.on(&instead.of, clock)?) else {
            continue;
        };
        let of = changes.entry(uid).or_default();
        of.instances.insert(id);
        if !instead.and_later {
            continue;
        }
        let mut later = Later::Over;
        if !event.is_no_day_off() {
            let changed = event.event(Some(clock), clocks)?;
            if let Some(first) = day(&changed.first).filter(|_| !changed.is_series()) {
                later = Later::Moved {
                    by: first - id,
                    more: changed.more,
                    label: event.label(),
                };
            }
        }
        of.later.insert(id, later);
    }
    Ok(changes)
}

/// The days of all occurrences.
fn expand(events: Vec<Lines>, mut clocks: Clocks<'_>) -> Result<Events, WrongFile> {
    let series = clocks_of(&events);
    let changes = changes(&events, &series, &mut clocks)?;
    let mut found = Events::default();
    for lines in &events {
        let is_changed = lines.one("RECURRENCE-ID").is_some();
        let changed = lines.uid().and_then(|uid| changes.get(uid));
        let changed = changed.filter(|_| !is_changed);
        let is_no_day_off = lines.is_no_day_off();
        // A series that is free until one of its instances, and all later ones, are not, has to be known.
        let goes_on = |later: &Later| matches!(later, Later::Moved { .. });
        let goes_on = changed.is_some_and(|of| of.later.values().any(goes_on));
        if is_no_day_off && (lines.is("STATUS", "CANCELLED") || !goes_on) {
            continue;
        }
        let clock = lines.uid().and_then(|uid| series.get(uid));
        let event = lines.event(clock.filter(|_| is_changed), &mut clocks)?;
        found.timed += usize::from(lines.start()?.clock != Clock::Day);
        let (room, own_label) = (OCCURRENCES_MAX - found.spans.len(), lines.label());
        for (first, more) in event.days(&lines.at, room, &mut clocks.walk)? {
            if changed.is_some_and(|of| of.instances.contains(&first)) {
                continue;
            }
            let later = changed.and_then(|of| of.later.range(..=first).next_back());
            let (first, more, label) = match later.map(|(_, later)| later) {
                Some(Later::Over) => continue,
                Some(Later::Moved { by, more, label }) => {
                    let first = first.checked_add_signed(*by).unwrap_or(first);
                    (first, *more, label.clone())
                }
                None if is_no_day_off => continue,
                None => (first, more, own_label.clone()),
            };
            let last = first.checked_add_signed(TimeDelta::days(more));
            found.spans.push(Span {
                first,
                last: last.unwrap_or(first),
                label,
            });
        }
    }
    found.doubts = clocks.doubts;
    Ok(found)
}

fn too_many(at: Range<usize>) -> WrongFile {
    let message = format!("the events of the file occur more than {OCCURRENCES_MAX} times");
    wrong(at, message, "write such days as `weekend` or `patterns`")
}

#[cfg(test)]
mod tests;
