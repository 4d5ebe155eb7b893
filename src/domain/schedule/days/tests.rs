//! Tables of what calendars make of a schedule, and a slow oracle beside the quick search.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::calendar::{CalendarParts, Span};
use crate::domain::zone::{Change, Zone};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn span(first: &str, last: &str) -> Span {
    Span {
        first: day(first),
        last: day(last),
        label: String::new(),
    }
}

const WEEKEND: u8 = 0b100_0001;

/// China's new year of 2027, with a Sunday on which people work.
fn cn() -> Calendar {
    Calendar::new(
        "cn",
        CalendarParts {
            weekend: WEEKEND,
            holidays: vec![span("2027-02-05", "2027-02-11")],
            workdays: vec![span("2027-02-14", "2027-02-14")],
            ..CalendarParts::default()
        },
    )
}

fn shanghai() -> Arc<Zone> {
    Arc::new(Zone::new("Asia/Shanghai", 8 * 3600, Vec::new()))
}

fn schedule(texts: &[&str], calendar: Calendar, on_excluded: OnExcluded) -> Schedule {
    let days = Days {
        only_on: [Arc::new(calendar)].into(),
        on_excluded,
        ..Days::default()
    };
    Schedule::parse(texts, shanghai()).unwrap().with_days(days)
}

/// The starts of February 2027, as local days and times.
fn starts(schedule: &Schedule) -> Vec<String> {
    schedule
        .between(at("2027-01-31T16:00:00Z"), at("2027-02-28T15:59:59Z"))
        .map(|start| schedule.zone.local(start).format("%d %H:%M").to_string())
        .collect()
}

fn excluded(schedule: &Schedule) -> Vec<String> {
    schedule
        .exclusions(at("2027-01-31T16:00:00Z"), at("2027-02-28T15:59:59Z"))
        .iter()
        .map(|exclusion| {
            let local = |instant| schedule.zone.local(instant).format("%d").to_string();
            let Exclusion {
                first,
                last,
                count,
                why,
                ..
            } = exclusion;
            format!("{}-{} {count}: {why}", local(*first), local(*last))
        })
        .collect()
}

#[test]
fn a_nightly_runs_on_working_days_alone() {
    let nightly = schedule(&["0 2 * * *"], cn(), OnExcluded::Skip);
    assert_eq!(
        starts(&nightly),
        [
            "01 02:00", "02 02:00", "03 02:00", "04 02:00", "12 02:00", "14 02:00", "15 02:00",
            "16 02:00", "17 02:00", "18 02:00", "19 02:00", "22 02:00", "23 02:00", "24 02:00",
            "25 02:00", "26 02:00"
        ]
    );
    assert_eq!(
        excluded(&nightly),
        [
            "05-11 7: cn: holiday 2027-02-05..2027-02-11",
            "13-13 1: cn: weekend",
            "20-21 2: cn: weekend",
            "27-28 2: cn: weekend",
        ]
    );
    // The day is that of the schedule's zone: 02:00 on the 5th in Shanghai is the evening of the 4th in UTC.
    assert_eq!(
        nightly.next_after(at("2027-02-03T18:00:00Z")),
        Some(at("2027-02-11T18:00:00Z"))
    );
    assert_eq!(
        nightly.last_until(at("2027-02-11T17:59:59Z")),
        Some(at("2027-02-03T18:00:00Z"))
    );
}

#[test]
fn a_tick_on_a_day_off_is_moved_and_is_one_with_what_is_due_there() {
    let next = schedule(&["30 2 5,6,13 * *"], cn(), OnExcluded::Next);
    assert_eq!(starts(&next), ["12 02:30", "14 02:30"]);
    assert_eq!(excluded(&next), [] as [&str; 0]);
    let moved = next.moved_from(at("2027-02-11T18:30:00Z")).unwrap();
    assert_eq!(
        moved.to_string(),
        "moved from Sat 2027-02-06 and another day (cn: holiday 2027-02-05..2027-02-11)"
    );
    assert_eq!(
        next.stands_for(at("2027-02-11T18:30:00Z")),
        [
            (day("2027-02-06"), at("2027-02-05T18:30:00Z")),
            (day("2027-02-05"), at("2027-02-04T18:30:00Z")),
        ]
    );
    let previous = schedule(&["30 2 5,6,13 * *"], cn(), OnExcluded::Previous);
    assert_eq!(starts(&previous), ["04 02:30", "12 02:30"]);
    // Named by a pattern as well: one start, and it is not called moved.
    let both = schedule(&["30 2 12,13 * *"], cn(), OnExcluded::Previous);
    assert_eq!(starts(&both), ["12 02:30"]);
    assert_eq!(both.moved_from(at("2027-02-11T18:30:00Z")), None);
    assert_eq!(both.stands_for(at("2027-02-11T18:30:00Z")).len(), 1);
}

#[test]
fn a_move_ends_after_a_month() {
    let closed = |last| {
        let parts = CalendarParts {
            holidays: vec![span("2027-02-01", last)],
            ..CalendarParts::default()
        };
        schedule(
            &["0 2 1 2 *"],
            Calendar::new("shut", parts),
            OnExcluded::Next,
        )
    };
    let near = closed("2027-03-03");
    assert_eq!(
        near.next_after(at("2027-01-01T00:00:00Z")),
        Some(at("2027-03-03T18:00:00Z"))
    );
    let far = closed("2027-03-04");
    assert_eq!(
        far.next_after(at("2027-01-01T00:00:00Z")),
        Some(at("2028-01-31T18:00:00Z"))
    );
    assert_eq!(
        excluded(&far),
        [
            "01-01 1: shut: holiday 2027-02-01..2027-03-04, and no working day in the 31 days after it"
        ]
    );
}

#[test]
fn nothing_starts_in_a_freeze_and_nothing_is_moved_out_of_one() {
    let freeze = |from, until, why: &str| Freeze {
        from: at(from),
        until: at(until),
        why: why.to_owned(),
    };
    let days = Days {
        only_on: [Arc::new(cn())].into(),
        on_excluded: OnExcluded::Next,
        freezes: [
            freeze("2027-02-11T16:00:00Z", "2027-02-12T15:59:59Z", "audit"),
            freeze("2027-02-12T10:00:00Z", "2027-02-13T18:00:00Z", "move"),
        ]
        .into(),
        ..Days::default()
    };
    let texts = ["30 2 5,6,13 * *", "0 2 26 * *"];
    let schedule = Schedule::parse(&texts, shanghai()).unwrap().with_days(days);
    // The 12th takes over the 5th and 6th and is frozen; the 14th takes over the 13th, half an hour after the freeze.
    assert_eq!(starts(&schedule), ["14 02:30", "26 02:00"]);
    assert_eq!(excluded(&schedule), ["12-12 1: audit"]);
    assert_eq!(
        schedule.last_until(at("2027-02-13T18:29:00Z")),
        Some(at("2027-01-25T18:00:00Z"))
    );
}

#[test]
fn a_calendar_that_leaves_nothing_is_found_out_quickly() {
    let parts = CalendarParts {
        workdays: vec![span("2020-01-01", "2020-01-01")],
        ..CalendarParts::default()
    };
    let gone = || Calendar::new("gone", parts.clone());
    for on_excluded in [OnExcluded::Skip, OnExcluded::Next, OnExcluded::Previous] {
        for text in ["* * * * * *", "0 2 * * *", "0 0 29 2 1"] {
            let schedule = schedule(&[text], gone(), on_excluded);
            assert_eq!(schedule.next_after(at("2027-01-01T00:00:00Z")), None);
            assert_eq!(schedule.last_until(at("2019-01-01T00:00:00Z")), None);
        }
    }
}

#[test]
fn the_fingerprint_has_what_the_entry_says_and_not_what_the_calendar_does() {
    let plain = Schedule::parse(&["0 2 * * *"], shanghai()).unwrap();
    let skips = schedule(&["0 2 * * *"], cn(), OnExcluded::Skip);
    let other = CalendarParts {
        weekend: 1,
        ..CalendarParts::default()
    };
    let grown = schedule(&["0 2 * * *"], Calendar::new("cn", other), OnExcluded::Skip);
    let moves = schedule(&["0 2 * * *"], cn(), OnExcluded::Next);
    assert_eq!(
        moves.fingerprint(),
        "0 2 * * * | in Asia/Shanghai | only on cn | moved to next"
    );
    assert_eq!(skips.fingerprint(), grown.fingerprint());
    assert_ne!(skips.fingerprint(), moves.fingerprint());
    assert_ne!(skips.fingerprint(), plain.fingerprint());
}

/// Numbers that look random, the same each time.
fn dice(seed: &mut u64) -> u64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

/// What becomes of each instant, instant by instant.
fn slowly(
    plain: &Schedule,
    days: &Days,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> (BTreeSet<DateTime<Utc>>, BTreeMap<DateTime<Utc>, String>) {
    let (mut starts, mut excluded) = (BTreeSet::new(), BTreeMap::new());
    // What is moved into the stretch may come from beyond its ends.
    let margin = TimeDelta::days(MOVED_DAYS_MAX + 2);
    for instant in plain.between(after - margin, until + margin) {
        let local = plain.zone.local(instant);
        let start = match (days.is_open(local.date()), days.target(local.date())) {
            (true, _) => instant,
            (false, Some(target)) => plain.zone.earliest(target.and_time(local.time())),
            (false, None) => {
                if after < instant && instant <= until {
                    excluded.insert(instant, days.why_off(local.date()).unwrap());
                }
                continue;
            }
        };
        if start <= after || start > until {
            continue;
        }
        match days.freeze_at(start) {
            Some(freeze) => {
                excluded.insert(start, freeze.why.clone());
            }
            None => {
                starts.insert(start);
            }
        }
    }
    (starts, excluded)
}

#[test]
fn the_quick_search_finds_what_a_walk_finds() {
    let zones = [shanghai(), berlin()];
    let texts = [
        "0 5 * * *",
        "30 4 1,15 * *",
        "0 0,12 * * 6",
        "0 9 L * *",
        "15 23 * * 5#2",
        "0 */6 * * 0",
        "0 7 29 2 *",
    ];
    let seed = &mut 7;
    for round in 0..300 {
        let first = day("2027-01-01");
        let mut spans = |most: u64, longest: u64| -> Vec<Span> {
            (0..dice(seed) % most)
                .map(|_| {
                    let first = plus(first, (dice(seed) % 365).cast_signed()).unwrap();
                    let last = plus(first, (dice(seed) % longest).cast_signed()).unwrap();
                    let label = String::new();
                    Span { first, last, label }
                })
                .collect()
        };
        let parts = CalendarParts {
            holidays: spans(6, 40),
            workdays: spans(6, 3),
            events: spans(3, 2),
            ..CalendarParts::default()
        };
        let freezes = spans(3, 5)
            .iter()
            .map(|span| Freeze {
                from: span.first.and_hms_opt(3, 0, 0).unwrap().and_utc(),
                until: span.last.and_hms_opt(21, 59, 59).unwrap().and_utc(),
                why: format!("freeze {span}"),
            })
            .collect();
        let weekend = [0, WEEKEND, 0b110_0000][(dice(seed) % 3) as usize];
        let calendar = Calendar::new("c", CalendarParts { weekend, ..parts });
        let on_excluded = [OnExcluded::Skip, OnExcluded::Next, OnExcluded::Previous][round % 3];
        let days = Days {
            skip_on: [Arc::new(calendar)].into(),
            on_excluded,
            freezes,
            ..Days::default()
        };
        let texts: Vec<&str> = (0..1 + dice(seed) % 2)
            .map(|_| texts[(dice(seed) % 7) as usize])
            .collect();
        let zone = &zones[(dice(seed) % 2) as usize];
        let plain = Schedule::parse(&texts, Arc::clone(zone)).unwrap();
        let quick = plain.clone().with_days(days.clone());
        let (after, until) = (at("2027-01-10T11:00:00Z"), at("2027-12-20T11:00:00Z"));
        let (starts, excluded) = slowly(&plain, &days, after, until);
        let case = format!("round {round}: {texts:?} {days:?}");
        let found: Vec<_> = quick.between(after, until).collect();
        assert_eq!(found, Vec::from_iter(starts.clone()), "{case}");
        assert_eq!(quick.latest(after, until, usize::MAX), found, "{case}");
        assert_eq!(
            quick.count_between(after, until),
            Count::Exactly(found.len() as u64),
            "{case}"
        );
        // What one pattern excludes may be due by another's move.
        let told: BTreeMap<_, _> = quick
            .exclusions(after, until)
            .iter()
            .flat_map(|exclusion| {
                let instants = quick.excluded_instants(exclusion, usize::MAX);
                assert_eq!(exclusion.count.number(), instants.len() as u64, "{case}");
                assert_eq!(instants.last(), Some(&exclusion.last), "{case}");
                instants
                    .into_iter()
                    .map(|instant| (instant, exclusion.why.clone()))
            })
            .collect();
        assert_eq!(told, excluded, "{case}");
        for start in &starts {
            let moved = quick.stands_for(*start);
            let own = plain.last_until(*start) == Some(*start);
            assert!(own || !moved.is_empty(), "{case}: {start}");
            for (day, named) in moved {
                assert_eq!(plain.last_until(named), Some(named), "{case}: {start}");
                assert_eq!(plain.zone.local(named).date(), day, "{case}: {start}");
                let starts = quick.starts_for(named);
                assert!(starts.contains(start), "{case}: {start}, {named}");
            }
        }
    }
}

/// Berlin in spring, where the clock skips 02:00 to 03:00 on Sunday the 28th, and in autumn, where it shows that hour twice
/// on Sunday the 31st of October.
fn berlin() -> Arc<Zone> {
    let change = |at_: &str, offset| Change {
        at: at(at_).timestamp(),
        offset,
    };
    let changes = vec![
        change("2027-03-28T01:00:00Z", 7200),
        change("2027-10-31T01:00:00Z", 3600),
    ];
    Arc::new(Zone::new("Europe/Berlin", 3600, changes))
}

#[test]
fn what_is_moved_across_a_change_of_the_clock_stands_for_the_instant_that_was_named() {
    let (spring, autumn) = ("2027-03-28", "2027-10-31");
    for (pattern, off, on_excluded, expected) in [
        // Onto the day that skips its time: it runs at 03:00 summer time, and stands for 02:30.
        (
            "30 2 27 3 *",
            "2027-03-27",
            OnExcluded::Next,
            vec![("2027-03-28T01:00:00Z", vec!["2027-03-27T01:30:00Z"])],
        ),
        // Three times become one start.
        (
            "0,30 2,3 27 3 *",
            "2027-03-27",
            OnExcluded::Next,
            vec![
                (
                    "2027-03-28T01:00:00Z",
                    vec![
                        "2027-03-27T01:00:00Z",
                        "2027-03-27T01:30:00Z",
                        "2027-03-27T02:00:00Z",
                    ],
                ),
                ("2027-03-28T01:30:00Z", vec!["2027-03-27T02:30:00Z"]),
            ],
        ),
        // Away from it: what was due at 03:00 for 02:30 is due at 02:30.
        (
            "30 2 28 3 *",
            spring,
            OnExcluded::Previous,
            vec![("2027-03-27T01:30:00Z", vec!["2027-03-28T01:00:00Z"])],
        ),
        // A pattern that follows real time is not due in a skipped hour, nor moved into one.
        ("*/30 2 27 3 *", "2027-03-27", OnExcluded::Next, vec![]),
        // In an hour that comes twice a fixed time is due in the first pass.
        (
            "30 2 30 10 *",
            "2027-10-30",
            OnExcluded::Next,
            vec![("2027-10-31T00:30:00Z", vec!["2027-10-30T00:30:00Z"])],
        ),
        (
            "*/60 2 30 10 *",
            "2027-10-30",
            OnExcluded::Next,
            vec![
                ("2027-10-31T00:00:00Z", vec!["2027-10-30T00:00:00Z"]),
                ("2027-10-31T01:00:00Z", vec!["2027-10-30T00:00:00Z"]),
            ],
        ),
        (
            "*/60 2 31 10 *",
            autumn,
            OnExcluded::Previous,
            vec![(
                "2027-10-30T00:00:00Z",
                vec!["2027-10-31T00:00:00Z", "2027-10-31T01:00:00Z"],
            )],
        ),
    ] {
        let parts = CalendarParts {
            holidays: vec![span(off, off)],
            ..CalendarParts::default()
        };
        let days = Days {
            only_on: [Arc::new(Calendar::new("c", parts))].into(),
            on_excluded,
            ..Days::default()
        };
        let plain = Schedule::parse(&[pattern], berlin()).unwrap();
        let schedule = plain.clone().with_days(days);
        let (after, until) = (at("2027-03-01T00:00:00Z"), at("2027-12-01T00:00:00Z"));
        let found: Vec<_> = schedule
            .between(after, until)
            .map(|start| {
                let moved = schedule.stands_for(start).into_iter();
                (start, moved.map(|(_, named)| named).collect::<Vec<_>>())
            })
            .collect();
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(start, named)| (at(start), named.into_iter().map(at).collect::<Vec<_>>()))
            .collect();
        assert_eq!(found, expected, "{pattern} {on_excluded:?}");
        // Back again: each instant knows its starts, and no others.
        for named in plain.between(after, until) {
            let of = |(start, all): &(_, Vec<_>)| all.contains(&named).then_some(*start);
            let starts: Vec<_> = found.iter().filter_map(of).collect();
            assert_eq!(schedule.starts_for(named), starts, "{pattern} {named}");
        }
    }
}
