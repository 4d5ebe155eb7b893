//! Times as people write them on the command line, and as they read them beside UTC.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

use super::stderr;
use crate::config;
use crate::domain::zone::Zone;
use crate::domain::{Timestamp, after, rfc3339};
use crate::os::zones::Zones;

/// A time as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// An instant: `2026-11-24T18:00:00Z`, `2026-11-25T02:00+08:00`.
    Instant(Timestamp),
    /// A day, which means its start: `2026-11-24`.
    Day(NaiveDate),
    /// What a clock on the wall shows: `2026-11-24T18:00`.
    Local(NaiveDateTime),
    /// So long from now: `24h`.
    Span(Duration),
}

const FORMS: &str = "an instant (2026-11-24T18:00:00Z, 2026-11-25T02:00+08:00), a day (2026-11-24: its start), a date and time \
                     (2026-11-24T18:00)";

/// Reads a time.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    read(text).or_else(|why| match config::parse_duration(text) {
        Ok(span) => Ok(Moment::Span(span)),
        Err(_) => Err(format!("{why}; write {FORMS} or a duration (24h, 7d)")),
    })
}

/// Reads a time that is no duration.
pub(super) fn fixed_moment(text: &str) -> Result<Moment, String> {
    read(text).map_err(|why| format!("{why}; write {FORMS}"))
}

fn read(text: &str) -> Result<Moment, String> {
    let is_day = text.len() == 10 && text.bytes().filter(|byte| *byte == b'-').count() == 2;
    if is_day && text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d");
        return day
            .map(Moment::Day)
            .map_err(|_| format!("there is no day {text}"));
    }
    // What `date` and most tools print has a space between day and time.
    let joined = text.replacen(' ', "T", 1).replacen('t', "T", 1);
    if let Some(local) = wall_clock(&joined) {
        return Ok(Moment::Local(local));
    }
    if let Some(utc) = joined.strip_suffix(['Z', 'z']).and_then(wall_clock) {
        return Ok(Moment::Instant(utc.and_utc()));
    }
    let with_offset = |format| DateTime::parse_from_str(&joined, format).ok();
    ["%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M%:z"]
        .into_iter()
        .find_map(with_offset)
        .map(|instant| Moment::Instant(instant.to_utc()))
        .ok_or_else(|| "this is no time".to_owned())
}

fn wall_clock(text: &str) -> Option<NaiveDateTime> {
    ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S%.f"]
        .into_iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
}

/// Where a span of time leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Towards {
    /// `24h` is a day ago.
    Past,
    /// `24h` is a day ahead.
    Future,
}

impl Moment {
    /// The instant that is meant, in a zone, seen from `now`.
    pub(super) fn instant(self, zone: &Zone, now: Timestamp, towards: Towards) -> Timestamp {
        match (self, towards) {
            (Self::Instant(instant), _) => instant,
            (Self::Day(day), _) => config::earliest_instant(day.and_time(NaiveTime::MIN), zone),
            (Self::Local(local), _) => config::earliest_instant(local, zone),
            (Self::Span(span), Towards::Future) => after(now, span),
            (Self::Span(span), Towards::Past) => TimeDelta::from_std(span)
                .ok()
                .and_then(|span| now.checked_sub_signed(span))
                .unwrap_or(now),
        }
    }

    /// Whether it depends on a zone.
    pub(super) fn needs_zone(self) -> bool {
        match self {
            Self::Day(_) | Self::Local(_) => true,
            Self::Instant(_) | Self::Span(_) => false,
        }
    }
}

/// The zone in which days and times without an offset are meant.
#[derive(Debug)]
pub(super) struct Meant {
    pub(super) zone: Arc<Zone>,
    /// Whether somebody said so.
    pub(super) given: bool,
}

impl Meant {
    /// The zone of `--timezone`, else UTC.
    pub(super) fn new(name: Option<&str>) -> anyhow::Result<Self> {
        let zone = match name {
            None => Arc::new(Zone::utc()),
            Some(name) => match zone(name) {
                Ok(zone) => zone,
                Err(why) => bail!(why),
            },
        };
        Ok(Self {
            zone,
            given: name.is_some(),
        })
    }

    /// The instant of a flag. A person who did not say in which zone is told what was made of it.
    pub(super) fn read(
        &self,
        flag: &str,
        moment: Moment,
        now: Timestamp,
        towards: Towards,
    ) -> std::io::Result<Timestamp> {
        let instant = moment.instant(&self.zone, now, towards);
        if moment.needs_zone() && !self.given {
            writeln!(
                stderr(),
                "{flag} is {}, as days and times without an offset are UTC; --timezone reads them in another zone",
                rfc3339(instant)
            )?;
        }
        Ok(instant)
    }
}

/// A zone by its name, or what to write instead.
pub(super) fn zone(name: &str) -> Result<Arc<Zone>, String> {
    let zones = Zones::load();
    zones.get(name).ok_or_else(|| {
        let names = zones.names();
        let near = config::nearest(name, names.iter().map(String::as_str));
        let hint = near.map_or_else(
            || "write an IANA name such as Europe/Berlin".to_owned(),
            |near| format!("did you mean {near}?"),
        );
        format!("unknown time zone {name:?}; {hint}")
    })
}

fn with_offset(zone: &Zone, instant: Timestamp) -> Option<DateTime<FixedOffset>> {
    let offset = FixedOffset::east_opt(zone.stretch_at(instant.timestamp()).offset)?;
    Some(instant.with_timezone(&offset))
}

/// RFC 3339 with the zone's own offset. An offset with seconds (local mean times long ago) cannot be written so; it is
/// given in UTC.
pub(super) fn local(zone: &Zone, instant: Timestamp) -> String {
    match with_offset(zone, instant) {
        Some(local) if local.offset().local_minus_utc() % 60 == 0 => local.to_rfc3339(),
        Some(_) | None => rfc3339(instant),
    }
}

/// What the clock on the wall shows, with the weekday: `Wed 2026-11-25 02:00:00`.
pub(super) fn weekday_local(zone: &Zone, instant: Timestamp) -> String {
    zone.local(instant)
        .format("%a %Y-%m-%d %H:%M:%S")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_time_is_read_in_every_form_that_is_promised() {
        let shanghai = zone("Asia/Shanghai").unwrap();
        for (text, expected) in [
            ("2026-11-24T18:00:00Z", "2026-11-24T18:00:00Z"),
            ("2026-11-24t18:00:00z", "2026-11-24T18:00:00Z"),
            ("2026-11-24 18:00:00.5Z", "2026-11-24T18:00:00.500Z"),
            ("2026-11-24T18:00Z", "2026-11-24T18:00:00Z"),
            ("2026-11-25T02:00:00+08:00", "2026-11-24T18:00:00Z"),
            ("2026-11-25 02:00+08:00", "2026-11-24T18:00:00Z"),
            ("2026-11-25", "2026-11-24T16:00:00Z"),
            ("2026-11-25T02:00", "2026-11-24T18:00:00Z"),
            ("2026-11-25 02:00:30", "2026-11-24T18:00:30Z"),
            ("24h", "2026-11-23T12:00:00Z"),
            ("7d", "2026-11-17T12:00:00Z"),
            ("1h30m", "2026-11-24T10:30:00Z"),
        ] {
            let read = moment(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            let instant = read.instant(&shanghai, now(), Towards::Past);
            assert_eq!(rfc3339(instant), expected, "{text}");
        }
        let ahead = moment("24h").map(|read| read.instant(&shanghai, now(), Towards::Future));
        assert_eq!(ahead.map(rfc3339), Ok("2026-11-25T12:00:00Z".to_owned()));
    }

    #[test]
    fn what_is_no_time_says_what_is_one() {
        for text in [
            "",
            "tomorrow",
            "24",
            "-24h",
            "2026-13-01",
            "2026-02-30",
            "2026-11-24T25:00",
            "2026-11-24T18:00:00+99:00",
            "18:00",
            "24.11.2026",
            "2026-11-24T18:00:00Zulu",
        ] {
            let why = moment(text).map(|read| format!("{read:?}")).unwrap_err();
            for form in ["2026-11-24T18:00:00Z", "a day (2026-11-24", "24h, 7d"] {
                assert!(why.contains(form), "{text}: {why}");
            }
        }
        let why = fixed_moment("24h").unwrap_err();
        assert!(
            !why.contains("a duration") && why.contains("a day"),
            "{why}"
        );
    }

    #[test]
    fn a_time_that_the_clock_skips_or_shows_twice_has_one_meaning() {
        let berlin = zone("Europe/Berlin").unwrap();
        for (text, expected) in [
            // Skipped: the end of the gap. Twice: the first.
            ("2027-03-28T02:30", "2027-03-28T01:00:00Z"),
            ("2026-10-25T02:30", "2026-10-25T00:30:00Z"),
        ] {
            let read = moment(text).unwrap();
            let instant = read.instant(&berlin, now(), Towards::Past);
            assert_eq!(rfc3339(instant), expected, "{text}");
        }
        // A day without a midnight.
        let cairo = zone("Africa/Cairo").unwrap();
        let day = moment("2027-04-30")
            .unwrap()
            .instant(&cairo, now(), Towards::Past);
        assert_eq!(rfc3339(day), "2027-04-29T22:00:00Z");
    }

    #[test]
    fn an_unknown_zone_is_answered_with_the_nearest() {
        let why = zone("Asia/Shangai").unwrap_err();
        assert!(why.contains("did you mean Asia/Shanghai?"), "{why}");
    }
}
