//! Stories of calendars, freezes, and ticks that somebody wants skipped.

use super::*;
use crate::domain::calendar::{Calendar, CalendarParts, Span};
use crate::domain::schedule::{Days, Freeze, OnExcluded};

/// A calendar with these days off; the weekend as bits, Sunday is 0.
fn calendar(weekend: u8, holidays: &[(&str, &str)]) -> Calendar {
    let span = |(first, last): &(&str, &str)| Span {
        first: first.parse().unwrap(),
        last: last.parse().unwrap(),
        label: String::new(),
    };
    Calendar::new(
        "cn",
        CalendarParts {
            weekend,
            holidays: holidays.iter().map(span).collect(),
            ..CalendarParts::default()
        },
    )
}

const WEEKEND: u8 = 0b100_0001;

impl World {
    /// The entry gets a calendar, as by a reload.
    fn calendar(&mut self, calendar: Calendar, on_excluded: OnExcluded) -> &mut Self {
        self.days(Days {
            only_on: [Arc::new(calendar)].into(),
            on_excluded,
            ..Days::default()
        })
    }

    fn days(&mut self, days: Days) -> &mut Self {
        let schedule = self.entry.schedule.take().unwrap();
        self.entry.schedule = Some(schedule.with_days(days));
        self
    }

    /// Every row: the day it was due, its reason or state, its note.
    fn rows(&self) -> Vec<String> {
        let row = |tick: &Tick| {
            let state = tick.state.word();
            format!("{} {state}: {}", tick.due.format("%d %H:%M"), tick.note)
        };
        self.ticks.iter().map(row).collect()
    }

    /// Wakes as it asks to, up to then; nothing that was sent stays without an answer.
    pub(super) fn wakes_until(&mut self, end: &str) -> &mut Self {
        while self.wake_at.is_some_and(|wake| wake <= at(end)) {
            self.wakes();
            while let Some((id, attempt)) = self.sent.pop() {
                let plan = settle(self.now, &self.state(), &id, attempt, started("r1"));
                self.store(plan);
            }
            // An answer says nothing of the next tick.
            self.decide();
        }
        self.go_to(end)
    }
}

#[test]
fn a_tick_on_a_day_off_ends_as_excluded_with_the_calendars_word() {
    // A Thursday.
    let mut world = World::at("2027-02-04T12:00:00Z");
    world
        .calendar(
            calendar(WEEKEND, &[("2027-02-05", "2027-02-05")]),
            OnExcluded::Skip,
        )
        .decide()
        .wakes_until("2027-02-08T03:00:00Z");
    assert_eq!(
        world.rows(),
        [
            "05 02:00 excluded: excluded: cn: holiday 2027-02-05",
            "06 02:00 excluded: excluded: cn: weekend",
            "07 02:00 excluded: excluded: cn: weekend",
            "08 02:00 started: run r1 started",
        ]
    );
    // What was excluded is decided: a clock that goes back changes nothing.
    world.go_to("2027-02-05T01:00:00Z");
    world.wakes_until("2027-02-07T03:00:00Z");
    assert_eq!(world.ticks.len(), 4);
}

#[test]
fn what_is_excluded_during_a_downtime_is_a_row_and_owes_nothing() {
    let mut world = World::at("2027-02-04T12:00:00Z").with(|entry| entry.catch_up = CatchUp::All);
    world.cron("0 * * * *");
    world
        .calendar(calendar(WEEKEND, &[]), OnExcluded::Skip)
        .decide();
    // The whole Friday was missed, the weekend is excluded, and now it is Sunday.
    world.go_to("2027-02-07T12:30:00Z");
    assert_eq!(
        world.rows(),
        [
            "07 12:00 excluded: excluded 37 ticks, due 2027-02-06T00:00:00Z to 2027-02-07T12:00:00Z: cn: weekend",
            "05 23:00 missed: missed 35 ticks, due 2027-02-04T13:00:00Z to 2027-02-05T23:00:00Z",
        ]
    );
    // It has the form of a row for missed ticks, and takes the place of none.
    assert_eq!(world.ticks[0].origin, Origin::Missed);
    assert_eq!(world.ticks[0].missed.unwrap().count, 37);
    assert!(world.sent.is_empty() && world.state().open.is_empty());
}

#[test]
fn a_tick_is_moved_to_the_next_or_previous_working_day() {
    for (on_excluded, row, from) in [
        (
            OnExcluded::Next,
            "08 02:00 started: run r1 started",
            "2027-02-06T02:00:00Z",
        ),
        (
            OnExcluded::Previous,
            "05 02:00 started: run r1 started",
            "2027-02-06T02:00:00Z",
        ),
    ] {
        let mut world = World::at("2027-02-04T12:00:00Z");
        world.cron("0 2 6 * *");
        world
            .calendar(calendar(WEEKEND, &[]), on_excluded)
            .decide()
            .wakes_until("2027-02-20T00:00:00Z");
        assert_eq!(world.rows(), [row]);
        assert_eq!(world.ticks[0].moved_from, [at(from)]);
    }
}

#[test]
fn a_calendar_that_changes_does_not_start_again_what_ran_and_keeps_the_mark() {
    let monthly = |on_excluded| {
        let mut world = World::at("2027-02-04T12:00:00Z");
        world.cron("0 2 6 * *");
        world
            .calendar(calendar(0, &[]), on_excluded)
            .decide()
            .wakes_until("2027-02-06T12:00:00Z");
        world
    };
    // It ran on Saturday the 6th; then that becomes a day off, and the tick would be moved to Monday.
    let mut world = monthly(OnExcluded::Next);
    assert_eq!(world.ticks.len(), 1);
    let mark = world.mark.clone();
    world
        .calendar(calendar(WEEKEND, &[]), OnExcluded::Next)
        .decide();
    assert_eq!(world.mark, mark);
    world.wakes_until("2027-02-20T00:00:00Z");
    let not_again = |day: &str| {
        format!("{day} 02:00 excluded: excluded: decided before a calendar moved it to this day")
    };
    assert_eq!(
        world.rows(),
        [
            "06 02:00 started: run r1 started".to_owned(),
            not_again("08")
        ]
    );
    // It was moved to Friday and ran; then Saturday becomes a working day.
    let mut world = World::at("2027-02-04T12:00:00Z");
    world.cron("0 2 6 * *");
    world
        .calendar(calendar(WEEKEND, &[]), OnExcluded::Previous)
        .decide()
        .wakes_until("2027-02-05T12:00:00Z");
    assert_eq!(world.ticks.len(), 1);
    world
        .calendar(calendar(0, &[]), OnExcluded::Previous)
        .decide()
        .wakes_until("2027-02-20T00:00:00Z");
    assert_eq!(
        world.rows(),
        [
            "05 02:00 started: run r1 started".to_owned(),
            not_again("06")
        ]
    );
    // The next month it is due again.
    world.wakes_until("2027-03-06T02:00:00Z");
    assert_eq!(world.ticks.len(), 3, "{:?}", world.rows());
}

#[test]
fn an_entry_that_gets_a_calendar_starts_from_now_and_one_whose_calendar_grows_does_not() {
    let mut world = World::at("2027-02-04T12:00:00Z");
    world
        .calendar(calendar(WEEKEND, &[]), OnExcluded::Skip)
        .decide();
    world.now = at("2027-02-05T02:00:30Z");
    let far = [("2028-01-01", "2028-01-03")];
    world
        .calendar(calendar(WEEKEND, &far), OnExcluded::Skip)
        .decide();
    assert_eq!(world.sent.len(), 1);
    world.now = at("2027-02-08T02:00:30Z");
    world
        .calendar(calendar(WEEKEND, &[]), OnExcluded::Next)
        .decide();
    assert_eq!(world.sent.len(), 1);
    assert_eq!(world.mark.as_ref().unwrap().until, world.now);
}

#[test]
fn a_freeze_and_a_mark_end_a_tick_with_who_and_why() {
    let mut world = World::at("2027-02-04T12:00:00Z");
    world.days(Days {
        freezes: [Freeze {
            from: at("2027-02-05T00:00:00Z"),
            until: at("2027-02-05T23:59:59Z"),
            why: "freeze 2027-02-05: audit".to_owned(),
        }]
        .into(),
        ..Days::default()
    });
    let skip = |due: &str| Skip {
        due: at(due),
        by: "ada".to_owned(),
        asked_at: at("2027-02-04T11:00:00Z"),
        reason: "the build farm moves".to_owned(),
    };
    // The second mark is for an instant at which nothing is due.
    world.skips = vec![skip("2027-02-06T02:00:00Z"), skip("2027-02-07T01:00:00Z")];
    world.decide().wakes_until("2027-02-07T12:00:00Z");
    assert_eq!(
        world.rows(),
        [
            "05 02:00 excluded: excluded: freeze 2027-02-05: audit",
            "06 02:00 excluded: excluded: skip asked by ada at 2027-02-04T11:00:00Z: the build farm moves",
            "07 02:00 started: run r1 started",
        ]
    );
}

#[test]
fn a_mark_holds_after_a_downtime_and_what_was_not_marked_is_caught_up() {
    let mut world = World::at("2027-02-04T12:00:00Z").with(|entry| {
        entry.deadline = Duration::from_secs(40 * 3600);
    });
    world.decide();
    world.skips = vec![Skip {
        due: at("2027-02-06T02:00:00Z"),
        by: "ada".to_owned(),
        asked_at: at("2027-02-04T11:00:00Z"),
        reason: String::new(),
    }];
    world.go_to("2027-02-06T12:00:00Z");
    assert_eq!(
        world.rows()[0],
        "06 02:00 excluded: excluded: skip asked by ada at 2027-02-04T11:00:00Z"
    );
    assert_eq!(world.ticks.len(), 2);
    assert_eq!(world.ticks[1].due, at("2027-02-05T02:00:00Z"));
}

#[test]
fn by_hand_an_entry_starts_on_any_day() {
    let mut world = World::at("2027-02-06T12:00:00Z");
    world
        .calendar(calendar(WEEKEND, &[]), OnExcluded::Skip)
        .decide();
    let plan = open_manual(
        world.now,
        &world.entry,
        &world.state(),
        wanted(),
        &mut world.room.clone(),
    );
    world.store(plan);
    assert_eq!(world.sent.len(), 1);
}

impl World {
    /// The description becomes this template.
    fn template(&mut self, text: &str) -> &mut Self {
        let zones = crate::domain::template::Zones {
            own: Arc::new(Zone::utc()),
            named: BTreeMap::new(),
        };
        self.entry.templates = Some(Arc::new(zones));
        self.entry.request.description = Some(text.to_owned());
        self
    }

    fn descriptions(&self) -> Vec<&str> {
        let requests = self.ticks.iter().map(|tick| &tick.request);
        requests
            .filter_map(|request| request.description.as_deref())
            .collect()
    }
}

const SINCE: &str = "{{ tick.due }} after {{ tick.previous }}";

#[test]
fn nothing_is_made_for_an_excluded_tick_and_the_next_one_follows_the_last_that_was_to_run() {
    let mut world = World::at("2027-02-04T12:00:00Z");
    world
        .template(SINCE)
        .calendar(
            calendar(WEEKEND, &[("2027-02-05", "2027-02-05")]),
            OnExcluded::Skip,
        )
        .decide()
        .wakes_until("2027-02-08T03:00:00Z");
    assert_eq!(
        world.reasons(),
        ["excluded", "excluded", "excluded", "started"]
    );
    let made = "2027-02-08T02:00:00Z after 2027-02-04T02:00:00Z";
    assert_eq!(world.descriptions(), [SINCE, SINCE, SINCE, made]);
}

#[test]
fn a_moved_tick_and_one_that_is_caught_up_speak_of_when_they_are_due() {
    let mut world = World::at("2027-02-04T12:00:00Z");
    world.cron("0 9 6 * *");
    world
        .template(SINCE)
        .calendar(calendar(WEEKEND, &[]), OnExcluded::Next)
        .decide()
        // Saturday the 6th is due on Monday; the machine sleeps until noon.
        .go_to("2027-02-08T12:00:00Z");
    assert_eq!(
        world.descriptions(),
        ["2027-02-08T09:00:00Z after 2027-01-06T09:00:00Z"]
    );
    assert_eq!(world.ticks[0].moved_from, [at("2027-02-06T09:00:00Z")]);
}

#[test]
fn a_moved_tick_that_cannot_be_made_is_refused_and_stays_decided_under_its_own_day() {
    let mut world = World::at("2027-02-04T12:00:00Z");
    world.cron("0 9 6 * *");
    world
        .template(&format!("{{{{ tick.id }}}} {}", "x".repeat(1000)))
        .calendar(calendar(WEEKEND, &[]), OnExcluded::Next)
        .decide()
        .go_to("2027-02-08T09:00:00Z");
    assert_eq!(world.reasons(), ["refused"]);
    assert_eq!(world.ticks[0].moved_from, [at("2027-02-06T09:00:00Z")]);
    // Monday becomes a holiday: it is not due again on Tuesday.
    world
        .template(SINCE)
        .calendar(
            calendar(WEEKEND, &[("2027-02-08", "2027-02-08")]),
            OnExcluded::Next,
        )
        .decide()
        .wakes_until("2027-02-09T12:00:00Z");
    assert_eq!(world.reasons(), ["refused", "excluded"]);
}

/// Berlin in spring 2027: on Sunday the 28th of March the clock skips 02:00 to 03:00.
fn berlin() -> Arc<Zone> {
    let change = crate::domain::zone::Change {
        at: at("2027-03-28T01:00:00Z").timestamp(),
        offset: 7200,
    };
    Arc::new(Zone::new("Europe/Berlin", 3600, vec![change]))
}

#[test]
fn what_was_moved_onto_a_change_of_the_clock_does_not_run_again_under_its_own_day() {
    let mut world = World::at("2027-03-26T00:00:00Z");
    let schedule = Schedule::parse(&["30 2 29 3 *"], berlin()).unwrap();
    world.entry.schedule = Some(schedule);
    world
        .calendar(
            calendar(0, &[("2027-03-29", "2027-03-29")]),
            OnExcluded::Previous,
        )
        .decide()
        .wakes_until("2027-03-28T12:00:00Z");
    assert_eq!(world.rows(), ["28 01:00 started: run r1 started"]);
    // Monday the 29th, 02:30 summer time.
    assert_eq!(world.ticks[0].moved_from, [at("2027-03-29T00:30:00Z")]);
    world
        .calendar(calendar(0, &[]), OnExcluded::Previous)
        .decide()
        .wakes_until("2027-03-30T00:00:00Z");
    assert_eq!(world.reasons(), ["started", "excluded"]);
}

/// Due at noon every day, and at 02:00 on the 6th, a Saturday: so that the mark goes on in between.
fn noon_and_the_sixth(calendar: Calendar, on_excluded: OnExcluded) -> World {
    let mut world = World::at("2027-02-04T20:00:00Z");
    let texts = ["0 12 1-5,7-31 * *", "0 2 6 * *"];
    world.entry.schedule = Some(Schedule::parse(&texts, Arc::new(Zone::utc())).unwrap());
    world.calendar(calendar, on_excluded).decide();
    world
}

const SATURDAY_OFF: &[(&str, &str)] = &[("2027-02-06", "2027-02-06")];

#[test]
fn a_day_off_that_is_learned_after_the_day_before_it_ends_its_tick_as_missed() {
    let mut world = noon_and_the_sixth(calendar(0, &[]), OnExcluded::Previous);
    world.wakes_until("2027-02-05T18:00:00Z");
    // Friday 02:00, to which it is moved now, has passed, and the mark as well.
    world
        .calendar(calendar(0, SATURDAY_OFF), OnExcluded::Previous)
        .decide()
        .wakes_until("2027-02-07T13:00:00Z");
    let missed = "05 02:00 missed: missed, due by a calendar that changed after its time";
    let noon = |day: &str| format!("{day} 12:00 started: run r1 started");
    assert_eq!(world.rows(), [noon("05"), missed.to_owned(), noon("07")]);
    assert_eq!(world.ticks[1].moved_from, [at("2027-02-06T02:00:00Z")]);
    // Known in time: it ran on Friday.
    let mut world = noon_and_the_sixth(calendar(0, SATURDAY_OFF), OnExcluded::Previous);
    world.wakes_until("2027-02-07T13:00:00Z");
    assert_eq!(world.reasons(), ["started"; 3]);
    // Taken back in time: it runs on Saturday.
    let mut world = noon_and_the_sixth(calendar(0, &[]), OnExcluded::Previous);
    world.wakes_until("2027-02-05T18:00:00Z");
    for holidays in [SATURDAY_OFF, &[]] {
        world
            .calendar(calendar(0, holidays), OnExcluded::Previous)
            .decide();
    }
    world.wakes_until("2027-02-07T13:00:00Z");
    assert_eq!(world.reasons(), ["started"; 3]);
}

#[test]
fn a_day_off_that_is_known_when_an_entry_begins_takes_its_tick_with_it() {
    // Friday evening: what was due this morning is none of its ticks.
    let mut world = World::at("2027-02-05T20:00:00Z");
    let texts = ["0 12 1-5,7-31 * *", "0 2 6 * *"];
    world.entry.schedule = Some(Schedule::parse(&texts, Arc::new(Zone::utc())).unwrap());
    world
        .calendar(calendar(0, SATURDAY_OFF), OnExcluded::Previous)
        .decide()
        .wakes_until("2027-02-07T13:00:00Z");
    assert_eq!(world.rows(), ["07 12:00 started: run r1 started"]);
}

#[test]
fn a_day_off_that_becomes_a_working_day_after_its_time_lets_its_tick_be_late_or_missed() {
    let saturday = at("2027-02-06T14:00:00Z");
    for (deadline_hours, reason) in [(6, "missed"), (48, "started")] {
        let mut world = World::at("2027-02-05T20:00:00Z");
        world.entry.deadline = Duration::from_secs(deadline_hours * 3600);
        let texts = ["0 12 1-5,7-31 * *", "0 14 6 * *"];
        world.entry.schedule = Some(Schedule::parse(&texts, Arc::new(Zone::utc())).unwrap());
        // Saturday is moved to Sunday 14:00, and the mark passes it at Sunday noon.
        world
            .calendar(calendar(0, SATURDAY_OFF), OnExcluded::Next)
            .decide()
            .wakes_until("2027-02-07T13:00:00Z");
        assert_eq!(world.mark.as_ref().unwrap().crossed, [saturday].into());
        let mut stays = world.ticks.len();
        world
            .calendar(calendar(0, &[]), OnExcluded::Next)
            .decide()
            .wakes_until("2027-02-08T13:00:00Z");
        assert_eq!(world.reasons().split_off(stays), [reason, "started"]);
        assert_eq!(world.ticks[stays].due, saturday);
        assert_eq!(world.mark.as_ref().unwrap().crossed, BTreeSet::new());
        // As long as it stays a day off nothing is late.
        stays += 2;
        world
            .calendar(calendar(0, SATURDAY_OFF), OnExcluded::Next)
            .decide()
            .wakes_until("2027-02-09T13:00:00Z");
        assert_eq!(world.reasons().split_off(stays), ["started"]);
    }
}

#[test]
fn a_clock_that_was_ahead_leaves_a_moved_tick_decided() {
    let mut world = World::at("2027-02-04T20:00:00Z");
    world.cron("0 2 6 * *");
    world
        .calendar(calendar(WEEKEND, &[]), OnExcluded::Next)
        .decide()
        .wakes_until("2027-02-08T02:00:30Z");
    assert_eq!(world.reasons(), ["started"]);
    // It is Friday still, and Saturday becomes a working day.
    world.go_to("2027-02-05T12:00:00Z");
    world
        .calendar(calendar(0, &[]), OnExcluded::Next)
        .decide()
        .wakes_until("2027-02-09T00:00:00Z");
    assert_eq!(world.reasons(), ["started", "excluded"]);
}

#[test]
fn a_clock_that_was_a_year_behind_does_not_hide_what_was_decided() {
    let mut world = World::at("2027-02-04T20:00:00Z");
    world.cron("0 2 6 * *");
    world
        .calendar(calendar(0, &[]), OnExcluded::Next)
        .decide()
        .wakes_until("2027-02-06T12:00:00Z");
    assert_eq!(world.reasons(), ["started"]);
    // The mark comes back to that year, and Saturday is moved to Monday.
    world.go_to("2026-02-08T12:00:00Z");
    assert_eq!(world.mark.as_ref().unwrap().until, world.now);
    world
        .calendar(calendar(WEEKEND, &[]), OnExcluded::Next)
        .go_to("2027-02-08T02:00:10Z");
    let reasons = world.reasons();
    assert_eq!(
        reasons,
        ["started", "excluded", "missed"],
        "{:?}",
        world.rows()
    );
    assert!(world.sent.is_empty());
}

#[test]
fn a_mark_goes_along_when_a_calendar_moves_the_tick() {
    let skip = |due: &str| Skip {
        due: at(due),
        by: "ada".to_owned(),
        asked_at: at("2027-02-04T11:00:00Z"),
        reason: String::new(),
    };
    let skipped = "excluded: skip asked by ada at 2027-02-04T11:00:00Z";
    for (before, after, on_excluded, day) in [
        // Marked on Saturday, moved to Monday; and back.
        (0, WEEKEND, OnExcluded::Next, "08"),
        (WEEKEND, 0, OnExcluded::Next, "06"),
        (0, WEEKEND, OnExcluded::Previous, "05"),
    ] {
        let mut world = World::at("2027-02-04T12:00:00Z");
        world.cron("0 2 6 * *");
        world.calendar(calendar(before, &[]), on_excluded).decide();
        world.skips = vec![skip("2027-02-06T02:00:00Z")];
        world
            .calendar(calendar(after, &[]), on_excluded)
            .decide()
            .wakes_until("2027-02-20T00:00:00Z");
        assert_eq!(world.rows(), [format!("{day} 02:00 excluded: {skipped}")]);
    }
    // It is not the mark of what is due there anyway.
    let mut world = World::at("2027-02-04T12:00:00Z");
    world.cron("0 2 6,8 * *");
    world.skips = vec![skip("2027-02-06T02:00:00Z")];
    world
        .calendar(calendar(WEEKEND, &[]), OnExcluded::Next)
        .decide()
        .wakes_until("2027-02-20T00:00:00Z");
    assert_eq!(world.rows(), ["08 02:00 started: run r1 started"]);
}
