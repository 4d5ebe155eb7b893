//! Stories of when an entry starts, and of clocks and ledgers that are not what they were.

use super::*;
use crate::domain::overlap::Overlap;

impl World {
    /// The daemon stops and starts again, now.
    fn restarts(&mut self) -> &mut Self {
        self.room.here_since = Some(self.now);
        let plan = interrupted(self.now, &self.state());
        self.store(plan);
        let again = interrupted(self.now, &self.state());
        assert!(
            again
                .changes
                .iter()
                .all(|change| change.tick.state.name() == "doubtful"),
            "taking over twice changes {again:?}"
        );
        self
    }
}

#[test]
fn what_an_entry_owes_depends_on_what_changed() {
    let berlin = || Arc::new(Zone::new("Europe/Berlin", 0, Vec::new()));
    type Change = Box<dyn Fn(&mut World)>;
    let in_zone = move |world: &mut World| {
        world.entry.schedule = Some(Schedule::parse(&["0 2 * * *"], berlin()).unwrap());
    };
    // What happens to an entry at 23:00, and which of the ticks at 02:00 of the next two days it owes at 04:00 then.
    let rows: Vec<(&str, Change, &[&str])> = vec![
        ("nothing", Box::new(|_| {}), &["missed", "doubtful"]),
        (
            "another request",
            Box::new(|world| world.entry.request.pipeline_id = "other".to_owned()),
            &["missed", "doubtful"],
        ),
        (
            "another account and deadline",
            Box::new(|world| {
                world.entry.account = AccountName::parse("other").unwrap();
                world.entry.deadline = Duration::from_secs(3 * 3600);
            }),
            &["missed", "doubtful"],
        ),
        (
            "the same pattern, spelled otherwise",
            Box::new(|world| {
                world.cron(" 0  2 * * *");
            }),
            &["missed", "doubtful"],
        ),
        (
            "another pattern for the same times",
            Box::new(|world| {
                world.cron("0 2 * * 0-6");
            }),
            &[],
        ),
        ("another zone at the same offset", Box::new(in_zone), &[]),
        (
            "a window that begins later",
            Box::new(|world| world.entry.not_before = Some(at("2026-11-26T00:00:00Z"))),
            &["doubtful"],
        ),
        (
            "a window that ends earlier",
            Box::new(|world| world.entry.not_after = Some(at("2026-11-25T12:00:00Z"))),
            &["missed"],
        ),
        (
            "a window that was over",
            Box::new(|world| world.entry.not_after = Some(at("2026-11-24T12:00:00Z"))),
            &[],
        ),
        (
            "switched off and on",
            Box::new(|world| {
                world.entry.enabled = false;
                world.decide();
                world.entry.enabled = true;
            }),
            &[],
        ),
        (
            "removed and added again",
            Box::new(|world| {
                let plan = withdraw(world.now, &world.state(), &mut world.free());
                world.store(plan);
            }),
            &[],
        ),
        (
            "no pattern for a while",
            Box::new(|world| {
                let schedule = world.entry.schedule.take();
                world.decide();
                world.entry.schedule = schedule;
            }),
            &[],
        ),
    ];
    for (what, change, owed) in rows {
        let mut world = World::at("2026-11-24T04:00:00Z");
        world.nothing_there = false;
        world.decide().now = at("2026-11-24T23:00:00Z");
        change(&mut world);
        world.go_to("2026-11-26T04:00:00Z");
        assert_eq!(world.reasons(), owed, "{what}");
    }
}

#[test]
fn what_takes_effect_is_what_is_loaded_when_the_tick_is_opened() {
    let mut world = World::at("2026-11-24T04:00:00Z");
    world.decide();
    world.entry.enabled = false;
    world.go_to("2026-11-25T01:59:59Z");
    world.entry.enabled = true;
    world.go_to("2026-11-25T01:59:59.5Z");
    world.go_to("2026-11-25T02:00:00Z");
    assert_eq!(
        world.dues(),
        ["2026-11-25T02:00:00Z 1"],
        "switched on in time"
    );
    let mut world = World::at("2026-11-25T02:00:00Z");
    world.decide().go_to("2026-11-25T02:00:01Z");
    assert_eq!(
        world.dues(),
        [""; 0],
        "seen first at the very instant, it starts after it"
    );
}

#[test]
fn a_window_that_opens_while_we_are_away_owes_what_is_inside_it() {
    let mut world = World::at("2026-11-24T04:00:00Z").with(|entry| {
        entry.not_before = Some(at("2026-11-26T02:00:00Z"));
        entry.not_after = Some(at("2026-11-28T02:00:00Z"));
        entry.catch_up = CatchUp::All;
        entry.deadline = Duration::from_secs(30 * 86_400);
    });
    world.decide().go_to("2026-11-30T07:00:00Z");
    assert_eq!(
        world.dues(),
        [
            "2026-11-26T02:00:00Z 1",
            "2026-11-27T02:00:00Z 1",
            "2026-11-28T02:00:00Z 1"
        ]
    );
    assert_eq!(world.reasons(), ["sent"; 3], "and nothing is missed");
}

#[test]
fn a_tick_due_just_before_a_start_is_on_time_and_looked_for_all_the_same() {
    let mut world = World::at("2026-11-24T04:00:00Z").with(|entry| entry.catch_up = CatchUp::None);
    world.nothing_there = false;
    world.decide().now = at("2026-11-25T02:00:10Z");
    world.restarts().decide();
    assert_eq!((world.finds.len(), world.sent.len()), (1, 0));
    world.sees(Sighting::Found(Box::new(seen("r1", "RUNNING"))));
    assert_eq!(
        (world.reasons(), world.sent.len()),
        (vec!["started"], 0),
        "sent by a life of the ledger that is lost: it was restored from a backup"
    );
    // What comes due while we are there is sent at once, however late the decision.
    world.go_to("2026-11-26T02:00:59Z");
    assert_eq!((world.finds.len(), world.sent.len()), (0, 1));
}

#[test]
fn a_clock_that_was_ahead_at_the_start_makes_nobody_look_for_ticks_of_the_present() {
    let mut world = World::at("2027-11-24T04:00:00Z");
    world.restarts().decide().go_to("2026-11-24T04:00:00Z");
    world.nothing_there = false;
    world.go_to("2026-11-25T02:00:00Z");
    assert_eq!((world.finds.len(), world.sent.len()), (0, 1));
}

#[test]
fn what_waited_at_a_restart_is_looked_for_before_it_is_sent_and_nothing_is_held_against_it() {
    for seen_there in [true, false] {
        let mut world = World::at("2026-11-24T04:00:00Z").with(|entry| {
            entry.policy.on_doubt = OnDoubt::GiveUp;
            entry.policy.retry.max_attempts = 1;
        });
        world.nothing_there = false;
        world
            .decide()
            .go_to("2026-11-25T02:00:00Z")
            .answers(answer(AnswerKind::Busy));
        world.restarts().go_to("2026-11-25T02:10:00Z");
        assert_eq!((world.reasons(), world.finds.len()), (vec!["doubtful"], 1));
        if seen_there {
            world.sees(Sighting::Found(Box::new(seen("r1", "RUNNING"))));
            assert_eq!((world.reasons(), world.sent.len()), (vec!["started"], 1));
            continue;
        }
        world.sees(Sighting::Absent).decide();
        assert_eq!((world.reasons(), world.sent.len()), (vec!["sent"], 2));
        // Nor is it looked for again before the attempt after that.
        world
            .answers(answer(AnswerKind::Busy))
            .go_to("2026-11-25T02:20:00Z");
        assert_eq!((world.finds.len(), world.sent.len()), (0, 3));
        // A real doubt is one: absence ends it here.
        world.answers(answer(AnswerKind::Doubtful));
        for _ in 0..5 {
            world.wakes().sees(Sighting::Absent);
        }
        assert_eq!(world.reasons(), ["gave_up"]);
    }
}

#[test]
fn what_waits_for_its_spread_at_a_restart_goes_on_waiting() {
    let mut world =
        World::at("2026-11-24T04:00:00Z").with(|entry| entry.spread = Duration::from_secs(1200));
    world.nothing_there = false;
    world.decide().go_to("2026-11-25T02:00:00Z");
    let start = after(at("2026-11-25T02:00:00Z"), spread_offset(&world.entry));
    world.restarts().go_to("2026-11-25T02:00:01Z");
    assert_eq!(
        (world.reasons(), world.wake_at),
        (vec!["waiting"], Some(start))
    );
    world.go_on_at(start).sees(Sighting::Absent).decide();
    assert_eq!(world.dues(), ["2026-11-25T02:00:00Z 1"]);
}

#[test]
fn what_was_missed_under_a_wrong_clock_runs_when_its_time_comes() {
    for catch_up in [CatchUp::None, CatchUp::Latest, CatchUp::All] {
        let mut world = World::at("2026-11-24T04:00:00Z").with(|entry| {
            entry.catch_up = catch_up;
            entry.deadline = Duration::from_secs(3600);
        });
        // Ahead, back, and ahead again: the same nights are missed twice.
        world
            .decide()
            .go_to("2026-11-28T04:00:00Z")
            .go_to("2026-11-24T04:01:00Z")
            .go_to("2026-11-28T04:00:01Z")
            .go_to("2026-11-24T04:02:00Z");
        assert_eq!(world.reasons(), ["missed"; 2]);
        for day in 25..=29 {
            world.go_to(&format!("2026-11-{day}T02:00:00Z"));
            assert_eq!(world.reasons().last(), Some(&"sent"), "{day}, {catch_up:?}");
            world.answers(started("r"));
        }
        assert_eq!(world.sent.len(), 5);
    }
}

#[test]
fn a_tick_due_in_the_moments_before_the_clock_came_back_is_on_time() {
    for (back_at, reasons) in [
        ("2026-11-25T02:00:59Z", vec!["missed", "sent"]),
        ("2026-11-25T02:01:01Z", vec!["missed"]),
    ] {
        let mut world =
            World::at("2026-11-25T01:00:00Z").with(|entry| entry.catch_up = CatchUp::None);
        world.decide().go_to("2027-11-25T01:59:30Z").go_to(back_at);
        assert_eq!(world.reasons(), reasons, "{back_at}");
        assert_eq!(world.mark.as_ref().unwrap().until, at(back_at));
        assert_eq!(world.wake_at, Some(at("2026-11-26T02:00:00Z")));
    }
    // What ran is not run again, a few seconds back or many.
    for back in 1..=120 {
        let mut world = World::at("2026-11-25T01:00:00Z");
        world
            .decide()
            .go_to("2026-11-25T02:00:00Z")
            .answers(started("r1"));
        world.go_to("2026-11-25T02:00:50Z");
        let shown = world.now - TimeDelta::seconds(back);
        world.go_on_at(shown).go_to("2026-11-25T03:00:00Z");
        assert_eq!(world.dues(), ["2026-11-25T02:00:00Z 1"], "{back} s back");
    }
}

#[test]
fn a_tick_by_hand_is_sent_though_the_clock_was_set_back_before_it_was_asked_for() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    let plan = open_manual(
        world.now,
        &world.entry,
        &world.state(),
        wanted(),
        &mut world.free(),
    );
    let id = plan.changes[0].tick.id.clone();
    world.store(plan).answers(answer(AnswerKind::Busy));
    world.now = at("2026-11-24T01:00:00Z");
    let plan = plan_one(
        world.now,
        &world.entry,
        &world.state(),
        &id,
        &mut world.free(),
    );
    assert_eq!(plan.asks.len(), 1, "{plan:?}");
}

#[test]
fn a_tick_from_a_clock_that_was_ahead_takes_the_place_of_none_that_comes_before_it() {
    for overlap in [Overlap::Queue, Overlap::Replace] {
        let mut world = World::at("2026-11-24T04:00:00Z").with(|entry| {
            entry.policy.overlap = overlap;
            entry.policy.follow = true;
        });
        let free = || Survey::UnderWay(Vec::new());
        world
            .decide()
            .go_to("2027-11-24T02:00:00Z")
            .surveys(free())
            .answers(answer(AnswerKind::Busy));
        assert_eq!(world.reasons(), ["missed", "waiting"]);
        world
            .go_to("2026-11-24T04:01:00Z")
            .go_to("2026-11-25T02:00:00Z")
            .surveys(free())
            .answers(started("r1"));
        assert_eq!(
            world.reasons(),
            ["missed", "waiting", "running"],
            "{overlap:?}"
        );
    }
}

#[test]
fn a_tick_by_hand_that_looks_at_its_pipeline_starts_though_the_clock_was_set_back() {
    let mut world =
        World::at("2026-11-25T01:00:00Z").with(|entry| entry.policy.overlap = Overlap::Queue);
    let plan = open_manual(
        world.now,
        &world.entry,
        &world.state(),
        wanted(),
        &mut world.free(),
    );
    world.store(plan);
    world.now = at("2026-11-24T01:00:00Z");
    world.surveys(Survey::UnderWay(Vec::new()));
    assert_eq!(world.reasons(), ["sent"]);
}

#[test]
fn a_run_that_was_started_while_the_clock_was_ahead_is_not_looked_at_until_then() {
    let started_ahead = |follow| {
        let mut world = World::at("2026-11-24T04:00:00Z").with(|entry| {
            entry.policy.follow = follow;
            entry.policy.run_timeout = Some(Duration::from_secs(3600));
        });
        world
            .decide()
            .go_to("2027-11-24T02:00:00Z")
            .answers(started("r1"))
            .go_to("2026-11-24T04:01:00Z");
        world
    };
    let run = |world: &World| world.ticks.last().unwrap().run.clone().unwrap();
    // One that is under way counts from the first look on, and is overdue an hour later.
    let under_way = || Look::Seen(Box::new(seen("r1", "RUNNING")));
    let mut world = started_ahead(true);
    world.looks(under_way());
    assert_eq!(run(&world).started_at, world.now);
    world.go_to("2026-11-24T05:02:00Z").looks(under_way());
    assert!(run(&world).overdue);
    // One that the service does not show is waited for, as long as for any other.
    let mut world = started_ahead(true);
    world.looks(Look::Vanished);
    assert_eq!(world.reasons().last(), Some(&"running"));
    world.go_to("2026-11-24T04:12:00Z").looks(Look::Vanished);
    assert_eq!(world.reasons().last(), Some(&"unknown"));
    // One that ended meanwhile has ended.
    let mut world = started_ahead(true);
    world.looks(Look::Seen(Box::new(seen("r1", "COMPLETED"))));
    assert_eq!(world.reasons().last(), Some(&"succeeded"));
    // And one that is only watched is let go of.
    let mut world = started_ahead(false);
    world.looks(under_way()).looks(under_way());
    assert!(world.ticks.last().unwrap().is_watched());
    world.go_to("2026-11-26T04:02:00Z").looks(under_way());
    assert!(!world.ticks.last().unwrap().is_watched());
}
