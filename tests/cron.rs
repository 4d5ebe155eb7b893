//! The cases of `tests/vectors/cron`: every pattern, every zone, every error.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so"
)]

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use pipecron::domain::cron::{
    BothDays, ClockNote, CronPattern, Field, PatternError, PatternErrorKind,
};
use pipecron::os::zones::Zones;
use serde_json::Value;

fn instant(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text)
        .expect("an instant")
        .to_utc()
}

/// All cases of all files, each with the name of its file.
fn cases() -> Vec<(String, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/cron");
    let mut cases = Vec::new();
    for entry in fs::read_dir(directory).expect("the vectors are there") {
        let path = entry.expect("a directory entry").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let text = fs::read_to_string(&path).expect("a readable file");
            let list: Vec<Value> = serde_json::from_str(&text).expect("an array of cases");
            let file = path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default();
            cases.extend(list.into_iter().map(|case| (file.clone(), case)));
        }
    }
    cases
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key]
        .as_str()
        .unwrap_or_else(|| panic!("{case} has no {key}"))
}

#[test]
fn every_case_gives_the_expected_instants_or_error() {
    for (zones, which) in [
        (Zones::load(), "first choice"),
        (Zones::built_in(), "built-in"),
    ] {
        let (mut passed, mut failed) = (0, Vec::new());
        for (_, case) in cases() {
            match check(&zones, &case) {
                Ok(()) => passed += 1,
                Err(problem) => failed.push(format!("{}: {problem}", text(&case, "id"))),
            }
        }
        assert!(
            failed.is_empty(),
            "{which}: {} failed:\n{}",
            failed.len(),
            failed.join("\n")
        );
        assert_eq!(passed, 1229, "{which}");
    }
}

fn check(zones: &Zones, case: &Value) -> Result<(), String> {
    let source = text(case, "expr");
    let zone = zones.get(text(case, "tz")).ok_or("no such zone")?;
    let pattern = CronPattern::parse(source);
    if case["error"] == true {
        let error = pattern
            .err()
            .ok_or_else(|| format!("`{source}` was accepted"))?;
        let never = text(case, "kind") == "never";
        if never != (error.kind == PatternErrorKind::Never) {
            return Err(format!("`{source}`: the wrong kind, {error:?}"));
        }
        return sound(source, &error);
    }
    let pattern = pattern.map_err(|error| format!("`{source}`: {error}"))?;
    let expected: Vec<_> = case["expect"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(instant)
        .collect();
    let after = instant(text(case, "after"));
    let mut found = Vec::new();
    while found.len() < expected.len() {
        match pattern.next_after(&zone, found.last().copied().unwrap_or(after)) {
            Some(next) => found.push(next),
            None => break,
        }
    }
    if found != expected {
        return Err(format!(
            "`{source}` in {}: {found:?} instead of {expected:?}",
            zone.name()
        ));
    }
    // The other questions give the same answers.
    let until = expected.last().copied().ok_or("nothing is expected")?;
    let mut back = vec![until];
    while let Some(last) = pattern.last_until(&zone, back[0] - chrono::TimeDelta::milliseconds(1))
        && last > after
        && last < back[0]
    {
        back.insert(0, last);
    }
    if back != expected || pattern.count_between(&zone, after, until) != expected.len() as u64 {
        return Err(format!(
            "`{source}` in {}: backwards {back:?} instead of {expected:?}",
            zone.name()
        ));
    }
    Ok(())
}

/// An error names a piece of the text, its place, and says something.
fn sound(source: &str, error: &PatternError) -> Result<(), String> {
    let piece = source
        .get(error.span.clone())
        .ok_or_else(|| format!("`{source}`: span {:?}", error.span))?;
    if !piece.starts_with(error.piece.trim_end_matches('…')) {
        return Err(format!(
            "`{source}`: `{}` does not stand at {:?}",
            error.piece, error.span
        ));
    }
    let words = source.split_whitespace().count();
    if error.field.is_none()
        && (words == 5 || words == 6)
        && error.kind != PatternErrorKind::Character
    {
        return Err(format!("`{source}`: no field in {error:?}"));
    }
    if error.message.is_empty() || (piece.is_empty() && !source.is_empty()) {
        return Err(format!("`{source}`: says nothing: {error:?}"));
    }
    Ok(())
}

/// A text, the field and the piece that its error names, and a part of what it says.
#[rustfmt::skip]
const ERRORS: &[(&str, Option<Field>, &str, &str)] = &[
    ("60 2 * * *", Some(Field::Minute), "60", "minute is 0 to 59"),
    ("0 24 * * *", Some(Field::Hour), "24", "midnight is 0"),
    ("60 0 2 * * *", Some(Field::Second), "60", "second is 0 to 59"),
    ("0 2 0 * *", Some(Field::DayOfMonth), "0", "day-of-month is 1 to 31"),
    ("0 2 * 0 *", Some(Field::Month), "0", "January is 1"),
    ("0 2 * * 8", Some(Field::DayOfWeek), "8", "0 and 7 are Sunday"),
    ("0 2 * * 99999999999999999999", Some(Field::DayOfWeek), "99999999999999999999", "0 to 7"),
    ("0 2 * * MONDAY", Some(Field::DayOfWeek), "MONDAY", "write MON"),
    ("0 2 * * mon-friday", Some(Field::DayOfWeek), "friday", "write FRI"),
    ("0 2 * sept *", Some(Field::Month), "sept", "write SEP"),
    ("0 2 * MON *", Some(Field::Month), "MON", "MON is a day of the week"),
    ("0 2 * * JAN", Some(Field::DayOfWeek), "JAN", "JAN is a month"),
    ("0 2 * * JUL", Some(Field::DayOfWeek), "JUL", "JUL is a month"),
    ("MON 2 * * *", Some(Field::Minute), "MON", "minute is 0 to 59"),
    ("0 22-2 * * *", Some(Field::Hour), "22-2", "write `22-23,0-2`"),
    ("0 2 28-3 * *", Some(Field::DayOfMonth), "28-3", "write `28-31,1-3`"),
    ("0 2 * nov-feb *", Some(Field::Month), "nov-feb", "write `NOV-DEC,JAN-FEB`"),
    ("0 2 * DEC-1 *", Some(Field::Month), "DEC-1", "write `DEC,JAN-1`"),
    ("0 2 * * FRI-MON", Some(Field::DayOfWeek), "FRI-MON", "write `FRI-SAT,SUN-MON`"),
    ("0 2 * * 6-1", Some(Field::DayOfWeek), "6-1", "write `6,0-1`"),
    ("0 2 * * 7-2", Some(Field::DayOfWeek), "7-2", "write `0-2`"),
    ("*/0 * * * *", Some(Field::Minute), "0", "write `*` for every value"),
    ("*/ * * * *", Some(Field::Minute), "*", "such as `*/2`"),
    ("/5 * * * *", Some(Field::Minute), "/5", "write `*/5`"),
    ("*/2/3 * * * *", Some(Field::Minute), "2/3", "one whole number"),
    ("1,,2 * * * *", Some(Field::Minute), "1,,2", "spare comma"),
    ("0 2 * * MON, TUE", Some(Field::Month), "MON,", "no spaces"),
    ("0 1;2 * * *", Some(Field::Hour), "1;2", "commas"),
    ("0~30 2 * * *", Some(Field::Minute), "0~30", "`~`"),
    ("H 2 * * *", Some(Field::Minute), "H", "there is no name here"),
    ("H(0-29) 2 * * *", Some(Field::Minute), "H(0-29)", "there is no name here"),
    ("0 1,H/4 * * *", Some(Field::Hour), "H/4", "there is no name here"),
    ("? 2 * * *", Some(Field::Minute), "?", "write `*`"),
    ("0 2 ?,1 * *", Some(Field::DayOfMonth), "?,1", "write `*`"),
    ("0 2 L-3 * *", Some(Field::DayOfMonth), "L-3", "not supported"),
    ("0 2 1-15W * *", Some(Field::DayOfMonth), "1-15W", "15W"),
    ("0 2 W * *", Some(Field::DayOfMonth), "W", "15W"),
    ("0 2 32W * *", Some(Field::DayOfMonth), "32", "1 to 31"),
    ("0 2 5#2 * *", Some(Field::DayOfMonth), "5#2", "only in day-of-week"),
    ("0 2 L/2 * *", Some(Field::DayOfMonth), "L/2", "a step cannot follow"),
    ("0 2 * * L", Some(Field::DayOfWeek), "L", "5L"),
    ("0 2 * * L5", Some(Field::DayOfWeek), "L5", "5L"),
    ("0 2 * * 9L", Some(Field::DayOfWeek), "9", "0 to 7"),
    ("0 2 * * 1#6", Some(Field::DayOfWeek), "1#6", "1 to 5"),
    ("0 2 * * 1-5#2", Some(Field::DayOfWeek), "1-5#2", "1#2,2#2"),
    ("0 2 * * 15W", Some(Field::DayOfWeek), "15W", "only in day-of-month"),
    ("0 2 * L *", Some(Field::Month), "L", "only in a day field"),
    ("0 2 – * *", Some(Field::DayOfMonth), "–", "U+2013 only looks like `-`"),
    ("0 2 * * １", Some(Field::DayOfWeek), "１", "write `1`"),
    ("0 2 ＊ * *", Some(Field::DayOfMonth), "＊", "write `*`"),
    ("0 2\u{a0}* * *", None, "\u{a0}", "write a space"),
    ("0 2 * * *\u{200b}", Some(Field::DayOfWeek), "\u{200b}", "cannot be seen"),
    ("\u{0} 2 * * *", Some(Field::Minute), "\u{0}", "cannot be seen"),
    ("0 2 * * ١", Some(Field::DayOfWeek), "١", "write 0 to 9"),
    ("0 2 * *", None, "0 2 * *", "day-of-week is missing"),
    (" 0 ", None, "0", "hour, day-of-month, month, day-of-week are missing"),
    ("0 0 2 * * * 2026", None, "0 0 2 * * * 2026", "no field for the year"),
    ("  ", None, "  ", "empty"),
    ("@every 5m", None, "@every 5m", "*/15 * * * *"),
    ("@reboot", None, "@reboot", "@reboot is not supported"),
    ("@manually", None, "@manually", "no such nickname"),
    ("@daily 5", None, "@daily 5", "write `@daily`"),
    ("0 0 31 2,4 *", Some(Field::DayOfMonth), "31 2,4", "none of these months"),
    ("0 0 31W 2 ?", Some(Field::DayOfMonth), "31W 2", "none of these months"),
    ("0 0 */31 2 1#2", Some(Field::DayOfMonth), "*/31 2 1#2", "must satisfy both day fields"),
];

#[test]
fn errors_name_the_field_and_the_piece_and_say_what_to_write() {
    for (source, field, piece, says) in ERRORS {
        let error = CronPattern::parse(source).expect_err(source);
        assert_eq!(
            (error.field, error.piece.as_str()),
            (*field, *piece),
            "`{source}`: {error}"
        );
        assert!(
            error.to_string().contains(says),
            "`{source}`: {error} (should say {says})"
        );
        assert_eq!(sound(source, &error), Ok(()));
    }
}

#[test]
fn a_text_without_end_is_refused_unread() {
    let error = CronPattern::parse(&"1,".repeat(600)).expect_err("too long");
    assert_eq!(error.kind, PatternErrorKind::Length);
    assert!(error.to_string().len() < 250, "{error}");
    let full: Vec<String> = (0..60).map(|value| value.to_string()).collect();
    assert!(CronPattern::parse(&format!("{0} {0} * * * *", full.join(","))).is_ok());
}

#[test]
fn a_long_piece_is_not_repeated_in_the_advice() {
    let long = "0".repeat(900);
    for source in [
        format!("{long}/x * * * *"),
        format!("{long}/0 * * * *"),
        format!("/{long} * * * *"),
        format!("{long}5-{long}1 * * * *"),
        format!("0 0 {long}15W/2 * *"),
        format!("0 0 {long}\u{2217} * *"),
        format!("0 0 * {long}x *"),
        format!("{long} {long}"),
        format!("@{long}"),
    ] {
        let error = CronPattern::parse(&source).expect_err("no pattern");
        let shown = error.to_string();
        assert!(shown.chars().count() < 400, "{shown}");
    }
}

#[test]
fn letter_case_and_spacing_do_not_matter() {
    let same = |one: &str, other: &str| {
        assert_eq!(CronPattern::parse(one), CronPattern::parse(other), "{one}")
    };
    same("\t0  2\t* jan-MAR mOn#1,fril \n", "0 2 * JAN-MAR MON#1,5L");
    same("@Daily", "@daily");
    same(" @WEEKLY ", "0 0 * * SUN");
    same("0 0 lw,15w * ?", "0 0 15W,LW * *");
    same("007 02 * * 00", "7 2 * * 0");
    same("0 0 * * 1/2", "0 0 * * 1,3,5,7");
    same("0 0 * * 7-0", "0 0 * * 0");
    same("*/99999999999999999999 0 * * *", "*/60 0 * * *");
}

#[test]
fn what_a_pattern_says_of_itself() {
    let pattern = |text: &str| CronPattern::parse(text).unwrap_or_else(|error| panic!("{error}"));
    for (text, fixed, subminute) in [
        ("0 2 * * *", true, false),
        ("0 0-23 * * *", true, false),
        ("*/5 2 * * *", false, false),
        ("0 */2 * * *", false, false),
        ("@hourly", false, false),
        ("@daily", true, false),
        ("* 0 2 * * *", false, true),
        ("0,30 0 2 * * *", true, true),
        ("15 0 2 * * *", true, false),
    ] {
        assert_eq!(
            (pattern(text).is_fixed_time(), pattern(text).is_subminute()),
            (fixed, subminute),
            "{text}"
        );
    }
    for (text, both) in [
        ("0 2 13 * 5", Some(BothDays::Either)),
        ("0 2 1-31 * 5", Some(BothDays::Either)),
        ("0 2 L * 5#1", Some(BothDays::Either)),
        ("0 2 */2 * 1", Some(BothDays::Both)),
        ("0 2 1 * */2", Some(BothDays::Both)),
        ("0 2 * * 1", None),
        ("0 2 ? * 1", None),
        ("0 2 13 * *", None),
        ("0 2 13 * ?", None),
        ("0 2 */1 * 5", None),
    ] {
        assert_eq!(pattern(text).restricts_both_day_fields(), both, "{text}");
    }
    assert!(
        size_of::<CronPattern>() <= 56,
        "{}",
        size_of::<CronPattern>()
    );
}

#[test]
fn a_note_tells_of_clock_changes() {
    let zones = Zones::built_in();
    let note = |text: &str, zone: &str, at: &str| {
        let pattern = CronPattern::parse(text).unwrap_or_else(|error| panic!("{error}"));
        pattern.clock_note(&zones.get(zone).expect("a zone"), instant(at))
    };
    let wall = |text: &str| instant(text).naive_utc();
    let berlin = "Europe/Berlin";
    let shifted = Some(ClockNote::Shifted {
        wanted: wall("2025-03-30T02:30:00Z"),
    });
    assert_eq!(
        note("30 2 * * *", berlin, "2025-03-30T03:00:00+02:00"),
        shifted
    );
    let merged = Some(ClockNote::Merged {
        wanted: wall("2025-03-30T02:00:00Z"),
    });
    assert_eq!(
        note("0 1,2,3 * * *", berlin, "2025-03-30T03:00:00+02:00"),
        merged
    );
    assert_eq!(note("0 3 * * *", berlin, "2025-03-30T03:00:00+02:00"), None);
    assert_eq!(note("0 * * * *", berlin, "2025-03-30T03:00:00+02:00"), None);
    assert_eq!(
        note("30 2 * * *", berlin, "2025-03-31T02:30:00+02:00"),
        None
    );
    let (first, second) = ("2025-10-26T02:30:00+02:00", "2025-10-26T02:30:00+01:00");
    assert_eq!(
        note("30 2 * * *", berlin, first),
        Some(ClockNote::OnlyFirstPass {
            second: instant(second)
        })
    );
    assert_eq!(
        note("30 2 * * *", berlin, second),
        None,
        "it does not fire then"
    );
    assert_eq!(
        note("30 * * * *", berlin, first),
        Some(ClockNote::FirstPass {
            second: instant(second)
        })
    );
    assert_eq!(
        note("30 * * * *", berlin, second),
        Some(ClockNote::SecondPass {
            first: instant(first)
        })
    );
    assert_eq!(
        note("30 * * * *", berlin, "2025-10-26T03:30:00+01:00"),
        None
    );
    assert_eq!(
        note("0 2 30 12 *", "Pacific/Apia", "2011-12-31T00:00:00+14:00"),
        None
    );
    assert_eq!(note("30 2 * * *", "UTC", "2025-03-30T02:30:00Z"), None);
    assert_eq!(note("30 2 * * *", "UTC", "2025-03-30T02:30:00.5Z"), None);
}
