//! What every ledger has to do. Each function is one test, run against each ledger by `main.rs`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipecron::config::SourceFile;
use pipecron::domain::pause::{Lifted, PAUSES_KEPT_MAX};
use pipecron::domain::request::{SecretRef, Source, SourceParams, Variable, VariableValue};
use pipecron::domain::retry::Jitter;
use pipecron::domain::{
    Act, Answer, AnswerKind, Attempt, Change, Doubt, EntryName, EntryState, LastSuccess, Mark,
    MarkChange, Missed, OnDoubt, Origin, Overlap, Pause, Plan, Policy, Reason, Retry, Run,
    RunRequest, Scope, Skip, Tick, TickId, TickState, Timestamp,
};
use pipecron::ledger::{
    Glance, HistoryQuery, Ledger, LedgerError, MESSAGE_CHARS_MAX, NOTE_CHARS_MAX, PRUNE_ROWS_MAX,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::world::*;

fn assert_refused<T: std::fmt::Debug>(result: Result<T, LedgerError>, word: &str) {
    match result {
        Err(error @ LedgerError::Refused { .. }) => {
            assert!(!error.is_transient());
            assert_eq!(error.fault(), None);
            let error = error.to_string();
            assert!(error.contains(word), "{error}");
        }
        other => panic!("not refused: {other:?}"),
    }
}

pub(crate) async fn plans_come_back_in_the_order_of_the_entries(ledger: impl Ledger) {
    let asked = ["zebra", "ant", "mole"].map(entry);
    let plans = ledger.decide(asked.to_vec(), |now, entry, state| {
        assert_eq!(*state, EntryState::default());
        Plan {
            wake_at: Some(now),
            ..plan(&[tick(entry.as_str(), now)])
        }
    });
    let plans = plans.await.unwrap();
    let decided: Vec<_> = plans
        .iter()
        .map(|plan| &plan.changes[0].tick.entry)
        .collect();
    assert_eq!(decided, asked.iter().collect::<Vec<_>>());
    assert!(plans.iter().all(|plan| plan.wake_at == Some(start())));
    for entry in &asked {
        assert_eq!(state(&ledger, entry.as_str()).await.open.len(), 1);
    }
}

pub(crate) async fn the_time_of_a_decision_is_the_ledgers(ledger: impl Ledger) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..3 {
        let here = Arc::clone(&seen);
        let decided = ledger.decide(vec![entry("a"), entry("b")], move |now, _, _| {
            here.lock().unwrap().push(now);
            Plan::default()
        });
        decided.await.unwrap();
        pass(60).await;
    }
    let expected = [0, 0, 60, 60, 120, 120].map(second);
    assert_eq!(*seen.lock().unwrap(), expected);
}

pub(crate) async fn no_entries_are_no_decision(ledger: impl Ledger) {
    let plans = ledger.decide(Vec::new(), |_, _, _| panic!("there is nothing to decide"));
    assert_eq!(plans.await.unwrap(), Vec::new());
}

pub(crate) async fn an_entry_named_twice_sees_what_was_decided_first(ledger: impl Ledger) {
    let plans = ledger.decide(vec![entry("a"), entry("a")], |now, _, state| {
        match state.open.first() {
            None => plan(&[tick("a", now)]),
            Some(open) => plan(&[ended(open, Reason::Withdrawn, now)]),
        }
    });
    assert_eq!(plans.await.unwrap().len(), 2);
    assert_eq!(state(&ledger, "a").await.open, Vec::new());
    let history = ledger.history(HistoryQuery::default()).await.unwrap();
    assert_eq!(
        history,
        [ended(&tick("a", start()), Reason::Withdrawn, start())]
    );
}

pub(crate) async fn a_decision_sees_what_was_stored(ledger: impl Ledger) {
    let late = tick("a", second(120));
    let early = tick("a", second(60));
    let by_hand = manual("a", second(60), "x7");
    let over = ended(&tick("a", second(0)), Reason::Started, second(1));
    put(
        &ledger,
        &[late.clone(), by_hand.clone(), over, early.clone()],
    )
    .await;
    put(&ledger, &[tick("a.b", second(60)), tick("b", second(60))]).await;
    store(&ledger, "a", set_mark(second(90))).await.unwrap();
    let seen = state(&ledger, "a").await;
    assert_eq!(seen.mark, Some(mark(second(90))));
    // Oldest first; of one instant the scheduled one, whose id is the shorter.
    assert_eq!(seen.open, [early, by_hand, late]);
    assert_eq!(
        seen.decided,
        [0, 60, 120].map(second).into(),
        "what is on time is told again when the mark lies ahead of now"
    );
}

pub(crate) async fn open_ticks_are_in_the_order_of_their_due_times_not_of_their_ids(
    ledger: impl Ledger,
) {
    let early = Tick {
        id: TickId::from_text("a@zebra"),
        ..manual("a", second(1), "x")
    };
    let late = Tick {
        id: TickId::from_text("a@ant"),
        ..manual("a", second(2), "x")
    };
    put(&ledger, [&late, &early]).await;
    assert_eq!(state(&ledger, "a").await.open, [early, late]);
}

pub(crate) async fn due_times_after_the_mark_or_now_are_known_as_decided(ledger: impl Ledger) {
    let ticks = [10, 20, 30, 40].map(|due| tick("a", second(due)));
    put(&ledger, &ticks).await;
    put(
        &ledger,
        &[manual("a", second(25), "x"), tick("b", second(25))],
    )
    .await;
    pass(20).await;
    // Without a mark the entry starts from now.
    assert_eq!(
        state(&ledger, "a").await.decided,
        [30, 40].map(second).into()
    );
    // Behind now: from there on.
    store(&ledger, "a", set_mark(second(5))).await.unwrap();
    assert_eq!(
        state(&ledger, "a").await.decided,
        [10, 20, 30, 40].map(second).into()
    );
    // The mark's own instant is decided by the mark.
    store(&ledger, "a", set_mark(second(10))).await.unwrap();
    assert_eq!(
        state(&ledger, "a").await.decided,
        [20, 30, 40].map(second).into()
    );
    // Ahead of now, after a clock that was wrong: it will be pulled back, and what is on time is still due.
    pass(60).await;
    store(&ledger, "a", set_mark(second(86_400))).await.unwrap();
    assert_eq!(
        state(&ledger, "a").await.decided,
        [30, 40].map(second).into()
    );
    // Ended ones count as well, whatever they ended as.
    put(&ledger, &[ended(&ticks[3], Reason::Missed, second(20))]).await;
    assert_eq!(
        state(&ledger, "a").await.decided,
        [30, 40].map(second).into()
    );
}

pub(crate) async fn a_mark_is_set_kept_moved_and_cleared(ledger: impl Ledger) {
    assert_eq!(state(&ledger, "a").await.mark, None);
    store(&ledger, "a", set_mark(second(1))).await.unwrap();
    store(&ledger, "b", set_mark(second(2))).await.unwrap();
    store(&ledger, "a", plan(&[tick("a", second(0))]))
        .await
        .unwrap();
    assert_eq!(state(&ledger, "a").await.mark, Some(mark(second(1))));
    let mut moved = mark(second(-5));
    moved.schedule = "*/5 * * * * in Europe/Berlin".to_owned();
    let moving = Plan {
        mark: MarkChange::Set(moved.clone()),
        ..Plan::default()
    };
    store(&ledger, "a", moving).await.unwrap();
    assert_eq!(state(&ledger, "a").await.mark, Some(moved));
    assert_eq!(
        ledger.marked_entries().await.unwrap(),
        ["a", "b"].map(entry)
    );
    for _ in 0..2 {
        let clearing = Plan {
            mark: MarkChange::Clear,
            ..Plan::default()
        };
        store(&ledger, "a", clearing).await.unwrap();
        assert_eq!(state(&ledger, "a").await.mark, None);
    }
    assert_eq!(ledger.marked_entries().await.unwrap(), [entry("b")]);
}

pub(crate) async fn nothing_of_a_call_is_stored_when_one_decision_is_refused(ledger: impl Ledger) {
    let there = tick("c", second(0));
    put(&ledger, [&there]).await;
    store(&ledger, "b", set_mark(second(-1))).await.unwrap();
    pass(1).await;
    let entries = ["a", "b", "c", "d"].map(entry).to_vec();
    let plans = ledger.decide(entries, |now, entry, _| {
        let mut again = tick(entry.as_str(), second(0));
        again.opened_at = now;
        Plan {
            mark: MarkChange::Set(mark(now)),
            ..plan(&[again])
        }
    });
    assert_refused(plans.await, "c@2026-11-24T18:00:00Z");
    assert_eq!(
        ledger.history(HistoryQuery::default()).await.unwrap(),
        [there]
    );
    assert_eq!(ledger.marked_entries().await.unwrap(), [entry("b")]);
    assert_eq!(state(&ledger, "b").await.mark, Some(mark(second(-1))));
    assert_eq!(state(&ledger, "a").await, EntryState::default());
    assert_eq!(ledger.open_entries().await.unwrap(), [entry("c")]);
}

pub(crate) async fn what_is_taken_back_leaves_the_row_as_it_was(ledger: impl Ledger) {
    let first = tick("a", second(0));
    put(&ledger, [&first]).await;
    let before = ledger.story(first.id.clone()).await.unwrap();
    let sending = sent(&first, second(0));
    let mut again = tick("a", second(0));
    again.opened_at = second(9);
    let mut bad = plan(&[sending.clone(), again]);
    bad.changes[0].attempt = Some(attempt(&sending, 1, second(0)));
    assert_refused(store(&ledger, "a", bad).await, "already");
    assert_eq!(ledger.story(first.id).await.unwrap(), before);
}

pub(crate) async fn a_tick_is_opened_once(ledger: impl Ledger) {
    let first = tick("a", second(0));
    put(&ledger, [&first]).await;
    // By somebody who did not look.
    let mut again = first.clone();
    again.opened_at = second(1);
    assert_refused(store(&ledger, "a", plan([&again])).await, "a second time");
    // Under another name.
    again.id = TickId::from_text("a@another-name");
    assert_refused(store(&ledger, "a", plan([&again])).await, "a second time");
    // After it has ended.
    let over = ended(&first, Reason::Started, second(2));
    put(&ledger, [&over]).await;
    assert_refused(store(&ledger, "a", plan([&again])).await, "a second time");
    again.id = first.id.clone();
    assert_refused(store(&ledger, "a", plan([&again])).await, "a second time");
    let again = ended(&again, Reason::Missed, second(3));
    assert_refused(store(&ledger, "a", plan(&[again])).await, "a second time");
    // Twice in one plan.
    let twin = Tick {
        id: TickId::from_text("b@twin"),
        ..tick("b", second(0))
    };
    assert_refused(
        store(&ledger, "b", plan(&[tick("b", second(0)), twin])).await,
        "b@twin",
    );
    assert_eq!(
        ledger.history(HistoryQuery::default()).await.unwrap(),
        [over]
    );
    // Another entry's, and a manual one, may be of the same instant.
    put(
        &ledger,
        &[
            tick("c", second(0)),
            manual("a", second(0), "1"),
            manual("a", second(0), "2"),
        ],
    )
    .await;
}

pub(crate) async fn an_attempt_is_sent_once_even_at_the_same_instant(ledger: impl Ledger) {
    let claim = || {
        let claimed = sent(&tick("a", start()), start());
        Plan {
            changes: vec![Change {
                attempt: Some(attempt(&claimed, 1, start())),
                tick: claimed,
            }],
            ..Plan::default()
        }
    };
    store(&ledger, "a", claim()).await.unwrap();
    // A second claim that did not look, in a clock that stands still: nothing but the attempt tells them apart.
    assert_refused(store(&ledger, "a", claim()).await, "attempt 1");
}

pub(crate) async fn sixteen_deciders_open_a_tick_once(ledger: impl Ledger) {
    let ledger = Arc::new(ledger);
    let names: Vec<_> = (0..20)
        .map(|number| entry(&format!("entry-{number}")))
        .collect();
    let deciders = (0..16).map(|_| {
        let ledger = Arc::clone(&ledger);
        let names = names.clone();
        tokio::spawn(async move {
            let mut opened = 0;
            for name in names {
                let plans = ledger.decide(vec![name], |now, entry, state| {
                    let claimed = sent(&tick(entry.as_str(), second(0)), now);
                    let is_there = state.mark.is_some() || !state.open.is_empty();
                    let claim = Plan {
                        mark: MarkChange::Set(mark(now)),
                        changes: vec![Change {
                            attempt: Some(attempt(&claimed, 1, now)),
                            tick: claimed,
                        }],
                        ..Plan::default()
                    };
                    if is_there { Plan::default() } else { claim }
                });
                opened += plans.await.unwrap()[0].changes.len();
            }
            opened
        })
    });
    let deciders: Vec<_> = deciders.collect();
    let mut opened = 0;
    for decider in deciders {
        opened += decider.await.unwrap();
    }
    assert_eq!(opened, names.len());
    assert_eq!(
        ledger.history(HistoryQuery::default()).await.unwrap().len(),
        names.len()
    );
}

pub(crate) async fn a_decision_about_one_entry_cannot_touch_another(ledger: impl Ledger) {
    assert_refused(
        store(&ledger, "a", plan(&[tick("b", second(0))])).await,
        "tick of b",
    );
    // Nor take over a tick of another by its id.
    put(&ledger, &[tick("b", second(0))]).await;
    let mut stolen = tick("a", second(0));
    stolen.id = tick("b", second(0)).id;
    assert_refused(store(&ledger, "a", plan(&[stolen])).await, "b@");
    // Nor bring along an attempt of another.
    let mut bad = plan(&[tick("a", second(0))]);
    bad.changes[0].attempt = Some(attempt(&tick("b", second(0)), 1, second(0)));
    assert_refused(store(&ledger, "a", bad).await, "attempt 1 of b@");
}

pub(crate) async fn what_ended_stays_ended(ledger: impl Ledger) {
    let first = tick("a", second(0));
    let over = ended(&first, Reason::TooLate, second(5));
    put(&ledger, &[first.clone(), over.clone()]).await;
    assert_refused(store(&ledger, "a", plan([&first])).await, "ended");
    assert_refused(
        store(&ledger, "a", plan(&[sent(&first, second(6))])).await,
        "ended",
    );
    assert_eq!(stored(&ledger, &first).await, Some(over.clone()));
    // Late news may still be written down: a run that started all the same is found in the ledger (P10).
    let mut late = over;
    late.run = Some(Run {
        id: "run-1".to_owned(),
        queue_id: None,
        started_at: second(7),
        ..Run::started(second(0))
    });
    put(&ledger, [&late]).await;
    assert_eq!(stored(&ledger, &first).await, Some(late));
}

pub(crate) async fn an_attempt_can_only_be_answered(ledger: impl Ledger) {
    let sending = sent(&tick("a", second(0)), second(0));
    let asked = attempt(&sending, 1, second(0));
    let answered = Attempt {
        answered_at: Some(second(1)),
        answer: Some(answer(AnswerKind::Throttled)),
        ..asked.clone()
    };
    let with = |attempt: &Attempt| Plan {
        changes: vec![Change {
            tick: sending.clone(),
            attempt: Some(attempt.clone()),
        }],
        ..Plan::default()
    };
    store(&ledger, "a", with(&asked)).await.unwrap();
    let again = Attempt {
        sent_at: second(1),
        ..asked.clone()
    };
    assert_refused(store(&ledger, "a", with(&again)).await, "only be answered");
    store(&ledger, "a", with(&answered)).await.unwrap();
    assert_refused(store(&ledger, "a", with(&asked)).await, "only be answered");
    // Nor can the answer to one that was sent at another time be taken for its own.
    let other = Attempt {
        sent_at: second(1),
        ..answered.clone()
    };
    assert_refused(store(&ledger, "a", with(&other)).await, "only be answered");
    // A better answer to the same attempt may come.
    let better = Attempt {
        answered_at: Some(second(2)),
        answer: Some(answer(AnswerKind::Busy)),
        ..asked
    };
    store(&ledger, "a", with(&better)).await.unwrap();
    let story = ledger.story(sending.id).await.unwrap().unwrap();
    assert_eq!(story.attempts, [better]);
}

pub(crate) async fn one_plan_may_answer_an_attempt_and_send_the_next(ledger: impl Ledger) {
    let first = sent(&tick("a", second(0)), second(0));
    let mut sending = plan([&first]);
    sending.changes[0].attempt = Some(attempt(&first, 1, second(0)));
    store(&ledger, "a", sending).await.unwrap();
    let mut waiting = first.clone();
    waiting.state = TickState::Waiting {
        not_before: second(1),
    };
    waiting.refusals = 1;
    waiting.note = "refused in passing".to_owned();
    let second_try = sent(&waiting, second(1));
    let mut both = plan(&[waiting, second_try.clone()]);
    both.changes[0].attempt = Some(Attempt {
        answered_at: Some(second(1)),
        answer: Some(answer(AnswerKind::RefusedInPassing)),
        ..attempt(&first, 1, second(0))
    });
    both.changes[1].attempt = Some(attempt(&second_try, 2, second(1)));
    store(&ledger, "a", both).await.unwrap();
    let story = ledger.story(first.id).await.unwrap().unwrap();
    assert_eq!(story.tick, second_try);
    let numbers: Vec<_> = story
        .attempts
        .iter()
        .map(|attempt| attempt.number)
        .collect();
    assert_eq!(numbers, [1, 2]);
    let notes: Vec<_> = story.notes.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(notes, ["attempt 1", "refused in passing", "attempt 2"]);
}

pub(crate) async fn a_decision_that_panics_is_an_error_and_spoils_nothing(ledger: impl Ledger) {
    let plans = ledger.decide(vec![entry("a"), entry("b")], |now, entry, _| {
        assert!(entry.as_str() == "a", "a planted mistake");
        plan(&[tick("a", now)])
    });
    assert_refused(plans.await, "a planted mistake");
    assert_eq!(ledger.open_entries().await.unwrap(), []);
    put(&ledger, &[tick("a", second(0))]).await;
}

pub(crate) async fn an_unreadable_multiplier_is_refused(ledger: impl Ledger) {
    for multiplier in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut bad = tick("a", second(0));
        bad.policy.retry.multiplier = multiplier;
        assert_refused(store(&ledger, "a", plan(&[bad])).await, "multiplier");
    }
    assert_eq!(state(&ledger, "a").await, EntryState::default());
}

fn answer(kind: AnswerKind) -> Answer {
    Answer {
        kind,
        status: None,
        code: None,
        message: String::new(),
        request_id: None,
        retry_after: None,
        service_clock: None,
    }
}

pub(crate) async fn every_answer_comes_back(ledger: impl Ledger) {
    let kinds = [
        AnswerKind::Started {
            run_id: "run-1".to_owned(),
            queue_id: None,
        },
        AnswerKind::Started {
            run_id: String::new(),
            queue_id: Some("queue-1".to_owned()),
        },
        AnswerKind::NotSent,
        AnswerKind::Throttled,
        AnswerKind::Busy,
        AnswerKind::Unauthorized,
        AnswerKind::Refused,
        AnswerKind::RefusedInPassing,
        AnswerKind::Doubtful,
    ];
    let mut now = tick("a", second(0));
    let mut expected = Vec::new();
    for kind in kinds {
        for is_full in [true, false] {
            now = sent(&now, second(1));
            let full = Answer {
                status: Some(429),
                code: Some("APIGW.0308".to_owned()),
                message: "ключ \"\\ 日本\n\u{0}".to_owned(),
                request_id: Some("18e2".to_owned()),
                retry_after: Some(Duration::new(7, 123_456_789)),
                service_clock: Some(second(2) + chrono::TimeDelta::nanoseconds(1)),
                kind: kind.clone(),
            };
            let answered = Attempt {
                answered_at: Some(second(3)),
                answer: Some(if is_full { full } else { answer(kind.clone()) }),
                ..attempt(&now, now.attempts, second(1))
            };
            let mut answering = plan([&now]);
            answering.changes[0].attempt = Some(answered.clone());
            store(&ledger, "a", answering).await.unwrap();
            expected.push(answered);
        }
    }
    let story = ledger.story(now.id).await.unwrap().unwrap();
    assert_eq!(story.attempts, expected);
}

pub(crate) async fn a_run_and_its_outcome_are_kept(ledger: impl Ledger) {
    let mut now = tick("a", second(0));
    let mut run = Run {
        id: "run-1".to_owned(),
        queue_id: Some("queue-1".to_owned()),
        started_at: second(4),
        ..Run::started(second(0))
    };
    put(&ledger, [&now]).await;
    now = ended(&now, Reason::Started, second(4));
    now.run = Some(run.clone());
    put(&ledger, [&now]).await;
    assert_eq!(stored(&ledger, &now).await, Some(now.clone()));
    run.queue_id = None;
    run.outcome = Some("COMPLETED".to_owned());
    now.run = Some(run);
    put(&ledger, [&now]).await;
    assert_eq!(stored(&ledger, &now).await, Some(now.clone()));
    assert_eq!(
        ledger.history(HistoryQuery::default()).await.unwrap(),
        [now.clone()]
    );
    // What the service gave out twice is written down twice.
    let twin = Tick {
        run: now.run.clone(),
        ..ended(&tick("b", second(0)), Reason::Started, second(4))
    };
    put(&ledger, [&twin]).await;
    now.run = None;
    put(&ledger, [&now]).await;
    assert_eq!(stored(&ledger, &now).await, Some(now));
    assert_eq!(stored(&ledger, &twin).await, Some(twin));
}

pub(crate) async fn a_row_stands_for_missed_ticks(ledger: impl Ledger) {
    for (name, at_least, count) in [
        ("a", true, u64::from(u32::MAX) + 1),
        ("b", false, 1),
        ("c", true, u64::MAX),
    ] {
        let mut row = ended(&tick(name, second(3_600)), Reason::Missed, second(3_601));
        row.missed = Some(Missed {
            count,
            at_least,
            from: second(-3_600),
            to: second(3_600),
        });
        put(&ledger, [&row]).await;
        assert_eq!(stored(&ledger, &row).await, Some(row));
    }
}

pub(crate) async fn marks_for_skips_are_kept_told_and_taken_back(ledger: impl Ledger) {
    let skip = |due: i64, reason: &str| Skip {
        due: second(due),
        by: "ada".to_owned(),
        asked_at: second(1),
        reason: reason.to_owned(),
    };
    let (a, b) = (entry("a"), entry("b"));
    let some = vec![skip(100, ""), skip(50, "x"), skip(100, "audit")];
    ledger.put_skips(a.clone(), some).await.unwrap();
    ledger
        .put_skips(b.clone(), vec![skip(70, "")])
        .await
        .unwrap();
    let told = |skips: &[(&EntryName, Skip)]| -> Vec<(EntryName, Skip)> {
        let owned = skips.iter();
        owned
            .map(|(entry, skip)| ((*entry).clone(), skip.clone()))
            .collect()
    };
    assert_eq!(
        ledger.skips(second(50)).await.unwrap(),
        told(&[(&a, skip(100, "audit")), (&b, skip(70, ""))])
    );
    // Without a mark a decision is told of those to come.
    let known = state(&ledger, "a").await.skips;
    assert_eq!(
        known.keys().copied().collect::<Vec<_>>(),
        [second(50), second(100)]
    );
    assert_eq!(state(&ledger, "c").await.skips.len(), 0);
    let dropped = ledger.drop_skips(a.clone(), vec![second(100), second(70)]);
    assert_eq!(dropped.await.unwrap(), 1);
    assert_eq!(ledger.skips(second(0)).await.unwrap().len(), 2);
    ledger.prune(second(60)).await.unwrap();
    assert_eq!(
        ledger.skips(second(0)).await.unwrap(),
        told(&[(&b, skip(70, ""))])
    );
}

/// Before the clock of these tests, so that a mark may lie there.
fn early(at: i64) -> Timestamp {
    second(at - 10_000)
}

fn pause(scope: Scope, since: i64, until: Option<i64>) -> Pause {
    Pause {
        scope,
        since: early(since),
        until: until.map(early),
        by: "ada".to_owned(),
        reason: "the farm moves".to_owned(),
        lifted: None,
    }
}

pub(crate) async fn pauses_are_kept_told_and_lifted(ledger: impl Ledger) {
    let one = || Scope::Entry(entry("a"));
    let label = || Scope::Label("team:web".to_owned());
    let all = pause(Scope::All, 100, None);
    let of_one = pause(one(), 50, Some(200));
    let of_label = pause(label(), 60, Some(70));
    for pause in [&all, &of_one, &of_label] {
        assert_eq!(ledger.put_pause(pause.clone()).await.unwrap(), None);
    }
    let known = ledger.pauses(early(69)).await.unwrap();
    assert_eq!(known, [of_one.clone(), of_label, all.clone()]);
    // One that ran out is not told of any more, and cannot be lifted.
    let known = ledger.pauses(early(70)).await.unwrap();
    assert_eq!(known, [of_one.clone(), all.clone()]);
    let lift = |scope, at, by: &str| ledger.lift_pause(scope, early(at), by.to_owned());
    assert_eq!(lift(label(), 70, "bob").await.unwrap(), None);
    // A second one takes the place of the first, which is kept for what was due in it.
    let again = pause(one(), 120, None);
    let lifted = |pause: &Pause, at, by: &str| Pause {
        lifted: Some(Lifted {
            at: early(at),
            by: by.to_owned(),
        }),
        ..pause.clone()
    };
    let before = lifted(&of_one, 120, "ada");
    assert_eq!(
        ledger.put_pause(again.clone()).await.unwrap(),
        Some(before.clone())
    );
    let known = ledger.pauses(early(119)).await.unwrap();
    assert_eq!(known, [before, all.clone(), again.clone()]);
    let over = lifted(&again, 130, "bob");
    assert_eq!(lift(one(), 130, "bob").await.unwrap(), Some(over.clone()));
    assert_eq!(lift(one(), 131, "bob").await.unwrap(), None);
    assert_eq!(*ledger.pauses(early(130)).await.unwrap(), vec![all.clone()]);
    // A decision is told of those of all entries that may cover what it decides.
    let mark = Mark {
        until: early(125),
        schedule: "0 2 * * *".to_owned(),
        crossed: BTreeSet::new(),
    };
    let plan = Plan {
        mark: MarkChange::Set(mark),
        ..Plan::default()
    };
    let plans = ledger.decide(vec![entry("b")], move |_, _, _| plan.clone());
    plans.await.unwrap();
    assert_eq!(state(&ledger, "b").await.pauses, [all.clone(), over]);
    ledger.prune(early(131)).await.unwrap();
    assert_eq!(ledger.pauses(early(0)).await.unwrap(), [all]);
}

pub(crate) async fn of_the_pauses_that_are_over_the_last_are_kept(ledger: impl Ledger) {
    let many = i64::try_from(PAUSES_KEPT_MAX).unwrap();
    let standing = pause(Scope::All, 1, None);
    ledger.put_pause(standing.clone()).await.unwrap();
    for at in 2..many + 10 {
        let short = pause(Scope::Label("x".to_owned()), at, Some(at + 1));
        ledger.put_pause(short).await.unwrap();
    }
    let known = ledger.pauses(early(0)).await.unwrap();
    // The one that holds, the newest, and those that are over.
    assert_eq!(known.len(), PAUSES_KEPT_MAX + 2);
    assert_eq!(known[0], standing);
    assert_eq!(known[1].since, early(9));
}

pub(crate) async fn what_people_did_is_kept_newest_first_and_the_oldest_is_forgotten(
    ledger: impl Ledger,
) {
    let act = |at: i64| Act {
        at: second(at),
        by: "ada".to_owned(),
        what: "pause".to_owned(),
        on: "entry a".to_owned(),
        reason: "x".repeat(NOTE_CHARS_MAX),
        outcome: "paused".to_owned(),
    };
    assert_eq!(ledger.acts(10).await.unwrap(), []);
    // Their order is that in which they came, whatever the clock showed.
    for at in [5, 4, 6] {
        ledger.put_act(act(at)).await.unwrap();
    }
    assert_eq!(ledger.acts(2).await.unwrap(), [act(6), act(4)]);
    ledger
        .put_act(Act {
            reason: "y".repeat(NOTE_CHARS_MAX + 1),
            ..act(7)
        })
        .await
        .unwrap();
    let cut = ledger.acts(1).await.unwrap().remove(0).reason;
    assert_eq!(cut.chars().count(), NOTE_CHARS_MAX);
    ledger.prune(second(5)).await.unwrap();
    let kept: Vec<_> = ledger.acts(10).await.unwrap();
    let kept: Vec<_> = kept.iter().map(|act| act.at).collect();
    assert_eq!(kept, [7, 6, 5].map(second));
}

pub(crate) async fn what_was_decided_lately_is_told_where_ticks_may_move(ledger: impl Ledger) {
    let day = |days: i64| second((days - 41) * 86_400);
    for (name, schedule) in [
        ("a", "0 2 1 * * | in UTC"),
        ("b", "0 2 1 * * | in UTC | only on cn | moved to next"),
    ] {
        let mut moved = ended(&tick(name, day(40)), Reason::Excluded, day(40));
        moved.moved_from = vec![day(39), day(38)];
        put(
            &ledger,
            [
                &ended(&tick(name, day(2)), Reason::Succeeded, day(3)),
                &moved,
            ],
        )
        .await;
        assert_eq!(stored(&ledger, &moved).await, Some(moved));
        let mark = Mark {
            until: day(41),
            schedule: schedule.to_owned(),
            crossed: [day(37), day(42)].into(),
        };
        let plan = Plan {
            mark: MarkChange::Set(mark),
            ..Plan::default()
        };
        let plans = ledger.decide(vec![entry(name)], move |_, _, _| plan.clone());
        plans.await.unwrap();
    }
    // A clock that was ahead leaves a row that lies ahead.
    let mut ahead = ended(&tick("b", day(44)), Reason::Succeeded, day(44));
    ahead.moved_from = vec![day(43)];
    put(&ledger, [&ahead]).await;
    let skip = |days| Skip {
        due: day(days),
        by: "ada".to_owned(),
        asked_at: day(41),
        reason: String::new(),
    };
    for name in ["a", "b"] {
        let skips = vec![skip(2), skip(39), skip(42)];
        ledger.put_skips(entry(name), skips).await.unwrap();
    }
    let (plain, moves) = (state(&ledger, "a").await, state(&ledger, "b").await);
    assert_eq!(plain.recent.len(), 0);
    assert_eq!(Vec::from_iter(moves.recent), [38, 39, 40, 43, 44].map(day));
    assert_eq!(plain.skips.into_keys().collect::<Vec<_>>(), [day(42)]);
    let skips: Vec<_> = moves.skips.into_keys().collect();
    assert_eq!(skips, [39, 42].map(day));
    assert_eq!(moves.mark.unwrap().crossed, [37, 42].map(day).into());
}

pub(crate) async fn a_row_for_missed_ticks_takes_the_place_of_none(ledger: impl Ledger) {
    let due = second(3_600);
    let row = |opened: i64| {
        let mut row = ended(&tick("a", due), Reason::Missed, second(opened));
        row.id = TickId::missed(&row.entry, due, second(opened));
        row.origin = Origin::Missed;
        row.opened_at = second(opened);
        row
    };
    // A clock that goes ahead, comes back and goes ahead again passes the same time twice.
    put(&ledger, [&row(4_000)]).await;
    put(&ledger, [&row(4_001)]).await;
    assert_eq!(stored(&ledger, &row(4_000)).await, Some(row(4_000)));
    let state = state(&ledger, "a").await;
    assert_eq!((state.decided.len(), state.open.len()), (0, 0));
    assert_eq!(ledger.newest_due().await.unwrap(), None);
    put(&ledger, [&tick("a", due)]).await;
    assert_eq!(self::state(&ledger, "a").await.decided.len(), 1);
}

pub(crate) async fn requests_come_back_as_they_were_and_hold_no_secret(ledger: impl Ledger) {
    let mut full = tick("a", second(0));
    full.request = RunRequest {
        sources: Some(
            vec![
                Source {
                    kind: "code".to_owned(),
                    params: Some(SourceParams {
                        git_type: "codehub".to_owned(),
                        build_params: Some(Default::default()),
                        change_request_ids: Some(vec!["1".to_owned()]),
                        ..SourceParams::default()
                    }),
                },
                Source::default(),
            ]
            .into(),
        ),
        description: Some("nightly 夜 \"quoted\"\n".to_owned()),
        variables: Some(
            vec![
                Variable {
                    name: "MODE".to_owned(),
                    value: VariableValue::Value("1.10".to_owned()),
                },
                Variable {
                    name: "TOKEN".to_owned(),
                    value: VariableValue::Secret(SecretRef::Env("CI_TOKEN".to_owned())),
                },
                Variable {
                    name: "KEY".to_owned(),
                    value: VariableValue::Secret(SecretRef::File("/run/key".into())),
                },
                Variable {
                    name: "SK".to_owned(),
                    value: VariableValue::Secret(SecretRef::Credential("sk".to_owned())),
                },
            ]
            .into(),
        ),
        choose_jobs: Some(Arc::default()),
        choose_stages: Some(vec!["1".to_owned(), String::new()].into()),
        sub_hook: Some(false),
        execution_plan_id: Some(String::new()),
        ..full.request
    };
    put(&ledger, [&full]).await;
    assert_eq!(stored(&ledger, &full).await, Some(full.clone()));
    assert_eq!(state(&ledger, "a").await.open, [full]);
}

pub(crate) async fn long_notes_and_messages_are_cut(ledger: impl Ledger) {
    let mut wordy = sent(&tick("a", second(0)), second(0));
    wordy.note = "ä".repeat(NOTE_CHARS_MAX + 1);
    let mut message = answer(AnswerKind::Refused);
    message.message = "ß".repeat(MESSAGE_CHARS_MAX * 3);
    let mut wordy_plan = plan([&wordy]);
    wordy_plan.changes[0].attempt = Some(Attempt {
        answered_at: Some(second(1)),
        answer: Some(message),
        ..attempt(&wordy, 1, second(0))
    });
    let given = store(&ledger, "a", wordy_plan).await.unwrap();
    let story = ledger.story(wordy.id).await.unwrap().unwrap();
    assert_eq!(story.tick.note.chars().count(), NOTE_CHARS_MAX);
    assert!(story.tick.note.ends_with("ä…"));
    assert_eq!(story.notes, [(start(), story.tick.note.clone())]);
    let message = &story.attempts[0].answer.as_ref().unwrap().message;
    assert_eq!(message.chars().count(), MESSAGE_CHARS_MAX);
    assert_eq!(
        given.changes[0].tick, story.tick,
        "what is given back is what is stored"
    );
}

pub(crate) async fn the_history_is_filtered_and_newest_first(ledger: impl Ledger) {
    let a1 = ended(&tick("a", second(10)), Reason::Started, second(11));
    let a2 = ended(&tick("a", second(20)), Reason::Refused, second(21));
    let a3 = tick("a", second(30));
    let b2 = sent(&tick("b", second(20)), second(20));
    let c2 = ended(&manual("c", second(20), "x"), Reason::Started, second(22));
    put(
        &ledger,
        &[a3.clone(), c2.clone(), b2.clone(), a1.clone(), a2.clone()],
    )
    .await;
    let all = HistoryQuery::default();
    let entries = |names: &[&str]| HistoryQuery {
        entries: names.iter().map(|name| entry(name)).collect(),
        ..HistoryQuery::default()
    };
    let state = |word: &str| HistoryQuery {
        state: Some(word.to_owned()),
        ..HistoryQuery::default()
    };
    let reason = |reason| HistoryQuery {
        reason: Some(reason),
        ..HistoryQuery::default()
    };
    let between = |since: Option<i64>, until: Option<i64>| HistoryQuery {
        since: since.map(second),
        until: until.map(second),
        ..HistoryQuery::default()
    };
    let limit = |limit| HistoryQuery {
        limit: Some(limit),
        ..HistoryQuery::default()
    };
    let mut mixed = entries(&["a", "b"]);
    mixed.state = Some("ended".to_owned());
    mixed.since = Some(second(15));
    mixed.limit = Some(1);
    let table: Vec<(HistoryQuery, Vec<&Tick>)> = vec![
        (all, vec![&a3, &a2, &b2, &c2, &a1]),
        (entries(&["a"]), vec![&a3, &a2, &a1]),
        (entries(&["c", "b", "c"]), vec![&b2, &c2]),
        (entries(&["nobody"]), vec![]),
        (state("ended"), vec![&a2, &c2, &a1]),
        (state("sent"), vec![&b2]),
        (state("waiting"), vec![&a3]),
        (state("no such state"), vec![]),
        (reason(Reason::Started), vec![&c2, &a1]),
        (reason(Reason::Missed), vec![]),
        (between(Some(20), None), vec![&a3, &a2, &b2, &c2]),
        (between(None, Some(20)), vec![&a1]),
        (between(Some(20), Some(30)), vec![&a2, &b2, &c2]),
        (between(Some(30), Some(20)), vec![]),
        (limit(0), vec![]),
        (limit(2), vec![&a3, &a2]),
        (limit(u32::MAX), vec![&a3, &a2, &b2, &c2, &a1]),
        (mixed, vec![&a2]),
    ];
    for (query, expected) in table {
        let found = ledger.history(query.clone()).await.unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query:?}");
    }
}

pub(crate) async fn the_newest_ticks_of_many_entries_are_given_in_short(ledger: impl Ledger) {
    let a1 = ended(&tick("a", second(10)), Reason::Started, second(11));
    let a2 = ended(&tick("a", second(20)), Reason::Refused, second(21));
    let a3 = tick("a", second(30));
    let by_hand = manual("a", second(20), "x");
    let mut b1 = tick("b", second(20));
    b1.state = TickState::Running { since: second(20) };
    b1.run = Some(Run {
        id: "run".to_owned(),
        queue_id: Some("queue".to_owned()),
        number: Some(7),
        outcome: Some("FAILED".to_owned()),
        ended_at: Some(second(60)),
        failed_stage: Some("build".to_owned()),
        overdue: true,
        watched: true,
        ..Run::started(second(20))
    });
    let all = [&a3, &a2, &by_hand, &a1, &b1].map(Clone::clone);
    put(&ledger, &all).await;
    for (entries, count, expected) in [
        (vec!["a", "b"], 30, vec![&a3, &a2, &by_hand, &a1, &b1]),
        (vec!["b", "nobody", "a"], 2, vec![&b1, &a3, &a2]),
        (vec!["a"], 0, vec![]),
        (vec![], 30, vec![]),
    ] {
        let names = entries.iter().map(|name| entry(name)).collect();
        let found = ledger.glances(names, count).await.unwrap();
        let expected: Vec<Glance> = expected.into_iter().cloned().map(Glance::from).collect();
        assert_eq!(found, expected, "{count} of {entries:?}");
    }
}

pub(crate) async fn what_changed_is_told_once_in_the_order_of_the_last_changes(
    ledger: impl Ledger,
) {
    assert_eq!(ledger.newest_change().await.unwrap(), 0);
    let (a, b, c) = (
        tick("a", second(10)),
        tick("b", second(5)),
        tick("c", second(1)),
    );
    put(&ledger, [&a, &b, &c]).await;
    // What fails changes nothing.
    store(&ledger, "a", plan([&b])).await.unwrap_err();
    let first = sent(&a, second(10));
    let mut refused = attempt(&a, 1, second(10));
    let mut doubtful = first.clone();
    doubtful.state = TickState::Doubtful {
        look_at: second(20),
    };
    doubtful.doubt = Some(Doubt {
        since: second(10),
        looks: 0,
        failures: 0,
        precaution: false,
    });
    let throttled = Answer {
        code: Some("APIGW.0308".to_owned()),
        ..answer(AnswerKind::Throttled)
    };
    for (tick, answer) in [(&first, None), (&doubtful, Some(throttled))] {
        refused.answered_at = answer.as_ref().map(|_| second(11));
        refused.answer = answer;
        let change = Change {
            tick: tick.clone(),
            attempt: Some(refused.clone()),
        };
        let plan = Plan {
            changes: vec![change],
            ..Plan::default()
        };
        store(&ledger, "a", plan).await.unwrap();
    }
    let all = ledger.changes(0, 100).await.unwrap();
    let told: Vec<Glance> = all.iter().map(|changed| changed.glance.clone()).collect();
    let expected = [&b, &c, &doubtful].map(|tick| Glance::from(tick.clone()));
    assert_eq!(told, expected);
    assert_eq!(told[2].doubt_since, Some(second(10)));
    let code = refused.answer.unwrap().code;
    assert!(code.is_some());
    let codes: Vec<_> = all.iter().map(|changed| changed.code.clone()).collect();
    assert_eq!(codes, [None, None, code]);
    let numbers: Vec<u64> = all.iter().map(|changed| changed.number).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(ledger.newest_change().await.unwrap(), numbers[2]);
    // Page by page.
    assert_eq!(ledger.changes(0, 2).await.unwrap(), all[..2]);
    assert_eq!(ledger.changes(numbers[1], 2).await.unwrap(), all[2..]);
    assert_eq!(ledger.changes(numbers[2], 2).await.unwrap(), []);
}

pub(crate) async fn what_is_forgotten_never_takes_the_numbers_of_changes_with_it(
    ledger: impl Ledger,
) {
    let old = ended(&tick("a", second(0)), Reason::Failed, second(1));
    put(&ledger, [&old]).await;
    let before = ledger.newest_change().await.unwrap();
    assert_eq!(ledger.prune(second(1_000)).await.unwrap(), 1);
    assert_eq!(ledger.newest_change().await.unwrap(), before);
    put(&ledger, [&tick("a", second(10))]).await;
    let after = ledger.changes(before, 10).await.unwrap();
    assert_eq!(after.len(), 1, "{after:?}");
}

pub(crate) async fn memos_are_kept_by_key(ledger: impl Ledger) {
    let memo = async |key: &str| ledger.memo(key.to_owned()).await.unwrap();
    let put = async |key: &str, text: &str| {
        let (key, text) = (key.to_owned(), text.to_owned());
        ledger.put_memo(key, text).await.unwrap();
    };
    assert_eq!(memo("one").await, None);
    put("one", "1").await;
    put("other", "").await;
    put("one", "\u{1f600} '2'").await;
    assert_eq!(memo("one").await.as_deref(), Some("\u{1f600} '2'"));
    assert_eq!(memo("other").await.as_deref(), Some(""));
}

pub(crate) async fn the_history_is_read_page_by_page(ledger: impl Ledger) {
    // Many of one instant: pages break within it.
    let mut ticks: Vec<_> = (0..10)
        .map(|number| tick(&format!("e{number}"), second(5)))
        .collect();
    ticks.extend((0..7).map(|number| tick("e0", second(10 + number))));
    put(&ledger, &ticks).await;
    let all = ledger.history(HistoryQuery::default()).await.unwrap();
    assert_eq!(all.len(), ticks.len());
    let mut pages = Vec::new();
    let mut query = HistoryQuery {
        limit: Some(3),
        ..HistoryQuery::default()
    };
    loop {
        let page = ledger.history(query.clone()).await.unwrap();
        let Some(last) = page.last() else { break };
        query.after = Some((last.due, last.id.clone()));
        pages.extend(page);
    }
    assert_eq!(pages, all);
}

pub(crate) async fn a_story_tells_everything_about_a_tick(ledger: impl Ledger) {
    let unknown = TickId::from_text("nobody@2026-11-24T18:00:00Z");
    assert_eq!(ledger.story(unknown).await.unwrap(), None);
    let waiting = tick("a", second(0));
    put(&ledger, &[waiting.clone(), tick("b", second(0))]).await;
    pass(1).await;
    let sending = sent(&waiting, second(1));
    let mut claim = plan([&sending]);
    claim.changes[0].attempt = Some(attempt(&sending, 1, second(1)));
    store(&ledger, "a", claim).await.unwrap();
    let story = ledger.story(waiting.id.clone()).await.unwrap().unwrap();
    assert_eq!(story.tick, sending);
    assert_eq!(story.attempts, [attempt(&sending, 1, second(1))]);
    let notes = [
        (second(0), "due".to_owned()),
        (second(1), "attempt 1".to_owned()),
    ];
    assert_eq!(story.notes, notes);
}

pub(crate) async fn pruning_forgets_what_ended_long_ago_and_nothing_else(ledger: impl Ledger) {
    let old = sent(&tick("a", second(-100)), second(-100));
    let mut claim = plan([&old]);
    claim.changes[0].attempt = Some(attempt(&old, 1, second(-100)));
    store(&ledger, "a", claim).await.unwrap();
    let mut old = ended(&old, Reason::Started, second(-90));
    old.run = Some(Run {
        id: "run".to_owned(),
        queue_id: None,
        started_at: second(-90),
        ..Run::started(second(0))
    });
    let open = tick("a", second(-80));
    let recent = ended(&tick("a", second(-70)), Reason::Started, second(0));
    // Ended by a clock that was wrong, still to come by the right one: forgotten it could be opened again.
    let ahead = ended(&tick("a", second(500)), Reason::Started, second(-95));
    let edge = ended(&tick("a", second(-60)), Reason::Started, second(-10));
    put(
        &ledger,
        &[
            old.clone(),
            open.clone(),
            recent.clone(),
            ahead.clone(),
            edge.clone(),
        ],
    )
    .await;
    store(&ledger, "a", set_mark(second(-50))).await.unwrap();
    assert_eq!(ledger.prune(second(-10)).await.unwrap(), 1);
    assert_eq!(ledger.prune(second(-10)).await.unwrap(), 0);
    assert_eq!(ledger.story(old.id.clone()).await.unwrap(), None);
    let kept = ledger.history(HistoryQuery::default()).await.unwrap();
    assert_eq!(kept, [ahead, edge, recent, open]);
    assert_eq!(state(&ledger, "a").await.mark, Some(mark(second(-50))));
    // The same tick made anew begins an empty story.
    let mut again = old;
    again.opened_at = second(0);
    again.run = None;
    put(&ledger, [&again]).await;
    let story = ledger.story(again.id.clone()).await.unwrap().unwrap();
    assert_eq!(
        (story.attempts.len(), story.notes.len(), story.tick),
        (0, 1, again)
    );
}

pub(crate) async fn pruning_works_through_any_number(ledger: impl Ledger) {
    let count = i64::from(PRUNE_ROWS_MAX) * 2 + 1;
    let ticks: Vec<_> = (0..count)
        .map(|number| ended(&tick("a", second(number)), Reason::Started, second(number)))
        .collect();
    store(&ledger, "a", plan(&ticks)).await.unwrap();
    assert_eq!(
        ledger.prune(second(count - 1)).await.unwrap(),
        count as u64 - 1
    );
    assert_eq!(
        ledger.history(HistoryQuery::default()).await.unwrap().len(),
        1
    );
}

pub(crate) async fn the_last_good_configuration_is_kept_by_key(ledger: impl Ledger) {
    let file = |path: &str, text: &str| SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let key = || "/etc/pipecron".to_owned();
    assert_eq!(ledger.last_config(key()).await.unwrap(), None);
    let first = vec![
        file("/etc/pipecron/b.yaml", "ü: \"\u{0}\""),
        file("/etc/pipecron/a.yaml", ""),
    ];
    ledger.keep_config(key(), first.clone()).await.unwrap();
    ledger
        .keep_config("other".to_owned(), Vec::new())
        .await
        .unwrap();
    let kept = ledger.last_config(key()).await.unwrap().unwrap();
    assert_eq!((kept.loaded_at, kept.files), (start(), first));
    pass(60).await;
    let second_load = vec![file("c.yaml", &"x".repeat(100_000))];
    ledger
        .keep_config(key(), second_load.clone())
        .await
        .unwrap();
    let kept = ledger.last_config(key()).await.unwrap().unwrap();
    assert_eq!((kept.loaded_at, kept.files), (second(60), second_load));
    let other = ledger
        .last_config("other".to_owned())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((other.loaded_at, other.files), (start(), Vec::new()));
}

pub(crate) async fn old_configurations_are_forgotten_but_not_the_newest_nor_those_in_use(
    ledger: impl Ledger,
) {
    let ledger = &ledger;
    let keep = |key: &'static str| ledger.keep_config(key.to_owned(), Vec::new());
    let forget = |before, keep: &[&str]| {
        ledger.forget_configs(before, keep.iter().map(ToString::to_string).collect())
    };
    let kept = async || {
        let mut kept = Vec::new();
        for key in ["purpose", "/a", "/b", "/c", ""] {
            let config = ledger.last_config(key.to_owned()).await;
            kept.extend(config.unwrap().map(|_| key));
        }
        kept
    };
    assert_eq!(forget(second(100), &[]).await.unwrap(), 0);
    for key in ["purpose", "/a", "/b", ""] {
        keep(key).await.unwrap();
        pass(10).await;
    }
    keep("/c").await.unwrap();
    // Loaded again: younger than its key.
    pass(10).await;
    keep("/a").await.unwrap();
    let in_use = ["purpose", "/not there"];
    assert_eq!(forget(second(20), &in_use).await.unwrap(), 0);
    assert_eq!(kept().await, ["purpose", "/a", "/b", "/c", ""]);
    assert_eq!(forget(second(31), &in_use).await.unwrap(), 2);
    assert_eq!(kept().await, ["purpose", "/a", "/c"]);
    assert_eq!(forget(second(1_000), &in_use).await.unwrap(), 1);
    assert_eq!(kept().await, ["purpose", "/a"]);
    // The newest stays, as old as it may be and whoever asks.
    assert_eq!(forget(second(1_000), &[]).await.unwrap(), 1);
    assert_eq!(forget(second(1_000), &[]).await.unwrap(), 0);
    assert_eq!(kept().await, ["/a"]);
}

pub(crate) async fn the_last_success_is_the_newest_by_due_time_and_outlives_its_row(
    ledger: impl Ledger,
) {
    let succeeded = |due: i64, run: &str, number: Option<u64>| Tick {
        run: Some(Run {
            id: run.to_owned(),
            number,
            ..Run::started(second(due))
        }),
        ..ended(&tick("a", second(due)), Reason::Succeeded, second(0))
    };
    let last = async |entry_name: &str| ledger.last_success(entry(entry_name)).await.unwrap();
    assert_eq!(last("a").await, None);
    let failed = ended(&tick("a", second(-50)), Reason::Failed, second(0));
    put(&ledger, [&succeeded(-100, "r1", Some(7)), &failed]).await;
    // An older one that ends later does not take its place.
    put(&ledger, [&succeeded(-200, "r0", None)]).await;
    let expected = LastSuccess {
        due: second(-100),
        run_id: "r1".to_owned(),
        number: Some(7),
    };
    assert_eq!(last("a").await, Some(expected.clone()));
    assert_eq!(last("b").await, None);
    // What a decision sees is the same.
    let seen = Arc::new(Mutex::new(None));
    let told = Arc::clone(&seen);
    let decide = move |_, _: &_, state: &EntryState| {
        *told.lock().unwrap() = state.last_success.clone();
        Plan::default()
    };
    ledger.decide(vec![entry("a")], decide).await.unwrap();
    assert_eq!(seen.lock().unwrap().take(), Some(expected.clone()));
    // It outlives its row as long as the entry has a tick, and goes with the last of them.
    put(&ledger, [&tick("a", second(300))]).await;
    pass(600).await;
    ledger.prune(second(200)).await.unwrap();
    assert_eq!(last("a").await, Some(expected));
    put(
        &ledger,
        [&ended(&tick("a", second(300)), Reason::Failed, second(310))],
    )
    .await;
    ledger.prune(second(400)).await.unwrap();
    assert_eq!(last("a").await, None);
}

pub(crate) async fn the_newest_due_time_is_that_of_a_scheduled_row(ledger: impl Ledger) {
    assert_eq!(ledger.newest_due().await.unwrap(), None);
    put(&ledger, &[manual("a", second(99), "x")]).await;
    assert_eq!(ledger.newest_due().await.unwrap(), None);
    put(
        &ledger,
        &[
            tick("z", second(5)),
            ended(&tick("a", second(7)), Reason::Missed, second(8)),
            tick("m", second(6)),
        ],
    )
    .await;
    assert_eq!(ledger.newest_due().await.unwrap(), Some(second(7)));
}

pub(crate) async fn entries_with_open_ticks_are_known(ledger: impl Ledger) {
    assert_eq!(ledger.open_entries().await.unwrap(), []);
    put(
        &ledger,
        &[
            tick("b", second(1)),
            tick("b", second(2)),
            sent(&tick("a", second(1)), second(1)),
            manual("c", second(1), "x"),
        ],
    )
    .await;
    put(
        &ledger,
        &[ended(&tick("d", second(1)), Reason::Missed, second(1))],
    )
    .await;
    assert_eq!(
        ledger.open_entries().await.unwrap(),
        ["a", "b", "c"].map(entry)
    );
    let over = ended(
        &sent(&tick("a", second(1)), second(1)),
        Reason::Started,
        second(3),
    );
    put(&ledger, &[over]).await;
    assert_eq!(ledger.open_entries().await.unwrap(), ["b", "c"].map(entry));
}

pub(crate) async fn the_id_is_eight_letters(ledger: impl Ledger) {
    let id = ledger.id();
    assert!(
        id.len() == 8 && id.bytes().all(|letter| letter.is_ascii_alphabetic()),
        "{id}"
    );
}

// --- whatever a tick is, it comes back the same ---

fn instants() -> impl Strategy<Value = Timestamp> {
    // From 1677 to 2262, to the nanosecond.
    any::<i64>().prop_map(chrono::DateTime::from_timestamp_nanos)
}

fn states() -> impl Strategy<Value = TickState> {
    prop_oneof![
        instants().prop_map(|not_before| TickState::Waiting { not_before }),
        instants().prop_map(|at| TickState::Sent { at }),
        instants().prop_map(|look_at| TickState::Doubtful { look_at }),
        instants().prop_map(|since| TickState::Running { since }),
        (prop::sample::select(&Reason::ALL[..]), instants())
            .prop_map(|(reason, at)| TickState::Ended { reason, at }),
    ]
}

fn retries() -> impl Strategy<Value = Retry> {
    (
        any::<(u32, Duration, Duration)>(),
        any::<f64>(),
        any::<bool>(),
    )
        .prop_filter("it would be refused", |(_, multiplier, _)| {
            multiplier.is_finite()
        })
        .prop_map(
            |((max_attempts, initial_backoff, max_backoff), multiplier, is_full)| Retry {
                max_attempts,
                initial_backoff,
                max_backoff,
                multiplier,
                jitter: if is_full { Jitter::Full } else { Jitter::None },
            },
        )
}

fn policies() -> impl Strategy<Value = Policy> {
    (
        retries(),
        any::<bool>(),
        any::<Duration>(),
        any::<bool>(),
        any::<Option<Duration>>(),
        (
            prop::sample::select(vec![
                Overlap::Allow,
                Overlap::Skip,
                Overlap::Queue,
                Overlap::Replace,
            ]),
            any::<i32>(),
        ),
    )
        .prop_map(
            |(retry, resends, settle, follow, run_timeout, (overlap, priority))| Policy {
                retry,
                on_doubt: if resends {
                    OnDoubt::Resend
                } else {
                    OnDoubt::GiveUp
                },
                settle,
                follow,
                run_timeout,
                overlap,
                priority,
            },
        )
}

fn doubts() -> impl Strategy<Value = Doubt> {
    (instants(), any::<u32>(), any::<u32>(), any::<bool>()).prop_map(
        |(since, looks, failures, precaution)| Doubt {
            since,
            looks,
            failures,
            precaution,
        },
    )
}

fn runs() -> impl Strategy<Value = Run> {
    (
        (
            ".*",
            any::<Option<String>>(),
            instants(),
            any::<Option<String>>(),
        ),
        (
            any::<Option<u64>>(),
            prop::option::of(instants()),
            any::<Option<String>>(),
            (any::<bool>(), any::<bool>()),
        ),
    )
        .prop_map(
            |((id, queue_id, started_at, outcome), (number, ended_at, failed_stage, said))| {
                let (overdue, watched) = said;
                Run {
                    id,
                    queue_id,
                    started_at,
                    number,
                    outcome,
                    ended_at,
                    failed_stage,
                    overdue,
                    watched,
                }
            },
        )
}

fn missed() -> impl Strategy<Value = Missed> {
    (any::<u64>(), any::<bool>(), instants(), instants()).prop_map(|(count, at_least, from, to)| {
        Missed {
            count,
            at_least,
            from,
            to,
        }
    })
}

prop_compose! {
    pub(crate) fn ticks()(
        instants in [instants(), instants(), instants()],
        is_manual in any::<bool>(),
        description in any::<Option<String>>(),
        variable in ".*",
        policy in policies(),
        doubt in prop::option::of(doubts()),
        state in states(),
        counts in any::<[u32; 3]>(),
        run in prop::option::of(runs()),
        missed in prop::option::of(missed()),
        moved_from in prop::collection::vec(instants(), 0..3),
        note in ".{0,50}",
    ) -> Tick {
        let [due, opened_at, deadline] = instants;
        let base = tick("any", due);
        let request = RunRequest {
            description,
            variables: Some(vec![Variable {
                name: "V".to_owned(),
                value: VariableValue::Value(variable),
            }].into()),
            ..base.request.clone()
        };
        Tick {
            origin: if is_manual { Origin::Manual } else { Origin::Scheduled },
            opened_at, deadline, request, policy, state, doubt, run, missed, moved_from, note,
            attempts: counts[0], refusals: counts[1], holds: counts[2],
            ..base
        }
    }
}

/// Stores each of many ticks and reads it back in every way there is.
pub(crate) async fn any_tick_comes_back_the_same(ledger: impl Ledger) {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for number in 0..300 {
        let mut any = ticks().new_tree(&mut runner).unwrap().current();
        let name = format!("e{number}");
        any.entry = entry(&name);
        any.id = TickId::from_text(&format!("{name}@{}", any.due));
        put(&ledger, [&any]).await;
        assert_eq!(stored(&ledger, &any).await.as_ref(), Some(&any));
        let open = state(&ledger, &name).await.open;
        let is_alive = !any.state.is_ended() || any.is_watched();
        assert_eq!(open.len(), usize::from(is_alive));
        assert!(open.iter().all(|open| *open == any));
        let query = HistoryQuery {
            entries: vec![entry(&name)],
            ..HistoryQuery::default()
        };
        assert_eq!(ledger.history(query).await.unwrap(), [any]);
    }
}
