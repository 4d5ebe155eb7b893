//! What costs a decision: days of downtime one an entry, in one commit that opens what the rules say; a look at a run
//! only what it tells.

use pipecron::domain::{Act, EntryState, LastSuccess, Pause, Plan, Scope, Skip, TickId};
use pipecron::ledger::{Changed, GoodConfig, LedgerError, Story};

use tokio::task::JoinSet;

use super::*;

/// A ledger that notes how many entries each decision was about.
struct Counted {
    rows: Arc<MemoryLedger>,
    decisions: Arc<Mutex<Vec<usize>>>,
}

impl Ledger for Counted {
    fn id(&self) -> &str {
        self.rows.id()
    }

    async fn decide<D>(&self, entries: Vec<EntryName>, decide: D) -> Result<Vec<Plan>, LedgerError>
    where
        D: FnMut(Timestamp, &EntryName, &EntryState) -> Plan + Send + 'static,
    {
        // One about nothing is a look whether the ledger is still there.
        if !entries.is_empty() {
            self.decisions.lock().unwrap().push(entries.len());
        }
        self.rows.decide(entries, decide).await
    }

    async fn open_entries(&self) -> Result<Vec<EntryName>, LedgerError> {
        self.rows.open_entries().await
    }

    async fn marked_entries(&self) -> Result<Vec<EntryName>, LedgerError> {
        self.rows.marked_entries().await
    }

    async fn history(&self, query: HistoryQuery) -> Result<Vec<Tick>, LedgerError> {
        self.rows.history(query).await
    }

    async fn changes(&self, after: u64, limit: u32) -> Result<Vec<Changed>, LedgerError> {
        self.rows.changes(after, limit).await
    }

    async fn newest_change(&self) -> Result<u64, LedgerError> {
        self.rows.newest_change().await
    }

    async fn put_memo(&self, key: String, text: String) -> Result<(), LedgerError> {
        self.rows.put_memo(key, text).await
    }

    async fn memo(&self, key: String) -> Result<Option<String>, LedgerError> {
        self.rows.memo(key).await
    }

    async fn story(&self, tick: TickId) -> Result<Option<Story>, LedgerError> {
        self.rows.story(tick).await
    }

    async fn prune(&self, before: Timestamp) -> Result<u64, LedgerError> {
        self.rows.prune(before).await
    }

    async fn keep_config(&self, key: String, files: Vec<SourceFile>) -> Result<(), LedgerError> {
        self.rows.keep_config(key, files).await
    }

    async fn forget_configs(
        &self,
        before: Timestamp,
        keep: Vec<String>,
    ) -> Result<u64, LedgerError> {
        self.rows.forget_configs(before, keep).await
    }

    async fn last_config(&self, key: String) -> Result<Option<GoodConfig>, LedgerError> {
        self.rows.last_config(key).await
    }

    async fn last_success(&self, entry: EntryName) -> Result<Option<LastSuccess>, LedgerError> {
        self.rows.last_success(entry).await
    }

    async fn put_skips(&self, entry: EntryName, skips: Vec<Skip>) -> Result<(), LedgerError> {
        self.rows.put_skips(entry, skips).await
    }

    async fn drop_skips(&self, entry: EntryName, dues: Vec<Timestamp>) -> Result<u64, LedgerError> {
        self.rows.drop_skips(entry, dues).await
    }

    async fn skips(&self, after: Timestamp) -> Result<Vec<(EntryName, Skip)>, LedgerError> {
        self.rows.skips(after).await
    }

    async fn put_pause(&self, pause: Pause) -> Result<Option<Pause>, LedgerError> {
        self.rows.put_pause(pause).await
    }

    async fn lift_pause(
        &self,
        scope: Scope,
        at: Timestamp,
        by: String,
    ) -> Result<Option<Pause>, LedgerError> {
        self.rows.lift_pause(scope, at, by).await
    }

    async fn pauses(&self, at: Timestamp) -> Result<Vec<Pause>, LedgerError> {
        self.rows.pauses(at).await
    }

    async fn put_act(&self, act: Act) -> Result<(), LedgerError> {
        self.rows.put_act(act).await
    }

    async fn acts(&self, limit: u32) -> Result<Vec<Act>, LedgerError> {
        self.rows.acts(limit).await
    }

    async fn newest_due(&self) -> Result<Option<Timestamp>, LedgerError> {
        self.rows.newest_due().await
    }
}

/// A daemon that runs for as long as this is kept.
type Running = JoinSet<Result<(), LedgerError>>;

/// A daemon on the world's ledger whose decisions are counted; it runs for as long as the first is kept.
fn counted(
    world: &World,
    entries: impl IntoIterator<Item = Entry>,
) -> (Running, Arc<Mutex<Vec<usize>>>) {
    let decisions: Arc<Mutex<Vec<usize>>> = Arc::default();
    // A new process holds nothing back.
    world.service.held_back.send_replace(false);
    let parts = world.parts(config(entries));
    let ledger = Arc::new(Counted {
        rows: world.ledger.clone(),
        decisions: decisions.clone(),
    });
    let daemon = Daemon::new(Parts {
        ledger,
        service: parts.service,
        clock: parts.clock,
        config: parts.config,
        loader: parts.loader,
        config_key: parts.config_key,
        grace: parts.grace,
    });
    let mut running = JoinSet::new();
    running.spawn(async move {
        let (_tell, events) = mpsc::channel(1);
        daemon.run(events).await
    });
    (running, decisions)
}

/// Kinds of entries: pattern, rule, deadline in hours; and what four days of downtime, from Tuesday 01:30 to Saturday
/// 03:30, leave of each: ticks that run, and ticks that are missed.
const KINDS: [(&str, CatchUp, u64, usize, u64); 6] = [
    ("0 2 * * *", CatchUp::Latest, 6, 1, 4),
    ("0 2 * * *", CatchUp::All, 30, 2, 3),
    ("0 2 * * *", CatchUp::None, 6, 0, 5),
    ("0 12 * * 1-5", CatchUp::Latest, 6, 0, 4),
    ("*/5 * * * *", CatchUp::All, 1, 12, 4 * 288 + 24 - 12),
    ("* * * * *", CatchUp::Latest, 6, 1, 4 * 1440 + 120 - 1),
];
/// How many entries there are of each kind.
const EACH: usize = 50;

fn entries() -> impl Iterator<Item = Entry> {
    (0..EACH).flat_map(|number| {
        KINDS
            .iter()
            .enumerate()
            .map(move |(kind, (cron, catch_up, hours, ..))| Entry {
                catch_up: *catch_up,
                deadline: Duration::from_secs(hours * 3600),
                ..entry(&format!("kind{kind}-{number}"), cron)
            })
    })
}

#[tokio::test(start_paused = true)]
async fn four_days_of_downtime_with_300_entries_are_one_decision_an_entry() {
    let mut world = World::at("2026-11-24T01:30:00.5Z");
    world.start(entries());
    world.passes(Duration::from_secs(5)).await;
    world.stop().await;
    assert!(world.ticks().await.is_empty());
    world
        .passes(4 * 24 * HOUR + 2 * HOUR - Duration::from_secs(5))
        .await;

    let restarted = world.now();
    let (daemon, decisions) = counted(&world, entries());
    // Before the first look is answered.
    world.passes(Duration::from_millis(15)).await;
    assert_eq!(*decisions.lock().unwrap(), [300], "everything at once");

    world.passes(Duration::from_secs(600)).await;
    drop(daemon);
    let missed = |tick: &&Tick| tick.missed.is_some();
    let ticks = world.ticks().await;
    let (gone, run): (Vec<&Tick>, Vec<&Tick>) = ticks
        .iter()
        .filter(|tick| tick.opened_at < restarted + TimeDelta::seconds(1))
        .partition(missed);
    for number in 0..EACH {
        for (kind, (_, _, _, runs, misses)) in KINDS.iter().enumerate() {
            let name = format!("kind{kind}-{number}");
            let of = |ticks: &[&Tick]| -> Vec<Tick> {
                let of = ticks.iter().filter(|tick| tick.entry.as_str() == name);
                of.map(|tick| (*tick).clone()).collect()
            };
            let (run, gone) = (of(&run), of(&gone));
            assert_eq!(run.len(), *runs, "{name}");
            assert!(
                run.iter()
                    .all(|tick| state(tick) == "started" && tick.attempts == 1),
                "{name}: {run:?}"
            );
            let count: u64 = gone.iter().map(|tick| tick.missed.unwrap().count).sum();
            assert_eq!(
                (gone.len(), count),
                (1, *misses),
                "{name}: one row for all of them"
            );
        }
    }
    let markers: BTreeSet<String> = world.service.markers().into_iter().collect();
    assert_eq!(markers.len(), world.service.markers().len());
}

#[tokio::test(start_paused = true)]
async fn a_look_that_tells_nothing_new_is_no_decision() {
    let world = World::at("2026-11-24T01:59:59Z");
    let mut followed = entry("a", "0 2 * * *");
    followed.policy.follow = true;
    let (_daemon, decisions) = counted(&world, [followed]);
    world.passes(Duration::from_secs(60)).await;
    let looks = world.service.looks.load(Ordering::SeqCst);
    // Its number is known by now.
    let before = decisions.lock().unwrap().len();
    world.passes(5 * HOUR).await;
    assert!(world.service.looks.load(Ordering::SeqCst) > looks + 100);
    assert_eq!(decisions.lock().unwrap().len(), before);
    for (_, status) in world.service.runs.lock().unwrap().values_mut() {
        *status = "COMPLETED";
    }
    world.passes(HOUR).await;
    assert_eq!(world.ends().await, ["succeeded"]);
}
