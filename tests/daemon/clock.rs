//! The clock is set back and ahead while the loop runs: no tick is started twice, and no entry falls silent.

use super::*;

const DAY: TimeDelta = TimeDelta::days(1);
const YEAR: TimeDelta = TimeDelta::days(365);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// How the clock comes to be set: the loop hears of it, or has to see it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Told {
    AtOnce,
    Never,
}

const BOTH: [Told; 2] = [Told::AtOnce, Told::Never];

impl World {
    fn steps(&self, by: TimeDelta, told: Told) {
        match told {
            Told::AtOnce => self.clock.step(by),
            Told::Never => self.clock.step_unheard(by),
        }
    }

    /// Each tick has one row, was sent once at most and not before its instant (P1, P2). Gives the due times of those
    /// of `entry` that were started, in their order.
    async fn once_each(&self, entry: &str) -> Vec<Timestamp> {
        let markers = self.service.markers();
        let different: BTreeSet<&String> = markers.iter().collect();
        assert_eq!(different.len(), markers.len(), "a tick was sent twice");
        let ticks = self.ticks().await;
        for tick in &ticks {
            assert!(tick.opened_at >= tick.due, "{} was opened early", tick.id);
            for attempt in self
                .ledger
                .story(tick.id.clone())
                .await
                .unwrap()
                .unwrap()
                .attempts
            {
                assert!(attempt.sent_at >= tick.due, "{} was sent early", tick.id);
            }
        }
        let started = ticks
            .iter()
            .filter(|tick| tick.entry.as_str() == entry && state(tick) == "started");
        let mut due: Vec<Timestamp> = started.map(|tick| tick.due).collect();
        due.sort_unstable();
        let count = due.len();
        due.dedup();
        assert_eq!(due.len(), count, "a due time has two rows");
        due
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_starts_no_tick_again_and_the_entries_go_on_from_what_it_shows() {
    let steps = [
        TimeDelta::seconds(2),
        TimeDelta::seconds(45),
        TimeDelta::hours(1),
        DAY,
        YEAR,
    ];
    for back in steps {
        for told in BOTH {
            let mut world = World::at("2026-11-24T01:30:00Z");
            world.start([entry("hourly", "0 * * * *"), entry("minutely", "* * * * *")]);
            // To half a minute after the tick of three.
            world.passes(Duration::from_secs(90 * 60 + 30)).await;
            world.steps(-back, told);
            let after_step = world.now();
            world.passes(2 * HOUR).await;
            world.stop().await;

            let what = format!("{back}, {told:?}");
            let minutes = world.once_each("minutely").await;
            let hours = world.once_each("hourly").await;
            // What the clock shows a second time runs for the first time, or ran already: either way it ran.
            let ran = |due: &[Timestamp], every: TimeDelta| {
                let mut next = after_step.with_second(0).unwrap() + TimeDelta::minutes(1);
                while next.minute() != 0 && every == TimeDelta::hours(1) {
                    next += TimeDelta::minutes(1);
                }
                while next <= world.now() {
                    assert!(due.contains(&next), "{next} did not run, {what}");
                    next += every;
                }
            };
            ran(&minutes, TimeDelta::minutes(1));
            ran(&hours, TimeDelta::hours(1));
            let warned = log::said(&["the clock was set back by", &back.num_seconds().to_string()]);
            assert!(!warned.is_empty(), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_ahead_decides_at_once_what_is_due_there() {
    for (told, soon) in [
        (Told::AtOnce, Duration::from_secs(2)),
        (Told::Never, Duration::from_secs(62)),
    ] {
        let mut world = World::at("2026-11-24T01:30:00Z");
        world.start([entry("nightly", "0 2 * * *")]);
        world.passes(Duration::from_secs(30)).await;
        world.steps(TimeDelta::hours(1), told);
        world.passes(soon).await;
        assert_eq!(world.ends().await, ["started"], "{told:?}");
        assert_eq!(
            world.service.finds.load(Ordering::SeqCst),
            1,
            "looked for first"
        );
        world.passes(24 * HOUR).await;
        let due = ["2026-11-24T02:00:00Z", "2026-11-25T02:00:00Z"].map(at);
        assert_eq!(world.once_each("nightly").await, due, "{told:?}");
        assert_eq!(
            log::said(&["the clock went 3600 s ahead"]).len(),
            1,
            "{told:?}"
        );
        world.kill();
        log::forget();
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_ahead_owes_what_it_passed_by_as_after_a_downtime() {
    let mut world = World::at("2026-11-24T01:30:00Z");
    let kinds = [
        ("none", CatchUp::None),
        ("latest", CatchUp::Latest),
        ("all", CatchUp::All),
    ];
    world.start(kinds.map(|(name, catch_up)| Entry {
        catch_up,
        ..entry(name, "0 * * * *")
    }));
    world.passes(Duration::from_secs(30)).await;
    world.clock.step(DAY);
    world.passes(Duration::from_secs(5)).await;
    let of = |ticks: &[Tick], name: &str, end: &str| -> usize {
        ticks
            .iter()
            .filter(|tick| tick.entry.as_str() == name && state(tick) == end)
            .map(|tick| {
                tick.missed
                    .map_or(1, |missed| usize::try_from(missed.count).unwrap())
            })
            .sum()
    };
    let ticks = world.ticks().await;
    // The deadline of all of them is six hours.
    for (name, started) in [("none", 0), ("latest", 1), ("all", 6)] {
        assert_eq!(of(&ticks, name, "started"), started, "{name}");
        assert_eq!(of(&ticks, name, "missed"), 24 - started, "{name}");
        world.once_each(name).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_for_a_minute_leaves_every_tick_of_the_present_to_its_time() {
    for ahead in [TimeDelta::hours(1), DAY, TimeDelta::days(4), YEAR] {
        for catch_up in [CatchUp::None, CatchUp::Latest] {
            let mut world = World::at("2026-11-24T01:30:00Z");
            // What is started while the clock is wrong is started: with this deadline nothing is.
            world.start([Entry {
                catch_up,
                deadline: Duration::from_secs(60),
                ..entry("nightly", "0 2 * * *")
            }]);
            world.passes(Duration::from_secs(30)).await;
            world.clock.step(ahead);
            world.passes(Duration::from_secs(60)).await;
            world.clock.step(-ahead);
            world.passes(6 * 24 * HOUR).await;
            let mut nights = Vec::new();
            let mut night = at("2026-11-24T02:00:00Z");
            while night < world.now() {
                nights.push(night);
                night += DAY;
            }
            assert_eq!(
                world.once_each("nightly").await,
                nights,
                "{ahead} ahead, {catch_up:?}"
            );
            world.kill();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_from_a_year_ahead_is_not_started_when_the_clock_returns() {
    let mut world = World::at("2026-11-24T01:30:00Z");
    world.start([entry("hourly", "0 * * * *")]);
    world.passes(Duration::from_secs(30)).await;
    world.service.always(Some(AnswerKind::Busy));
    world.clock.step(YEAR);
    world.passes(Duration::from_secs(60)).await;
    world.clock.step(-YEAR);
    world.service.always(None);
    let sent = world.service.markers().len();
    world.passes(48 * HOUR).await;
    let ticks = world.ticks().await;
    let (ahead, present): (Vec<_>, Vec<_>) = ticks
        .iter()
        .filter(|tick| tick.missed.is_none())
        .partition(|tick| tick.due > world.now());
    assert_eq!(ahead.len(), 1);
    assert_eq!(
        (state(ahead[0]), ahead[0].due),
        ("waiting", at("2027-11-24T01:00:00Z"))
    );
    assert!(ahead[0].run.is_none());
    assert_eq!(present.len(), 48);
    assert!(present.iter().all(|tick| state(tick) == "started"));
    assert_eq!(world.service.markers().len() - sent, 48);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_to_and_fro_starts_each_tick_once() {
    let mut world = World::at("2026-11-24T00:00:30Z");
    world.start([
        entry("a", "*/5 * * * *"),
        entry("b", "*/7 * * * *"),
        entry("c", "0 * * * *"),
    ]);
    // Some steps that lead back to where they began, over and over, and not in step with the minutes.
    let steps = [-20, 3_600, -7_000, 61, 86_400, -1, -86_400, 400, 2_800, 160];
    assert_eq!(steps.iter().sum::<i64>(), 0);
    for round in 0..60 {
        let told = BOTH[round % 2];
        world.steps(TimeDelta::seconds(steps[round % steps.len()]), told);
        world.passes(Duration::from_secs(97)).await;
    }
    let shown = world.now();
    world.passes(2 * HOUR).await;
    for (name, every) in [("a", 5), ("b", 7), ("c", 60)] {
        let due = world.once_each(name).await;
        let after = due.iter().filter(|due| **due > shown).count();
        assert!(
            after >= 120 / every - 1,
            "{name}: only {after} after the last step"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_tick_in_doubt_and_a_run_that_is_followed_survive_a_clock_set_back() {
    for told in BOTH {
        let mut world = World::at("2026-11-24T01:59:59Z");
        world.service.lost_starts.store(true, Ordering::SeqCst);
        world.service.answers([AnswerKind::Doubtful]);
        let mut followed = entry("followed", "0 2 * * *");
        followed.policy.follow = true;
        world.start([entry("doubtful", "0 2 * * *"), followed]);
        world.passes(Duration::from_millis(2_500)).await;
        assert_eq!(world.ends().await, ["running", "doubtful"]);
        world.steps(-TimeDelta::hours(20), told);
        for (_, status) in world.service.runs.lock().unwrap().values_mut() {
            *status = "COMPLETED";
        }
        world.passes(Duration::from_secs(65)).await;
        assert_eq!(world.ends().await, ["succeeded", "started"], "{told:?}");
        assert_eq!(world.service.markers().len(), 2);
        let since = world.service.looked_since.lock().unwrap().unwrap();
        assert!(
            since <= world.now(),
            "its run began before {since} comes again"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_came_due_during_a_restart_is_on_time_and_looked_for_first() {
    let mut world = World::at("2026-11-24T01:59:50Z");
    let nightly = || Entry {
        catch_up: CatchUp::None,
        ..entry("nightly", "0 2 * * *")
    };
    world.start([nightly()]);
    world.passes(Duration::from_secs(5)).await;
    world.stop().await;
    world.passes(Duration::from_secs(30)).await;
    world.start([nightly()]);
    world.passes(Duration::from_secs(5)).await;
    assert_eq!(world.ends().await, ["started"]);
    assert_eq!(world.service.finds.load(Ordering::SeqCst), 1);
    // From here on it is there when they come due.
    world.passes(24 * HOUR).await;
    assert_eq!(world.ends().await, ["started"; 2]);
    assert_eq!(world.service.finds.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tick_by_hand_does_not_wait_until_the_clock_is_again_where_it_was() {
    let world = World::at("2026-11-24T01:59:59Z");
    world.service.always(Some(AnswerKind::Busy));
    let by_hand = entry("a", "0 2 * * *");
    let (_tell, mut events) = mpsc::channel(1);
    let daemon = Daemon::new(world.parts(config([by_hand.clone()])));
    let (clock, service) = (world.clock.clone(), world.service.clone());
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        clock.step(-DAY);
        service.always(None);
    });
    let before = tokio::time::Instant::now();
    let tick = daemon
        .trigger(
            Arc::new(by_hand),
            Vec::new(),
            "triggered by hand".to_owned(),
            "abcd".to_owned(),
            &mut events,
        )
        .await
        .unwrap();
    assert_eq!(state(&tick), "started");
    assert!(
        before.elapsed() < Duration::from_secs(40),
        "{:?}",
        before.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_not_the_services_is_reported_once_an_hour() {
    let mut world = World::at("2026-11-24T00:00:30Z");
    let theirs = world.clock.apart(TimeDelta::seconds(50));
    *world.service.clock.lock().unwrap() = Some(theirs.clone());
    let words = ["WARN", "this machine's clock shows", "set the clock"];
    world.start([entry("a", "*/5 * * * *")]);
    world.passes(HOUR).await;
    assert_eq!(
        log::said(&words).len(),
        0,
        "under a minute is nothing to tell"
    );
    theirs.step(TimeDelta::seconds(20));
    world.passes(3 * HOUR).await;
    assert_eq!(log::said(&words).len(), 3);
    assert!(
        log::said(&words)[0].contains("2026-11-24T01:05:00"),
        "{:?}",
        log::said(&words)
    );
    theirs.step(TimeDelta::seconds(-140));
    world.passes(HOUR).await;
    assert_eq!(log::said(&words).len(), 4, "behind is as bad as ahead");
    theirs.step(TimeDelta::seconds(70));
    world.passes(3 * HOUR).await;
    assert_eq!(log::said(&words).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_start_before_the_newest_tick_of_the_ledger_is_reported() {
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.start([entry("a", "0 2 * * *")]);
    world.passes(Duration::from_secs(180)).await;
    world.stop().await;
    assert!(log::said(&["before the newest tick"]).is_empty());
    world.clock.step(-DAY);
    world.start([entry("a", "0 2 * * *")]);
    world.passes(Duration::from_secs(60)).await;
    let warned = log::said(&[
        "the clock stands at 2026-11-23T02:02:5",
        "before the newest tick",
    ]);
    assert_eq!(warned.len(), 1);
    world.passes(48 * HOUR).await;
    let due = ["2026-11-24T02:00:00Z", "2026-11-25T02:00:00Z"].map(at);
    assert_eq!(world.once_each("a").await, due);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_tells_for_how_long_it_did_nothing() {
    log::keep();
    let mut world = World::at("2026-11-24T01:30:00Z");
    world.begin(config([entry("a", "0 2 * * *")]));
    world.passes(Duration::from_secs(1200)).await;
    assert_eq!(log::said(&["did not get to work"]), [""; 0]);
    tokio::time::advance(Duration::from_secs(900)).await;
    world.passes(Duration::from_secs(10)).await;
    let said = log::said(&[
        "WARN",
        "did not get to work for 900 s: the process was stopped",
    ]);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(world.ticks().await.len(), 1);
}
