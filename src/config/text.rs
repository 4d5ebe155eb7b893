//! Small texts and what they mean: durations, numbers, days, addresses, names. Nothing here knows of files or places.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta};

use super::excerpt::quoted;
use crate::domain::Timestamp;
use crate::domain::zone::{FIRST_INSTANT, LAST_INSTANT, Zone};

/// No duration in the configuration is longer.
pub(super) const DURATION_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Why a text does not mean what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// What is wrong, in a sentence without a full stop.
    pub(super) message: String,
    /// What to write instead.
    pub(super) help: String,
    /// Which bytes of the text are wrong, if not all.
    pub(super) piece: Option<Range<usize>>,
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
            piece: None,
        }
    }
}

/// Units of durations, the longest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A duration: `20m`, `1h30m`, `90s`, `2d`, `250ms`.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new(
            "a duration is missing",
            "write a number and a unit, such as 90s, 20m, 6h or 2d",
        ));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let help = format!(
            "write {0}s for seconds, {0}m for minutes or {0}h for hours",
            short(text)
        );
        return Err(Wrong::new(
            format!("the duration {} has no unit", quoted(text)),
            help,
        ));
    }
    let not = |piece: Range<usize>| Wrong {
        // Of `4 hours` neither word is wrong without the other.
        piece: Some(piece).filter(|_| !text.contains(char::is_whitespace)),
        ..Wrong::new(
            format!("{} is not a duration", quoted(text)),
            duration_help(text),
        )
    };
    let mut units = UNITS.iter();
    let (mut millis, mut at) = (0_u64, 0);
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let letters = rest.get(digits..).unwrap_or_default();
        let letters = letters.len()
            - letters
                .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                .len();
        let end = at + digits + letters;
        let unit = rest.get(digits..digits + letters).unwrap_or_default();
        let number = rest.get(..digits).unwrap_or_default();
        let Some((_, size)) = units.find(|(name, _)| *name == unit) else {
            return Err(not(
                at..end.max(at + rest.chars().next().map_or(0, char::len_utf8))
            ));
        };
        if digits == 0 {
            return Err(not(at..end));
        }
        let more = number
            .parse::<u64>()
            .unwrap_or(u64::MAX)
            .saturating_mul(*size);
        millis = millis.saturating_add(more);
        at = end;
    }
    let duration = Duration::from_millis(millis);
    if duration > DURATION_MAX {
        let message = format!("the duration {} is longer than 366 days", quoted(text));
        return Err(Wrong::new(message, "the longest possible is 366d"));
    }
    Ok(duration)
}

/// What to write instead of a duration that is none.
fn duration_help(wrong: &str) -> String {
    let units = "write whole numbers with units, the longest first, without spaces: 90s, 1h30m, 2d, 250ms (units: d, h, m, s, ms)";
    let text = wrong.to_ascii_lowercase();
    if let Some(meant) = fraction(&text) {
        return format!(
            "there are no fractions; did you mean `{}`?",
            show_duration(meant)
        );
    }
    let mut rest = text.strip_prefix("pt").unwrap_or(&text);
    let mut meant = String::new();
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let next = unit
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(unit.len());
        let (word, after) = unit.split_at(next);
        meant.push_str(rest.get(..rest.len() - unit.len()).unwrap_or_default());
        meant.push_str(match word.trim_matches([' ', ',', '.']) {
            "d" | "day" | "days" => "d",
            "h" | "hr" | "hrs" | "hour" | "hours" => "h",
            "m" | "min" | "mins" | "minute" | "minutes" => "m",
            "s" | "sec" | "secs" | "second" | "seconds" => "s",
            "ms" | "msec" | "millis" | "millisecond" | "milliseconds" => "ms",
            _ => return units.to_owned(),
        });
        rest = after;
    }
    if meant != wrong && duration(&meant).is_ok() {
        format!("did you mean `{meant}`?")
    } else {
        units.to_owned()
    }
}

/// What `1.5h` means.
fn fraction(text: &str) -> Option<Duration> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = text.strip_suffix(unit)?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, part) = number.split_once('.')?;
    let tenths = part.parse::<u64>().ok().filter(|_| part.len() == 1)?;
    let whole = whole
        .parse::<u64>()
        .ok()
        .filter(|whole| *whole < 1_000_000)?;
    let meant = Duration::from_millis(whole * millis + tenths * millis / 10);
    (meant <= DURATION_MAX && tenths * millis % 10 == 0).then_some(meant)
}

/// The clock time that somebody wrote for a pattern, as a pattern: `02:30` is `30 2 * * *`.
pub(super) fn clock_time(text: &str) -> Option<String> {
    let number = |text: &str, end: u32| {
        text.parse::<u32>()
            .ok()
            .filter(|number| text.len() <= 2 && *number < end)
    };
    text.split_whitespace().find_map(|word| {
        let mut parts = word.split(':');
        let (hour, minute) = (number(parts.next()?, 24)?, number(parts.next()?, 60)?);
        let second = match parts.next() {
            Some(second) => number(second, 60)?,
            None => 0,
        };
        match (second, parts.next()) {
            (0, None) => Some(format!("{minute} {hour} * * *")),
            (second, None) => Some(format!("{second} {minute} {hour} * * *")),
            (_, Some(_)) => None,
        }
    })
}

/// A duration as people write it.
pub(super) fn show_duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, size) in UNITS {
        if millis >= size {
            text.push_str(&format!("{}{name}", millis / size));
            millis %= size;
        }
    }
    text
}

/// A whole number in a range.
pub(super) fn whole(text: &str, range: Range<u32>) -> Result<u32, Wrong> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let message = if digits {
                format!("{} is out of range", quoted(text))
            } else {
                format!("{} is not a whole number", quoted(text))
            };
            Wrong::new(
                message,
                format!("write a number from {} to {}", range.start, range.end - 1),
            )
        })
}

/// A whole number in a range, with or without a sign.
pub(super) fn signed(text: &str, range: RangeInclusive<i32>) -> Result<i32, Wrong> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_whole { text.parse().ok() } else { None };
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let wrong = if is_whole {
                "out of range"
            } else {
                "not a whole number"
            };
            Wrong::new(
                format!("{} is {wrong}", quoted(text)),
                format!("write a number from {} to {}", range.start(), range.end()),
            )
        })
}

/// A number of at least 1, which a wait is multiplied with.
pub(super) fn factor(text: &str) -> Result<f64, Wrong> {
    let digits = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: Option<f64> = if digits { text.parse().ok() } else { None };
    number
        .filter(|number| (1.0..=100.0).contains(number))
        .ok_or_else(|| {
            Wrong::new(
                format!("{} is not a number from 1 to 100", quoted(text)),
                "write how many times longer each wait is than the one before, such as 2 or 1.5",
            )
        })
}

/// One end of a validity window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// A day in the entry's zone.
    Day(NaiveDate),
    /// An instant.
    Instant(Timestamp),
}

/// A day (`2026-12-01`) or an instant (`2026-12-01T08:00:00+08:00`).
pub(super) fn bound(text: &str) -> Result<Bound, Wrong> {
    let help = "write a day, such as 2026-12-01, or an instant with an offset, such as 2026-12-01T08:00:00+08:00 or \
                2026-12-01T00:00:00Z";
    let day_form = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let read = if day_form {
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()
            .map(Bound::Day)
    } else {
        let instant = DateTime::parse_from_rfc3339(text).ok();
        instant.map(|instant| Bound::Instant(instant.to_utc()))
    };
    let Some(read) = read else {
        let message = if day_form {
            format!("there is no day {}", quoted(text))
        } else if text.len() > 10 && text.get(..10).is_some_and(|day| bound(day).is_ok()) {
            format!(
                "{} is not an instant; it needs seconds and an offset",
                quoted(text)
            )
        } else {
            format!("{} is neither a day nor an instant", quoted(text))
        };
        return Err(Wrong::new(message, help));
    };
    let known = match read {
        Bound::Day(day) => day.and_time(NaiveTime::MIN).and_utc().timestamp(),
        Bound::Instant(instant) => instant.timestamp(),
    };
    // A day of slack at both ends, so that every day is a day in every zone.
    if !(FIRST_INSTANT + 172_800..=LAST_INSTANT - 172_800).contains(&known) {
        let message = format!("{} lies outside 1900-01-03 to 2199-12-30", quoted(text));
        return Err(Wrong::new(
            message,
            "leave the key out if there is no such end",
        ));
    }
    Ok(read)
}

/// The first instant of a window that begins there.
pub(super) fn first_instant(bound: Bound, zone: &Zone) -> Timestamp {
    match bound {
        Bound::Day(day) => zone.start_of_day(day),
        Bound::Instant(instant) => instant,
    }
}

/// The last instant of a window that ends there; ticks are whole seconds.
pub(super) fn last_instant(bound: Bound, zone: &Zone) -> Timestamp {
    match bound {
        Bound::Day(day) => {
            let next = day.succ_opt().unwrap_or(day);
            zone.start_of_day(next) - TimeDelta::seconds(1)
        }
        Bound::Instant(instant) => instant,
    }
}

/// An `http://` or `https://` address, taken apart as far as matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address<'a> {
    /// Whether it is `https`.
    pub(super) secure: bool,
    /// User and password, if they stand in it, and where.
    pub(super) user: Option<(&'a str, usize)>,
    /// The host, without port and brackets.
    pub(super) host: &'a str,
    /// The port, if it is given.
    pub(super) port: Option<u16>,
    /// What follows host and port.
    pub(super) path: &'a str,
}

impl Address<'_> {
    /// Whether the host is this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let v4 = self
            .host
            .parse::<Ipv4Addr>()
            .is_ok_and(|host| host.is_loopback());
        let v6 = self
            .host
            .parse::<Ipv6Addr>()
            .is_ok_and(|host| host.is_loopback());
        v4 || v6 || self.host.eq_ignore_ascii_case("localhost")
    }
}

/// Takes an address apart.
pub(super) fn address(text: &str) -> Result<Address<'_>, &'static str> {
    let scheme = text
        .find("://")
        .ok_or("it does not begin with https:// or http://")?;
    let secure = match text
        .get(..scheme)
        .unwrap_or_default()
        .to_ascii_lowercase()
        .as_str()
    {
        "https" => true,
        "http" => false,
        _ => return Err("it does not begin with https:// or http://"),
    };
    if text
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '\\' | '"' | '<' | '>' | '`'))
    {
        return Err("it contains a character that no address has");
    }
    let start = scheme + 3;
    let rest = text.get(start..).unwrap_or_default();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, host) = match authority.rfind('@') {
        Some(at) => {
            let (user, host) = authority.split_at(at);
            (Some((user, start)), host.get(1..).unwrap_or_default())
        }
        None => (None, authority),
    };
    let (host, port) = match host.strip_prefix('[') {
        Some(v6) => {
            let (v6, port) = v6
                .split_once(']')
                .ok_or("the bracket of its host is not closed")?;
            if v6.parse::<Ipv6Addr>().is_err() {
                return Err("its host is not an IPv6 address");
            }
            (v6, port)
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    if !port.is_empty()
        && !port
            .strip_prefix(':')
            .is_some_and(|port| matches!(port.parse::<u16>(), Ok(1..)))
    {
        return Err("its port is not a number from 1 to 65535");
    }
    let is_v6 = host.contains(':');
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || host.starts_with('.') || (!is_v6 && !host.chars().all(letter)) {
        return Err("it has no host, or one that no host is called");
    }
    Ok(Address {
        secure,
        user,
        host,
        port: port.strip_prefix(':').and_then(|port| port.parse().ok()),
        path,
    })
}

/// The `https://` address that is probably meant by one in another form: `http://`, `ssh://`, `git@HOST:PATH`, or without any.
pub(super) fn https(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    if !["", "http", "https", "ssh", "git"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return None;
    }
    // A password would be repeated in the advice; the user of ssh is no secret.
    let host = match rest.split_once('@') {
        Some(("git", host)) => host,
        Some(_) => return None,
        None => rest,
    };
    let address = match host.split_once(':') {
        Some((host, path))
            if scheme.is_empty() && !path.starts_with(|c: char| c.is_ascii_digit()) =>
        {
            format!("https://{host}/{}", path.trim_start_matches('/'))
        }
        Some(_) | None => format!("https://{host}"),
    };
    let host = address.get("https://".len()..)?;
    (host.len() <= 100 && host.contains('.') && self::address(&address).is_ok()).then_some(address)
}

/// An id of the service: 32 letters and digits.
pub(super) fn id32(text: &str, key: &str) -> Result<(), Wrong> {
    let is_id = |text: &str| text.len() == 32 && text.bytes().all(|c| c.is_ascii_alphanumeric());
    if is_id(text) {
        return Ok(());
    }
    let undashed: String = text.chars().take(64).filter(|c| *c != '-').collect();
    // In the address of a pipeline's page the project stands before the pipeline.
    let mut words = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| is_id(word));
    let within = if key == "pipeline_id" {
        words.next_back()
    } else {
        words.next()
    };
    let help = if let Some(within) = within.filter(|_| text.len() <= 1000) {
        format!("did you mean `{within}`?")
    } else if is_id(&undashed) {
        format!("write it without the dashes: {undashed}")
    } else {
        "copy it from the address of the page in the console, or from the API".to_owned()
    };
    let odd = text
        .char_indices()
        .find(|(_, c)| !c.is_ascii_alphanumeric());
    let message = match odd {
        Some((_, char)) => format!(
            "an id is 32 letters and digits, and this has {}",
            quoted(&char.to_string())
        ),
        None => format!("an id is 32 letters and digits, and this is {}", text.len()),
    };
    Err(Wrong {
        piece: odd.map(|(at, char)| at..at + char.len_utf8()),
        ..Wrong::new(message, help)
    })
}

fn short(text: &str) -> String {
    text.chars().take(20).collect()
}

/// Which of the known names was probably meant.
pub(super) fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Somebody who pastes a poem does not get a suggestion.
    if text.len() > 100 {
        return None;
    }
    let plain = |text: &str| -> String {
        text.chars()
            .filter(|c| !matches!(c, '_' | '-' | ' ' | '.'))
            .flat_map(char::to_lowercase)
            .collect()
    };
    let wanted = plain(text);
    let distance_max = (wanted.chars().count() / 3).max(1);
    known
        .into_iter()
        .filter_map(|name| {
            let plain = plain(name);
            // Longer than any distance that counts: not worth the table.
            if plain.len().abs_diff(wanted.len()) > distance_max * 4 {
                return None;
            }
            let distance = strsim::osa_distance(&wanted, &plain);
            (distance <= distance_max).then_some((distance, name))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let secs = Duration::from_secs;
        let good = [
            ("90s", secs(90)),
            ("20m", secs(1200)),
            ("6h", secs(21_600)),
            ("2d", secs(172_800)),
            ("1h30m", secs(5400)),
            ("1d2h3m4s5ms", secs(93_784) + Duration::from_millis(5)),
            ("250ms", Duration::from_millis(250)),
            ("0s", secs(0)),
            ("366d", DURATION_MAX),
        ];
        for (text, expected) in good {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "20",
            "m",
            "20 m",
            "20min",
            "1m1h",
            "1m1m",
            "-1s",
            "+1s",
            "1.5h",
            "1h ",
            " 1h",
            "367d",
            "PT1H",
            "１s",
            "99999999999999999999d",
            "18446744073709551615d",
            "1H",
            "٣s",
            "é",
            "1hé",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(show_duration(secs(5400)), "1h30m");
        assert_eq!(show_duration(Duration::from_millis(1001)), "1s1ms");
    }

    #[test]
    fn addresses() {
        let loopback = [
            "http://127.0.0.1:8080",
            "http://127.9.9.9",
            "http://[::1]:80/x",
            "http://localhost",
            "HTTP://LocalHost:1",
        ];
        for text in loopback {
            assert!(
                address(text).is_ok_and(|address| address.is_loopback()),
                "{text}"
            );
        }
        for text in [
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://128.0.0.1",
            "http://127.0.0.1@example.com",
            "http://localhost:80@example.com",
            "http://[::2]",
            "https://0x7f000001",
        ] {
            assert!(
                address(text).is_ok_and(|address| !address.is_loopback()),
                "{text}"
            );
        }
        for text in [
            "",
            "example.com",
            "ftp://x",
            "https://",
            "https:///x",
            "https://:80",
            "https://x:0",
            "https://x:99999",
            "https://x:",
            "https://a b",
            "https://[::1",
            "https://[zz]",
            "https://exämple.com",
            "https:\\\\x",
            "https://x\n",
            "https://x:80:80",
            "https://.",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn days_and_instants() {
        for text in [
            "2026-12-01",
            "2026-12-01T00:00:00Z",
            "2026-12-01T08:00:00+08:00",
            "2026-12-01T08:00:00.5+08:00",
        ] {
            assert!(bound(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "2026-02-30",
            "2026-13-01",
            "26-12-01",
            "2026-12-1",
            "2026/12/01",
            "2026-12-01T00:00:00",
            "2026-12-01 00:00",
            "2026-12-01T00:00Z",
            "tomorrow",
            "1899-12-31",
            "2200-01-01",
            "+026-12-01",
            "2026-12-01é",
            "é026-12-0",
        ] {
            assert!(bound(text).is_err(), "{text}");
        }
    }

    #[test]
    fn suggestions() {
        let known = ["timezone", "pipeline_id", "variables", "cron"];
        for (text, expected) in [
            ("time_zone", Some("timezone")),
            ("pipelineId", Some("pipeline_id")),
            ("PIPELINE-ID", Some("pipeline_id")),
            ("variable", Some("variables")),
            ("corn", Some("cron")),
            ("nothing", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, known), expected, "{text}");
        }
    }
}
