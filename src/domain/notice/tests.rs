//! What is told, when, and how often: stories.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::*;
use crate::domain::after;
use crate::domain::schedule::Schedule;
use crate::domain::zone::Zone;
use crate::domain::{CatchUp, Entry, Origin, Pause, Policy, Run, RunRequest, Scope, TickState};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn name(text: &str) -> EntryName {
    EntryName::parse(text).unwrap()
}

fn main() -> AccountName {
    AccountName::parse("main").unwrap()
}

/// A world in which a herald looks.
struct World {
    now: Timestamp,
    entries: BTreeMap<EntryName, Arc<Entry>>,
    accounts: BTreeMap<AccountName, AccountHealth>,
    pauses: Vec<Pause>,
    problems: Vec<String>,
    stuck: Option<&'static str>,
    successes: BTreeMap<EntryName, Option<Timestamp>>,
    herald: Herald,
}

impl World {
    fn new(entries: &[(&str, Alarm)]) -> Self {
        let zone = Arc::new(Zone::new("Asia/Shanghai", 8 * 3600, Vec::new()));
        let entry = |(of, alarm): &(&str, Alarm)| {
            let entry = Entry {
                name: name(of),
                schedule: Some(Schedule::parse(&["0 2 * * *"], zone.clone()).unwrap()),
                account: main(),
                request: RunRequest::default(),
                templates: None,
                spread: Duration::ZERO,
                catch_up: CatchUp::Latest,
                catch_up_max: 100,
                deadline: Duration::from_secs(6 * 3600),
                policy: Policy::default(),
                enabled: true,
                not_before: None,
                not_after: None,
                alarm: *alarm,
                ping: None,
                labels: Arc::default(),
            };
            (name(of), Arc::new(entry))
        };
        let health = AccountHealth {
            settle: Duration::from_secs(180),
            ..AccountHealth::default()
        };
        Self {
            now: at("2026-11-24T18:00:00Z"),
            entries: entries.iter().map(entry).collect(),
            accounts: BTreeMap::from([(main(), health)]),
            pauses: Vec::new(),
            problems: Vec::new(),
            stuck: None,
            successes: BTreeMap::new(),
            herald: Herald::default(),
        }
    }

    fn with_sight<T>(&mut self, see: impl FnOnce(&mut Herald, &Sight<'_>) -> T) -> T {
        let sight = Sight {
            now: self.now,
            entries: &self.entries,
            accounts: &self.accounts,
            pauses: &self.pauses,
            reload_problems: &self.problems,
            stuck: self.stuck,
        };
        see(&mut self.herald, &sight)
    }

    fn take(&mut self, seen: Seen) -> Found {
        self.with_sight(|herald, sight| {
            let mut found = Found::default();
            herald.take(sight, seen, &mut found);
            found
        })
    }

    /// Looks, and gives what is told as `TOPIC ENTRY: CAUSE`.
    fn look(&mut self) -> Vec<String> {
        let all = self.successes.clone();
        self.with_sight(|herald, sight| {
            let wanted = herald.wants_success(sight);
            let known = wanted
                .into_iter()
                .map(|name| (name.clone(), all.get(&name).copied().flatten()));
            let mut found = Found::default();
            herald.look(sight, &known.collect(), &mut found);
            lines(&found)
        })
    }

    fn wake_at(&mut self) -> Option<Timestamp> {
        self.with_sight(|herald, sight| herald.wake_at(sight))
    }

    fn pass(&mut self, minutes: i64) {
        self.now += TimeDelta::minutes(minutes);
    }

    /// What is left of it after a restart.
    fn restart(&mut self) {
        let kept = serde_json::to_string(&self.herald).unwrap();
        self.herald = serde_json::from_str(&kept).unwrap();
    }
}

fn lines(found: &Found) -> Vec<String> {
    let line = |notice: &Notice| {
        let about = match (&notice.entry, &notice.account) {
            (Some(entry), _) => format!(" {entry}"),
            (None, Some(account)) => format!(" {account}"),
            (None, None) => String::new(),
        };
        format!("{}{about}: {}", notice.topic, notice.cause)
    };
    found.notices.iter().map(line).collect()
}

fn seen(entry: &str, due: &str, state: TickState) -> Seen {
    let (entry, due) = (name(entry), at(due));
    Seen {
        id: TickId::scheduled(&entry, due),
        entry,
        account: main(),
        due,
        origin: Origin::Scheduled,
        state,
        run: None,
        doubt_since: None,
        note: "a note".to_owned(),
        code: None,
        run_page: None,
    }
}

const DUE: &str = "2026-11-24T18:00:00Z";

fn ended(entry: &str, reason: Reason) -> Seen {
    let state = TickState::Ended {
        reason,
        at: at("2026-11-24T19:00:00Z"),
    };
    seen(entry, DUE, state)
}

fn waiting(entry: &str) -> Seen {
    let not_before = at(DUE);
    seen(entry, DUE, TickState::Waiting { not_before })
}

fn running(entry: &str) -> Seen {
    let mut seen = seen(entry, DUE, TickState::Running { since: at(DUE) });
    seen.run = Some(Run {
        id: "8ab1".to_owned(),
        ..Run::started(at(DUE))
    });
    seen
}

#[test]
fn every_end_is_told_as_what_it_is_and_pinged_as_what_it_is() {
    for (reason, told, pinged) in [
        (Reason::Succeeded, None, Some(Signal::Success)),
        (Reason::Started, None, Some(Signal::Success)),
        (Reason::Excluded, None, Some(Signal::Success)),
        (Reason::Paused, None, None),
        (Reason::Superseded, None, None),
        (Reason::Withdrawn, None, None),
        (
            Reason::Failed,
            Some("failed e: run failed"),
            Some(Signal::Fail),
        ),
        (
            Reason::Canceled,
            Some("failed e: run canceled"),
            Some(Signal::Fail),
        ),
        (
            Reason::Missed,
            Some("missed e: missed while pipecron was away"),
            Some(Signal::Fail),
        ),
        (
            Reason::Skipped,
            Some("skipped e: skipped: another run was under way"),
            Some(Signal::Fail),
        ),
        (
            Reason::TooLate,
            Some("not_started e: not started before its deadline"),
            Some(Signal::Fail),
        ),
        (
            Reason::Refused,
            Some("not_started e: refused by the service"),
            Some(Signal::Fail),
        ),
        (
            Reason::GaveUp,
            Some("not_started e: given up after the last attempt"),
            Some(Signal::Fail),
        ),
        (
            Reason::Unknown,
            Some("not_started e: unknown whether it ran"),
            Some(Signal::Fail),
        ),
    ] {
        let found = World::new(&[("e", Alarm::default())]).take(ended("e", reason));
        let expected: Vec<String> = told.iter().map(|told| (*told).to_owned()).collect();
        assert_eq!(lines(&found), expected, "{reason:?}");
        let pings: Vec<Signal> = found.pings.iter().map(|(_, signal, _)| *signal).collect();
        assert_eq!(pings, Vec::from_iter(pinged), "{reason:?}");
    }
    assert_eq!(Reason::ALL.len(), 14, "a new reason has a line above");
}

#[test]
fn a_cause_names_the_code_and_the_stage_so_that_like_is_told_with_like() {
    let mut world = World::new(&[("e", Alarm::default())]);
    let mut refused = ended("e", Reason::Refused);
    refused.code = Some("DEVPIPE.30001026".to_owned());
    let cause = world.take(refused).notices.remove(0).cause;
    assert_eq!(cause, "refused by the service: DEVPIPE.30001026");
    let mut failed = ended("e", Reason::Failed);
    failed.run = Some(Run {
        id: "8ab1".to_owned(),
        failed_stage: Some("Build".to_owned()),
        ..Run::started(at(DUE))
    });
    failed.run_page = Some("https://example.com/run".to_owned());
    let notice = world.take(failed).notices.remove(0);
    assert_eq!(notice.cause, "run failed in stage Build");
    assert_eq!(notice.run_id.as_deref(), Some("8ab1"));
    assert_eq!(notice.run_page.as_deref(), Some("https://example.com/run"));
    let local = notice.due_local.as_deref();
    assert_eq!(local, Some("2026-11-25 02:00 Asia/Shanghai"));
}

#[test]
fn a_success_after_trouble_is_told_once_also_across_a_restart() {
    let mut world = World::new(&[("e", Alarm::default())]);
    assert!(lines(&world.take(ended("e", Reason::Succeeded))).is_empty());
    world.take(ended("e", Reason::Failed));
    world.restart();
    let found = world.take(ended("e", Reason::Succeeded));
    assert_eq!(lines(&found), ["recovered e: succeeded again"]);
    let text = &found.notices[0].text;
    assert!(
        text.contains("trouble since 2026-11-24T19:00:00Z"),
        "{text}"
    );
    assert!(lines(&world.take(ended("e", Reason::Succeeded))).is_empty());
    // A skipped tick is no trouble: it is what the entry asked for.
    world.take(ended("e", Reason::Skipped));
    assert!(lines(&world.take(ended("e", Reason::Succeeded))).is_empty());
}

#[test]
fn a_start_is_pinged_once_and_an_end_that_goes_on_being_watched_is_told_once() {
    let mut world = World::new(&[("e", Alarm::default())]);
    let signals = |found: &Found| -> Vec<Signal> {
        found.pings.iter().map(|(_, signal, _)| *signal).collect()
    };
    assert_eq!(signals(&world.take(waiting("e"))), []);
    assert_eq!(signals(&world.take(running("e"))), [Signal::Start]);
    assert_eq!(signals(&world.take(running("e"))), []);
    assert_eq!(
        signals(&world.take(ended("e", Reason::Succeeded))),
        [Signal::Success]
    );
    let mut watched = ended("e", Reason::Started);
    watched.run = Some(Run {
        watched: true,
        ..Run::started(at(DUE))
    });
    assert_eq!(signals(&world.take(watched.clone())), [Signal::Success]);
    assert_eq!(signals(&world.take(watched.clone())), []);
    watched.run = Some(Run::started(at(DUE)));
    assert_eq!(signals(&world.take(watched.clone())), []);
    // What was found open at a start was told of by whoever was there before.
    let mut world = World::new(&[("e", Alarm::default())]);
    world.herald.know(running("e"));
    assert_eq!(signals(&world.take(running("e"))), []);
}

#[test]
fn a_tick_that_is_not_started_in_time_is_told_once() {
    let alarm = Alarm {
        not_started_within: Some(Duration::from_secs(1800)),
        ..Alarm::default()
    };
    let mut world = World::new(&[("e", alarm), ("other", Alarm::default())]);
    world.take(waiting("e"));
    world.take(waiting("other"));
    assert_eq!(world.wake_at(), Some(at("2026-11-24T18:30:00Z")));
    world.pass(29);
    assert!(world.look().is_empty());
    world.pass(1);
    assert_eq!(world.look(), ["late e: not started yet"]);
    assert_eq!(world.wake_at(), None);
    world.restart();
    world.herald.know(waiting("e"));
    world.pass(60);
    assert!(world.look().is_empty(), "told before the restart");
    world.take(running("e"));
    assert!(world.look().is_empty());
    let found = world.take(ended("e", Reason::Succeeded));
    assert_eq!(lines(&found), ["recovered e: succeeded again"]);
    // The next tick is told of anew; one that runs is not late.
    world.take(running("e"));
    assert!(world.look().is_empty());
}

#[test]
fn an_overdue_run_and_a_long_doubt_are_told_once() {
    let mut world = World::new(&[("e", Alarm::default())]);
    let mut overdue = running("e");
    world.take(overdue.clone());
    assert!(world.look().is_empty());
    if let Some(run) = &mut overdue.run {
        run.overdue = true;
    }
    world.take(overdue.clone());
    assert_eq!(world.look(), ["overdue e: runs longer than run_timeout"]);
    world.take(overdue);
    assert!(world.look().is_empty());

    let mut doubtful = waiting("e");
    doubtful.state = TickState::Doubtful { look_at: at(DUE) };
    doubtful.doubt_since = Some(at(DUE));
    world.take(doubtful);
    assert!(world.look().is_empty());
    assert_eq!(world.wake_at(), Some(at("2026-11-24T18:06:00Z")));
    world.pass(6);
    assert_eq!(world.look(), ["doubtful e: in doubt for long"]);
    assert!(world.look().is_empty());
}

#[test]
fn no_success_for_long_is_told_once_and_counts_from_what_is_known() {
    let alarm = Alarm {
        no_success_for: Some(Duration::from_secs(26 * 3600)),
        ..Alarm::default()
    };
    let mut world = World::new(&[("e", alarm), ("never", alarm)]);
    world.successes.insert(name("e"), Some(at(DUE)));
    assert!(world.look().is_empty());
    assert_eq!(world.wake_at(), Some(at("2026-11-25T20:00:00Z")));
    world.restart();
    world.pass(26 * 60 - 1);
    assert!(world.look().is_empty());
    world.pass(1);
    let both = [
        "late e: no success for 26 h",
        "late never: no success for 26 h",
    ];
    assert_eq!(world.look(), both);
    world.restart();
    world.pass(26 * 60);
    assert!(world.look().is_empty(), "told before");
    let found = world.take(ended("e", Reason::Succeeded));
    assert_eq!(lines(&found), ["recovered e: succeeded again"]);
    world.successes.insert(name("e"), Some(world.now));
    assert!(world.look().is_empty());
    world.pass(26 * 60);
    assert_eq!(world.look(), ["late e: no success for 26 h"]);
}

#[test]
fn nobody_expects_a_success_of_what_rests_and_it_counts_anew_from_then() {
    let alarm = Alarm {
        no_success_for: Some(Duration::from_secs(3600)),
        ..Alarm::default()
    };
    let mut world = World::new(&[("e", alarm)]);
    world.successes.insert(name("e"), Some(at(DUE)));
    world.pauses.push(Pause {
        scope: Scope::All,
        since: at(DUE),
        until: None,
        by: "root".to_owned(),
        reason: String::new(),
        lifted: None,
    });
    world.pass(600);
    assert!(world.look().is_empty());
    world.restart();
    world.pauses.clear();
    assert!(world.look().is_empty(), "it counts from now");
    world.pass(59);
    assert!(world.look().is_empty());
    world.pass(1);
    assert_eq!(world.look(), ["late e: no success for 1 h"]);
}

#[test]
fn accounts_and_the_daemon_are_told_of_when_they_turn_and_when_they_turn_back() {
    let mut world = World::new(&[]);
    assert!(world.look().is_empty());
    let settle = Duration::from_secs(180);
    let both = AccountHealth {
        is_refused: true,
        is_broken: true,
        settle,
    };
    world.accounts.insert(main(), both);
    world.problems = vec!["a.yaml:3:5: no".to_owned(), "more".to_owned()];
    world.stuck = Some("the ledger fails");
    let bad = [
        "credentials main: credentials refused",
        "breaker main: the service fails",
        "reload: configuration refused",
        "daemon: nothing is started",
    ];
    assert_eq!(world.look(), bad);
    world.restart();
    assert!(world.look().is_empty());
    let well = AccountHealth {
        settle,
        ..AccountHealth::default()
    };
    world.accounts.insert(main(), well);
    world.problems.clear();
    world.stuck = None;
    let good = [
        "recovered main: credentials are accepted again",
        "recovered main: the service works again",
        "recovered: new configuration in use",
        "recovered: works again",
    ];
    assert_eq!(world.look(), good);
    assert!(world.look().is_empty());
}

#[test]
fn what_is_remembered_of_entries_that_are_gone_is_forgotten() {
    let alarm = Alarm {
        no_success_for: Some(Duration::from_secs(3600)),
        ..Alarm::default()
    };
    let mut world = World::new(&[("e", alarm)]);
    world.take(ended("e", Reason::Failed));
    world.look();
    world.pass(600);
    world.look();
    world.entries.clear();
    world.look();
    let kept = serde_json::to_string(&world.herald).unwrap();
    assert!(!kept.contains("\"e\""), "{kept}");
    assert_eq!(kept, serde_json::to_string(&Herald::default()).unwrap());
}

const TACT: Tact = Tact {
    collect: Duration::from_secs(30),
    messages_per_hour: 3,
};

fn told(cause: &str) -> Notice {
    let mut world = World::new(&[("e", Alarm::default())]);
    let mut notice = world.take(ended("e", Reason::Failed)).notices.remove(0);
    notice.cause = cause.to_owned();
    notice
}

fn second(seconds: i64) -> Timestamp {
    at(DUE) + TimeDelta::seconds(seconds)
}

#[test]
fn three_hundred_failures_of_one_cause_are_one_message() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.due(TACT), None);
    for number in 0..300 {
        outbox.put(second(number / 15), told("run failed"));
    }
    assert_eq!(outbox.due(TACT), Some(second(30)));
    assert_eq!(outbox.take(second(29), TACT), None);
    let message = outbox.take(second(30), TACT).unwrap();
    assert_eq!((message.count(), message.groups.len()), (300, 1));
    assert_eq!(message.groups[0].notices.len(), LISTED_MAX);
    assert_eq!(message.title(), "300 runs failed");
    outbox.delivered(second(31));
    assert!(outbox.is_empty());
    assert_eq!(outbox.take(second(90), TACT), None);
}

#[test]
fn of_too_many_causes_the_rest_is_counted() {
    let mut outbox = Outbox::default();
    for number in 0..GROUPS_MAX + 7 {
        outbox.put(second(0), told(&format!("cause {number}")));
    }
    let message = outbox.take(second(60), TACT).unwrap();
    assert_eq!(message.groups.len(), GROUPS_MAX);
    assert_eq!(message.left_out, 7);
    assert_eq!(message.title(), format!("{GROUPS_MAX} runs failed, 7 more"));
}

#[test]
fn a_title_names_the_one_it_is_about() {
    let mut outbox = Outbox::default();
    outbox.put(second(0), told("run failed in stage Build"));
    let message = outbox.take(second(60), TACT).unwrap();
    assert_eq!(message.title(), "e: run failed in stage Build");
    assert!(!message.is_good());
}

#[test]
fn a_message_that_fails_is_kept_as_it_is_tried_again_ever_later_and_given_up_after_a_day() {
    let mut outbox = Outbox::default();
    outbox.put(second(0), told("run failed"));
    let message = outbox.take(second(30), TACT).unwrap();
    let mut now = second(30);
    let mut waits = Vec::new();
    let given_up = loop {
        // What comes meanwhile is another message.
        outbox.put(now, told("later"));
        assert_eq!(outbox.take(now, TACT).as_ref(), Some(&message));
        if let Some(count) = outbox.failed(now, "as told", true, None) {
            break count;
        }
        assert_eq!(outbox.trouble(), Some((second(30), "as told")));
        let again = outbox.due(TACT).unwrap();
        assert_eq!(outbox.take(again - TimeDelta::seconds(1), TACT), None);
        waits.push((again - now).num_seconds());
        now = again;
        let kept = serde_json::to_string(&outbox).unwrap();
        outbox = serde_json::from_str(&kept).unwrap();
    };
    assert_eq!(waits[..8], [5, 10, 20, 40, 80, 160, 320, 600]);
    assert_eq!(given_up, 1);
    assert!(now >= second(30) + TimeDelta::days(1), "{now}");
    let rest = outbox.take(after(now, TACT.collect), TACT).unwrap();
    assert_eq!(rest.left_out, 1, "whoever is reached again is told of it");
    assert_eq!(rest.groups[0].cause, "later");
}

#[test]
fn a_receiver_says_when_to_come_again_and_is_not_asked_oftener_where_somebody_has_to_mend() {
    let mut outbox = Outbox::default();
    outbox.put(second(0), told("run failed"));
    outbox.take(second(30), TACT).unwrap();
    outbox.failed(second(30), "as told", true, Some(Duration::from_secs(90)));
    assert_eq!(outbox.due(TACT), Some(second(120)));
    outbox.failed(
        second(120),
        "as told",
        true,
        Some(Duration::from_secs(86_400)),
    );
    assert_eq!(outbox.due(TACT), Some(second(720)));
    let mut outbox = Outbox::default();
    outbox.put(second(0), told("run failed"));
    outbox.take(second(30), TACT).unwrap();
    outbox.failed(second(30), "as told", false, None);
    assert_eq!(outbox.due(TACT), Some(second(630)));
}

#[test]
fn in_an_hour_come_no_more_messages_than_were_asked_for_and_nothing_is_lost() {
    let mut outbox = Outbox::default();
    let (mut messages, mut notices) = (Vec::new(), 0);
    for number in 0..7200 {
        let now = second(number);
        if number % 10 == 0 && number < 3600 {
            outbox.put(now, told("run failed"));
        }
        if let Some(message) = outbox.take(now, TACT) {
            messages.push(number);
            notices += message.count();
            outbox.delivered(now);
        }
    }
    assert_eq!(notices, 360);
    assert_eq!(messages, [30, 70, 110, 3630]);
}

#[test]
fn a_clock_that_was_ahead_keeps_nothing_back() {
    let year = TimeDelta::days(365);
    let mut outbox = Outbox::default();
    outbox.put(second(0) + year, told("run failed"));
    assert!(outbox.take(second(30), TACT).is_none());
    assert!(outbox.take(second(60), TACT).is_some());
    outbox.failed(second(0) + year, "as told", true, None);
    assert!(outbox.take(second(60), TACT).is_none());
    assert!(outbox.take(second(660), TACT).is_some());
    outbox.delivered(second(0) + year);
    outbox.put(second(660), told("run failed"));
    assert!(outbox.take(second(690), TACT).is_some());
    let mut digests = Outbox::default();
    digests.digest_until(second(0) + year);
    assert_eq!(digests.digest_until(second(0)), second(0));
}

fn night() -> Digest {
    Digest {
        since: second(-86_400),
        until: second(0),
        answer: "41 of 43 nightlies succeeded, 2 failed".to_owned(),
        is_good: false,
        rows: Vec::new(),
        left_out: 0,
    }
}

#[test]
fn a_digest_goes_first_and_does_not_count_against_the_limit() {
    let tact = Tact {
        messages_per_hour: 1,
        ..TACT
    };
    let mut outbox = Outbox::default();
    outbox.put(second(-30), told("run failed"));
    outbox.put_digest(night());
    let message = outbox.take(second(0), tact).unwrap();
    assert_eq!(message.title(), "41 of 43 nightlies succeeded, 2 failed");
    outbox.delivered(second(1));
    let message = outbox.take(second(2), tact).unwrap();
    assert_eq!(message.title(), "e: run failed");
    assert_eq!(outbox.digest_until(second(2)), second(0));
}
