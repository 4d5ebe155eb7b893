//! What people are told while days pass: messages, pings, the heartbeat, digests; over restarts, and while receivers are down.

use std::collections::BTreeSet;

use pipecron::config::notices::{DigestAt, Ping, Way};
use pipecron::config::{Channel, Heartbeat};
use pipecron::domain::cron::CronPattern;
use pipecron::domain::notice::{Alarm, Message, Signal, Topic};
use pipecron::domain::request::Text;
use pipecron::notify::{Deliver, Undelivered};
use pipecron::teller::{self, Teller};
use tokio::sync::Notify;

use super::*;

/// What was delivered, and when.
#[derive(Default)]
struct Hands {
    clock: Option<Clock>,
    messages: Mutex<Vec<(String, String, Message)>>,
    pings: Mutex<Vec<(String, String, Signal)>>,
    /// Whether nothing arrives, and why.
    down: Mutex<Option<Undelivered>>,
    tries: AtomicUsize,
    /// How long each takes.
    takes: Mutex<Duration>,
}

impl Hands {
    fn time(&self) -> String {
        let now = self.clock.as_ref().unwrap().now();
        now.format("%H:%M").to_string()
    }

    async fn arrives(&self) -> Result<(), Undelivered> {
        self.tries.fetch_add(1, Ordering::SeqCst);
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        self.down.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn goes_down(&self) {
        *self.down.lock().unwrap() = Some(Undelivered {
            why: "as told".to_owned(),
            may_pass: true,
            retry_after: None,
        });
    }

    fn comes_up(&self) {
        *self.down.lock().unwrap() = None;
    }

    /// What arrived since the last time, as `TIME CHANNEL: TITLE`.
    fn told(&self) -> Vec<String> {
        let messages = std::mem::take(&mut *self.messages.lock().unwrap());
        let line = |(at, to, message): (String, String, Message)| {
            format!("{at} {to}: {}", message.title())
        };
        messages.into_iter().map(line).collect()
    }

    fn pinged(&self) -> Vec<String> {
        let pings = std::mem::take(&mut *self.pings.lock().unwrap());
        let line = |(at, to, signal)| format!("{at} {to} {signal:?}");
        pings.into_iter().map(line).collect()
    }
}

impl Deliver for Hands {
    async fn deliver(&self, channel: &Channel, message: &Message) -> Result<(), Undelivered> {
        self.arrives().await?;
        let told = (self.time(), channel.name.clone(), message.clone());
        self.messages.lock().unwrap().push(told);
        Ok(())
    }

    async fn ping(&self, ping: &Ping, signal: Signal, _: &str) -> Result<(), Undelivered> {
        self.arrives().await?;
        let url = match &ping.url {
            Text::Plain(url) => url.clone(),
            Text::Secret(place) => format!("{place:?}"),
        };
        let pinged = (self.time(), url, signal);
        self.pings.lock().unwrap().push(pinged);
        Ok(())
    }
}

fn channel(name: &str) -> Channel {
    Channel {
        name: name.to_owned(),
        way: Way::Json {
            url: Text::Plain("https://example.com".to_owned()),
            secret: None,
            token: None,
            body: None,
        },
        topics: Topic::ALL.to_vec(),
        labels: Vec::new(),
        collect: Duration::from_secs(30),
        messages_per_hour: 20,
        digest: None,
        proxy: None,
        ca_file: None,
    }
}

fn ping(url: &str) -> Arc<Ping> {
    Arc::new(Ping {
        url: Text::Plain(url.to_owned()),
    })
}

fn followed(name: &str) -> Entry {
    let mut entry = entry(name, "0 2 * * *");
    entry.policy.follow = true;
    entry
}

/// A daemon and its teller.
struct Told {
    world: World,
    hands: Arc<Hands>,
    teller: Option<Teller>,
}

impl Told {
    fn at(now: &str) -> Self {
        let world = World::at(now);
        let hands = Arc::new(Hands {
            clock: Some(world.clock.clone()),
            ..Hands::default()
        });
        Self {
            world,
            hands,
            teller: None,
        }
    }

    fn start(&mut self, config: Config) {
        self.world.service.held_back.send_replace(false);
        let (tell, events) = mpsc::channel(8);
        let stirred = Arc::new(Notify::new());
        let daemon = Daemon::new(self.world.parts(config)).ringing(stirred.clone());
        self.teller = Some(Teller::start(teller::Parts {
            ledger: self.world.ledger.clone(),
            tell: tell.clone(),
            stirred,
            clock: self.world.clock.clone(),
            hands: self.hands.clone(),
        }));
        self.world.tell = Some(tell);
        self.world.daemon = Some(tokio::spawn(daemon.run(events)));
    }

    fn kill(&mut self) {
        self.teller = None;
        self.world.kill();
    }

    async fn passes(&self, minutes: u64) {
        self.world.passes(Duration::from_secs(60 * minutes)).await;
    }

    fn ends(&self, run: usize, status: &'static str) {
        self.world.service.ends(&format!("run-{run}"), status);
    }
}

fn with_channels(
    entries: impl IntoIterator<Item = Entry>,
    channels: impl IntoIterator<Item = Channel>,
) -> Config {
    let channels = channels.into_iter();
    Config {
        channels: channels
            .map(|channel| (channel.name.clone(), Arc::new(channel)))
            .collect(),
        ..config(entries)
    }
}

#[tokio::test(start_paused = true)]
async fn three_hundred_failures_of_one_cause_are_one_message_and_so_is_their_recovery() {
    let mut told = Told::at("2026-11-24T01:59:00Z");
    let entries = (0..300).map(|number| followed(&format!("n{number:03}")));
    told.start(with_channels(entries, [channel("team")]));
    told.passes(30).await;
    assert!(told.hands.told().is_empty());
    for run in 1..=300 {
        told.ends(run, "FAILED");
    }
    told.passes(10).await;
    let messages = told.hands.told();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(
        messages[0].ends_with("team: 300 runs failed"),
        "{messages:?}"
    );
    told.passes(23 * 60 + 50).await;
    for run in 301..=600 {
        told.ends(run, "COMPLETED");
    }
    told.passes(10).await;
    let messages = told.hands.told();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].ends_with("team: 300 recovered"), "{messages:?}");
}

#[tokio::test(start_paused = true)]
async fn each_channel_is_told_of_what_it_asked_for() {
    let mut told = Told::at("2026-11-24T01:59:00Z");
    let mut web = followed("web");
    web.labels = Arc::new(BTreeSet::from(["nightly".to_owned()]));
    let mut labelled = channel("labelled");
    labelled.labels = vec!["nightly".to_owned()];
    let mut good = channel("good-news");
    good.topics = vec![Topic::Recovered];
    told.start(with_channels(
        [web, followed("app")],
        [channel("all"), labelled, good],
    ));
    told.passes(10).await;
    told.ends(1, "FAILED");
    told.ends(2, "FAILED");
    told.passes(10).await;
    let mut messages = told.hands.told();
    messages.sort();
    let of = |messages: &[String], to: &str| -> Vec<String> {
        let to = format!(" {to}: ");
        let line = |line: &&String| line.contains(&to);
        let title = |line: &String| line.split_once(&to).unwrap().1.to_owned();
        messages.iter().filter(line).map(title).collect()
    };
    assert_eq!(of(&messages, "all"), ["2 runs failed"]);
    assert_eq!(of(&messages, "labelled"), ["web: run failed"]);
    assert_eq!(of(&messages, "good-news"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_down_has_no_effect_on_ticks_and_is_told_all_when_it_is_back() {
    let mut told = Told::at("2026-11-24T01:59:00Z");
    told.hands.goes_down();
    told.start(with_channels(
        [followed("a"), entry("b", "*/5 * * * *")],
        [channel("team")],
    ));
    told.passes(10).await;
    for run in 1..=5 {
        told.ends(run, "FAILED");
    }
    told.passes(5 * 60).await;
    assert!(told.hands.tries.load(Ordering::SeqCst) > 10);
    let (ticks, now) = (told.world.ticks().await, told.world.now());
    let late = |tick: &&Tick| tick.attempts != 1 && tick.due <= now;
    assert_eq!(ticks.iter().filter(late).count(), 0);
    // Also over a death.
    told.kill();
    told.hands.comes_up();
    told.start(with_channels([followed("a")], [channel("team")]));
    told.passes(15).await;
    let messages = told.hands.told();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].ends_with("team: a: run failed"), "{messages:?}");
    told.passes(60).await;
    assert!(told.hands.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reload_and_a_restart_try_at_once_what_failed() {
    let mut told = Told::at("2026-11-24T01:59:00Z");
    told.hands.goes_down();
    let all = || with_channels([followed("a")], [channel("team")]);
    told.start(all());
    told.passes(10).await;
    told.ends(1, "FAILED");
    told.passes(60).await;
    // By now it is tried every ten minutes.
    told.hands.comes_up();
    told.world.reload(Ok(all())).await;
    told.world.passes(Duration::from_secs(5)).await;
    assert_eq!(told.hands.told().len(), 1);
    told.hands.goes_down();
    told.passes(24 * 60).await;
    told.ends(2, "FAILED");
    told.passes(60).await;
    told.kill();
    told.hands.comes_up();
    told.start(all());
    told.world.passes(Duration::from_secs(5)).await;
    assert_eq!(told.hands.told().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_ended_while_nobody_could_tell_is_told_after_the_start_and_nothing_twice() {
    let mut told = Told::at("2026-11-24T01:59:00Z");
    let all = || with_channels([followed("a"), followed("b")], [channel("team")]);
    told.start(all());
    told.passes(10).await;
    told.ends(1, "FAILED");
    told.passes(10).await;
    assert_eq!(told.hands.told().len(), 1);
    // The loop goes on for a while without a teller.
    told.teller = None;
    told.ends(2, "FAILED");
    told.passes(10).await;
    told.kill();
    told.start(all());
    told.passes(10).await;
    let messages = told.hands.told();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].ends_with("run failed"), "{messages:?}");
    for _ in 0..3 {
        told.kill();
        told.start(all());
        told.passes(10).await;
    }
    assert!(told.hands.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_death_at_any_moment_loses_no_notice() {
    for millis in (0..40_000).step_by(1_700) {
        let mut told = Told::at("2026-11-24T01:59:00Z");
        let all = || with_channels([followed("a")], [channel("team")]);
        *told.hands.takes.lock().unwrap() = Duration::from_secs(3);
        told.start(all());
        told.passes(2).await;
        told.ends(1, "FAILED");
        told.world.passes(Duration::from_millis(millis)).await;
        told.kill();
        told.start(all());
        told.passes(20).await;
        let messages = told.hands.told();
        // One that was delivered while we died may come twice.
        assert!((1..=2).contains(&messages.len()), "{millis}: {messages:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_added_is_told_of_what_comes_and_not_of_what_was() {
    let mut told = Told::at("2026-11-24T01:59:00Z");
    told.start(config([followed("a")]));
    told.passes(10).await;
    told.ends(1, "FAILED");
    told.passes(10).await;
    let with_team = with_channels([followed("a")], [channel("team")]);
    told.world.reload(Ok(with_team.clone())).await;
    told.passes(60).await;
    assert!(told.hands.told().is_empty());
    told.passes(23 * 60).await;
    told.ends(2, "FAILED");
    told.passes(60).await;
    assert_eq!(told.hands.told().len(), 1);
    // Taken away and given back: what came in between is not told.
    told.world.reload(Ok(config([followed("a")]))).await;
    told.passes(24 * 60).await;
    told.ends(3, "FAILED");
    told.passes(60).await;
    told.world.reload(Ok(with_team)).await;
    told.passes(60).await;
    assert!(told.hands.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refused_reload_and_a_failing_ledger_are_told_and_so_is_their_end() {
    let mut told = Told::at("2026-11-24T03:00:00Z");
    let good = with_channels([entry("a", "*/5 * * * *")], [channel("team")]);
    told.start(good.clone());
    told.passes(10).await;
    let problems = vec!["a.yaml:3:5: there is no such key".to_owned()];
    told.world.reload(Err(problems)).await;
    told.passes(5).await;
    let messages = told.hands.told();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(
        messages[0].ends_with("team: configuration refused"),
        "{messages:?}"
    );
    told.world.reload(Ok(good)).await;
    told.passes(5).await;
    assert_eq!(told.hands.told().len(), 1);
    told.world.ledger.fail_commits(12, Fault::Full);
    told.passes(60).await;
    let messages = told.hands.told().join("\n");
    assert!(messages.contains("pipecron cannot work"), "{messages}");
    assert!(messages.contains("recovered"), "{messages}");
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_told_once() {
    let mut told = Told::at("2026-11-24T01:59:00Z");
    told.world.service.always(Some(AnswerKind::Unauthorized));
    told.start(with_channels([entry("a", "0 2 * * *")], [channel("team")]));
    told.passes(60).await;
    let messages = told.hands.told();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let said = "team: account main: credentials refused";
    assert!(messages[0].ends_with(said), "{messages:?}");
    told.world.service.always(None);
    told.passes(4 * 60).await;
    let messages = told.hands.told();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(messages[0].contains("accepted again"), "{messages:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_mans_switch_hears_of_start_and_end_in_order() {
    let mut told = Told::at("2026-11-24T01:59:00Z");
    let mut a = followed("a");
    a.ping = Some(ping("a"));
    told.start(config([a, followed("b")]));
    told.passes(10).await;
    assert_eq!(told.hands.pinged(), ["02:00 a Start"]);
    told.ends(1, "COMPLETED");
    told.ends(2, "COMPLETED");
    told.passes(24 * 60).await;
    let pinged = told.hands.pinged();
    assert_eq!(pinged.len(), 2, "{pinged:?}");
    assert!(pinged[0].ends_with("a Success"), "{pinged:?}");
    assert_eq!(pinged[1], "02:00 a Start");
    // While it cannot be reached the newest counts.
    told.hands.goes_down();
    told.ends(3, "FAILED");
    told.passes(1).await;
    told.hands.comes_up();
    told.passes(5).await;
    let pinged = told.hands.pinged();
    assert_eq!(pinged.len(), 1, "{pinged:?}");
    assert!(pinged[0].ends_with("a Fail"), "{pinged:?}");
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_beats_while_the_loop_answers_and_the_ledger_works() {
    let mut told = Told::at("2026-11-24T03:00:00Z");
    let heartbeat = Heartbeat {
        ping: Ping {
            url: Text::Plain("daemon".to_owned()),
        },
        every: Duration::from_secs(300),
    };
    told.start(Config {
        heartbeat: Some(heartbeat),
        ..config([entry("a", "*/5 * * * *")])
    });
    told.world.passes(Duration::from_secs(3590)).await;
    let beats = told.hands.pinged();
    assert_eq!(beats.len(), 12, "{beats:?}");
    assert!(beats.iter().all(|beat| beat.ends_with("daemon Success")));
    told.world.ledger.fail_commits(90, Fault::Full);
    told.passes(15).await;
    let beats = told.hands.pinged();
    assert!(
        beats.iter().any(|beat| beat.ends_with("daemon Fail")),
        "{beats:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_digest_comes_at_its_time_with_every_entry_in_it() {
    let mut told = Told::at("2026-11-23T12:00:00Z");
    let mut morning = channel("morning");
    morning.topics = vec![Topic::Reload];
    morning.digest = Some(DigestAt {
        text: "0 8 * * *".to_owned(),
        pattern: CronPattern::parse("0 8 * * *").unwrap(),
        zone: Arc::new(Zone::utc()),
    });
    let entries = [followed("a"), followed("b"), entry("weekly", "0 2 * * 0")];
    told.start(with_channels(entries.clone(), [morning.clone()]));
    told.passes(15 * 60).await;
    told.ends(1, "COMPLETED");
    told.ends(2, "FAILED");
    told.passes(6 * 60).await;
    let messages = std::mem::take(&mut *told.hands.messages.lock().unwrap());
    assert_eq!(messages.len(), 1, "{messages:?}");
    let (at, _, message) = &messages[0];
    assert_eq!(at, "08:00");
    let digest = message.digest.as_ref().unwrap();
    let answer = "1 of 2 nightlies of the last 24 hours succeeded, 1 failed";
    assert_eq!(digest.answer, answer);
    assert!(!digest.is_good);
    let rows: Vec<String> = digest
        .rows
        .iter()
        .map(|row| format!("{} {} {}", row.entry, row.due_local, row.outcome))
        .collect();
    let failed = rows[0].split(' ').next().unwrap();
    let other = if failed == "a" { "b" } else { "a" };
    assert_eq!(
        rows,
        [
            format!("{failed} Tue 02:00 UTC failed"),
            format!("{other} Tue 02:00 UTC succeeded"),
            "weekly  not due".to_owned(),
        ]
    );
    assert!(!digest.rows[0].text.is_empty());
    assert_eq!(digest.rows[1].text, "");
    // Those that were due while nobody was there are one.
    told.kill();
    told.passes(3 * 24 * 60).await;
    told.start(with_channels(entries, [morning]));
    told.passes(10).await;
    let messages = told.hands.told();
    assert_eq!(messages.len(), 1, "{messages:?}");
}

#[tokio::test(start_paused = true)]
async fn alarms_of_entries_come_when_they_were_asked_for() {
    let mut told = Told::at("2026-11-24T01:59:00Z");
    told.world.service.always(Some(AnswerKind::Busy));
    let mut a = followed("a");
    a.alarm = Alarm {
        no_success_for: Some(Duration::from_secs(7200)),
        not_started_within: Some(Duration::from_secs(1800)),
    };
    told.start(with_channels([a], [channel("team")]));
    told.passes(60).await;
    assert_eq!(told.hands.told(), ["02:30 team: a: not started yet"]);
    told.passes(90).await;
    assert_eq!(told.hands.told(), ["03:59 team: a: no success for 2 h"]);
}
