//! What the loop does about a ledger that refuses, answers that cannot be stored, and an account that is being probed.

use pipecron::domain::{Change, EntryState, Plan};

use super::*;

/// An entry whose ticks no ledger takes.
fn refused(name: &str) -> Entry {
    let mut entry = entry(name, "0 2 * * *");
    entry.policy.retry.multiplier = f64::INFINITY;
    entry
}

#[tokio::test(start_paused = true)]
async fn an_entry_whose_decision_is_refused_silences_no_other_and_is_tried_again_after_an_hour() {
    let mut world = World::at("2026-11-24T01:59:00Z");
    world.start([
        entry("a", "0 2 * * *"),
        refused("bad"),
        entry("z", "0 2 * * *"),
    ]);
    world.passes(Duration::from_secs(120)).await;
    let started = |ticks: Vec<Tick>| -> Vec<(String, &'static str)> {
        ticks
            .iter()
            .map(|tick| (tick.entry.to_string(), state(tick)))
            .collect()
    };
    let others = [("z", "started"), ("a", "started")].map(|(name, end)| (name.to_owned(), end));
    assert_eq!(started(world.ticks().await), others);
    let words = [
        "ERROR",
        "entry=\"bad\"",
        "decided again at 2026-11-24T03:00:00",
    ];
    assert_eq!(log::said(&words).len(), 1, "{:?}", log::said(&["bad"]));
    world.passes(Duration::from_secs(40 * 60)).await;
    assert_eq!(
        log::said(&["ERROR", "bad"]).len(),
        1,
        "once is enough for an hour"
    );
    world.passes(HOUR).await;
    assert_eq!(log::said(&["ERROR", "bad"]).len(), 2);
    // Whoever mends it need not wait for that hour.
    let set = [
        entry("a", "0 2 * * *"),
        entry("bad", "0 2 * * *"),
        entry("z", "0 2 * * *"),
    ];
    world.reload(Ok(config(set))).await;
    assert_eq!(world.ends().await, ["started"; 3]);
}

/// Changes the row of a tick so that the answer to its attempt is refused.
async fn spoil(world: &World, name: &str) {
    let spoil = |_, _: &EntryName, state: &EntryState| {
        let mut tick = state.open[0].clone();
        tick.state = TickState::Sent {
            at: tick.opened_at + TimeDelta::seconds(1),
        };
        Plan {
            changes: vec![Change {
                tick,
                attempt: None,
            }],
            ..Plan::default()
        }
    };
    let name = EntryName::parse(name).unwrap();
    world.ledger.decide(vec![name], spoil).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_refused_is_in_the_log_and_the_others_are_stored() {
    let mut world = World::at("2026-11-24T01:58:59Z");
    // The account has to be known to work, or only one would leave at first.
    let set = || {
        let nightly = ["a", "b", "c"].map(|name| entry(name, "0 2 * * *"));
        nightly.into_iter().chain([entry("early", "59 1 * * *")])
    };
    world.start(set());
    world.passes(Duration::from_millis(61_100)).await;
    assert_eq!(world.ends().await, ["started", "sent", "sent", "sent"]);
    spoil(&world, "b").await;
    world.passes(Duration::from_secs(5)).await;
    assert_eq!(
        world.ends().await,
        ["started", "started", "sent", "started"]
    );
    let tick = "tick=\"b@2026-11-24T02:00:00Z\"";
    let run = [
        "ERROR",
        "entry=\"b\"",
        tick,
        "attempt=1",
        "run_id=\"run-3\"",
        "run-3 started",
    ];
    assert_eq!(log::said(&run).len(), 1, "{:?}", log::said(&["ERROR"]));
    assert_eq!(log::said(&["ERROR", "the ledger refused", "b"]).len(), 1);
    assert_eq!(
        log::said(&["ERROR", "could not be written down"]).len(),
        1,
        "of the others nothing"
    );
    // The next start finds it by its marker.
    world.stop().await;
    world.start(set());
    world.passes(Duration::from_secs(600)).await;
    assert_eq!(world.ends().await, ["started"; 4]);
    assert_eq!(world.service.markers().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_be_written_down_is_in_the_log_once_with_all_that_finds_it() {
    let mut world = World::at("2026-11-24T01:59:59Z");
    let mut known = entry("a", "0 2 * * *");
    known.request.pipeline_id = "e5460d1d403146a1935c2d4b68ef506c".to_owned();
    world.start([known.clone()]);
    world.passes(Duration::from_millis(1_100)).await;
    world.ledger.fail_commits(5, Fault::Full);
    world.passes(Duration::from_secs(30)).await;
    assert_eq!(world.ends().await, ["sent"]);
    let run = [
        "ERROR",
        "entry=\"a\"",
        "tick=\"a@2026-11-24T02:00:00Z\"",
        "attempt=1",
        "run_id=\"run-1\"",
        "pipeline_id=\"e5460d1d403146a1935c2d4b68ef506c\"",
        "could not be written down yet",
    ];
    assert_eq!(log::said(&run).len(), 1, "{:?}", log::said(&["ERROR"]));
    // Before it is stored, for we may die in between; and once.
    let started = ["INFO run run-1 started", "run_id=\"run-1\""];
    assert_eq!(log::said(&started).len(), 1);
    world.passes(Duration::from_secs(120)).await;
    assert_eq!(world.ends().await, ["started"]);
    assert_eq!(log::said(&started).len(), 1);

    // A run that was found by its marker is a run as well.
    log::forget();
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.service.lost_starts.store(true, Ordering::SeqCst);
    world.service.answers([AnswerKind::Doubtful]);
    world.start([known]);
    world.passes(Duration::from_secs(3)).await;
    assert_eq!(world.ends().await, ["doubtful"]);
    while world.service.finds.load(Ordering::SeqCst) == 0 {
        world.passes(Duration::from_millis(1)).await;
    }
    world.ledger.fail_commits(1, Fault::Full);
    world.passes(Duration::from_secs(1)).await;
    assert_eq!(
        log::said(&["ERROR", "run_id=\"run-1\"", "could not be written down yet"]).len(),
        1
    );
    assert_eq!(log::said(&["INFO run run-1 bears its marker"]).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_ledger_fails_runs_are_left_alone_and_afterwards_judged_by_the_time_it_is_then() {
    let mut world = World::at("2026-11-24T01:59:59Z");
    let mut nightly = entry("a", "0 2 * * *");
    nightly.policy.follow = true;
    world.start([nightly]);
    world.passes(Duration::from_secs(4)).await;
    assert_eq!(world.ends().await, ["running"]);
    // The first look brings its number, which cannot be written down.
    world.ledger.fail_commits(u32::MAX, Fault::Full);
    world.passes(5 * HOUR).await;
    let looks = world.service.looks.load(Ordering::SeqCst);
    assert!(looks <= 2, "{looks} looks");
    world.ledger.fail_commits(0, Fault::Full);
    world.passes(Duration::from_secs(180)).await;
    let tick = world.ticks().await[0].clone();
    let run = tick.run.unwrap();
    assert_eq!(run.number, Some(1));
    let since_due = run.started_at - tick.due;
    assert!(
        since_due < TimeDelta::minutes(1),
        "{since_due}: {}",
        tick.note
    );
}

#[tokio::test(start_paused = true)]
async fn a_tick_whose_answer_is_refused_is_gone_on_with_before_its_next_due_time() {
    let mut world = World::at("2026-11-24T01:58:59Z");
    world.start([entry("b", "0 2 * * *"), entry("early", "59 1 * * *")]);
    world.passes(Duration::from_millis(61_100)).await;
    spoil(&world, "b").await;
    world.passes(Duration::from_secs(5)).await;
    assert_eq!(world.ends().await, ["started", "sent"]);
    world.passes(2 * HOUR).await;
    assert_eq!(world.ends().await, ["started"; 2]);
    assert_eq!(world.service.markers().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_cannot_write_an_answer_down_says_which_run_it_is_and_the_next_start_finds_it()
{
    let mut world = World::at("2026-11-24T01:59:59Z");
    world.start([entry("a", "0 2 * * *")]);
    world.passes(Duration::from_millis(1_100)).await;
    world.ledger.fail_commits(100, Fault::Full);
    world.stop().await;
    assert_eq!(world.ends().await, ["sent"]);
    assert!(!log::said(&["ERROR", "run_id=\"run-1\"", "could not be written down"]).is_empty());
    assert_eq!(
        log::said(&[
            "ERROR",
            "answers that could not be written down: 1",
            "next start"
        ])
        .len(),
        1
    );
    world.ledger.fail_commits(0, Fault::Full);
    world.start([entry("a", "0 2 * * *")]);
    world.passes(Duration::from_secs(600)).await;
    assert_eq!(world.ends().await, ["started"]);
    assert_eq!(world.service.markers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_an_account_is_probed_its_ticks_wait_and_the_probes_answer_lets_them_go() {
    let minute = Duration::from_secs(60);
    // How long the probe takes, and when those that wait for it have left: one that is lost is not waited for for ever.
    for (takes, left_by) in [(Duration::from_secs(90), 2 * minute), (HOUR, 17 * minute)] {
        let mut world = World::at("2026-11-24T01:59:59Z");
        world.service.answers([AnswerKind::Throttled]);
        let slow = [Duration::from_millis(100), takes];
        world.service.slow.lock().unwrap().extend(slow);
        let mut of_other = entry("other", "1 2 * * *");
        of_other.account = AccountName::parse("other").unwrap();
        let many = (0..10).map(|number| entry(&format!("n{number}"), "1 2 * * *"));
        world.start(many.chain([entry("first", "0 2 * * *"), of_other]));
        world.passes(Duration::from_secs(30)).await;
        assert_eq!(
            world.service.markers().len(),
            2,
            "one was throttled, and again as the probe"
        );
        world.passes(Duration::from_secs(41)).await;
        let waiting = |ends: Vec<&str>| ends.iter().filter(|end| **end == "waiting").count();
        assert_eq!(waiting(world.ends().await), 10);
        assert_eq!(
            world.service.markers().len(),
            3,
            "another account has nothing to do with it"
        );
        world.passes(left_by - Duration::from_secs(70)).await;
        assert_eq!(waiting(world.ends().await), 0, "{takes:?}");
        assert_eq!(world.service.markers().len(), 13);
        world.kill();
    }
}
