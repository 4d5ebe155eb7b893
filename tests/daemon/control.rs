//! What people do by hand while the loop runs.

use pipecron::daemon::asked::{Asked, Refusal, Reply, Trigger, Wish};
use pipecron::domain::schedule::OnExcluded;
use pipecron::domain::{Overlap, Pause, Scope};
use serde_json::json;
use tokio::sync::oneshot;

use super::*;

/// The hour at which each tick was due and how it stands.
async fn hours(world: &World) -> Vec<String> {
    let row = |tick: &Tick| format!("{} {}", tick.due.format("%H:%M"), state(tick));
    world.ticks().await.iter().map(row).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pause_survives_a_restart_and_a_reload_and_is_told_in_the_log() {
    let mut world = World::at("2027-02-03T12:30:00Z");
    let hourly = || entry("paused-hourly", "0 * * * *");
    world.start([hourly()]);
    world.passes(HOUR).await;
    let pause = Pause {
        scope: Scope::All,
        since: world.now(),
        until: None,
        by: "ada".to_owned(),
        reason: "the farm moves".to_owned(),
        lifted: None,
    };
    world.ledger.put_pause(pause).await.unwrap();
    world.passes(HOUR).await;
    world.stop().await;
    world.start([hourly()]);
    world.reload(Ok(config([hourly()]))).await;
    world.passes(HOUR).await;
    let now = world.now();
    let lifted = world.ledger.lift_pause(Scope::All, now, "bob".to_owned());
    assert!(lifted.await.unwrap().is_some());
    world.passes(HOUR).await;
    world.stop().await;
    assert_eq!(
        hours(&world).await,
        [
            "13:00 started",
            "14:00 paused",
            "15:00 paused",
            "16:00 started"
        ]
    );
    assert_eq!(world.service.markers().len(), 2);
    let lines = log::said(&["paused-hourly@2027-02-03T14:00:00Z"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("paused: pause of all entries by ada at"));
}

impl World {
    /// Somebody asks the loop for something; what comes of it.
    fn asks(&self, wish: Wish) -> oneshot::Receiver<Reply> {
        let (reply, answer) = oneshot::channel();
        let by = "ada".to_owned();
        let asked = Event::Asked(Box::new(Asked { by, wish, reply }));
        self.tell.as_ref().unwrap().try_send(asked).unwrap();
        answer
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_is_waited_for_tells_its_problems() {
    let mut world = World::at("2027-02-03T12:30:00Z");
    world.start([entry("hourly", "0 * * * *")]);
    *world.files.lock().unwrap() = Err(vec!["a.yaml:3:1: wrong".to_owned()]);
    let first = world.asks(Wish::Reload);
    // Asked while the files are read, when they may have changed already: this one is answered by another reading.
    while world.reads.load(Ordering::SeqCst) == 0 {
        world.passes(Duration::from_millis(1)).await;
    }
    assert_eq!(
        first.await.unwrap(),
        Err(Refusal::Problems(vec!["a.yaml:3:1: wrong".to_owned()]))
    );
    let status = world.asks(Wish::Status).await.unwrap().unwrap();
    assert_eq!(status["last_reload"]["refused"], true);
    assert_eq!(status["last_reload"]["by"], "ada");
    assert_eq!(status["entries"], 1);
    assert_eq!(status["next"]["due"], "2027-02-03T13:00:00Z");
    let two = [entry("hourly", "0 * * * *"), entry("nightly", "0 2 * * *")];
    *world.files.lock().unwrap() = Ok(config(two));
    let before = world.reads.load(Ordering::SeqCst);
    let [one, other] = [world.asks(Wish::Reload), world.asks(Wish::Reload)];
    let (one, other) = (one.await.unwrap().unwrap(), other.await.unwrap().unwrap());
    assert_eq!(world.reads.load(Ordering::SeqCst), before + 2);
    assert_eq!((&one["entries"], &one["changed"]), (&json!(2), &json!(1)));
    assert_eq!(
        (&other["entries"], &other["changed"]),
        (&json!(2), &json!(0))
    );
    let status = world.asks(Wish::Status).await.unwrap().unwrap();
    assert_eq!(status["last_reload"]["refused"], false);
    world.stop().await;
    let acts = world.ledger.acts(10).await.unwrap();
    let acts: Vec<_> = acts.iter().map(|act| (&*act.by, &*act.outcome)).collect();
    assert_eq!(
        acts,
        [
            ("ada", "in use: 2 entries, 0 changed"),
            ("ada", "in use: 2 entries, 1 changed"),
            ("ada", "refused: a.yaml:3:1: wrong"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn people_pause_trigger_and_resume_and_it_is_written_down_who() {
    let mut world = World::at("2027-02-03T12:30:00Z");
    let mut hourly = entry("hourly", "0 * * * *");
    hourly.labels = Arc::new(["web".to_owned()].into());
    world.start([hourly]);
    let label = |text: &str| Scope::Label(text.to_owned());
    let pause = |scope| Wish::Pause {
        scope,
        until: None,
        reason: "the farm moves".to_owned(),
    };
    let unknown = world.asks(pause(label("wbe"))).await.unwrap();
    let why = "there is no label \"wbe\"; did you mean \"web\"?".to_owned();
    assert_eq!(unknown, Err(Refusal::Unknown(why)));
    world.asks(pause(label("web"))).await.unwrap().unwrap();
    world.passes(HOUR).await;
    let trigger = |entry: &str| {
        Wish::Trigger(Trigger {
            entry: entry.to_owned(),
            variables: vec![("MODE".to_owned(), "full".to_owned())],
            reason: "hotfix".to_owned(),
            ..Trigger::default()
        })
    };
    let unknown = world.asks(trigger("hourli")).await.unwrap();
    let why = "there is no entry \"hourli\"; did you mean \"hourly\"?".to_owned();
    assert_eq!(unknown, Err(Refusal::Unknown(why)));
    let opened = world.asks(trigger("hourly")).await.unwrap().unwrap();
    let resume = |scope| Wish::Resume {
        scope,
        reason: String::new(),
    };
    let other = world.asks(resume(Scope::All)).await.unwrap();
    let why =
        "there is no pause of all entries to lift: paused are: label web; resume what was paused";
    assert_eq!(other, Err(Refusal::Unknown(why.to_owned())));
    world.asks(resume(label("web"))).await.unwrap().unwrap();
    world.passes(HOUR).await;
    world.stop().await;
    assert_eq!(
        hours(&world).await,
        ["13:00 paused", "13:30 started", "14:00 started"]
    );
    let ticks = world.ticks().await;
    assert_eq!(opened["tick"], json!(ticks[1].id));
    let story = world
        .ledger
        .story(ticks[1].id.clone())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(story.notes[0].1, "triggered by hand by ada (hotfix)");
    let sent = world.service.starts.lock().unwrap()[0]
        .request
        .variables
        .clone();
    assert_eq!(sent.unwrap()[0].name, "MODE");
    let acts = world.ledger.acts(10).await.unwrap();
    let acts: Vec<_> = acts
        .iter()
        .map(|act| (&*act.what, &*act.on, &*act.by))
        .collect();
    assert_eq!(
        acts,
        [
            ("resume", "label web", "ada"),
            ("trigger", "entry hourly", "ada"),
            ("pause", "label web", "ada")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_by_hand_obeys_overlap_and_places_unless_it_is_forced() {
    let mut world = World::at("2027-02-03T12:30:00Z");
    let mut by_hand = entry("by-hand", "0 2 * * *");
    by_hand.policy.overlap = Overlap::Skip;
    by_hand.policy.follow = true;
    world.start([by_hand]);
    let trigger = |force| {
        Wish::Trigger(Trigger {
            entry: "by-hand".to_owned(),
            force,
            ..Trigger::default()
        })
    };
    for force in [false, false, true] {
        world.asks(trigger(force)).await.unwrap().unwrap();
        world.passes(Duration::from_secs(5)).await;
    }
    world.stop().await;
    assert_eq!(world.ends().await, ["running", "skipped", "running"]);
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_fails_is_told_to_whoever_asks_and_stops_nothing() {
    let mut world = World::at("2027-02-03T12:30:00Z");
    world.start([entry("hourly", "0 * * * *")]);
    world.passes(Duration::from_secs(1)).await;
    world.ledger.fail_commits(1, Fault::Full);
    let all = Wish::Pause {
        scope: Scope::All,
        until: None,
        reason: String::new(),
    };
    let failed = world.asks(all).await.unwrap();
    assert!(matches!(failed, Err(Refusal::NotNow(_))), "{failed:?}");
    world.passes(HOUR).await;
    world.stop().await;
    assert_eq!(hours(&world).await, ["13:00 started"]);
}

#[tokio::test(start_paused = true)]
async fn a_due_time_that_has_passed_is_run_once_more_and_again_only_if_somebody_says_so() {
    let mut world = World::at("2027-02-03T12:30:00Z");
    world.start([entry("hourly", "0 * * * *")]);
    world.passes(HOUR).await;
    let due = |due: &str, key: &str, again| {
        Wish::Trigger(Trigger {
            entry: "hourly".to_owned(),
            due: Some(due.parse().unwrap()),
            key: Some(key.to_owned()),
            again,
            ..Trigger::default()
        })
    };
    let (old, ran) = ("2027-02-01T02:00:00Z", "2027-02-03T13:00:00Z");
    world.asks(due(old, "aaaa", false)).await.unwrap().unwrap();
    world.passes(Duration::from_secs(1)).await;
    for (when, key, there) in [(old, "bbbb", "+aaaa"), (ran, "cccc", "")] {
        let refused = world.asks(due(when, key, false)).await.unwrap();
        let why = format!(
            "hourly@{when}{there} is started already, for the tick due {when}; say again to start another run for it"
        );
        assert_eq!(refused, Err(Refusal::Refused(why)));
    }
    world.asks(due(ran, "dddd", true)).await.unwrap().unwrap();
    let none = world.asks(due("2027-02-01T02:10:00Z", "eeee", false)).await;
    let why = "no tick of hourly was due at 2027-02-01T02:10:00Z; the one before was due 2027-02-01T02:00:00Z";
    assert_eq!(none.unwrap(), Err(Refusal::Unknown(why.to_owned())));
    let early = world.asks(due("2027-02-03T14:00:00Z", "ffff", true)).await;
    let early = early.unwrap();
    assert!(matches!(early, Err(Refusal::Refused(_))), "{early:?}");
    world.passes(HOUR).await;
    world.stop().await;
    let ticks = world.ticks().await;
    let mut ids: Vec<_> = ticks
        .iter()
        .map(|tick| (tick.id.as_str(), state(tick)))
        .collect();
    ids.sort_unstable();
    assert_eq!(
        ids,
        [
            ("hourly@2027-02-01T02:00:00Z+aaaa", "started"),
            ("hourly@2027-02-03T13:00:00Z", "started"),
            ("hourly@2027-02-03T13:00:00Z+dddd", "started"),
            ("hourly@2027-02-03T14:00:00Z", "started"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_trigger_that_is_repeated_for_a_lost_answer_starts_nothing_and_one_beside_another_is_told()
 {
    let mut world = World::at("2027-02-03T12:30:00Z");
    world.start([entry("by-hand", "0 2 * * *")]);
    let trigger = |key: &str| {
        Wish::Trigger(Trigger {
            entry: "by-hand".to_owned(),
            key: Some(key.to_owned()),
            ..Trigger::default()
        })
    };
    // Whoever asked left before the answer came.
    drop(world.asks(trigger("aaaa")));
    world.passes(Duration::from_secs(5)).await;
    world.stop().await;
    world.start([entry("by-hand", "0 2 * * *")]);
    let repeated = world.asks(trigger("aaaa")).await.unwrap().unwrap();
    let first = json!("by-hand@2027-02-03T12:30:00Z+aaaa");
    assert_eq!(
        (&repeated["tick"], &repeated["repeated"]),
        (&first, &json!(true))
    );
    assert_eq!(world.ticks().await.len(), 1);
    let other = world.asks(trigger("bbbb")).await.unwrap().unwrap();
    assert_eq!(other["repeated"], false);
    assert_eq!(other["beside"][0]["tick"], first);
    assert_eq!(other["beside"][0]["state"], "started");
    let odd = world.asks(trigger("../x")).await.unwrap();
    assert!(matches!(odd, Err(Refusal::Refused(_))), "{odd:?}");
    world.passes(HOUR).await;
    let later = world.asks(trigger("cccc")).await.unwrap().unwrap();
    assert_eq!(later["beside"], json!([]));
    world.stop().await;
    assert_eq!(world.service.markers().len(), 3);
    let acts = world.ledger.acts(10).await.unwrap();
    assert_eq!(acts.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn whoever_triggers_without_end_is_told_to_stop() {
    let mut world = World::at("2027-02-03T12:30:00Z");
    let mut crowded = entry("crowded", "0 2 * * *");
    crowded.policy.overlap = Overlap::Queue;
    crowded.policy.follow = true;
    world.start([crowded]);
    let trigger = || {
        Wish::Trigger(Trigger {
            entry: "crowded".to_owned(),
            force: true,
            ..Trigger::default()
        })
    };
    for _ in 0..50 {
        world.asks(trigger()).await.unwrap().unwrap();
    }
    let refused = world.asks(trigger()).await.unwrap();
    let Err(Refusal::NotNow(why)) = refused else {
        unreachable!("{refused:?}")
    };
    assert!(
        why.starts_with("nothing was started: 50 ticks of crowded"),
        "{why}"
    );
    world.stop().await;
    assert_eq!(world.ticks().await.len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_skip_is_kept_for_what_the_start_stands_for_and_unknown_ones_are_told_the_next() {
    let mut world = World::at("2027-02-05T12:30:00Z");
    // The tick of the 6th, a Saturday, is moved to the 8th.
    let nightly = entry("nightly", "0 2 6,8 * *");
    world.start([calendars::keeping_to(nightly, &[], OnExcluded::Next)]);
    let skip = |due: &str, undo| Wish::Skip {
        entry: "nightly".to_owned(),
        dues: vec![due.parse().unwrap()],
        reason: String::new(),
        undo,
    };
    let saturday = world
        .asks(skip("2027-02-06T02:00:00Z", false))
        .await
        .unwrap();
    let why = "no tick of nightly is to come at 2027-02-06T02:00:00Z; the next one is due 2027-02-08T02:00:00Z";
    assert_eq!(saturday, Err(Refusal::Unknown(why.to_owned())));
    let monday = "2027-02-08T02:00:00Z";
    world.asks(skip(monday, false)).await.unwrap().unwrap();
    let marked = async |world: &World| {
        let skips = world.ledger.skips(world.now()).await.unwrap();
        let dues = skips.iter().map(|(_, skip)| skip.due.to_string());
        dues.collect::<Vec<_>>()
    };
    assert_eq!(
        marked(&world).await,
        ["2027-02-06 02:00:00 UTC", "2027-02-08 02:00:00 UTC"]
    );
    world.asks(skip(monday, true)).await.unwrap().unwrap();
    assert!(marked(&world).await.is_empty());
    world.stop().await;
}
