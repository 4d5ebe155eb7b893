//! Decisions as stories: a world with one entry, a clock that is told, and a ledger that forgets nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::domain::schedule::Schedule;
use crate::domain::zone::Zone;
use crate::domain::{CatchUp, EntryName, Retry};

struct World {
    now: Timestamp,
    entry: Entry,
    mark: Option<Mark>,
    ticks: Vec<Tick>,
    sent: Vec<(TickId, u32)>,
    room: Room,
    wake_at: Option<Timestamp>,
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn answer(kind: AnswerKind) -> Answer {
    Answer {
        kind,
        status: Some(200),
        code: None,
        message: "so it goes".to_owned(),
        request_id: None,
        retry_after: None,
        service_clock: None,
    }
}

fn started(run: &str) -> Answer {
    answer(AnswerKind::Started {
        run_id: run.to_owned(),
        queue_id: None,
    })
}

impl World {
    fn at(now: &str) -> Self {
        let mut world = Self {
            now: at(now),
            entry: Entry {
                name: EntryName::parse("nightly").unwrap(),
                schedule: None,
                account: AccountName::parse("main").unwrap(),
                request: RunRequest::default(),
                spread: Duration::ZERO,
                catch_up: CatchUp::Latest,
                catch_up_max: 100,
                deadline: Duration::from_secs(6 * 3600),
                retry: Retry::default(),
                enabled: true,
                not_before: None,
                not_after: None,
                labels: BTreeSet::new(),
            },
            mark: None,
            ticks: Vec::new(),
            sent: Vec::new(),
            room: Room {
                slots: 64,
                paces: BTreeMap::new(),
            },
            wake_at: None,
        };
        world.cron("0 2 * * *");
        world
    }

    fn cron(&mut self, pattern: &str) -> &mut Self {
        self.entry.schedule = Some(Schedule::parse(&[pattern], Arc::new(Zone::utc())).unwrap());
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Entry)) -> Self {
        change(&mut self.entry);
        self
    }

    fn state(&self) -> EntryState {
        let since = self
            .mark
            .as_ref()
            .map_or(self.now, |mark| mark.until.min(self.now));
        let scheduled = self
            .ticks
            .iter()
            .filter(|tick| tick.origin == Origin::Scheduled);
        EntryState {
            mark: self.mark.clone(),
            open: self
                .ticks
                .iter()
                .filter(|tick| !tick.state.is_ended())
                .cloned()
                .collect(),
            decided: scheduled
                .map(|tick| tick.due)
                .filter(|due| *due > since)
                .collect(),
        }
    }

    fn store(&mut self, plan: Plan) -> &mut Self {
        match plan.mark {
            MarkChange::Keep => {}
            MarkChange::Set(mark) => self.mark = Some(mark),
            MarkChange::Clear => self.mark = None,
        }
        for Change { tick, .. } in plan.changes {
            match self.ticks.iter_mut().find(|known| known.id == tick.id) {
                Some(known) => {
                    assert!(
                        !known.state.is_ended(),
                        "{} was over and is changed",
                        known.id
                    );
                    *known = tick;
                }
                None => self.ticks.push(tick),
            }
        }
        for Ask::Start(tick) in plan.asks {
            assert!(self.now >= tick.due, "{} sent before its instant", tick.id);
            self.sent.push((tick.id.clone(), tick.attempts));
        }
        self.wake_at = plan.wake_at;
        self
    }

    /// What is left of the room beside the requests under way.
    fn free(&self) -> Room {
        let under_way = self
            .ticks
            .iter()
            .filter(|tick| tick.state.name() == "sent")
            .count();
        Room {
            slots: self.room.slots.saturating_sub(under_way),
            paces: self.room.paces.clone(),
        }
    }

    fn decide(&mut self) -> &mut Self {
        let plan = plan(self.now, &self.entry, &self.state(), &mut self.free());
        self.store(plan);
        let again = super::plan(self.now, &self.entry, &self.state(), &mut self.free());
        assert!(
            again.is_empty() && again.asks.is_empty(),
            "deciding twice changed {} rows",
            again.changes.len()
        );
        self
    }

    fn go_to(&mut self, now: &str) -> &mut Self {
        self.now = at(now);
        self.decide()
    }

    fn answers(&mut self, answer: Answer) -> &mut Self {
        let (id, attempt) = self.sent.last().cloned().unwrap();
        let plan = settle(self.now, &self.state(), &id, attempt, answer);
        self.store(plan)
    }

    fn dues(&self) -> Vec<String> {
        self.sent
            .iter()
            .map(|(id, attempt)| {
                format!("{} {attempt}", id.as_str().trim_start_matches("nightly@"))
            })
            .collect()
    }

    fn reasons(&self) -> Vec<&'static str> {
        let reason = |tick: &Tick| match tick.state {
            TickState::Ended { reason, .. } => reason.name(),
            TickState::Waiting { .. } | TickState::Sent { .. } => tick.state.name(),
        };
        self.ticks.iter().map(reason).collect()
    }
}

#[test]
fn an_entry_seen_first_starts_from_now() {
    let mut world = World::at("2026-11-24T04:00:00Z");
    world.decide();
    assert_eq!(world.dues(), [""; 0]);
    assert_eq!(world.wake_at, Some(at("2026-11-25T02:00:00Z")));
}

#[test]
fn a_tick_is_sent_at_its_instant_and_not_before() {
    let mut world = World::at("2026-11-24T04:00:00Z");
    world.decide().go_to("2026-11-25T01:59:59.999Z");
    assert_eq!(world.sent, []);
    world
        .go_to("2026-11-25T02:00:00Z")
        .answers(started("r1"))
        .go_to("2026-11-25T02:00:01Z");
    assert_eq!(world.dues(), ["2026-11-25T02:00:00Z 1"]);
    assert_eq!(world.reasons(), ["started"]);
    assert_eq!(world.ticks[0].run.as_ref().unwrap().id, "r1");
    assert_eq!(world.wake_at, Some(at("2026-11-26T02:00:00Z")));
}

#[test]
fn what_was_missed_is_ruled_on_by_catch_up() {
    let rows = [
        (CatchUp::None, vec![], vec!["missed"], 4),
        (
            CatchUp::Latest,
            vec!["2026-11-28T02:00:00Z 1"],
            vec!["missed", "sent"],
            3,
        ),
        (
            CatchUp::All,
            vec!["2026-11-27T02:00:00Z 1", "2026-11-28T02:00:00Z 1"],
            vec!["missed", "sent", "sent"],
            2,
        ),
    ];
    for (catch_up, sent, reasons, missed) in rows {
        let mut world = World::at("2026-11-24T04:00:00Z").with(|entry| {
            entry.catch_up = catch_up;
            entry.catch_up_max = 2;
            entry.deadline = Duration::from_secs(30 * 86_400);
        });
        world.decide().go_to("2026-11-28T07:00:00Z");
        assert_eq!(world.dues(), sent, "{catch_up:?}");
        assert_eq!(world.reasons(), reasons, "{catch_up:?}");
        assert_eq!(world.ticks[0].missed.unwrap().count, missed, "{catch_up:?}");
    }
}

#[test]
fn a_missed_row_says_from_when_to_when() {
    let mut world = World::at("2026-11-24T04:00:00Z").with(|entry| entry.catch_up = CatchUp::None);
    world.decide().go_to("2026-11-28T07:00:00Z");
    let missed = world.ticks[0].missed.unwrap();
    assert_eq!(
        (missed.from, missed.to),
        (at("2026-11-25T02:00:00Z"), at("2026-11-28T02:00:00Z"))
    );
    assert_eq!(world.ticks[0].id.as_str(), "nightly@2026-11-28T02:00:00Z");
    assert!(!missed.at_least);
}

#[test]
fn past_the_deadline_nothing_is_caught_up() {
    for catch_up in [CatchUp::None, CatchUp::Latest, CatchUp::All] {
        let mut world = World::at("2026-11-24T04:00:00Z").with(|entry| entry.catch_up = catch_up);
        world.decide().go_to("2026-11-25T08:00:00.1Z");
        assert_eq!(world.reasons(), ["missed"], "{catch_up:?}");
    }
}

#[test]
fn a_restart_at_the_minute_of_a_nightly_does_not_lose_it_whatever_catch_up_says() {
    let mut world = World::at("2026-11-24T04:00:00Z").with(|entry| entry.catch_up = CatchUp::None);
    world.decide().go_to("2026-11-25T02:00:59Z");
    assert_eq!(world.reasons(), ["sent"]);
    let mut world = World::at("2026-11-24T04:00:00Z").with(|entry| entry.catch_up = CatchUp::None);
    world.decide().go_to("2026-11-25T02:01:01Z");
    assert_eq!(world.reasons(), ["missed"]);
}

#[test]
fn a_clock_that_goes_back_fires_no_tick_again_and_silences_nothing() {
    let mut world = World::at("2026-11-24T04:00:00Z");
    world
        .decide()
        .go_to("2026-11-25T02:00:00Z")
        .answers(started("r1"));
    world.go_to("2026-11-25T01:00:00Z");
    assert_eq!(
        world.mark.as_ref().unwrap().until,
        at("2026-11-25T01:00:00Z")
    );
    assert_eq!(world.wake_at, Some(at("2026-11-25T02:00:00Z")));
    world
        .go_to("2026-11-25T02:00:00Z")
        .go_to("2026-11-25T03:00:00Z");
    assert_eq!(world.dues(), ["2026-11-25T02:00:00Z 1"]);
    world.go_to("2026-11-26T02:00:00Z");
    assert_eq!(
        world.dues(),
        ["2026-11-25T02:00:00Z 1", "2026-11-26T02:00:00Z 1"]
    );
}

#[test]
fn a_year_ahead_for_a_minute_leaves_the_entry_alive() {
    let mut world = World::at("2026-11-24T04:00:00Z");
    world
        .decide()
        .go_to("2027-11-24T04:00:00Z")
        .answers(started("r1"))
        .go_to("2026-11-24T04:01:00Z");
    world.go_to("2026-11-25T02:00:00Z").answers(started("r2"));
    assert_eq!(world.dues().last().unwrap(), "2026-11-25T02:00:00Z 1");
}

#[test]
fn a_retry_that_waits_is_not_silenced_by_a_clock_set_back() {
    let mut world = World::at("2026-11-24T04:00:00Z")
        .with(|entry| entry.deadline = Duration::from_secs(86_400 * 900));
    world
        .decide()
        .go_to("2027-11-24T04:00:00Z")
        .answers(answer(AnswerKind::Busy));
    world.go_to("2027-11-24T03:00:00Z");
    assert_eq!(
        world.sent.len(),
        2,
        "it waited for an instant an hour off, longer than any wait of ours"
    );
}

#[test]
fn a_changed_pattern_starts_from_now_and_a_changed_request_does_not() {
    let mut world = World::at("2026-11-24T04:00:00Z");
    world.decide();
    world.cron("0 3 * * *").go_to("2026-11-25T04:00:00Z");
    assert_eq!(
        world.reasons(),
        [""; 0],
        "02:00 and 03:00 passed under no pattern that was loaded"
    );
    world.entry.request.description = Some("other".to_owned());
    world.go_to("2026-11-26T03:00:30Z");
    assert_eq!(world.dues(), ["2026-11-26T03:00:00Z 1"]);
}

#[test]
fn switched_off_and_on_again_owes_nothing() {
    let mut world = World::at("2026-11-24T04:00:00Z");
    world.decide();
    world.entry.enabled = false;
    world.go_to("2026-11-24T05:00:00Z");
    assert_eq!(world.mark, None);
    world.entry.enabled = true;
    world.go_to("2026-11-27T05:00:00Z");
    assert_eq!(world.reasons(), [""; 0]);
    world.go_to("2026-11-28T02:00:00Z");
    assert_eq!(world.reasons(), ["sent"]);
}

#[test]
fn an_entry_fires_only_inside_its_window() {
    let mut world = World::at("2026-11-24T04:00:00Z").with(|entry| {
        entry.not_before = Some(at("2026-11-26T02:00:00Z"));
        entry.not_after = Some(at("2026-11-27T02:00:00Z"));
    });
    world.decide();
    assert_eq!(
        world.wake_at,
        Some(at("2026-11-26T02:00:00Z")),
        "both ends belong to the window"
    );
    world
        .go_to("2026-11-25T02:00:00Z")
        .go_to("2026-11-26T02:00:00Z")
        .answers(started("r1"));
    world
        .go_to("2026-11-27T02:00:00Z")
        .answers(started("r2"))
        .go_to("2026-11-27T02:00:01Z");
    assert_eq!(
        world.dues(),
        ["2026-11-26T02:00:00Z 1", "2026-11-27T02:00:00Z 1"]
    );
    assert_eq!((world.mark.clone(), world.wake_at), (None, None));
    world.entry.not_after = None;
    world.go_to("2026-11-29T05:00:00Z");
    assert_eq!(
        world.sent.len(),
        2,
        "opened again later, it starts from then"
    );
}

#[test]
fn spread_moves_the_start_and_not_the_due_time() {
    let mut world =
        World::at("2026-11-24T04:00:00Z").with(|entry| entry.spread = Duration::from_secs(1200));
    let offset = spread_offset(&world.entry);
    assert!(offset > Duration::ZERO && offset < Duration::from_secs(1200));
    world.decide().go_to("2026-11-25T02:00:00Z");
    assert_eq!(world.reasons(), ["waiting"]);
    let start = after(at("2026-11-25T02:00:00Z"), offset);
    assert_eq!(world.wake_at, Some(start));
    world.go_to(&rfc3339(start));
    assert_eq!(world.dues(), ["2026-11-25T02:00:00Z 1"]);
}

#[test]
fn refusals_in_passing_are_counted_and_end() {
    let mut world = World::at("2026-11-25T01:00:00Z").with(|entry| entry.retry.max_attempts = 3);
    world.decide().go_to("2026-11-25T02:00:00Z");
    for _ in 0..2 {
        world.answers(answer(AnswerKind::RefusedInPassing));
        let wake = world.wake_at.unwrap();
        assert!(wake > world.now);
        world.go_to(&rfc3339(wake));
    }
    world.answers(answer(AnswerKind::RefusedInPassing));
    assert_eq!(world.reasons(), ["gave_up"]);
    assert_eq!(world.sent.len(), 3);
}

#[test]
fn what_never_left_throttling_and_busy_count_against_the_deadline_alone() {
    for kind in [
        AnswerKind::NotSent,
        AnswerKind::Throttled,
        AnswerKind::Busy,
        AnswerKind::Unauthorized,
    ] {
        let mut world =
            World::at("2026-11-25T01:00:00Z").with(|entry| entry.retry.max_attempts = 1);
        world.decide().go_to("2026-11-25T02:00:00Z");
        for round in 0..400 {
            assert!(round < 399, "{kind:?} never ends");
            if world.reasons() == ["sent"] {
                world.answers(answer(kind.clone()));
            }
            if world.reasons() != ["waiting"] {
                break;
            }
            let wake = world
                .wake_at
                .unwrap()
                .max(world.now + TimeDelta::minutes(1));
            world.go_to(&rfc3339(wake));
        }
        assert_eq!(world.reasons(), ["too_late"], "{kind:?}");
        assert!(
            world.sent.len() > 20,
            "{kind:?} was tried only {} times",
            world.sent.len()
        );
        assert!(world.now > at("2026-11-25T08:00:00Z") && world.now < at("2026-11-25T08:06:00Z"));
    }
}

#[test]
fn retry_after_is_obeyed() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world.decide().go_to("2026-11-25T02:00:00Z");
    let mut throttled = answer(AnswerKind::Throttled);
    throttled.retry_after = Some(Duration::from_secs(90));
    world.answers(throttled);
    assert!(world.wake_at.unwrap() >= at("2026-11-25T02:01:30Z"));
}

#[test]
fn a_doubtful_tick_ends_as_unknown_and_is_never_sent_again() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world
        .decide()
        .go_to("2026-11-25T02:00:00Z")
        .answers(answer(AnswerKind::Doubtful));
    world
        .go_to("2026-11-25T02:30:00Z")
        .go_to("2026-11-25T07:00:00Z");
    assert_eq!((world.reasons(), world.sent.len()), (vec!["unknown"], 1));
}

#[test]
fn an_attempt_under_way_when_we_died_is_unknown_and_what_waited_goes_on() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world.decide().go_to("2026-11-25T02:00:00Z");
    let plan = interrupted(world.now, &world.state());
    world.store(plan).go_to("2026-11-25T02:00:10Z");
    assert_eq!((world.reasons(), world.sent.len()), (vec!["unknown"], 1));
    world
        .go_to("2026-11-26T02:00:00Z")
        .answers(answer(AnswerKind::NotSent));
    let plan = interrupted(world.now, &world.state());
    assert_eq!(plan, Plan::default());
    world.go_to("2026-11-26T02:30:00Z");
    assert_eq!(world.dues().last().unwrap(), "2026-11-26T02:00:00Z 2");
}

#[test]
fn a_permanent_refusal_ends_at_once() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world
        .decide()
        .go_to("2026-11-25T02:00:00Z")
        .answers(answer(AnswerKind::Refused));
    assert_eq!(world.reasons(), ["refused"]);
    assert!(
        world.ticks[0].note.contains("so it goes"),
        "{}",
        world.ticks[0].note
    );
}

#[test]
fn without_room_a_tick_waits_and_is_given_up_at_its_deadline() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world.decide();
    world.room.slots = 0;
    world.go_to("2026-11-25T02:00:00Z");
    assert_eq!(world.reasons(), ["waiting"]);
    let plan = plan(
        world.now,
        &world.entry,
        &world.state(),
        &mut world.room.clone(),
    );
    assert!(plan.wants_room);
    world.room.slots = 1;
    world.go_to("2026-11-25T02:10:00Z");
    assert_eq!(world.reasons(), ["sent"]);
    world.answers(started("r1"));
    world.room.slots = 0;
    world
        .go_to("2026-11-26T02:00:00Z")
        .go_to("2026-11-26T08:00:00.1Z");
    assert_eq!(world.reasons(), ["started", "too_late"]);
}

#[test]
fn a_tick_by_hand_never_moves_the_mark_and_ignores_the_schedule() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world.decide();
    let mark = world.mark.clone();
    world.entry.enabled = false;
    let plan = open_manual(
        world.now,
        &world.entry,
        "a1b2",
        RunRequest::default(),
        &mut world.room.clone(),
    );
    world.store(plan);
    assert_eq!(world.mark, mark);
    assert_eq!(
        world.sent[0].0.as_str(),
        "nightly@2026-11-25T01:00:00Z+a1b2"
    );
    world
        .answers(answer(AnswerKind::NotSent))
        .go_to("2026-11-25T01:30:00Z");
    assert_eq!(
        world.sent.len(),
        2,
        "an entry that is switched off still finishes what a person asked for"
    );
}

#[test]
fn a_removed_entry_withdraws_what_waits_and_keeps_what_is_under_way() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world
        .decide()
        .go_to("2026-11-25T02:00:00Z")
        .answers(answer(AnswerKind::Busy));
    let open = open_manual(
        world.now,
        &world.entry,
        "a1b2",
        RunRequest::default(),
        &mut world.room.clone(),
    );
    world.store(open);
    let plan = withdraw(world.now, &world.state());
    world.store(plan);
    assert_eq!(world.reasons(), ["withdrawn", "sent"]);
    assert_eq!(world.mark, None);
}

#[test]
fn a_late_answer_to_a_tick_that_is_over_changes_nothing() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world
        .decide()
        .go_to("2026-11-25T02:00:00Z")
        .answers(answer(AnswerKind::Refused));
    let (id, attempt) = world.sent[0].clone();
    assert_eq!(
        settle(world.now, &world.state(), &id, attempt, started("r9")),
        Plan::default()
    );
}

#[test]
fn four_days_of_every_second_cost_what_is_kept() {
    let mut world = World::at("2026-11-24T00:00:00Z").with(|entry| {
        entry.catch_up = CatchUp::All;
        entry.deadline = Duration::from_secs(86_400 * 30);
    });
    world
        .cron("* * * * * *")
        .decide()
        .go_to("2026-11-28T00:00:00Z");
    assert_eq!(
        world.sent.len(),
        64,
        "as many as there is room for leave at once; the others of the 100 wait"
    );
    assert_eq!(world.ticks.len(), 101);
    assert_eq!(world.ticks[0].missed.unwrap().count, 4 * 86_400 - 100);
}

#[test]
fn backoff_grows_to_its_cap_is_spread_by_the_tick_and_is_the_same_every_time() {
    let retry = Retry::default();
    let waits: Vec<Duration> = (1..=40)
        .map(|failure| retry.backoff(failure, "a@1"))
        .collect();
    assert!(
        waits
            .iter()
            .all(|wait| *wait <= retry.max_backoff && *wait >= Duration::from_millis(200)),
        "{waits:?}"
    );
    assert_eq!(
        waits,
        (1..=40)
            .map(|failure| retry.backoff(failure, "a@1"))
            .collect::<Vec<_>>()
    );
    assert_ne!(retry.backoff(5, "a@1"), retry.backoff(5, "b@1"));
    let exact = Retry {
        jitter: crate::domain::retry::Jitter::None,
        ..retry
    };
    let seconds: Vec<u64> = (1..=9)
        .map(|failure| exact.backoff(failure, "").as_secs())
        .collect();
    assert_eq!(seconds, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
    assert_eq!(exact.backoff(u32::MAX, ""), retry.max_backoff);
}

#[test]
fn an_account_whose_credentials_are_refused_sends_one_probe_then_rests_longer_each_time() {
    let now = at("2026-11-25T02:00:00Z");
    let mut pace = Pace::default();
    let refused = answer(AnswerKind::Unauthorized);
    assert_eq!(
        pace.answered(now, now, &refused),
        Some(Duration::ZERO),
        "renewed credentials are tried at once"
    );
    for _ in 0..63 {
        let left_together = now - TimeDelta::milliseconds(5);
        assert_eq!(
            pace.answered(now, left_together, &refused),
            None,
            "a burst is one failure"
        );
    }
    assert_eq!(pace.admit(now), Admit::Go);
    pace.sent();
    assert_eq!(pace.admit(now), Admit::AfterProbe);
    assert_eq!(
        pace.answered(now, now, &refused),
        Some(Duration::from_secs(60))
    );
    assert_eq!(
        pace.admit(now),
        Admit::RestUntil(after(now, Duration::from_secs(60)))
    );
    let later = after(now, Duration::from_secs(60));
    assert_eq!(pace.admit(later), Admit::Go);
    pace.sent();
    assert_eq!(
        pace.answered(later, later, &refused),
        Some(Duration::from_secs(120))
    );
    let earlier = at("2025-01-01T00:00:00Z");
    assert_eq!(
        pace.admit(earlier),
        Admit::Go,
        "a clock set back must not make it rest for years"
    );
    pace.sent();
    assert_eq!(
        pace.answered(later, later, &answer(AnswerKind::Doubtful)),
        None
    );
    assert_eq!(
        pace.admit(after(later, Duration::from_secs(121))),
        Admit::Go,
        "a lost probe lets another one try"
    );
    pace.sent();
    assert_eq!(pace.answered(later, later, &started("r1")), None);
    assert_eq!(pace, Pace::default());
}

#[test]
fn a_throttled_account_rests_as_long_as_the_service_says() {
    let now = at("2026-11-25T02:00:00Z");
    let mut pace = Pace::default();
    let mut throttled = answer(AnswerKind::Throttled);
    assert_eq!(
        pace.answered(now, now, &throttled),
        Some(Duration::from_secs(3))
    );
    throttled.retry_after = Some(Duration::from_secs(1800));
    assert_eq!(
        pace.answered(now, now, &throttled),
        Some(Duration::from_secs(1800))
    );
    assert_eq!(
        pace.admit(now),
        Admit::RestUntil(after(now, Duration::from_secs(1800)))
    );
    throttled.retry_after = Some(Duration::from_secs(86_400));
    assert_eq!(
        pace.answered(now, now, &throttled),
        Some(Duration::from_secs(3600)),
        "a rest has a limit"
    );
}
