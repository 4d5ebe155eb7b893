//! Looking for runs without a socket: what is asked, what is read, and what is concluded, over lists that change,
//! forget and lie.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test says what is wrong by failing"
)]

use std::time::Duration;

use chrono::TimeDelta;
use pipecron::codearts::calls::{Call, LatestRun, Page, QueueRecord, ROWS, Shown};
use pipecron::codearts::looks::{NEWEST_RUNS, PIPELINES_PER_CALL, Round, UnderWay};
use pipecron::codearts::search::{CALLS_MAX, CLOCK_MARGIN, DETAILS_MAX, Search, Step};
use pipecron::codearts::{Body, HttpResponse, Mask};
use pipecron::domain::sighting::{Find, Look, PipelineAt, RunStatus, SeenRun, Sighting};
use pipecron::domain::{AccountName, Answer, AnswerKind, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

const MARKER: &str = "[pipecron abcdefgh web@2026-11-24T18:00:00Z]";
const RUN: &str = "ad6b7f66283a45be9c1f82b06c831e59";

fn now() -> Timestamp {
    "2026-11-24T18:00:00Z".parse().unwrap()
}

fn at() -> PipelineAt {
    PipelineAt {
        account: AccountName::parse("main").unwrap(),
        project_id: "p1".to_owned(),
        pipeline_id: "l1".to_owned(),
    }
}

fn find() -> Find {
    Find {
        at: at(),
        marker: MARKER.to_owned(),
        since: now(),
        above: None,
    }
}

fn run(id: &str) -> SeenRun {
    SeenRun {
        run_id: id.to_owned(),
        number: None,
        status: Some(RunStatus("RUNNING".to_owned())),
        started_at: Some(now()),
        ended_at: None,
        seen_at: None,
        queue_id: None,
        description: None,
        failed_stage: None,
    }
}

fn record(id: &str) -> QueueRecord {
    QueueRecord {
        run_id: id.to_owned(),
        queue_id: Some(format!("q-{id}")),
        enqueued_at: Some(now()),
        status: Some(RunStatus("QUEUED".to_owned())),
    }
}

fn answer(kind: AnswerKind, status: Option<u16>) -> Answer {
    Answer {
        kind,
        status,
        code: None,
        message: "as told".to_owned(),
        request_id: None,
        retry_after: None,
        service_clock: None,
    }
}

fn failed(kind: AnswerKind, status: u16) -> Shown {
    Shown::Failed(answer(kind, Some(status)))
}

/// What happens to it meanwhile.
type Change = fn(&mut World);

/// A pipeline at the service, newest run first.
#[derive(Default)]
struct World {
    runs: Vec<SeenRun>,
    queue: Vec<QueueRecord>,
    /// What the details say that is not in `runs`.
    descriptions: Vec<(String, Shown)>,
    rows_max: Option<usize>,
    /// What happens to the list after so many calls.
    meanwhile: Vec<(usize, Change)>,
    /// The calls that fail: how many pass first, and how it fails.
    fails: Option<(usize, Shown)>,
    calls: Vec<Call>,
}

impl World {
    fn of(ids: impl IntoIterator<Item = String>) -> Self {
        Self {
            runs: ids.into_iter().map(|id| run(&id)).collect(),
            ..Self::default()
        }
    }

    fn described(mut self, id: &str, text: &str) -> Self {
        for run in self.runs.iter_mut().filter(|run| run.run_id == id) {
            run.description = Some(text.to_owned());
        }
        self
    }

    fn detail(mut self, id: &str, shown: Shown) -> Self {
        self.descriptions.push((id.to_owned(), shown));
        self
    }

    fn answer(&mut self, call: &Call) -> Shown {
        self.calls.push(call.clone());
        let count = self.calls.len();
        let changes: Vec<Change> = self
            .meanwhile
            .iter()
            .filter(|(after, _)| *after + 1 == count)
            .map(|(_, change)| *change)
            .collect();
        for change in changes {
            change(self);
        }
        if let Some((passed, shown)) = &self.fails
            && count > *passed
        {
            return shown.clone();
        }
        match call {
            Call::Runs { offset, .. } => {
                let rows = cut(&self.runs, *offset, self.rows_max);
                let rows = rows.into_iter().map(|run| SeenRun {
                    description: None,
                    ..run
                });
                Shown::Runs(Page {
                    rows: rows.collect(),
                    total: Some(self.runs.len() as u64),
                })
            }
            Call::Queue { offset, .. } => Shown::Queue(Page {
                rows: cut(&self.queue, *offset, self.rows_max),
                total: None,
            }),
            Call::Detail { run_id, .. } => {
                let told = self.descriptions.iter().find(|(id, _)| id == run_id);
                let listed = self.runs.iter().find(|run| run.run_id == *run_id);
                match (told, listed) {
                    (Some((_, shown)), _) => shown.clone(),
                    (None, Some(run)) => Shown::Run(Box::new(run.clone())),
                    (None, None) => Shown::NoRecord(answer(AnswerKind::Refused, Some(200))),
                }
            }
            Call::Latest { .. }
            | Call::Pipeline { .. }
            | Call::Pipelines { .. }
            | Call::Stop { .. }
            | Call::CancelQueuing { .. } => {
                panic!("a search does not ask for {call:?}")
            }
        }
    }

    fn search(&mut self, find: Find) -> Sighting {
        let mut search = Search::new(find);
        for _ in 0..=CALLS_MAX {
            match search.next() {
                Step::Ask(call) => {
                    assert_eq!(
                        search.next(),
                        Step::Ask(call.clone()),
                        "asking changes nothing"
                    );
                    let shown = self.answer(&call);
                    search.feed(shown);
                }
                Step::Done(sighting) => {
                    search.feed(Shown::Done);
                    assert_eq!(search.next(), Step::Done(sighting.clone()));
                    return sighting;
                }
            }
        }
        panic!("the search does not end");
    }

    fn details(&self) -> usize {
        let is_detail = |call: &&Call| matches!(call, Call::Detail { .. });
        self.calls.iter().filter(is_detail).count()
    }
}

fn cut<T: Clone>(rows: &[T], offset: u64, rows_max: Option<usize>) -> Vec<T> {
    let rows_max = rows_max.unwrap_or(100).min(ROWS as usize);
    rows.iter()
        .skip(offset as usize)
        .take(rows_max)
        .cloned()
        .collect()
}

fn ids(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("r{n}"))
}

fn found(sighting: Sighting) -> SeenRun {
    match sighting {
        Sighting::Found(run) => *run,
        other => panic!("not found: {other:?}"),
    }
}

fn unexplained(sighting: &Sighting) -> &str {
    match sighting {
        Sighting::Unexplained(why) => why,
        other => panic!("explained: {other:?}"),
    }
}

// The search.

#[test]
fn the_run_with_the_marker_is_found_among_others() {
    let mut world = World::of(ids(5))
        .described("r1", "by hand")
        .described("r3", &format!("nightly build {MARKER}\n"));
    let run = found(world.search(find()));
    assert_eq!(run.run_id, "r3");
    assert_eq!(run.queue_id, None);
    assert_eq!(
        world.details(),
        4,
        "newest first, and no further than needed"
    );
}

#[test]
fn the_queue_is_looked_at_before_the_list() {
    let mut world = World::of(ids(1));
    assert_eq!(world.search(find()), Sighting::Absent);
    assert!(matches!(world.calls[0], Call::Queue { .. }));
    assert!(
        matches!(&world.calls[1], Call::Runs { since: Some(since), offset: 0, .. } if *since == now() - CLOCK_MARGIN)
    );
    // Ours leaves the queue for the list after we have looked at the queue.
    let mut world = World {
        queue: vec![record("ours")],
        meanwhile: vec![(1, |world| {
            world.queue.clear();
            world.runs.insert(0, run("ours"));
        })],
        ..World::of(ids(2))
    };
    world.descriptions.push((
        "ours".to_owned(),
        Shown::Run(Box::new(SeenRun {
            description: Some(MARKER.to_owned()),
            ..run("ours")
        })),
    ));
    let seen = found(world.search(find()));
    assert_eq!(seen.queue_id, None, "a run that runs waits no more");
}

#[test]
fn only_a_description_that_ends_with_the_marker_is_ours() {
    let rows = [
        (format!("x {MARKER}"), true),
        (MARKER.to_owned(), true),
        (format!("{MARKER} \r\n\t"), true),
        (format!("x{MARKER}"), true),
        (format!("{MARKER} again, by hand"), false),
        (format!("{MARKER}x"), false),
        (String::new(), false),
        (
            "[pipecron abcdefgh web@2026-11-24T18:00:00Z+x7]".to_owned(),
            false,
        ),
        (
            "[pipecron abcdefgh web@2026-11-24T18:00:00Z".to_owned(),
            false,
        ),
        (
            "[pipecron abcdefgh web2@2026-11-24T18:00:00Z]".to_owned(),
            false,
        ),
        (
            "[pipecron abcdefgi web@2026-11-24T18:00:00Z]".to_owned(),
            false,
        ),
        (
            "[PIPECRON ABCDEFGH WEB@2026-11-24T18:00:00Z]".to_owned(),
            false,
        ),
        ("web@2026-11-24T18:00:00Z]".to_owned(), false),
    ];
    for (text, is_ours) in rows {
        let sighting = World::of(ids(1)).described("r0", &text).search(find());
        assert_eq!(matches!(sighting, Sighting::Found(_)), is_ours, "{text:?}");
        assert_eq!(sighting == Sighting::Absent, !is_ours, "{text:?}");
    }
}

#[test]
fn without_a_marker_nothing_is_asked() {
    for marker in ["", " \n"] {
        let mut world = World::of(ids(3));
        let wanted = Find {
            marker: marker.to_owned(),
            ..find()
        };
        unexplained(&world.search(wanted));
        assert!(world.calls.is_empty());
    }
}

#[test]
fn older_runs_are_not_looked_at() {
    let numbered = |id: &str, number, started_at| SeenRun {
        number,
        started_at,
        ..run(id)
    };
    let mut world = World {
        runs: vec![
            numbered("newer", Some(8), Some(now())),
            numbered("no number", None, Some(now())),
            numbered("no time", Some(9), None),
            numbered("older by number", Some(7), Some(now())),
            numbered(
                "older by time",
                Some(9),
                Some(now() - CLOCK_MARGIN - TimeDelta::milliseconds(1)),
            ),
            numbered("at the margin", Some(9), Some(now() - CLOCK_MARGIN)),
        ],
        ..World::default()
    };
    let wanted = Find {
        above: Some(7),
        ..find()
    };
    assert_eq!(world.search(wanted), Sighting::Absent);
    let asked: Vec<&str> = world
        .calls
        .iter()
        .filter_map(|call| match call {
            Call::Detail { run_id, .. } => Some(run_id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(asked, ["no time", "newer", "no number", "at the margin"]);
}

#[test]
fn pages_are_read_to_the_end_however_small() {
    for (count, rows_max) in [
        (99, 100),
        (100, 100),
        (101, 100),
        (120, 7),
        (30, 1),
        (199, 10),
    ] {
        let last = format!("r{}", count - 1);
        let mut world = World {
            rows_max: Some(rows_max),
            ..World::of(ids(count)).described(&last, MARKER)
        };
        assert_eq!(
            found(world.search(find())).run_id,
            last,
            "{count} by {rows_max}"
        );
    }
}

#[test]
fn a_list_that_shifts_while_it_is_read_hides_nothing() {
    let rows: [(&str, Change); 4] = [
        ("runs start", |world| {
            for n in 0..30 {
                world.runs.insert(0, run(&format!("new{n}")));
            }
        }),
        ("newer runs are deleted", |world| {
            world.runs.drain(0..30);
        }),
        ("one is deleted, one starts", |world| {
            world.runs.remove(3);
            world.runs.insert(0, run("new"));
        }),
        ("half of the list goes", |world| {
            world.runs.drain(0..60);
        }),
    ];
    for (name, change) in rows {
        for ours in [60, 99, 100, 105, 119, 149] {
            let ours = format!("r{ours}");
            let mut world = World {
                meanwhile: vec![(2, change)],
                ..World::of(ids(150)).described(&ours, MARKER)
            };
            assert_eq!(found(world.search(find())).run_id, ours, "{name}");
        }
        let mut world = World {
            meanwhile: vec![(2, change)],
            ..World::of(ids(150))
        };
        // Runs that were listed, and are gone when their details are asked for, are not explained.
        let sighting = world.search(find());
        assert!(
            matches!(sighting, Sighting::Absent | Sighting::Unexplained(_)),
            "{name}: {sighting:?}"
        );
        assert!(world.details() >= 150, "{name}: {}", world.details());
    }
}

#[test]
fn a_list_that_never_stands_still_is_not_trusted() {
    let mut world = World {
        meanwhile: (2..40)
            .map(|call| {
                let change: Change = |world| {
                    world.runs.drain(0..20);
                    world
                        .runs
                        .extend((0..20).map(|n| run(&format!("x{n}-{}", world.calls.len()))));
                };
                (call, change)
            })
            .collect(),
        ..World::of(ids(190))
    };
    assert!(unexplained(&world.search(find())).contains("kept changing"));
}

#[test]
fn a_list_that_does_not_show_what_it_counts_is_not_trusted() {
    struct Liar;
    impl Liar {
        fn search(answers: impl Fn(u64) -> Page<SeenRun>) -> (Sighting, usize) {
            let mut search = Search::new(find());
            for calls in 0.. {
                match search.next() {
                    Step::Ask(Call::Runs { offset, .. }) => {
                        search.feed(Shown::Runs(answers(offset)))
                    }
                    Step::Ask(Call::Queue { .. }) => search.feed(Shown::Queue(Page {
                        rows: Vec::new(),
                        total: None,
                    })),
                    Step::Ask(Call::Detail { run_id, .. }) => {
                        search.feed(Shown::Run(Box::new(run(&run_id))));
                    }
                    Step::Ask(call) => panic!("{call:?}"),
                    Step::Done(sighting) => return (sighting, calls),
                }
            }
            panic!("without end")
        }
    }
    let hundred = || ids(100).map(|id| run(&id)).collect::<Vec<_>>();
    // Says 5, shows none.
    let (sighting, _) = Liar::search(|_| Page {
        rows: Vec::new(),
        total: Some(5),
    });
    unexplained(&sighting);
    // Shows the first page whatever is asked.
    for total in [101, 150, 1_000, u64::MAX] {
        let (sighting, calls) = Liar::search(|_| Page {
            rows: hundred(),
            total: Some(total),
        });
        unexplained(&sighting);
        assert!(calls <= CALLS_MAX, "{calls}");
    }
    // Has always one more.
    let (sighting, calls) = Liar::search(|offset| Page {
        rows: vec![run(&format!("r{offset}"))],
        total: Some(offset + 2),
    });
    unexplained(&sighting);
    assert!(calls <= CALLS_MAX, "{calls}");
    // Says nothing, but is honest; a run that stands there twice is one.
    let (sighting, calls) = Liar::search(|_| Page {
        rows: vec![run("r1"), run("r1")],
        total: Some(2),
    });
    assert_eq!((sighting, calls), (Sighting::Absent, 3));
}

#[test]
fn more_runs_than_can_be_looked_at_are_no_absence() {
    let mut world = World::of(ids(DETAILS_MAX + 1));
    let why = world.search(find());
    assert!(unexplained(&why).contains("201 runs"), "{why:?}");
    assert_eq!(world.details(), DETAILS_MAX);
    let mut world = World::of(ids(20_000)).described("r5", MARKER);
    assert_eq!(found(world.search(find())).run_id, "r5");
    let mut world = World::of(ids(20_000));
    unexplained(&world.search(find()));
    assert!(world.calls.len() <= CALLS_MAX);
}

#[test]
fn a_record_of_the_queue_is_found_or_left_unexplained() {
    let with = |detail: Shown| {
        let mut world = World {
            queue: vec![record("w")],
            ..World::of(ids(2))
        }
        .detail("w", detail);
        world.search(find())
    };
    let waiting = |text: Option<&str>| {
        Shown::Run(Box::new(SeenRun {
            status: Some(RunStatus("QUEUED".to_owned())),
            description: text.map(str::to_owned),
            ..run("w")
        }))
    };
    let seen = found(with(waiting(Some(MARKER))));
    assert_eq!(seen.queue_id.as_deref(), Some("q-w"));
    assert_eq!(with(waiting(Some("somebody else's"))), Sighting::Absent);
    assert!(unexplained(&with(waiting(None))).contains("(w)"));
    let refused = || answer(AnswerKind::Refused, Some(200));
    for shown in [
        Shown::NoRecord(refused()),
        Shown::Blank(refused()),
        failed(AnswerKind::Refused, 404),
    ] {
        unexplained(&with(shown));
    }
    let old = |enqueued_at| {
        let mut world = World {
            queue: vec![QueueRecord {
                enqueued_at,
                ..record("w")
            }],
            ..World::default()
        };
        world.search(find())
    };
    assert_eq!(old(Some(now() - TimeDelta::hours(1))), Sighting::Absent);
    unexplained(&old(Some(now() - TimeDelta::minutes(1))));
    unexplained(&old(None));
}

#[test]
fn a_queued_run_that_is_listed_too_keeps_its_place() {
    let mut world = World {
        queue: vec![record("r1"), record("r2")],
        ..World::of(ids(3)).described("r1", MARKER)
    };
    world.runs[1].status = Some(RunStatus("INIT".to_owned()));
    let seen = found(world.search(find()));
    assert_eq!(
        (seen.run_id.as_str(), seen.queue_id.as_deref()),
        ("r1", Some("q-r1"))
    );
    let mut world = World {
        queue: vec![record("r0")],
        ..World::of(ids(1))
    };
    world.runs[0].number = Some(3);
    let wanted = Find {
        above: Some(3),
        ..find()
    };
    assert_eq!(
        world.search(wanted),
        Sighting::Absent,
        "the list says that it is older"
    );
}

#[test]
fn a_long_queue_is_read_whole() {
    for rows_max in [100, 10, 3] {
        let mut world = World {
            queue: ids(100).map(|id| record(&id)).collect(),
            rows_max: Some(rows_max),
            ..World::default()
        };
        for id in ids(100) {
            let text = if id == "r99" { MARKER } else { "other" };
            let shown = SeenRun {
                description: Some(text.to_owned()),
                status: None,
                ..run(&id)
            };
            world.descriptions.push((id, Shown::Run(Box::new(shown))));
        }
        let seen = found(world.search(find()));
        assert_eq!(seen.queue_id.as_deref(), Some("q-r99"), "{rows_max} a page");
    }
}

#[test]
fn a_run_that_vanished_is_unexplained_but_hides_no_find() {
    let gone = || Shown::NoRecord(answer(AnswerKind::Refused, Some(200)));
    let mut world = World::of(ids(6));
    for id in ids(5) {
        world = world.detail(&id, gone());
    }
    let sighting = world.search(find());
    assert!(
        unexplained(&sighting).contains("5 of the runs"),
        "{sighting:?}"
    );
    assert!(unexplained(&sighting).contains("(r0, r1, r2, ...)"));
    let mut world = World::of(ids(2))
        .described("r1", MARKER)
        .detail("r0", gone());
    assert_eq!(found(world.search(find())).run_id, "r1");
}

#[test]
fn a_call_that_fails_ends_the_search_with_its_answer() {
    for passed in 0..4 {
        for kind in [
            AnswerKind::Throttled,
            AnswerKind::Unauthorized,
            AnswerKind::NotSent,
            AnswerKind::RefusedInPassing,
        ] {
            let mut world = World {
                fails: Some((passed, failed(kind.clone(), 500))),
                ..World::of(ids(5))
            };
            let sighting = world.search(find());
            assert_eq!(
                sighting,
                Sighting::Failed(answer(kind, Some(500))),
                "after {passed}"
            );
            assert!(world.calls.len() <= passed + 2);
        }
    }
}

#[test]
fn a_queue_that_cannot_be_read_hides_no_find_but_is_no_absence() {
    let refused = failed(AnswerKind::Refused, 404);
    let search = |world: World| {
        let mut world = World {
            fails: None,
            ..world
        };
        let mut search = Search::new(find());
        loop {
            match search.next() {
                Step::Ask(Call::Queue { .. }) => search.feed(refused.clone()),
                Step::Ask(call) => {
                    let shown = world.answer(&call);
                    search.feed(shown);
                }
                Step::Done(sighting) => return sighting,
            }
        }
    };
    assert_eq!(
        found(search(World::of(ids(3)).described("r2", MARKER))).run_id,
        "r2"
    );
    assert_eq!(
        search(World::of(ids(3))),
        Sighting::Failed(answer(AnswerKind::Refused, Some(404)))
    );
}

/// Anything a service may show, whatever was asked.
fn any_shown() -> impl Strategy<Value = Shown> {
    let id = (0_u8..6).prop_map(|n| format!("r{n}"));
    let time = prop_oneof![
        Just(None),
        (-3_000_i64..3_000).prop_map(|secs| Some(now() + TimeDelta::seconds(secs)))
    ];
    let word = prop_oneof![
        Just(None),
        Just(Some("RUNNING")),
        Just(Some("INIT")),
        Just(Some("FAILED"))
    ];
    let text = prop_oneof![
        Just(None),
        Just(Some(MARKER.to_owned())),
        Just(Some("x".to_owned()))
    ];
    let run = (
        id.clone(),
        time.clone(),
        word,
        text,
        proptest::option::of(0_u64..9),
    )
        .prop_map(|(id, started_at, word, description, number)| SeenRun {
            started_at,
            number,
            description,
            status: word.map(|word| RunStatus(word.to_owned())),
            ..run(&id)
        });
    let record = (id, time).prop_map(|(id, enqueued_at)| QueueRecord {
        enqueued_at,
        ..record(&id)
    });
    let total = prop_oneof![
        Just(None),
        (0_u64..300).prop_map(Some),
        Just(Some(u64::MAX))
    ];
    let kinds = prop_oneof![
        Just(AnswerKind::Refused),
        Just(AnswerKind::Throttled),
        Just(AnswerKind::RefusedInPassing)
    ];
    let status = prop_oneof![Just(None), Just(Some(404)), Just(Some(500))];
    prop_oneof![
        4 => (proptest::collection::vec(run.clone(), 0..12), total.clone())
            .prop_map(|(rows, total)| Shown::Runs(Page { rows, total })),
        4 => (proptest::collection::vec(record, 0..12), total)
            .prop_map(|(rows, total)| Shown::Queue(Page { rows, total })),
        4 => run.clone().prop_map(|run| Shown::Run(Box::new(run))),
        1 => run.prop_map(|run| Shown::Latest(vec![LatestRun { pipeline_id: None, run }])),
        1 => (kinds, status).prop_map(|(kind, status)| Shown::Failed(answer(kind, status))),
        1 => Just(Shown::NoRecord(answer(AnswerKind::Refused, None))),
        1 => Just(Shown::Blank(answer(AnswerKind::Refused, None))),
        1 => Just(Shown::Done),
    ]
}

fn suits(call: &Call, shown: &Shown) -> bool {
    match shown {
        Shown::Runs(_) => matches!(call, Call::Runs { .. }),
        Shown::Pipeline(_) | Shown::Pipelines(_) => false,
        Shown::Queue(_) => matches!(call, Call::Queue { .. }),
        Shown::Run(_) | Shown::NoRecord(_) | Shown::Blank(_) => matches!(call, Call::Detail { .. }),
        Shown::Latest(_) | Shown::Done => false,
        Shown::Failed(_) => true,
    }
}

proptest! {
    #[test]
    fn a_search_ends_whatever_it_is_told(
        told in proptest::collection::vec(any_shown(), 1..60),
        is_polite in any::<bool>(),
    ) {
        let mut search = Search::new(find());
        let mut told = told.into_iter().cycle();
        let mut had_marker = false;
        for calls in 0..=CALLS_MAX + 1 {
            match search.next() {
                Step::Done(sighting) => {
                    prop_assert!(had_marker || !matches!(sighting, Sighting::Found(_)));
                    return Ok(());
                }
                Step::Ask(call) => {
                    prop_assert!(calls <= CALLS_MAX, "{calls} calls");
                    // A polite service answers what it was asked; it is given some time to think of something.
                    let shown = (0..120).find_map(|_| told.next().filter(|shown| !is_polite || suits(&call, shown)));
                    let shown = shown.unwrap_or(Shown::Done);
                    had_marker |= matches!(&shown, Shown::Run(run) if run.description.as_deref() == Some(MARKER));
                    search.feed(shown);
                }
            }
        }
        prop_assert!(false, "without end");
    }

    #[test]
    fn an_honest_service_is_never_misread(
        count in 0_usize..130,
        ours in proptest::option::of(0_usize..130),
        rows_max in 1_usize..=100,
        above in proptest::option::of(0_u64..130),
    ) {
        let mut world = World { rows_max: Some(rows_max), ..World::of(ids(count)) };
        for (at, run) in world.runs.iter_mut().enumerate() {
            run.number = Some((count - at) as u64);
        }
        let ours = ours.filter(|at| *at < count);
        if let Some(at) = ours {
            world.runs[at].description = Some(format!("nightly {MARKER}"));
        }
        let step = rows_max - if rows_max > 1 { rows_max.div_ceil(10) } else { 0 };
        let pages_needed = count.div_ceil(step);
        let sighting = world.search(Find { above, ..find() });
        let is_new = |at: usize| above.is_none_or(|above| (count - at) as u64 > above);
        match ours.filter(|at| is_new(*at)) {
            // More pages than are read.
            _ if pages_needed >= 50 => {}
            Some(at) => prop_assert_eq!(found(sighting).run_id, format!("r{at}")),
            None => prop_assert_eq!(sighting, Sighting::Absent),
        }
    }

    #[test]
    fn no_body_makes_a_reader_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        status in 100_u16..600,
        text in r#"[{}\[\]",:0-9a-z_ ]{0,80}"#,
    ) {
        for call in calls() {
            for body in [bytes.clone(), text.clone().into_bytes()] {
                let response = HttpResponse { status, headers: Vec::new(), body: Body::Whole(body) };
                let _ = call.read(&response, &Mask::none(), now());
            }
        }
    }

    #[test]
    fn no_json_in_the_place_of_a_field_makes_a_reader_panic(odd in any_json(), at in 0_usize..14) {
        const NAMES: [&str; 14] = [
            "total", "pipeline_runs", "queuedPipelines", "pipeline_run_id", "id", "subject_id", "description",
            "run_number", "status", "start_time", "end_time", "stages", "stage_status_list", "error",
        ];
        let mut row = json!({"pipeline_run_id": RUN, "id": RUN});
        row[NAMES[at]] = odd.clone();
        let mut list = json!({"total": 1, "pipeline_runs": [row.clone()], "queuedPipelines": [row.clone()]});
        list[NAMES[at]] = odd;
        for call in calls() {
            for body in [&list, &row, &json!([row])] {
                let shown = read(&call, 200, &body.to_string());
                if let Shown::Runs(page) = shown {
                    let is_named = page.rows.iter().all(|run| !run.run_id.is_empty());
                    prop_assert!(is_named);
                }
            }
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("(code|message|id|status|[a-z]{1,4})", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

// Requests and responses.

fn calls() -> [Call; 6] {
    [
        Call::Runs {
            at: at(),
            since: Some(now()),
            offset: 90,
        },
        Call::Detail {
            at: at(),
            run_id: RUN.to_owned(),
        },
        Call::Queue {
            at: at(),
            offset: 0,
        },
        Call::Latest {
            project_id: "p1".to_owned(),
            pipeline_ids: vec!["l1".to_owned(), "l2".to_owned()],
        },
        Call::Stop {
            at: at(),
            run_id: RUN.to_owned(),
        },
        Call::CancelQueuing {
            at: at(),
            run_id: RUN.to_owned(),
            queue_id: "q1".to_owned(),
        },
    ]
}

#[test]
fn every_call_is_written_as_the_sdks_write_it() {
    let rows = [
        "POST /v5/p1/api/pipelines/l1/pipeline-runs/list application/json;charset=utf-8 \
         {\"limit\":100,\"offset\":90,\"sort_dir\":\"desc\",\"sort_key\":\"start_time\",\"start_time\":\"1795543200000\"}",
        "GET /v5/p1/api/pipelines/l1/pipeline-runs/detail?pipeline_run_id=ad6b7f66283a45be9c1f82b06c831e59 application/json ",
        "GET /v5/p1/api/pipelines/l1/queued-pipeline?limit=100&offset=0 application/json ",
        "POST /v5/p1/api/pipelines/status application/json;charset=utf-8 [\"l1\",\"l2\"]",
        "POST /v5/p1/api/pipelines/l1/pipeline-runs/ad6b7f66283a45be9c1f82b06c831e59/stop application/json;charset=utf-8 {}",
        "POST /v5/p1/api/pipelines/l1/ad6b7f66283a45be9c1f82b06c831e59/cancel-queuing/q1 application/json;charset=utf-8 {}",
    ];
    for (call, expected) in calls().iter().zip(rows) {
        let request = call.request("https://x/", Some("iam")).unwrap();
        assert_eq!(request.header("X-Project-Id"), Some("iam"));
        let written = format!(
            "{} {} {} {}",
            request.method,
            request.url.strip_prefix("https://x").unwrap(),
            request.header("Content-Type").unwrap(),
            String::from_utf8(request.body.clone()).unwrap()
        );
        assert_eq!(written, expected);
    }
}

#[test]
fn an_id_stays_in_its_place() {
    let odd = "a/b?c=d&e#f g";
    let call = Call::Detail {
        at: at(),
        run_id: odd.to_owned(),
    };
    let url = call.request("https://x", None).unwrap().url;
    assert!(
        url.ends_with("?pipeline_run_id=a%2Fb%3Fc%3Dd%26e%23f%20g"),
        "{url}"
    );
    for bad in ["", ".", ".."] {
        let (run_id, queue_id) = (bad.to_owned(), "q".to_owned());
        for call in [
            Call::Detail {
                at: at(),
                run_id: run_id.clone(),
            },
            Call::Stop {
                at: at(),
                run_id: run_id.clone(),
            },
            Call::CancelQueuing {
                at: at(),
                run_id: "r".to_owned(),
                queue_id: run_id.clone(),
            },
            Call::CancelQueuing {
                at: at(),
                run_id,
                queue_id,
            },
        ] {
            assert!(call.request("https://x", None).is_err(), "{call:?}");
        }
    }
}

fn read(call: &Call, status: u16, body: &str) -> Shown {
    let response = HttpResponse {
        status,
        headers: Vec::new(),
        body: Body::Whole(body.as_bytes().to_vec()),
    };
    call.read(&response, &Mask::none(), now())
}

fn why(shown: Shown) -> Answer {
    match shown {
        Shown::Failed(answer) => answer,
        other => panic!("read: {other:?}"),
    }
}

#[test]
fn a_list_is_read_with_what_it_may_look_like() {
    let [list, ..] = calls();
    let body = json!({"offset": 0, "limit": 100, "total": "2", "new": {"x": [1]}, "pipeline_runs": [
        {"pipeline_run_id": RUN, "run_number": 7, "status": "FAILED", "start_time": 1_795_543_200_000_i64, "end_time": null,
         "stage_status_list": [{"name": "Deploy", "status": "FAILED", "sequence": 1}, {"name": "Build", "status": "FAILED", "sequence": 0}]},
        {"pipeline_run_id": "x", "run_number": "8", "start_time": "1795543200", "stage_status_list": "none"},
    ]});
    let Shown::Runs(page) = read(&list, 200, &format!("\u{feff}{body}\n")) else {
        panic!("not read");
    };
    assert_eq!(page.total, Some(2));
    let first = SeenRun {
        number: Some(7),
        status: Some(RunStatus("FAILED".to_owned())),
        failed_stage: Some("Build".to_owned()),
        ..run(RUN)
    };
    let second = SeenRun {
        number: Some(8),
        status: None,
        ..run("x")
    };
    assert_eq!(page.rows, [first, second]);
}

#[test]
fn a_time_that_cannot_be_told_is_none() {
    let [list, ..] = calls();
    let of = |time: Value| {
        let body =
            json!({"total": 1, "pipeline_runs": [{"pipeline_run_id": RUN, "start_time": time}]});
        match read(&list, 200, &body.to_string()) {
            Shown::Runs(page) => page.rows[0].started_at,
            other => panic!("{other:?}"),
        }
    };
    for known in [
        json!(1_795_543_200_000_i64),
        json!("1795543200000"),
        json!(1_795_543_200),
        json!(1_795_543_200_000.0),
        json!("2026-11-24T18:00:00Z"),
        json!("2026-11-25T02:00:00+08:00"),
        json!("2026-11-25T02:00:00.000+0800"),
    ] {
        assert_eq!(of(known.clone()), Some(now()), "{known}");
    }
    for unknown in [
        json!(null),
        json!(0),
        json!(-1),
        json!(""),
        json!("2026-11-24 18:00:00"),
        json!(1_795_543_200_000_000_i64),
        json!(u64::MAX),
        json!(1e300),
        json!(true),
        json!([1]),
        json!({"at": 1}),
        json!("soon"),
    ] {
        assert_eq!(of(unknown.clone()), None, "{unknown}");
    }
}

#[test]
fn what_is_no_list_is_no_empty_list() {
    let [list, _, queue, latest, ..] = calls();
    let bodies = [
        "{}",
        "",
        "null",
        "[]",
        "<html>sign in</html>",
        r#"{"total":1}"#,
        r#"{"total":-1,"pipeline_runs":[]}"#,
        r#"{"pipeline_runs":[]}"#,
        r#"{"total":1,"pipeline_runs":{}}"#,
        r#"{"total":1,"pipeline_runs":[{}]}"#,
        r#"{"total":1,"pipeline_runs":[null]}"#,
        r#"{"total":1,"pipeline_runs":[{"pipeline_run_id":"a b"}]}"#,
        r#"{"total":0,"total":1,"pipeline_runs":[]}"#,
    ];
    let others = [
        (&queue, "{}"),
        (&queue, r#"{"queuedPipelines":[{"id":"q"}]}"#),
        (&latest, "{}"),
    ];
    for (call, body) in bodies.map(|body| (&list, body)).into_iter().chain(others) {
        let answer = why(read(call, 200, body));
        assert_eq!(answer.kind, AnswerKind::RefusedInPassing, "{body}");
        assert!(
            answer.message.starts_with(call.name()),
            "{}",
            answer.message
        );
        assert_eq!(answer.status, Some(200));
    }
    let empty = Page {
        rows: Vec::new(),
        total: Some(0),
    };
    for body in [
        r#"{"total":0,"pipeline_runs":[]}"#,
        r#"{"total":0,"pipeline_runs":null}"#,
        r#"{"total":0}"#,
    ] {
        assert_eq!(read(&list, 200, body), Shown::Runs(empty.clone()), "{body}");
    }
}

#[test]
fn a_list_too_deep_or_too_long_is_not_read() {
    let [list, ..] = calls();
    let deep = format!(r#"{{"total":0,"x":{}"#, "[".repeat(100_000));
    why(read(&list, 200, &deep));
    let rows = vec![r#"{"pipeline_run_id":"a"}"#; 1_001].join(",");
    let crowd = format!(r#"{{"total":9,"pipeline_runs":[{rows}]}}"#);
    let answer = why(read(&list, 200, &crowd));
    assert!(
        answer.message.contains("more than was asked for"),
        "{}",
        answer.message
    );
}

#[test]
fn every_refusal_has_its_class() {
    use AnswerKind::{Refused, RefusedInPassing, Throttled, Unauthorized};
    let [list, ..] = calls();
    let refusal = |code: &str| format!(r#"{{"error_code":"{code}","error_msg":"m"}}"#);
    let rows = [
        (
            200,
            r#"{"total":0,"pipeline_runs":[],"error_code":"DEVCP.00014031"}"#.to_owned(),
            Refused,
        ),
        (
            200,
            r#"{"error":{"code":"DEVPIPE.00011412","message":"m"}}"#.to_owned(),
            Refused,
        ),
        (200, refusal("DEVPIPE.00011170"), RefusedInPassing),
        (200, refusal("DEVPIPE.99999999"), RefusedInPassing),
        (500, refusal("COCT.0070003"), Throttled),
        (429, String::new(), Throttled),
        (504, refusal("APIGW.0201"), RefusedInPassing),
        (408, String::new(), RefusedInPassing),
        (307, String::new(), RefusedInPassing),
        (400, refusal("DEVCP.00021400"), Refused),
        (401, refusal("APIGW.0307"), Unauthorized),
        (401, refusal("DEVCP.00021018"), Refused),
        // Another's run in an error is no start.
        (
            500,
            format!(r#"{{"pipeline_run_id":"{RUN}"}}"#),
            RefusedInPassing,
        ),
        (
            200,
            format!(r#"{{"pipeline_run_id":"{RUN}"}}"#),
            RefusedInPassing,
        ),
        (403, format!(r#"{{"pipeline_run_id":"{RUN}"}}"#), Refused),
    ];
    for (status, body, kind) in rows {
        assert_eq!(
            why(read(&list, status, &body)).kind,
            kind,
            "{status} {body}"
        );
    }
}

#[test]
fn a_detail_is_of_the_run_that_was_asked_for() {
    let [_, detail, ..] = calls();
    let body = json!({"id": RUN, "subject_id": RUN, "description": "x [y]", "status": "COMPLETED", "run_number": 3,
        "start_time": 1_795_543_200_000_i64, "end_time": 1_795_543_260_000_i64,
        "stages": [{"name": "Build", "status": "COMPLETED", "jobs": [{"code": "E1", "message": "a job's own trouble"}]}]});
    let expected = SeenRun {
        number: Some(3),
        status: Some(RunStatus("COMPLETED".to_owned())),
        ended_at: Some(now() + TimeDelta::minutes(1)),
        description: Some("x [y]".to_owned()),
        ..run(RUN)
    };
    assert_eq!(
        read(&detail, 200, &body.to_string()),
        Shown::Run(Box::new(expected))
    );
    let other = why(read(&detail, 200, r#"{"id":"other"}"#));
    assert!(
        other.message.contains("the run other instead"),
        "{}",
        other.message
    );
    for odd in [
        json!(7),
        json!(["x"]),
        json!({"text": MARKER}),
        json!("x".repeat(20_000)),
    ] {
        let body = json!({"id": RUN, "description": odd});
        let answer = why(read(&detail, 200, &body.to_string()));
        assert!(answer.message.contains("description"), "{}", answer.message);
    }
    for blank in ["{}", "null", r#"{"id":null}"#] {
        assert!(
            matches!(read(&detail, 200, blank), Shown::Blank(_)),
            "{blank}"
        );
    }
    for gone in [
        (
            200,
            r#"{"error_code":"DEVCP.00012002","error_msg":"no such record"}"#,
        ),
        (
            404,
            r#"{"error_code":"DEVPIPE.00011401","error_msg":"no such pipeline"}"#,
        ),
        (404, r#"{"error_code":"DEVPIPE.00099999","error_msg":"m"}"#),
    ] {
        assert!(
            matches!(read(&detail, gone.0, gone.1), Shown::NoRecord(_)),
            "{gone:?}"
        );
    }
    // A path that is unknown, a page of somebody's, a missing permission: no word about the run.
    for (status, body) in [
        (404, r#"{"error_code":"APIGW.0101","error_msg":"m"}"#),
        (404, "<html>not found</html>"),
        (404, r#"{"status":404,"error":"Not Found"}"#),
        (403, r#"{"error_code":"DEVCP.00014031","error_msg":"m"}"#),
        (500, "x"),
        (200, ""),
        (200, "oops"),
    ] {
        why(read(&detail, status, body));
    }
}

#[test]
fn a_stop_is_done_only_if_the_service_says_so() {
    let [.., stop, cancel] = calls();
    let rows = [
        (r#"{"success":true}"#, true, true),
        (r#"{"success":"true"}"#, true, true),
        (r#"{"success":false}"#, false, false),
        ("{}", false, true),
        ("", false, true),
        ("true", false, true),
        ("<html>", false, false),
        (
            r#"{"error_code":"DEVCP.00012002","error_msg":"m"}"#,
            false,
            false,
        ),
    ];
    for (body, is_stopped, has_left) in rows {
        assert_eq!(read(&stop, 200, body) == Shown::Done, is_stopped, "{body}");
        assert_eq!(read(&cancel, 200, body) == Shown::Done, has_left, "{body}");
    }
}

/// The stamps in it are of the service's clock, and so is `Date`.
#[test]
fn a_list_bears_the_time_at_which_it_was_shown() {
    let [list, ..] = calls();
    let body = json!({"total": 1, "pipeline_runs": [{"pipeline_run_id": RUN}]}).to_string();
    for (date, expected) in [
        (
            "Tue, 24 Nov 2026 18:00:07 GMT",
            Some("2026-11-24T18:00:07Z"),
        ),
        ("soon", None),
    ] {
        let response = HttpResponse {
            status: 200,
            headers: vec![("Date".to_owned(), date.to_owned())],
            body: Body::Whole(body.clone().into_bytes()),
        };
        let Shown::Runs(page) = list.read(&response, &Mask::none(), now()) else {
            panic!("not read");
        };
        let expected = expected.map(|text| text.parse().unwrap());
        assert_eq!(page.rows[0].seen_at, expected, "{date}");
    }
}

#[test]
fn what_a_failure_says_is_bounded_and_keeps_its_wait() {
    let [list, ..] = calls();
    let response = HttpResponse {
        status: 429,
        headers: vec![
            ("Retry-After".to_owned(), "7".to_owned()),
            ("X-Request-Id".to_owned(), "req".to_owned()),
        ],
        body: Body::Whole(vec![b'x'; 4_000_000]),
    };
    let answer = why(list.read(&response, &Mask::none(), now()));
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(answer.request_id.as_deref(), Some("req"));
    assert!(answer.message.len() < 1_000);
    let broken = HttpResponse {
        status: 200,
        headers: Vec::new(),
        body: Body::Broken("the answer broke off".to_owned()),
    };
    let answer = why(list.read(&broken, &Mask::none(), now()));
    assert!(answer.message.contains("broke off"), "{}", answer.message);
}

// Looks at many runs, and at a pipeline.

fn wanted(pipeline: &str, run: &str) -> (PipelineAt, String) {
    let at = PipelineAt {
        pipeline_id: pipeline.to_owned(),
        ..at()
    };
    (at, run.to_owned())
}

fn latest(run_id: &str, status: &str) -> LatestRun {
    LatestRun {
        pipeline_id: None,
        run: SeenRun {
            status: Some(RunStatus(status.to_owned())),
            ..run(run_id)
        },
    }
}

#[test]
fn one_call_tells_of_many_pipelines_and_details_of_the_rest() {
    let mut round = Round::new(vec![
        wanted("a", "r1"),
        wanted("b", "r2"),
        wanted("c", "r3"),
        wanted("d", "r4"),
        wanted("d", "r5"),
        wanted("e", "r6"),
    ]);
    let batches = round.batches();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].runs, [0, 1, 2, 5]);
    let elsewhere = LatestRun {
        pipeline_id: Some("x".to_owned()),
        ..latest("r6", "RUNNING")
    };
    round.take_batch(
        &batches[0].runs,
        Shown::Latest(vec![
            latest("r1", "RUNNING"),
            latest("a newer one", "RUNNING"),
            latest("r3", "FAILED"),
            elsewhere,
        ]),
    );
    let left: Vec<usize> = round.details().into_iter().map(|(at, _)| at).collect();
    assert_eq!(left, [1, 2, 3, 4, 5]);
    let failed_at = SeenRun {
        failed_stage: Some("Deploy".to_owned()),
        ..run("r3")
    };
    round.take_detail(1, Shown::NoRecord(answer(AnswerKind::Refused, Some(200))));
    round.take_detail(2, Shown::Run(Box::new(failed_at.clone())));
    round.take_detail(3, failed(AnswerKind::RefusedInPassing, 500));
    round.take_detail(4, Shown::Run(Box::new(run("r5"))));
    let looks = round.finish();
    assert!(matches!(&looks[0], Look::Seen(run) if run.run_id == "r1"));
    assert_eq!(looks[1], Look::Vanished);
    assert_eq!(looks[2], Look::Seen(Box::new(failed_at)));
    assert!(matches!(&looks[3], Look::Failed(answer) if answer.status == Some(500)));
    assert!(matches!(&looks[4], Look::Seen(run) if run.run_id == "r5"));
    assert!(
        matches!(&looks[5], Look::Failed(_)),
        "what was not asked is not vanished"
    );
}

#[test]
fn a_run_that_failed_has_failed_even_if_its_details_cannot_be_had() {
    let mut round = Round::new(vec![wanted("a", "r1"), wanted("b", "r2")]);
    let shown = Shown::Latest(vec![latest("r1", "FAILED"), latest("r2", "FAILED")]);
    round.take_batch(&[0, 1], shown);
    round.take_detail(0, Shown::NoRecord(answer(AnswerKind::Refused, None)));
    for look in round.finish() {
        assert!(
            matches!(look, Look::Seen(run) if run.status == Some(RunStatus("FAILED".to_owned())))
        );
    }
}

#[test]
fn a_batch_that_is_refused_costs_a_call_a_run_and_a_throttle_ends_the_round() {
    let runs = || {
        (0..120)
            .map(|n| wanted(&format!("l{n}"), &format!("r{n}")))
            .collect()
    };
    let mut round = Round::new(runs());
    let batches = round.batches();
    let sizes: Vec<usize> = batches.iter().map(|batch| batch.runs.len()).collect();
    assert_eq!(sizes, [PIPELINES_PER_CALL, PIPELINES_PER_CALL, 20]);
    round.take_batch(&batches[0].runs, failed(AnswerKind::Refused, 200));
    round.take_batch(&batches[1].runs, failed(AnswerKind::RefusedInPassing, 500));
    assert_eq!(round.details().len(), 120);
    round.take_batch(&batches[2].runs, failed(AnswerKind::Throttled, 429));
    assert!(round.details().is_empty());
    for look in round.finish() {
        assert!(matches!(look, Look::Failed(answer) if answer.kind == AnswerKind::Throttled));
    }
    assert!(Round::new(vec![wanted("a", "r1")]).batches().is_empty());
    assert!(Round::new(Vec::new()).finish().is_empty());
    let twice = Round::new(vec![
        wanted("a", "r1"),
        wanted("a", "r1"),
        wanted("b", "r2"),
    ]);
    assert_eq!(twice.batches()[0].runs, [0, 1, 2]);
}

fn under_way(world: &mut World) -> Result<Vec<SeenRun>, Box<Answer>> {
    let mut look = UnderWay::new(at());
    for _ in 0..200 {
        match look.next() {
            Step::Ask(call) => {
                let shown = world.answer(&call);
                look.feed(shown);
            }
            Step::Done(runs) => return runs.map_err(Box::new),
        }
    }
    panic!("without end");
}

#[test]
fn what_is_not_over_is_under_way_the_queue_included() {
    let mut world = World {
        queue: vec![record("r6"), record("w1"), record("r0"), record("r1")],
        ..World::of(ids(8))
    };
    let words = [
        "RUNNING",
        "COMPLETED",
        "FAILED",
        "CANCELED",
        "IGNORED",
        "PAUSED",
        "QUEUED",
        "REDISPATCH",
    ];
    for (run, word) in world.runs.iter_mut().zip(words) {
        run.status = Some(RunStatus(word.to_owned()));
    }
    world.runs.push(SeenRun {
        status: None,
        ..run("r8")
    });
    let runs = under_way(&mut world).unwrap();
    let seen: Vec<(&str, Option<&str>)> = runs
        .iter()
        .map(|run| (run.run_id.as_str(), run.queue_id.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [
            ("r0", None),
            ("r5", None),
            ("r6", Some("q-r6")),
            ("r7", None),
            ("r8", None),
            ("w1", Some("q-w1"))
        ]
    );
}

#[test]
fn the_newest_runs_are_enough() {
    let mut world = World::of(ids(1_000));
    assert_eq!(under_way(&mut world).unwrap().len(), NEWEST_RUNS);
    assert_eq!(world.calls.len(), 3, "the queue and two pages");
}

#[test]
fn nothing_under_way_is_never_said_for_want_of_an_answer() {
    for passed in 0..2 {
        let mut world = World {
            fails: Some((passed, failed(AnswerKind::RefusedInPassing, 500))),
            ..World::of(ids(3))
        };
        assert_eq!(under_way(&mut world).unwrap_err().status, Some(500));
    }
    let mut look = UnderWay::new(at());
    let empty_handed = loop {
        match look.next() {
            Step::Ask(Call::Queue { .. }) => look.feed(Shown::Queue(Page {
                rows: Vec::new(),
                total: Some(0),
            })),
            Step::Ask(_) => look.feed(Shown::Runs(Page {
                rows: Vec::new(),
                total: Some(3),
            })),
            Step::Done(runs) => break runs,
        }
    };
    assert!(
        empty_handed
            .unwrap_err()
            .message
            .contains("the list of runs")
    );
}
