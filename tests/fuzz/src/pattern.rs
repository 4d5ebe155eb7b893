//! Cron patterns. An input is `PATTERN`, or `PATTERN|ZONE|INSTANT`.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use pipecron::domain::cron::{CronPattern, PatternError};
use pipecron::domain::schedule::Schedule;
use pipecron::domain::zone::{LAST_INSTANT, Zone};

use super::{Target, ZONES, is_plain, now};

/// The target.
pub const TARGET: Target = Target {
    name: "pattern",
    run: pattern,
    words: &[
        "*",
        "/",
        "-",
        ",",
        "?",
        "#",
        "L",
        "LW",
        "W",
        "15W",
        "5L",
        "5#2",
        "L-3",
        "H",
        "H(0-29)",
        "H/15",
        "H(3-9)/2",
        "@daily",
        "@hourly",
        "@reboot",
        "MON",
        "SUN",
        "JAN",
        "DEC",
        "FRIDAY",
        "0",
        "1",
        "7",
        "23",
        "24",
        "29",
        "30",
        "31",
        "59",
        "60",
        "00",
        "4294967296",
        "99999999999999999999",
        " ",
        "\t",
        "\n",
        "\u{a0}",
        "\u{2217}",
        "\u{ff0a}",
        "\u{2013}",
        "\u{feff}",
        "|",
        "|UTC|",
        "|Asia/Shanghai|",
        "|Pacific/Apia|",
        "|America/New_York|",
        "|Australia/Lord_Howe|",
        "|Africa/Casablanca|",
        "|Antarctica/Troll|",
        "2026-03-29T00:59:59Z",
        "2011-12-29T12:00:00Z",
        "1900-01-01T00:00:00Z",
        "2199-12-31T23:59:59Z",
        "-262143-01-01T00:00:00Z",
        "+262142-12-31T23:59:59Z",
        "-1",
        "7258118399",
        ".5",
    ],
    bytes_max: 2_048,
};

/// How many firings are walked.
const FIRINGS: usize = 4;
/// The longest message that a person reads to its end, in characters.
const MESSAGE_CHARS_MAX: usize = 600;

/// Reads a pattern of an entry. One that is refused says where; one that is taken is the same when it is read from the form in which
/// the ledger keeps it, and its firings, seen from before and from after, are the same.
fn pattern(data: &[u8]) {
    let whole = String::from_utf8_lossy(data);
    let parts: Vec<&str> = whole.rsplitn(3, '|').collect();
    let (text, zone, after) = match *parts.as_slice() {
        [after, zone, text] => (text, zone, instant(after)),
        _ => (&*whole, "UTC", now()),
    };
    let zone = ZONES.get(zone).unwrap_or_else(|| Arc::new(Zone::utc()));
    match CronPattern::parse_named(text, "nightly-web") {
        Ok(pattern) => {
            is_the_same_when_kept(text, pattern, &zone);
            fires(pattern, &zone, after);
        }
        Err(error) => says_where(text, &error),
    }
}

/// An instant as RFC 3339, or as seconds since 1970.
fn instant(text: &str) -> DateTime<Utc> {
    let seconds = || DateTime::from_timestamp(text.trim().parse().ok()?, 999_999_999);
    text.trim()
        .parse()
        .ok()
        .or_else(seconds)
        .unwrap_or_else(now)
}

fn says_where(text: &str, error: &PatternError) {
    assert!(
        text.get(error.span.clone()).is_some(),
        "the place {:?} is not in {text:?}",
        error.span
    );
    let shown = error.to_string();
    assert!(is_plain(&shown), "{shown:?} steers the terminal");
    assert!(
        shown.chars().count() <= MESSAGE_CHARS_MAX,
        "{} characters are no message: {shown}",
        shown.chars().count()
    );
}

fn is_the_same_when_kept(text: &str, pattern: CronPattern, zone: &Arc<Zone>) {
    let schedule = Schedule::parse_named(&[text], "nightly-web", Arc::clone(zone))
        .expect("a list of one pattern is a schedule");
    let kept = schedule.fingerprint();
    let (words, name) = kept
        .rsplit_once(" | in ")
        .expect("a fingerprint ends with the zone");
    assert_eq!(name, zone.name());
    assert!(is_plain(&kept), "{kept:?} is kept");
    assert_eq!(
        CronPattern::parse(words).as_ref(),
        Ok(&pattern),
        "{text:?} is kept as {words:?}"
    );
    assert_eq!(schedule.is_subminute(), pattern.is_subminute());
}

fn fires(pattern: CronPattern, zone: &Zone, after: DateTime<Utc>) {
    let second = TimeDelta::seconds(1);
    if let Some(last) = pattern.last_until(zone, after) {
        assert!(last <= after, "the last firing until {after} is {last}");
        assert_eq!(
            pattern.next_after(zone, last - second),
            Some(last),
            "the last firing until {after} is no firing"
        );
    }
    let mut at = after;
    for _ in 0..FIRINGS {
        let Some(next) = pattern.next_after(zone, at) else {
            let end = DateTime::from_timestamp(LAST_INSTANT - 1, 0).expect("the end of the table");
            assert_eq!(
                pattern.count_between(zone, at, end),
                0,
                "nothing fires after {at}, but some is counted"
            );
            return;
        };
        assert!(next > at, "the firing after {at} is {next}");
        assert_eq!(
            next.timestamp_subsec_nanos(),
            0,
            "{next} is no whole second"
        );
        assert_eq!(
            pattern.next_after(zone, next - second),
            Some(next),
            "seen from close by, {next} is no firing"
        );
        assert_eq!(
            pattern.last_until(zone, next),
            Some(next),
            "seen from behind, {next} is no firing"
        );
        assert_eq!(
            pattern.count_between(zone, at, next),
            1,
            "{next} is the first firing after {at}"
        );
        pattern.clock_note(zone, next);
        at = next;
    }
}
