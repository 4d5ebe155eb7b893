//! Days off, freezes and skipped ticks in the real loop.

use pipecron::domain::Skip;
use pipecron::domain::calendar::{Calendar, CalendarParts, Span};
use pipecron::domain::schedule::{Days, Freeze, OnExcluded};

use super::*;

/// An entry that keeps to a calendar with a weekend and these holidays.
pub(super) fn keeping_to(entry: Entry, holidays: &[&str], on_excluded: OnExcluded) -> Entry {
    let span = |day: &&str| Span {
        first: day.parse().unwrap(),
        last: day.parse().unwrap(),
        label: String::new(),
    };
    let calendar = Calendar::new(
        "cn",
        CalendarParts {
            weekend: 0b100_0001,
            holidays: holidays.iter().map(span).collect(),
            ..CalendarParts::default()
        },
    );
    let days = Days {
        only_on: [Arc::new(calendar)].into(),
        on_excluded,
        ..Days::default()
    };
    with_days(entry, days)
}

fn with_days(mut entry: Entry, days: Days) -> Entry {
    entry.schedule = entry.schedule.map(|schedule| schedule.with_days(days));
    entry
}

/// The day each tick was due and how it stands.
async fn rows(world: &World) -> Vec<String> {
    let row = |tick: &Tick| format!("{} {}", tick.due.format("%d %H:%M"), state(tick));
    world.ticks().await.iter().map(row).collect()
}

#[tokio::test(start_paused = true)]
async fn a_week_with_a_holiday_has_a_row_for_each_day() {
    // A Wednesday.
    let mut world = World::at("2027-02-03T12:00:00Z");
    let nightly = || entry("nightly", "0 2 * * *");
    let holidays = ["2027-02-05"];
    world.start([keeping_to(nightly(), &holidays, OnExcluded::Skip)]);
    world.passes(5 * 24 * HOUR).await;
    let expected = [
        "04 02:00 started",
        "05 02:00 excluded",
        "06 02:00 excluded",
        "07 02:00 excluded",
        "08 02:00 started",
    ];
    assert_eq!(rows(&world).await, expected);
    let ticks = world.ticks().await;
    assert_eq!(ticks[1].note, "excluded: cn: holiday 2027-02-05");
    assert_eq!(world.service.markers().len(), 2);
    // A holiday list that grows begins nothing anew and starts nothing again; nor does a restart.
    let more = ["2027-02-05", "2027-02-08", "2027-02-09"];
    let grown = || keeping_to(nightly(), &more, OnExcluded::Skip);
    world.reload(Ok(config([grown()]))).await;
    world.stop().await;
    world.start([grown()]);
    world.passes(24 * HOUR).await;
    world.stop().await;
    assert_eq!(rows(&world).await.split_off(5), ["09 02:00 excluded"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_moved_runs_once_through_restarts_and_changed_calendars() {
    let mut world = World::at("2027-02-04T12:00:00Z");
    let monthly = |holidays: &[&str]| {
        let monthly = entry("monthly", "0 9 6 * *");
        keeping_to(monthly, holidays, OnExcluded::Next)
    };
    world.start([monthly(&[])]);
    world.passes(48 * HOUR).await;
    world.kill();
    world.passes(HOUR).await;
    world.start([monthly(&[])]);
    world.passes(48 * HOUR).await;
    assert_eq!(rows(&world).await, ["08 09:00 started"]);
    assert_eq!(
        world.ticks().await[0].moved_from,
        ["2027-02-06T09:00:00Z".parse::<Timestamp>().unwrap()]
    );
    // The day on which it ran becomes a holiday: it is not moved once more.
    world.reload(Ok(config([monthly(&["2027-02-08"])]))).await;
    world.passes(7 * 24 * HOUR).await;
    world.stop().await;
    let expected = ["08 09:00 started", "09 09:00 excluded"];
    assert_eq!(rows(&world).await, expected);
    assert_eq!(
        world.ticks().await[1].note,
        "excluded: decided before a calendar moved it to this day"
    );
    assert_eq!(world.service.markers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_freeze_ends_and_a_marked_tick_survives_a_restart() {
    let mut world = World::at("2027-02-03T12:00:00Z");
    let frozen = || {
        let days = Days {
            freezes: [Freeze {
                from: "2027-02-03T14:30:00Z".parse().unwrap(),
                until: "2027-02-03T16:29:59Z".parse().unwrap(),
                why: "freeze: audit".to_owned(),
            }]
            .into(),
            ..Days::default()
        };
        with_days(entry("hourly", "0 * * * *"), days)
    };
    let skip = Skip {
        due: "2027-02-03T18:00:00Z".parse().unwrap(),
        by: "ada".to_owned(),
        asked_at: world.now(),
        reason: "the farm moves".to_owned(),
    };
    let name = EntryName::parse("hourly").unwrap();
    world.ledger.put_skips(name, vec![skip]).await.unwrap();
    world.start([frozen()]);
    world.passes(5 * HOUR).await;
    world.stop().await;
    world.start([frozen()]);
    world.passes(2 * HOUR + HOUR / 2).await;
    world.stop().await;
    let expected = [
        "13 started",
        "14 started",
        "15 excluded",
        "16 excluded",
        "17 started",
        "18 excluded",
        "19 started",
    ]
    .map(|row| row.replacen(' ', ":00 ", 1));
    let rows = rows(&world).await;
    let hours: Vec<&str> = rows.iter().map(|row| &row[3..]).collect();
    assert_eq!(hours, expected);
    assert_eq!(
        world.ticks().await[5].note,
        "excluded: skip asked by ada at 2027-02-03T12:00:00Z: the farm moves"
    );
}
