//! What holds starts back, in the loop: places of an account, other runs of a pipeline, the breaker, the fuse.

use pipecron::domain::Overlap;

use super::*;

fn with_places(mut config: Config, places: u32) -> Config {
    for account in config.accounts.values_mut() {
        Arc::make_mut(account).max_running = Some(places);
    }
    config
}

fn with_priority(name: &str, cron: &str, priority: i32) -> Entry {
    let mut entry = entry(name, cron);
    entry.policy.follow = true;
    entry.policy.priority = priority;
    entry
}

fn with_overlap(name: &str, cron: &str, overlap: Overlap) -> Entry {
    let mut entry = entry(name, cron);
    entry.policy.follow = true;
    entry.policy.overlap = overlap;
    entry
}

/// The entries whose runs were started, in that order.
fn started(world: &World) -> Vec<String> {
    let name = |marker: String| {
        let tick = marker.rsplit(' ').next().unwrap().to_owned();
        tick.split('@').next().unwrap().to_owned()
    };
    world.service.markers().into_iter().map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_free_place_goes_to_the_higher_priority_then_to_the_earlier_due_time() {
    let mut world = World::at("2026-11-24T01:59:30Z");
    let entries = [
        with_priority("low", "0 2 * * *", -1),
        with_priority("b-later", "1 2 * * *", 0),
        with_priority("c-early", "0 2 * * *", 0),
        with_priority("d-early", "0 2 * * *", 0),
        with_priority("high", "0 2 * * *", 7),
        with_priority("highest-later", "2 2 * * *", 9),
    ];
    world.begin(with_places(config(entries), 1));
    world.passes(Duration::from_secs(240)).await;
    assert_eq!(started(&world), ["high"], "one place, and one start");
    for done in 1..=5 {
        world.service.ends(&format!("run-{done}"), "COMPLETED");
        world.passes(Duration::from_secs(240)).await;
        assert_eq!(started(&world).len(), done + 1);
    }
    assert_eq!(
        started(&world),
        [
            "high",
            "highest-later",
            "c-early",
            "d-early",
            "b-later",
            "low"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn more_places_are_used_as_soon_as_they_are_configured() {
    let mut world = World::at("2026-11-24T01:59:30Z");
    let entries = || (0..10).map(|n| with_priority(&format!("n{n}"), "0 2 * * *", 0));
    world.begin(with_places(config(entries()), 2));
    world.passes(HOUR).await;
    assert_eq!(started(&world).len(), 2);
    world.reload(Ok(with_places(config(entries()), 5))).await;
    world.passes(Duration::from_secs(5)).await;
    assert_eq!(started(&world).len(), 5);
    world.reload(Ok(config(entries()))).await;
    world.passes(Duration::from_secs(5)).await;
    assert_eq!(started(&world).len(), 10, "no limit any more");
}

#[tokio::test(start_paused = true)]
async fn a_queue_starts_soon_after_the_run_before_it_is_over() {
    let mut world = World::at("2026-11-24T01:59:30Z");
    world.start([
        with_overlap("first", "0 2 * * *", Overlap::Queue),
        with_overlap("second", "1 2 * * *", Overlap::Queue),
    ]);
    world.passes(4 * HOUR).await;
    assert_eq!(started(&world), ["first"]);
    let surveys = world.service.surveys.load(Ordering::SeqCst);
    assert!(
        (120..400).contains(&surveys),
        "{surveys} looks in four hours"
    );
    world.service.ends("run-1", "COMPLETED");
    world.passes(Duration::from_secs(125)).await;
    assert_eq!(started(&world), ["first", "second"]);
}

#[tokio::test(start_paused = true)]
async fn a_replaced_run_is_stopped_and_is_over_before_the_new_one_starts() {
    let mut world = World::at("2026-11-24T01:59:30Z");
    world.start([with_overlap("a", "0 * * * *", Overlap::Replace)]);
    world.passes(HOUR).await;
    assert_eq!(started(&world), ["a"]);
    world.passes(HOUR).await;
    assert_eq!(started(&world), ["a", "a"]);
    assert_eq!(world.ends().await, ["canceled", "running"]);
}

#[tokio::test(start_paused = true)]
async fn entries_of_one_pipeline_that_are_due_together_start_one_run() {
    let mut world = World::at("2026-11-24T01:59:30Z");
    world.start((0..20).map(|n| with_overlap(&format!("n{n}"), "0 2 * * *", Overlap::Skip)));
    world.passes(HOUR).await;
    assert_eq!(started(&world).len(), 1);
    let ends = world.ends().await;
    assert_eq!(
        ends.iter().filter(|end| **end == "skipped").count(),
        19,
        "{ends:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn while_the_service_is_away_looks_probe_it_and_afterwards_starts_come_few_at_first() {
    let mut world = World::at("2026-11-24T00:59:30Z");
    world.start(
        (0..200)
            .map(|n| entry(&format!("n{n}"), "0 2 * * *"))
            .chain([entry("early", "0 1 * * *")]),
    );
    world.passes(HOUR / 2).await;
    world.service.always(Some(AnswerKind::NotSent));
    world.passes(2 * HOUR).await;
    let tried = started(&world).len();
    assert!(tried <= 1 + 64 + 5, "{tried} starts tried");
    let probes = world.service.surveys.load(Ordering::SeqCst);
    assert!(
        (40..130).contains(&probes),
        "{probes} probes in an hour and a half"
    );
    world.service.always(None);
    world.service.most_under_way.store(0, Ordering::SeqCst);
    // The probe, and then one start, two, four: each takes 0.3 s.
    while started(&world).len() == tried {
        world.passes(Duration::from_millis(100)).await;
    }
    for most in [1, 2, 4, 8] {
        let now = world.service.most_under_way.load(Ordering::SeqCst);
        assert!(now <= most, "{now} under way, {most} at most");
        world.passes(Duration::from_millis(300)).await;
    }
    world.passes(HOUR).await;
    assert!(
        world
            .ticks()
            .await
            .iter()
            .all(|tick| state(tick) == "started")
    );
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_to_and_fro_starts_no_more_than_the_pattern_can_mean() {
    let mut world = World::at("2026-11-24T01:00:00Z");
    world.start([entry("nightly", "0 2 * * *")]);
    world.passes(Duration::from_secs(60)).await;
    for day in 24..=29 {
        for _ in 0..3 {
            world
                .clock
                .set(format!("2026-11-{day}T01:59:58Z").parse().unwrap());
            world.passes(Duration::from_secs(30)).await;
            world.clock.set("2026-11-24T01:10:00Z".parse().unwrap());
            world.passes(Duration::from_secs(30)).await;
        }
    }
    let starts = started(&world).len();
    assert_eq!(
        starts, 3,
        "what was due in a day and as late as a start may be, and one more"
    );
    let held = world.ticks().await;
    assert!(
        held.iter()
            .any(|tick| tick.note.contains("held back by the fuse"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_takes_longer_than_the_wait_before_the_next_look_forgets_no_tick() {
    for takes in [1, 6, 100] {
        let mut world = World::at("2026-11-24T01:59:30Z");
        *world.service.stop_takes.lock().unwrap() = Duration::from_secs(takes);
        world.service.begins("foreign");
        world.start([with_overlap("a", "0 2 * * *", Overlap::Replace)]);
        world.passes(Duration::from_secs(takes + 60)).await;
        let (markers, ticks) = (world.service.markers(), world.ticks().await);
        assert_eq!(markers.len(), 1, "{takes} s: {ticks:?}");
    }
}

/// One place, free all night.
#[tokio::test(start_paused = true)]
async fn one_that_waits_for_its_pipeline_keeps_nobody_from_a_place_that_is_free() {
    let mut world = World::at("2026-11-24T01:59:30Z");
    world.service.begins("foreign");
    let waits = with_overlap("a", "0 2 * * *", Overlap::Queue);
    let free = with_priority("b", "10 5 * * *", -5);
    world.begin(with_places(config([waits, free]), 1));
    world.passes(5 * HOUR).await;
    assert_eq!(started(&world), ["b"], "{:?}", world.ticks().await);
    // And when the pipeline is free and the place is not, it waits for the place.
    world.service.ends("foreign", "COMPLETED");
    world.passes(Duration::from_secs(300)).await;
    assert_eq!(started(&world), ["b"]);
    world.service.ends("run-1", "COMPLETED");
    world.passes(Duration::from_secs(300)).await;
    assert_eq!(started(&world), ["b", "a"]);
}

/// While somebody who was called looks at its pipeline, its place is kept: also when others come meanwhile.
#[tokio::test(start_paused = true)]
async fn a_place_is_kept_for_who_looks_at_its_pipeline() {
    let mut world = World::at("2026-11-24T01:58:30Z");
    *world.service.survey_takes.lock().unwrap() = Duration::from_secs(5);
    let mut first = with_overlap("first", "0 2 * * *", Overlap::Skip);
    first.policy.priority = 5;
    let entries = [
        first,
        // The account has to be known to work, or only one request would leave at first.
        with_priority("early", "59 1 * * *", 0),
        with_priority("second", "0 2 * * *", 0),
        with_priority("third", "2 0 2 * * *", 0),
    ];
    world.begin(with_places(config(entries), 1));
    world.passes(Duration::from_secs(35)).await;
    world.service.ends("run-1", "COMPLETED");
    world.passes(Duration::from_secs(120)).await;
    assert_eq!(started(&world), ["early", "first"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_ahead_makes_no_run_of_a_minute_stuck_or_overdue() {
    let mut world = World::at("2026-11-24T01:59:30Z");
    let mut guarded = with_overlap("a", "0 * * * *", Overlap::Skip);
    guarded.policy.run_timeout = Some(HOUR / 2);
    world.start([guarded]);
    world.passes(Duration::from_secs(120)).await;
    assert_eq!(world.service.markers().len(), 1);
    world.clock.step(TimeDelta::minutes(60));
    world.passes(Duration::from_secs(120)).await;
    assert_eq!(world.ends().await, ["running", "skipped"]);
    let is_overdue = |ticks: Vec<Tick>| {
        let mut runs = ticks.into_iter().filter_map(|tick| tick.run);
        runs.next().unwrap().overdue
    };
    assert!(!is_overdue(world.ticks().await));
    // It is when that time has really passed.
    world.passes(HOUR / 2).await;
    assert!(is_overdue(world.ticks().await));
    world.passes(HOUR / 2).await;
    assert_eq!(
        world.service.markers().len(),
        2,
        "and holds nobody back then"
    );
}

/// Its account was removed, say.
#[tokio::test(start_paused = true)]
async fn a_run_that_can_never_be_looked_at_again_ends_and_gives_its_place_back() {
    let mut world = World::at("2026-11-24T01:59:30Z");
    let entries = [
        with_priority("a", "0 2 24 11 *", 0),
        with_priority("b", "0 3 24 11 *", 0),
    ];
    let mut entries = entries;
    entries[1].deadline = 24 * 30 * HOUR;
    world.begin(with_places(config(entries), 1));
    world.passes(Duration::from_secs(120)).await;
    world.service.blind.store(true, Ordering::SeqCst);
    world.passes(24 * 5 * HOUR).await;
    // An outage is none of that.
    world.service.blind.store(false, Ordering::SeqCst);
    world.passes(HOUR).await;
    world.service.blind.store(true, Ordering::SeqCst);
    world.passes(24 * HOUR + HOUR / 2).await;
    assert_eq!(started(&world), ["a"]);
    world.passes(HOUR).await;
    assert_eq!(
        world.ends().await,
        ["running", "waiting"],
        "a day, but not a week"
    );
    world.passes(24 * 2 * HOUR).await;
    assert_eq!(started(&world), ["a", "b"]);
    let over = world.ticks().await[0].clone();
    assert_eq!(state(&over), "unknown");
    assert!(
        over.note.contains("could not be looked at for"),
        "{}",
        over.note
    );
}

/// The clock was set ahead while many are in doubt: their looks wait by the clock that was not.
#[tokio::test(start_paused = true)]
async fn looks_that_wait_for_their_time_take_no_place_among_the_requests() {
    const DOUBTS: usize = 64;
    let mut world = World::at("2026-11-24T01:58:59Z");
    let nightly = |name: String| {
        let mut nightly = entry(&name, "0 2 * * *");
        nightly.policy.settle = 3 * HOUR;
        nightly
    };
    // Every other one is lost, so that the breaker stays shut.
    let lost_and_started = (0..DOUBTS).flat_map(|number| {
        let started = AnswerKind::Started {
            run_id: format!("x{number}"),
            queue_id: None,
        };
        [started, AnswerKind::Doubtful]
    });
    let first = AnswerKind::Started {
        run_id: "first".to_owned(),
        queue_id: None,
    };
    world.service.answers([first]);
    world.service.answers(lost_and_started);
    // It comes due when they wait already.
    let mut late = entry("late", "10 2 * * *");
    late.account = AccountName::parse("other").unwrap();
    let entries = (0..2 * DOUBTS).map(|number| nightly(format!("n{number}")));
    world.start(entries.chain([entry("early", "59 1 * * *"), late]));
    world.passes(Duration::from_secs(90)).await;
    let doubts = world.ends().await;
    let doubts = doubts.iter().filter(|end| **end == "doubtful").count();
    assert_eq!(doubts, DOUBTS);
    world.clock.step(TimeDelta::seconds(566));
    world.passes(Duration::from_secs(10)).await;
    assert!(world.now() > "2026-11-24T02:10:00Z".parse::<Timestamp>().unwrap());
    assert!(started(&world).contains(&"late".to_owned()));
    assert_eq!(
        world.service.finds.load(Ordering::SeqCst),
        0,
        "none is early"
    );
}

/// It was opened while the clock was ahead, waits for a place, and has its time yet to come.
#[tokio::test(start_paused = true)]
async fn one_that_was_called_and_is_not_due_makes_way_for_the_next() {
    let mut world = World::at("2026-11-24T01:59:30Z");
    let entries = [
        with_priority("runs", "0 2 24 11 *", 0),
        with_priority("ahead", "30 3 25 11 *", 9),
        with_priority("later", "0 6 24 11 *", -5),
    ];
    world.begin(with_places(config(entries), 1));
    world.passes(Duration::from_secs(120)).await;
    assert_eq!(started(&world), ["runs"]);
    world.clock.step(TimeDelta::hours(25));
    world.passes(HOUR / 2).await;
    let waits = world.ticks().await;
    assert!(
        waits
            .iter()
            .any(|tick| tick.entry.as_str() == "ahead" && state(tick) == "waiting"),
        "{waits:?}"
    );
    world.clock.step(-TimeDelta::hours(25));
    world.passes(4 * HOUR).await;
    assert_eq!(started(&world), ["runs"]);
    world.service.ends("run-1", "COMPLETED");
    world.passes(Duration::from_secs(300)).await;
    assert_eq!(started(&world), ["runs", "later"]);
}
