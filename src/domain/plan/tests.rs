//! Decisions as stories: a world with one entry, a clock that is told, and a ledger that forgets nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::domain::schedule::Schedule;
use crate::domain::sighting::{Look, RunStatus, SeenRun, Sighting};
use crate::domain::zone::Zone;
use crate::domain::{
    AccountName, AnswerKind, CatchUp, EntryName, OnDoubt, Pause, PipelineAt, Policy, RECENT_DAYS,
    Retry, RunRequest, Scope, Skip,
};

mod calendars;
mod limits;
mod pauses;
mod time;

struct World {
    now: Timestamp,
    entry: Entry,
    mark: Option<Mark>,
    ticks: Vec<Tick>,
    sent: Vec<(TickId, u32)>,
    /// Looks that are asked for and not answered.
    finds: Vec<(TickId, u32)>,
    /// Whether each look is answered at once: nothing there.
    nothing_there: bool,
    running: Vec<TickId>,
    /// Looks at the pipeline that are asked for and not answered.
    surveys: Vec<TickId>,
    /// Runs that were asked to stop.
    stops: Vec<String>,
    /// Pipelines that were looked at to learn whether the service works.
    probes: Vec<PipelineAt>,
    /// Ticks that wait for a place of the account.
    in_turn: Vec<TickId>,
    /// What the ledger knows of other entries.
    others: Vec<Tick>,
    /// What is marked to be skipped.
    skips: Vec<Skip>,
    /// What is, or was, held still.
    pauses: Vec<Pause>,
    room: Room,
    wake_at: Option<Timestamp>,
}

/// What somebody wants who says nothing of it.
fn wanted() -> ByHand<'static> {
    ByHand {
        random: "a1b2",
        due: None,
        variables: &[],
        why: "triggered by hand",
    }
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
                policy: Policy {
                    follow: false,
                    ..Policy::default()
                },
                enabled: true,
                not_before: None,
                not_after: None,
                alarm: Default::default(),
                ping: None,
                labels: Arc::default(),
                templates: None,
            },
            mark: None,
            ticks: Vec::new(),
            sent: Vec::new(),
            finds: Vec::new(),
            nothing_there: true,
            running: Vec::new(),
            surveys: Vec::new(),
            stops: Vec::new(),
            probes: Vec::new(),
            in_turn: Vec::new(),
            others: Vec::new(),
            skips: Vec::new(),
            pauses: Vec::new(),
            room: Room {
                slots: 64,
                ..Room::default()
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
            .map_or(self.now, |mark| mark.since(self.now));
        let moves = self.mark.as_ref().is_some_and(Mark::moves);
        let recent_since = since - RECENT_DAYS;
        let scheduled = self
            .ticks
            .iter()
            .filter(|tick| tick.origin == Origin::Scheduled);
        EntryState {
            mark: self.mark.clone(),
            open: self
                .ticks
                .iter()
                .filter(|tick| !tick.state.is_ended() || tick.is_watched())
                .cloned()
                .collect(),
            decided: scheduled
                .map(|tick| tick.due)
                .filter(|due| *due > since)
                .collect(),
            recent: self.recent(recent_since),
            pauses: self.pauses.clone(),
            skips: (self.skips.iter())
                .filter(|skip| skip.due > if moves { recent_since } else { since })
                .map(|skip| (skip.due, skip.clone()))
                .collect(),
            others: self.others.clone(),
            taken: self.taken(),
            last_success: self
                .ticks
                .iter()
                .filter_map(Tick::success)
                .max_by_key(|success| success.due),
            known_numbers: BTreeMap::new(),
        }
    }

    fn recent(&self, since: Timestamp) -> BTreeSet<Timestamp> {
        if !self.mark.as_ref().is_some_and(Mark::moves) {
            return BTreeSet::new();
        }
        let known = self
            .ticks
            .iter()
            .filter(|tick| tick.origin == Origin::Scheduled && tick.due >= since);
        known
            .flat_map(|tick| tick.moved_from.iter().copied().chain([tick.due]))
            .collect()
    }

    fn taken(&self) -> BTreeMap<AccountName, u32> {
        let mut taken = BTreeMap::new();
        for tick in self.ticks.iter().chain(&self.others) {
            if tick.holds_place() {
                *taken.entry(tick.account.clone()).or_default() += 1;
            }
        }
        taken
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
                        !known.state.is_ended()
                            || (known.is_watched() && known.state == tick.state),
                        "{} was over and is changed",
                        known.id
                    );
                    *known = tick;
                }
                None => self.ticks.push(tick),
            }
        }
        for ask in plan.asks {
            match ask {
                Ask::Start(tick) => {
                    let is_early = self.now < tick.due && tick.origin == Origin::Scheduled;
                    assert!(!is_early, "{} sent before its instant", tick.id);
                    self.sent.push((tick.id.clone(), tick.attempts));
                }
                Ask::Find { tick, .. } => self.finds.push((tick.id, tick.doubt.unwrap().looks)),
                Ask::Survey(tick) => self.surveys.push(tick.id),
                Ask::Stop { runs, .. } => self.stops.extend(runs.into_iter().map(|run| run.id)),
                Ask::Probe(at) => self.probes.push(at),
            }
        }
        self.running
            .extend(plan.running.iter().map(|tick| tick.id.clone()));
        self.in_turn = plan.in_turn.into_iter().map(|turn| turn.tick).collect();
        self.wake_at = plan.wake_at;
        self
    }

    /// What is left of the room beside the requests under way.
    fn free(&self) -> Room {
        let sent = self
            .ticks
            .iter()
            .filter(|tick| tick.state.name() == "sent")
            .count();
        let under_way = sent + self.finds.len();
        Room {
            slots: self.room.slots.saturating_sub(under_way),
            under_way: self
                .surveys
                .iter()
                .chain(&self.room.under_way)
                .cloned()
                .collect(),
            ..self.room.clone()
        }
    }

    fn decide(&mut self) -> &mut Self {
        let plan = plan(self.now, &self.entry, &self.state(), &mut self.free());
        self.store(plan);
        let again = super::plan(self.now, &self.entry, &self.state(), &mut self.free());
        assert!(
            again.is_empty() && again.asks.iter().all(|ask| matches!(ask, Ask::Probe(_))),
            "deciding twice changed {} rows",
            again.changes.len()
        );
        while self.nothing_there && !self.finds.is_empty() {
            self.sees(Sighting::Absent);
            let plan = super::plan(self.now, &self.entry, &self.state(), &mut self.free());
            self.store(plan);
        }
        self
    }

    /// The oldest look is answered.
    fn sees(&mut self, sighting: Sighting) -> &mut Self {
        let (id, looks) = self.finds.remove(0);
        let plan = found(self.now, &self.state(), &id, looks, sighting);
        self.store(plan)
    }

    /// The oldest look at the pipeline is answered.
    fn surveys(&mut self, survey: Survey) -> &mut Self {
        let id = self.surveys.remove(0);
        let plan = surveyed(self.now, &self.state(), &id, survey, &mut self.free());
        self.store(plan)
    }

    fn looks(&mut self, look: Look) -> &mut Self {
        let id = self.ticks.last().unwrap().id.clone();
        let plan = looked(self.now, &self.state(), &id, &look, Followed::default());
        self.store(plan)
    }

    /// Goes on to the next instant it wants to be woken at.
    fn wakes(&mut self) -> &mut Self {
        self.now = self.wake_at.unwrap().max(self.now);
        self.decide()
    }

    fn go_to(&mut self, now: &str) -> &mut Self {
        self.go_on_at(at(now))
    }

    fn go_on_at(&mut self, now: Timestamp) -> &mut Self {
        self.now = now;
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
        let reason = |tick: &Tick| tick.state.word();
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
    assert_eq!(
        world.ticks[0].id.as_str(),
        "nightly@2026-11-28T02:00:00Z~2026-11-28T07:00:00Z"
    );
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
    world.go_on_at(start);
    assert_eq!(world.dues(), ["2026-11-25T02:00:00Z 1"]);
}

#[test]
fn refusals_in_passing_are_counted_and_end() {
    let mut world =
        World::at("2026-11-25T01:00:00Z").with(|entry| entry.policy.retry.max_attempts = 3);
    world.decide().go_to("2026-11-25T02:00:00Z");
    for _ in 0..2 {
        world.answers(answer(AnswerKind::RefusedInPassing));
        let wake = world.wake_at.unwrap();
        assert!(wake > world.now);
        world.go_on_at(wake);
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
            World::at("2026-11-25T01:00:00Z").with(|entry| entry.policy.retry.max_attempts = 1);
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
            world.go_on_at(wake);
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

fn seen(run_id: &str, status: &str) -> SeenRun {
    SeenRun {
        run_id: run_id.to_owned(),
        number: Some(7),
        status: Some(RunStatus(status.to_owned())),
        started_at: None,
        ended_at: None,
        seen_at: None,
        queue_id: None,
        description: None,
        failed_stage: None,
    }
}

fn in_doubt() -> World {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world.nothing_there = false;
    world
        .decide()
        .go_to("2026-11-25T02:00:00Z")
        .answers(answer(AnswerKind::Doubtful));
    world
}

#[test]
fn a_lost_answer_is_never_sent_again_before_looks_that_span_settle_found_nothing() {
    let mut world = in_doubt();
    for look in 0..5 {
        assert_eq!(
            (world.reasons(), world.sent.len()),
            (vec!["doubtful"], 1),
            "look {look}"
        );
        world.wakes().sees(Sighting::Absent);
    }
    assert!(world.now >= at("2026-11-25T02:03:00Z"), "{}", world.now);
    assert_eq!(world.reasons(), ["waiting"]);
    world.decide();
    assert_eq!(
        world.dues(),
        ["2026-11-25T02:00:00Z 1", "2026-11-25T02:00:00Z 2"]
    );
}

#[test]
fn a_run_found_by_its_marker_is_adopted_even_at_the_last_look() {
    let mut world = in_doubt();
    for _ in 0..4 {
        world.wakes().sees(Sighting::Absent);
    }
    world
        .wakes()
        .sees(Sighting::Found(Box::new(seen("r7", "RUNNING"))));
    assert_eq!((world.reasons(), world.sent.len()), (vec!["started"], 1));
    let run = world.ticks[0].run.as_ref().unwrap();
    assert_eq!((run.id.as_str(), run.number), ("r7", Some(7)));
}

#[test]
fn on_doubt_give_up_never_sends_again() {
    let mut world = in_doubt();
    world.ticks[0].policy.on_doubt = OnDoubt::GiveUp;
    for _ in 0..5 {
        world.wakes().sees(Sighting::Absent);
    }
    world.go_to("2026-11-25T07:00:00Z");
    assert_eq!((world.reasons(), world.sent.len()), (vec!["gave_up"], 1));
}

#[test]
fn looks_that_cannot_tell_count_for_nothing_and_end_as_unknown_in_the_end() {
    for sighting in [
        Sighting::Unexplained("a queue record".to_owned()),
        Sighting::Failed(answer(AnswerKind::NotSent)),
    ] {
        let mut world = in_doubt();
        for round in 0..500 {
            assert!(round < 499, "{sighting:?} never ends");
            if world.reasons() == ["doubtful"] {
                world.wakes();
            }
            if world.finds.is_empty() {
                break;
            }
            world.sees(sighting.clone());
        }
        assert_eq!((world.reasons(), world.sent.len()), (vec!["unknown"], 1));
        assert!(world.now > at("2026-11-25T08:00:00Z"), "{}", world.now);
    }
}

#[test]
fn an_answer_to_an_older_look_changes_nothing_unless_it_tells_of_the_run() {
    let mut world = in_doubt();
    world.wakes();
    let (id, looks) = world.finds[0].clone();
    world.sees(Sighting::Absent);
    let plan = found(world.now, &world.state(), &id, looks, Sighting::Absent);
    assert_eq!(plan, Plan::default());
    let plan = found(
        world.now,
        &world.state(),
        &id,
        looks,
        Sighting::Found(Box::new(seen("r1", "RUNNING"))),
    );
    world.store(plan);
    assert_eq!(world.reasons(), ["started"]);
}

#[test]
fn absence_is_believed_only_before_the_deadline_for_a_new_attempt() {
    let mut world = in_doubt();
    world.ticks[0].deadline = at("2026-11-25T02:01:00Z");
    for _ in 0..5 {
        world.wakes().sees(Sighting::Absent);
    }
    assert_eq!((world.reasons(), world.sent.len()), (vec!["too_late"], 1));
}

#[test]
fn an_attempt_under_way_when_we_died_is_in_doubt_and_what_waited_goes_on() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world.nothing_there = false;
    world.decide().go_to("2026-11-25T02:00:00Z");
    let plan = interrupted(world.now, &world.state());
    world.store(plan);
    assert_eq!(world.reasons(), ["doubtful"]);
    world
        .wakes()
        .sees(Sighting::Found(Box::new(seen("r1", "RUNNING"))));
    assert_eq!((world.reasons(), world.sent.len()), (vec!["started"], 1));
    world
        .go_to("2026-11-26T02:00:00Z")
        .answers(answer(AnswerKind::NotSent));
    let plan = interrupted(world.now, &world.state());
    assert_eq!(plan.asks, []);
    world.store(plan);
    assert_eq!(world.reasons(), ["started", "waiting"]);
    // The ledger may be a restored backup: a look comes before the attempt, and costs no refusal.
    world.go_to("2026-11-26T02:30:00Z");
    assert_eq!(world.reasons(), ["started", "doubtful"]);
    world.sees(Sighting::Absent).wakes();
    assert_eq!(world.dues().last().unwrap(), "2026-11-26T02:00:00Z 2");
    assert_eq!(world.ticks[1].refusals, 0);
}

#[test]
fn a_look_that_died_with_us_is_made_again_after_the_restart() {
    let mut world = in_doubt();
    world.wakes();
    world.finds.clear();
    let plan = interrupted(world.now, &world.state());
    world.store(plan);
    world.wakes();
    assert_eq!(world.finds.len(), 1);
    assert!(world.now < at("2026-11-25T02:01:00Z"), "{}", world.now);
}

#[test]
fn a_caught_up_tick_is_looked_for_before_its_first_attempt() {
    let mut world = World::at("2026-11-24T04:00:00Z");
    world.nothing_there = false;
    world.decide().go_to("2026-11-25T03:00:00Z");
    assert_eq!(
        (world.reasons(), world.sent.len(), world.finds.len()),
        (vec!["doubtful"], 0, 1)
    );
    world.sees(Sighting::Found(Box::new(seen("r1", "COMPLETED"))));
    assert_eq!(
        (world.reasons(), world.sent.len()),
        (vec!["started"], 0),
        "a restored backup starts nothing twice"
    );
    world
        .go_to("2026-11-26T03:00:00Z")
        .sees(Sighting::Absent)
        .decide();
    assert_eq!(world.dues(), ["2026-11-26T02:00:00Z 1"]);
    assert_eq!(world.ticks[1].refusals, 0);
}

fn running() -> World {
    let mut world = World::at("2026-11-25T01:00:00Z");
    world.entry.policy.follow = true;
    world.entry.policy.run_timeout = Some(Duration::from_secs(3600));
    world
        .decide()
        .go_to("2026-11-25T02:00:00Z")
        .answers(started("r1"));
    world
}

#[test]
fn a_followed_run_ends_as_the_service_says() {
    for (status, reason) in [
        ("COMPLETED", "succeeded"),
        ("FAILED", "failed"),
        ("CANCELED", "canceled"),
        ("IGNORED", "canceled"),
    ] {
        let mut world = running();
        assert_eq!((world.reasons(), world.running.len()), (vec!["running"], 1));
        world.looks(Look::Seen(Box::new(seen("r1", "RUNNING"))));
        for going_on in ["RUNNING", "PAUSED", "SUSPEND", "INIT", "A_NEW_WORD"] {
            world.looks(Look::Seen(Box::new(seen("r1", going_on))));
            assert_eq!(world.reasons(), ["running"], "{going_on}");
        }
        world.looks(Look::Seen(Box::new(seen("r1", status))));
        assert_eq!(world.reasons(), [reason]);
        assert_eq!(
            world.ticks[0].run.as_ref().unwrap().outcome.as_deref(),
            Some(status)
        );
    }
}

#[test]
fn a_run_that_takes_too_long_is_reported_once_and_followed_on() {
    let mut world = running();
    world.looks(Look::Seen(Box::new(seen("r1", "RUNNING"))));
    world.now = at("2026-11-25T03:00:01Z");
    let look = Look::Seen(Box::new(seen("r1", "RUNNING")));
    let plan = looked(
        world.now,
        &world.state(),
        &world.ticks[0].id.clone(),
        &look,
        Followed::default(),
    );
    assert!(plan.changes[0].tick.note.contains("overdue"), "{plan:?}");
    world.store(plan);
    assert_eq!(
        looked(
            world.now,
            &world.state(),
            &world.ticks[0].id.clone(),
            &look,
            Followed::default()
        ),
        Plan::default()
    );
    assert_eq!(world.reasons(), ["running"]);
}

#[test]
fn a_run_that_is_listed_late_is_waited_for_and_one_that_vanished_is_unknown() {
    let mut world = running();
    world.looks(Look::Vanished);
    assert_eq!(world.reasons(), ["running"]);
    world.now = at("2026-11-25T02:30:00Z");
    world.looks(Look::Vanished);
    assert_eq!(world.reasons(), ["unknown"]);
}

#[test]
fn looks_at_a_run_are_quick_at_first_and_slow_later() {
    let run = crate::domain::Run::started(at("2026-11-25T02:00:00Z"));
    let wait = |now: &str| (look_again(at(now), &run) - at(now)).num_seconds();
    assert_eq!(wait("2026-11-25T02:00:10Z"), 5);
    assert_eq!(wait("2026-11-25T02:20:00Z"), 60);
    assert_eq!(wait("2026-11-26T02:00:00Z"), 120);
    assert_eq!(wait("2026-11-25T01:00:00Z"), 5, "a clock that was set back");
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
        &world.state(),
        wanted(),
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
fn a_command_that_is_stopped_withdraws_its_tick_unless_it_is_under_way() {
    let mut world = World::at("2026-11-25T01:00:00Z");
    let open = open_manual(
        world.now,
        &world.entry,
        &world.state(),
        wanted(),
        &mut world.room.clone(),
    );
    let id = open.changes[0].tick.id.clone();
    world.store(open);
    assert_eq!(
        give_up(world.now, &world.state(), &id),
        Plan::default(),
        "what was sent is not taken back"
    );
    world.answers(answer(AnswerKind::NotSent));
    let plan = give_up(world.now, &world.state(), &id);
    world.store(plan).go_to("2026-11-25T01:30:00Z");
    assert_eq!((world.reasons(), world.sent.len()), (vec!["withdrawn"], 1));
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
        &world.state(),
        wanted(),
        &mut world.room.clone(),
    );
    world.store(open);
    let plan = withdraw(world.now, &world.state(), &mut world.room.clone());
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
fn looks_that_the_account_keeps_back_do_not_wait_ever_longer() {
    let waits = |kind: AnswerKind| {
        let mut world = in_doubt();
        for _ in 0..8 {
            world.wakes().sees(Sighting::Failed(answer(kind.clone())));
        }
        (world.wake_at.unwrap() - world.now).num_seconds()
    };
    // One throttled request turns back all that wait, and the account's rest spaces them.
    assert_eq!(waits(AnswerKind::KeptHere), 20);
    assert_eq!(waits(AnswerKind::Throttled), 20);
    assert_eq!(waits(AnswerKind::RefusedInPassing), 300);
    // A restart may have mended it.
    let mut world = in_doubt();
    for _ in 0..8 {
        let failed = answer(AnswerKind::RefusedInPassing);
        world.wakes().sees(Sighting::Failed(failed));
    }
    let plan = interrupted(world.now, &world.state());
    world.store(plan);
    assert!(world.wake_at.unwrap() - world.now < TimeDelta::seconds(10));
}

#[test]
fn a_template_that_makes_too_much_for_this_tick_ends_it_and_sends_nothing() {
    let mut world = World::at("2026-11-25T01:00:00Z").with(|entry| {
        let zones = crate::domain::template::Zones {
            own: Arc::new(Zone::utc()),
            named: BTreeMap::new(),
        };
        entry.templates = Some(Arc::new(zones));
        // From the second tick on it is longer than a description may be.
        let long = "x".repeat(960);
        entry.request.description = Some(format!(
            "{{{{ 'first' if last_success.due is undefined else '{long}' }}}} {{{{ tick.previous | default('-') }}}}"
        ));
    });
    world.entry.policy.follow = true;
    world.decide().go_to("2026-11-25T02:00:00Z");
    let first = &world.ticks[0];
    assert_eq!(
        first.request.description.as_deref(),
        Some("first 2026-11-24T02:00:00Z")
    );
    world.answers(started("r1"));
    world.ticks[0].state = TickState::Ended {
        reason: Reason::Succeeded,
        at: world.now,
    };
    world.go_to("2026-11-26T02:00:00Z");
    assert_eq!(world.reasons(), ["succeeded", "refused"]);
    assert_eq!(world.sent.len(), 1, "nothing was sent for it");
    let note = &world.ticks[1].note;
    assert!(
        note.starts_with("the template of `description`: it makes 981 characters, and ")
            && note.ends_with(" are possible; nothing was sent"),
        "{note}"
    );
    // A tick by hand is refused in the same way, and a variable given by hand is sent as it is.
    let variable = Variable {
        name: "A".to_owned(),
        value: crate::domain::request::VariableValue::Value("{{ tick.id }}".to_owned()),
    };
    let variables = [variable];
    let by_hand = |world: &World| {
        let room = &mut world.room.clone();
        open_manual(
            world.now,
            &world.entry,
            &world.state(),
            ByHand {
                variables: &variables,
                ..wanted()
            },
            room,
        )
    };
    let refused = by_hand(&world);
    assert!(refused.asks.is_empty());
    assert_eq!(refused.changes[0].tick.state.name(), "ended");
    world.entry.request.description = Some("{{ tick.origin }}".to_owned());
    let sent = by_hand(&world).changes[0].tick.request.clone();
    assert_eq!(sent.description.as_deref(), Some("manual"));
    assert_eq!(sent.variables.as_deref(), Some(variables.as_slice()));
}
