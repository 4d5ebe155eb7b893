//! Stories of what holds a start back: other runs of its pipeline, places of its account, the breaker, the fuse.

use super::*;
use crate::domain::Run;
use crate::domain::overlap::Overlap;
use crate::domain::pace::{Heard, Pace};

fn with_overlap(overlap: Overlap) -> World {
    let mut world = World::at("2026-11-25T01:00:00Z").with(|entry| {
        entry.policy.overlap = overlap;
        entry.policy.follow = true;
    });
    world.nothing_there = false;
    world.decide().go_to("2026-11-25T02:00:00Z");
    world
}

fn busy(run_id: &str) -> Survey {
    Survey::UnderWay(vec![seen(run_id, "RUNNING")])
}

fn free() -> Survey {
    Survey::UnderWay(Vec::new())
}

/// A tick of another entry at the same pipeline.
fn other(world: &World, state: TickState) -> Tick {
    let mut tick = world.ticks[0].clone();
    tick.entry = EntryName::parse("other").unwrap();
    tick.id = TickId::scheduled(&tick.entry, tick.due);
    tick.state = state;
    tick
}

#[test]
fn nothing_starts_before_its_pipeline_was_looked_at() {
    for overlap in [Overlap::Skip, Overlap::Queue, Overlap::Replace] {
        let mut world = with_overlap(overlap);
        assert_eq!((world.sent.len(), world.surveys.len()), (0, 1));
        world.decide();
        assert_eq!(world.surveys.len(), 1, "one look at a time");
        world.surveys(free());
        assert_eq!(world.dues(), ["2026-11-25T02:00:00Z 1"], "{overlap:?}");
    }
}

#[test]
fn skip_ends_the_tick_and_says_beside_what() {
    let mut world = with_overlap(Overlap::Skip);
    world.surveys(busy("r7"));
    assert_eq!((world.reasons(), world.sent.len()), (vec!["skipped"], 0));
    let note = "its pipeline has run r7 (number 7, RUNNING) under way";
    assert_eq!(world.ticks[0].note, note);
}

#[test]
fn queue_waits_until_the_pipeline_is_free_and_says_so_once() {
    let mut world = with_overlap(Overlap::Queue);
    world.surveys(busy("r7"));
    assert_eq!(world.wake_at, Some(at("2026-11-25T02:00:05Z")));
    let mut looks = 0;
    while world.now < at("2026-11-25T03:00:00Z") {
        world.wakes();
        let rows = world.ticks.clone();
        world.surveys(busy("r7"));
        assert_eq!(world.ticks, rows, "nothing new is written down");
        looks += 1;
    }
    assert!((25..120).contains(&looks), "{looks} looks in an hour");
    world.wakes().surveys(free());
    assert_eq!(world.dues(), ["2026-11-25T02:00:00Z 1"]);
}

#[test]
fn of_those_that_queue_only_the_newest_waits() {
    let mut world = with_overlap(Overlap::Queue);
    world.entry.deadline = Duration::from_secs(3 * 86_400);
    world.ticks[0].deadline = at("2026-11-29T00:00:00Z");
    world.surveys(busy("r7")).wakes();
    assert_eq!(
        world.surveys.len(),
        1,
        "a look for the older one is under way"
    );
    world.go_to("2026-11-26T02:00:00Z");
    assert_eq!(world.reasons(), ["superseded", "waiting"]);
    assert!(
        world.ticks[0]
            .note
            .contains("nightly@2026-11-26T02:00:00Z took its place"),
        "{}",
        world.ticks[0].note
    );
    // The answer to the look that was under way for the older one starts nothing.
    world.surveys(free());
    world.surveys(free());
    assert_eq!(world.dues(), ["2026-11-26T02:00:00Z 1"]);
}

#[test]
fn a_newer_tick_whose_spread_is_not_over_takes_no_place_yet() {
    let mut world = World::at("2026-11-25T01:00:00Z").with(|entry| {
        entry.policy.overlap = Overlap::Queue;
        entry.spread = Duration::from_secs(7200);
        entry.deadline = Duration::from_secs(3 * 86_400);
    });
    world.decide().go_to("2026-11-25T04:00:00Z");
    world.surveys(busy("r7"));
    world.go_to("2026-11-26T02:00:00Z");
    assert_eq!(world.reasons(), ["waiting", "waiting"]);
    world.go_to("2026-11-26T04:00:00Z");
    assert_eq!(world.reasons(), ["superseded", "waiting"]);
}

#[test]
fn replace_stops_the_old_run_and_starts_when_it_is_over() {
    let mut world = with_overlap(Overlap::Replace);
    let mut waits = seen("r8", "QUEUED");
    waits.queue_id = Some("q1".to_owned());
    world.surveys(Survey::UnderWay(vec![seen("r7", "RUNNING"), waits]));
    assert_eq!(
        (world.stops.clone(), world.sent.len()),
        (vec!["r7".to_owned(), "r8".to_owned()], 0)
    );
    world.wakes().surveys(busy("r7"));
    assert_eq!(world.stops, ["r7", "r8", "r7"], "it is asked again");
    world.wakes().surveys(free());
    assert_eq!(world.dues(), ["2026-11-25T02:00:00Z 1"]);
}

#[test]
fn what_can_not_be_stopped_is_waited_for_until_the_deadline() {
    let mut world = with_overlap(Overlap::Replace);
    world.surveys(busy("r7"));
    while !world.ticks[0].state.is_ended() {
        world.wakes();
        if !world.surveys.is_empty() {
            world.surveys(busy("r7"));
        }
    }
    assert_eq!((world.reasons(), world.sent.len()), (vec!["too_late"], 0));
    assert!(
        world.ticks[0].note.contains("run r7 (number 7, RUNNING)"),
        "{}",
        world.ticks[0].note
    );
}

#[test]
fn a_run_beyond_run_timeout_holds_nobody_back_and_that_is_said() {
    for overlap in [Overlap::Skip, Overlap::Queue, Overlap::Replace] {
        let mut world = with_overlap(overlap);
        world.ticks[0].policy.run_timeout = Some(Duration::from_secs(3600));
        let mut stuck = seen("r7", "RUNNING");
        stuck.started_at = Some(at("2026-11-25T00:59:59Z"));
        world.surveys(Survey::UnderWay(vec![stuck]));
        assert_eq!(world.sent.len(), 1, "{overlap:?}");
        let note = &world.ticks[0].note;
        assert!(
            note.contains("run r7 (number 7, RUNNING) takes longer than run_timeout"),
            "{note}"
        );
    }
}

/// Ours is an hour ahead, and the run began a minute ago.
#[test]
fn how_long_somebody_elses_run_takes_is_told_by_the_clock_that_stamped_it() {
    for (seen_at, starts) in [(None, 1), (Some(at("2026-11-25T01:00:59Z")), 0)] {
        let mut world = with_overlap(Overlap::Queue);
        world.ticks[0].policy.run_timeout = Some(Duration::from_secs(3600));
        world.surveys(Survey::UnderWay(vec![SeenRun {
            started_at: Some(at("2026-11-25T00:59:59Z")),
            seen_at,
            ..seen("r7", "RUNNING")
        }]));
        assert_eq!(world.sent.len(), starts, "{seen_at:?}");
    }
}

#[test]
fn two_entries_of_one_pipeline_that_both_found_it_free_start_one_run() {
    for overlap in [Overlap::Skip, Overlap::Queue, Overlap::Replace] {
        let mut world = with_overlap(overlap);
        let now = world.now;
        for state in [
            TickState::Sent { at: now },
            TickState::Doubtful { look_at: now },
        ] {
            world.others = vec![other(&world, state)];
            let rows = world.ticks.len();
            world.surveys(free());
            assert_eq!(
                (world.sent.len(), world.ticks.len()),
                (0, rows),
                "{overlap:?}"
            );
            assert_eq!(
                world.reasons(),
                ["waiting"],
                "it is not known yet: nothing is decided"
            );
            world.wakes();
        }
    }
}

#[test]
fn a_run_of_ours_that_is_listed_late_counts_and_one_that_is_over_does_not() {
    let mut world = with_overlap(Overlap::Skip);
    let mut running = other(&world, TickState::Running { since: world.now });
    running.run = Some(Run {
        id: "r7".to_owned(),
        ..Run::started(at("2026-11-25T01:58:00Z"))
    });
    world.others = vec![running.clone()];
    let before = world.ticks.clone();
    world.surveys(free());
    assert_eq!(world.reasons(), ["skipped"]);
    // One that was never seen may have begun a moment ago, and the clock was set ahead since.
    let run = running.run.as_mut().unwrap();
    run.started_at = at("2026-11-25T01:50:00Z");
    world.ticks.clone_from(&before);
    world.others = vec![running.clone()];
    world.decide().surveys(free());
    assert_eq!(world.reasons(), ["skipped"]);
    world.ticks = before;
    running.run.as_mut().unwrap().number = Some(7);
    // It was seen, and settle is over: the list is believed, though we have not seen the end ourselves.
    world.others = vec![running.clone()];
    world.decide().surveys(free());
    assert_eq!(world.sent.len(), 1);
    assert!(running.shares_pipeline(&world.ticks[0]));
}

#[test]
fn a_run_that_is_not_followed_still_holds_its_pipeline() {
    let mut world = World::at("2026-11-25T01:00:00Z").with(|entry| {
        entry.policy.overlap = Overlap::Skip;
        entry.deadline = Duration::from_secs(86_400);
    });
    world
        .cron("0 2,3,4 * * *")
        .decide()
        .go_to("2026-11-25T02:00:00Z");
    world.surveys(free()).answers(started("r1"));
    assert_eq!(world.reasons(), ["started"]);
    assert!(world.ticks[0].is_watched());
    assert_eq!(world.running.len(), 1, "it is looked at");
    world.go_to("2026-11-25T03:00:00Z").surveys(busy("r1"));
    assert_eq!(world.reasons(), ["started", "skipped"]);
    let id = world.ticks[0].id.clone();
    let over = Look::Seen(Box::new(seen("r1", "FAILED")));
    let plan = looked(world.now, &world.state(), &id, &over, Followed::default());
    world.store(plan);
    assert!(!world.ticks[0].is_watched());
    let run = world.ticks[0].run.as_ref().unwrap();
    assert_eq!(run.outcome.as_deref(), Some("FAILED"));
    assert_eq!(
        world.reasons(),
        ["started", "skipped"],
        "the end stays what it was"
    );
    world.go_to("2026-11-25T04:00:00Z").surveys(free());
    assert_eq!(world.sent.len(), 2);
}

#[test]
fn a_watched_run_is_let_go_of_in_the_end() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world
        .decide()
        .go_to("2026-11-25T02:00:00Z")
        .answers(started("r1"));
    let id = world.ticks[0].id.clone();
    let going_on = Look::Seen(Box::new(seen("r1", "RUNNING")));
    for (now, is_watched) in [
        ("2026-11-27T02:00:00Z", true),
        ("2026-11-27T02:00:01Z", false),
    ] {
        let plan = looked(at(now), &world.state(), &id, &going_on, Followed::default());
        world.store(plan);
        assert_eq!(world.ticks[0].is_watched(), is_watched, "{now}");
    }
}

#[test]
fn a_lost_attempt_that_shows_at_the_last_look_is_the_ticks_own_run() {
    let mut world = with_overlap(Overlap::Skip);
    world.surveys(free()).answers(answer(AnswerKind::Doubtful));
    for _ in 0..5 {
        world.wakes().sees(Sighting::Absent);
    }
    world.wakes();
    assert_eq!(world.surveys.len(), 1);
    world.surveys(Survey::Own(Box::new(seen("r1", "RUNNING"))));
    assert_eq!((world.reasons(), world.sent.len()), (vec!["running"], 1));
}

#[test]
fn without_a_look_there_is_no_start() {
    let mut world = with_overlap(Overlap::Queue);
    for _ in 0..3 {
        world.surveys(Survey::Failed(answer(AnswerKind::RefusedInPassing)));
        assert_eq!(world.reasons(), ["waiting"]);
        world.wakes();
    }
    assert_eq!((world.ticks[0].refusals, world.sent.len()), (0, 0));
    world.surveys(Survey::Failed(answer(AnswerKind::Refused)));
    assert_eq!((world.reasons(), world.sent.len()), (vec!["refused"], 0));
}

#[test]
fn a_clock_set_back_during_a_look_starts_nothing_before_its_instant() {
    let mut world = with_overlap(Overlap::Queue);
    world.now = at("2026-11-25T01:30:00Z");
    world.surveys(free());
    assert_eq!((world.reasons(), world.sent.len()), (vec!["waiting"], 0));
}

#[test]
fn places_are_taken_by_whose_turn_it_is_and_never_more_than_there_are() {
    let mut world = World::at("2026-11-25T01:00:00Z").with(|entry| {
        entry.catch_up = CatchUp::All;
        entry.policy.follow = true;
    });
    let account = world.entry.account.clone();
    world.room.max_running.insert(account, 1);
    world.room.called = Some(BTreeSet::new());
    world
        .cron("0,30 2 * * *")
        .decide()
        .go_to("2026-11-25T02:00:00Z");
    assert_eq!((world.reasons(), world.sent.len()), (vec!["waiting"], 0));
    assert_eq!(world.in_turn, [world.ticks[0].id.clone()]);
    let note = "due; asks for a place of account main";
    assert_eq!(world.ticks[0].note, note);
    world.go_to("2026-11-25T02:30:00Z");
    let ids: BTreeSet<TickId> = world.ticks.iter().map(|tick| tick.id.clone()).collect();
    world.room.called = Some(ids);
    world.decide();
    assert_eq!(
        world.dues(),
        ["2026-11-25T02:00:00Z 1"],
        "one place, one start"
    );
    world.answers(started("r1")).decide();
    assert_eq!(world.reasons(), ["running", "waiting"]);
    let over = Look::Seen(Box::new(seen("r1", "COMPLETED")));
    let id = world.ticks[0].id.clone();
    let plan = looked(world.now, &world.state(), &id, &over, Followed::default());
    world.store(plan).decide();
    assert_eq!(world.dues().last().unwrap(), "2026-11-25T02:30:00Z 1");
}

#[test]
fn places_that_others_took_count() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    let account = world.entry.account.clone();
    world.room.max_running.insert(account, 2);
    world.decide().go_to("2026-11-25T02:00:00Z");
    let taking = |name: &str, state| {
        let mut tick = other(&world, state);
        tick.id = TickId::from_text(name);
        tick
    };
    let now = world.now;
    let others = vec![
        taking("a", TickState::Running { since: now }),
        taking("b", TickState::Doubtful { look_at: now }),
    ];
    assert_eq!(world.sent.len(), 1, "nobody else was there");
    world.ticks.clear();
    world.sent.clear();
    world.mark.as_mut().unwrap().until = at("2026-11-25T01:00:00Z");
    world.others = others;
    world.decide();
    assert_eq!((world.reasons(), world.sent.len()), (vec!["waiting"], 0));
    world.others.pop();
    world.decide();
    assert_eq!(world.sent.len(), 1);
}

#[test]
fn with_an_open_breaker_a_look_goes_first_and_no_start() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world.cron("0 2 * * *").decide();
    let mut pace = Pace::default();
    for _ in 0..5 {
        pace.sent(world.now);
        pace.answered(world.now, world.now, Heard::Outage);
    }
    let account = world.entry.account.clone();
    world.room.paces.insert(account.clone(), pace);
    world.go_to("2026-11-25T02:00:00Z");
    assert_eq!((world.sent.len(), world.probes.len()), (0, 1));
    let pace = world.room.paces.get_mut(&account).unwrap();
    pace.sent(world.now);
    world.probes.clear();
    world.decide();
    assert_eq!(world.probes.len(), 0, "one probe at a time");
    let pace = world.room.paces.get_mut(&account).unwrap();
    pace.answered(world.now, world.now, Heard::Well { is_start: false });
    world.decide();
    assert_eq!(world.sent.len(), 1);
}

#[test]
fn the_fuse_holds_back_what_no_pattern_can_have_meant() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world.decide();
    let name = world.entry.name.clone();
    // Two are due in a day and the six hours that a start may be late, and one may be caught up.
    world.room.starts.insert(name.clone(), 3);
    world.go_to("2026-11-25T02:00:00Z");
    assert_eq!((world.reasons(), world.sent.len()), (vec!["waiting"], 0));
    let note = &world.ticks[0].note;
    assert!(
        note.contains("3 starts in 24 hours, and its pattern allows 3"),
        "{note}"
    );
    world.room.starts.insert(name, 2);
    world.wakes();
    assert_eq!(world.now, at("2026-11-25T02:10:00Z"));
    assert_eq!(
        world.dues(),
        ["2026-11-25T02:00:00Z 1"],
        "it is late, not lost"
    );
}

#[test]
fn the_fuse_never_holds_back_what_the_pattern_asks_for() {
    for pattern in ["* * * * *", "*/7 2-4 * * *", "0 0 29 2 *", "0 2 * * 1-5"] {
        let mut world = World::at("2026-11-25T01:00:00Z").with(|entry| {
            entry.spread = Duration::from_secs(1800);
        });
        world.cron(pattern).decide();
        let name = world.entry.name.clone();
        let mut starts = 0;
        for _ in 0..4_000 {
            world.wakes();
            if world.sent.is_empty() {
                continue;
            }
            let first = world.sent.len();
            for (id, attempt) in std::mem::take(&mut world.sent) {
                let plan = settle(world.now, &world.state(), &id, attempt, started("r"));
                world.store(plan);
            }
            world.ticks.retain(|tick| !tick.state.is_ended());
            starts += first;
            world
                .room
                .starts
                .insert(name.clone(), u32::try_from(starts).unwrap());
            if world.now > at("2026-11-26T00:59:00Z") {
                break;
            }
            world.decide();
        }
        assert!(
            world.ticks.iter().all(|tick| !tick.note.contains("fuse")),
            "{pattern}"
        );
    }
}

#[test]
fn an_attempt_of_another_that_died_is_looked_for_when_its_lease_is_over() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world.nothing_there = false;
    world.decide().go_to("2026-11-25T02:00:00Z");
    world.go_to("2026-11-25T02:29:59Z");
    assert_eq!(world.reasons(), ["sent"]);
    world.room.under_way.insert(world.ticks[0].id.clone());
    world.go_to("2026-11-25T02:30:01Z");
    assert_eq!(
        world.reasons(),
        ["sent"],
        "we wait for its answer ourselves"
    );
    world.room.under_way.clear();
    world.decide();
    assert_eq!(world.reasons(), ["doubtful"]);
    world
        .wakes()
        .sees(Sighting::Found(Box::new(seen("r1", "RUNNING"))));
    assert_eq!((world.reasons(), world.sent.len()), (vec!["started"], 1));
}

#[test]
fn a_clock_set_back_or_ahead_does_not_stretch_a_lease() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world.nothing_there = false;
    world.decide().go_to("2026-11-25T02:00:00Z");
    world.go_to("2026-11-25T01:50:00Z");
    assert_eq!(world.reasons(), ["sent"]);
    assert_eq!(world.wake_at, Some(at("2026-11-25T02:00:00Z")));
    world.go_to("2025-11-25T03:00:00Z");
    assert_eq!(world.reasons(), ["doubtful"]);
}

#[test]
fn a_place_that_was_kept_is_counted_once_when_it_is_taken() {
    let mut world = with_overlap(Overlap::Skip);
    let account = world.entry.account.clone();
    let id = world.surveys[0].clone();
    let mut room = world.free();
    room.max_running.insert(account.clone(), 2);
    room.reserved.insert(id.clone(), account.clone());
    let plan = surveyed(world.now, &world.state(), &id, free(), &mut room);
    assert!(matches!(plan.asks[..], [Ask::Start(_)]), "{plan:?}");
    // It is in the ledger from here on, for those who are decided about in the same commit.
    assert_eq!(room.reserved, BTreeMap::new());
    world.surveys.clear();
}

#[test]
fn a_machine_that_slept_makes_no_run_younger() {
    let mut world = with_overlap(Overlap::Skip);
    world.surveys(free());
    world.answers(answer(AnswerKind::Started {
        run_id: "r1".to_owned(),
        queue_id: None,
    }));
    let id = world.ticks[0].id.clone();
    world.now = at("2026-11-25T10:00:00Z");
    let followed = Followed {
        taken: Some(Duration::from_secs(600)),
        blind: Duration::ZERO,
    };
    let look = |began: &str| {
        Look::Seen(Box::new(SeenRun {
            started_at: Some(at(began)),
            ..seen("r1", "RUNNING")
        }))
    };
    let stamp = |look: &Look| {
        let plan = looked(world.now, &world.state(), &id, look, followed);
        plan.changes[0].tick.run.clone().unwrap().started_at
    };
    // The service says when it began: only our count stood still.
    assert_eq!(
        stamp(&look("2026-11-25T02:00:05Z")),
        at("2026-11-25T02:00:00Z")
    );
    // It says otherwise: the clock was behind when it was written down.
    assert_eq!(
        stamp(&look("2026-11-25T09:50:00Z")),
        at("2026-11-25T09:50:00Z")
    );
}
