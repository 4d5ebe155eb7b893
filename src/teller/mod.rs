//! The teller: reads what the loop wrote down, and tells people.
//!
//! It is a task of its own that only reads the ledger's ticks and asks the loop how it stands, so that a receiver that is
//! down, slow or hostile has no effect on any tick. What it has told and what waits to be told is a memo in the ledger: a
//! crash loses no notice. One that was delivered in the very moment of a crash may come twice.
//!
//! The usual path and the path after a crash are one: what changed since the last change that was looked at is read, and
//! judged by [`Herald`](crate::domain::notice::Herald).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use crate::config::{Channel, Config, Heartbeat};
use crate::daemon::{Event, Standing};
use crate::domain::notice::{AccountHealth, Found, Notice, Seen, Sight, Signal, Tact};
use crate::domain::{Entry, EntryName, Timestamp};
use crate::ledger::{Changed, Glance, HistoryQuery, Ledger, LedgerError};
use crate::notify::{Deliver, Undelivered};
use crate::os::Clock;

mod digest;
mod state;

use state::{Kept, State};

/// Where the ledger keeps what the teller remembers.
const MEMO: &str = "teller";
/// Changes that are read at once.
const CHANGES_MAX: u32 = 500;
/// It looks at the loop and the ledger no more often: many ticks are due at the same moment.
const LOOK_MIN: Duration = Duration::from_secs(1);
/// It looks at least so often.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// A loop that does not answer for so long is stuck.
const LOOP_HANGS: Duration = Duration::from_secs(90);
/// The cursor is written down at least so often, so that a restart has little to read again.
const SAVE_MAX: Duration = Duration::from_secs(300);
/// Most messages and pings under way at once.
const IN_FLIGHT_MAX: usize = 16;
/// A ping that failed so often is left: the switch then misses us, which is what it is for.
const PING_TRIES_MAX: u32 = 5;
/// Shortest wait before a ping is tried again; it doubles.
const PING_AGAIN: Duration = Duration::from_secs(5);
/// Least time between two lines that say that a channel cannot be reached.
const COMPLAIN_EVERY: Duration = Duration::from_secs(600);

/// What a teller is made of.
pub struct Parts<L, D> {
    /// The record it reads, and where it keeps what it remembers.
    pub ledger: Arc<L>,
    /// The loop.
    pub tell: mpsc::Sender<Event>,
    /// Rung by the loop when there may be something to tell.
    pub stirred: Arc<Notify>,
    /// The clock.
    pub clock: Clock,
    /// What delivers.
    pub hands: Arc<D>,
}

impl<L, D> std::fmt::Debug for Parts<L, D> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// A teller at work; it ends when this is dropped, or when the loop ends.
#[derive(Debug)]
pub struct Teller {
    task: JoinHandle<()>,
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Teller {
    /// Begins to tell.
    pub fn start<L: Ledger, D: Deliver>(parts: Parts<L, D>) -> Self {
        Self {
            task: tokio::spawn(run(parts)),
        }
    }
}

/// What waits for a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// How many notices.
    pub notices: u64,
    /// Since when it is in vain that something is delivered, and why it did not arrive the last time.
    pub trouble: Option<(Timestamp, String)>,
}

/// What waits for the channels that are told by whoever works with this ledger.
///
/// # Errors
/// When the ledger cannot be read.
pub async fn waiting<L: Ledger>(ledger: &L) -> Result<BTreeMap<String, Waiting>, LedgerError> {
    let memo = ledger.memo(MEMO.to_owned()).await?;
    // What another version wrote says nothing.
    let state: State = memo
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let boxes = state.kept.outboxes.into_iter().map(|(name, outbox)| {
        let trouble = outbox.trouble();
        let waiting = Waiting {
            notices: outbox.waiting(),
            trouble: trouble.map(|(since, why)| (since, why.to_owned())),
        };
        (name, waiting)
    });
    Ok(boxes.collect())
}

/// Whether a channel is told of this entry. Accounts and the daemon concern every channel.
fn concerns(channel: &Channel, entry: Option<&Entry>) -> bool {
    let bears = |entry: &Entry| {
        channel
            .labels
            .iter()
            .any(|label| entry.labels.contains(label))
    };
    channel.labels.is_empty() || entry.is_none_or(bears)
}

/// The page of a tick's run in the console.
fn run_page(config: &Config, glance: &Glance) -> Option<String> {
    let (at, run) = (&glance.at, glance.run.as_ref()?);
    let account = config.accounts.get(&at.account)?;
    account.run_page(&at.project_id, &at.pipeline_id, &run.id)
}

fn seen(config: &Config, glance: Glance, code: Option<String>) -> Seen {
    Seen {
        run_page: run_page(config, &glance),
        id: glance.id,
        entry: glance.entry,
        account: glance.at.account,
        due: glance.due,
        origin: glance.origin,
        state: glance.state,
        run: glance.run,
        doubt_since: glance.doubt_since,
        note: glance.note,
        code,
    }
}

fn tact(channel: &Channel) -> Tact {
    Tact {
        collect: channel.collect,
        messages_per_hour: channel.messages_per_hour,
    }
}

/// What something is delivered to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum To {
    Channel(String),
    Switch(EntryName, Signal),
    Heartbeat,
}

type Came = (To, Result<(), Undelivered>);

/// A ping that failed.
#[derive(Debug, Clone, Copy)]
struct Again {
    tries: u32,
    at: Instant,
}

/// What a look at the loop gave.
enum Look {
    Standing(Box<Standing>),
    /// It does not answer.
    Hangs,
    /// There is none any more.
    Gone,
}

struct Telling<L, D> {
    parts: Parts<L, D>,
    state: State,
    /// What was last written down, and when.
    saved: Option<(Kept, Instant)>,
    /// Whether the ticks that were open at the start are known.
    has_begun: bool,
    config: Config,
    in_flight: JoinSet<Came>,
    under_way: BTreeSet<To>,
    pings_again: BTreeMap<EntryName, Again>,
    /// When the last sign of life was given.
    beat_at: Option<Instant>,
    stuck: Option<String>,
    /// When files were last read again, as far as is known.
    reloaded_at: Option<Timestamp>,
    /// When it was last said that something cannot be reached.
    complained: BTreeMap<To, Instant>,
    wake_at: Option<Timestamp>,
}

async fn run<L: Ledger, D: Deliver>(parts: Parts<L, D>) {
    let mut telling = Telling {
        parts,
        state: State::default(),
        saved: None,
        has_begun: false,
        config: Config::default(),
        in_flight: JoinSet::new(),
        under_way: BTreeSet::new(),
        pings_again: BTreeMap::new(),
        beat_at: None,
        stuck: None,
        reloaded_at: None,
        complained: BTreeMap::new(),
        wake_at: None,
    };
    loop {
        match telling.ask().await {
            Look::Gone => return,
            Look::Hangs => telling.look(None).await,
            Look::Standing(standing) => telling.look(Some(*standing)).await,
        }
        telling.send();
        telling.save().await;
        telling.wait().await;
    }
}

impl<L: Ledger, D: Deliver> Telling<L, D> {
    /// Asks the loop how it stands.
    async fn ask(&self) -> Look {
        let (reply, answer) = oneshot::channel();
        let asking = async {
            if self.parts.tell.send(Event::Look { reply }).await.is_err() {
                return Look::Gone;
            }
            answer
                .await
                .map_or(Look::Gone, |standing| Look::Standing(Box::new(standing)))
        };
        tokio::time::timeout(LOOP_HANGS, asking)
            .await
            .unwrap_or(Look::Hangs)
    }

    /// Finds what there is to tell.
    async fn look(&mut self, standing: Option<Standing>) {
        let mut accounts = BTreeMap::new();
        let mut reload_problems = Vec::new();
        self.stuck = match standing {
            None => Some(format!(
                "the loop has not answered for {} s; if it stays so, restart pipecron",
                LOOP_HANGS.as_secs()
            )),
            Some(standing) => {
                for (name, account) in &standing.config.accounts {
                    let health = standing.health.get(name);
                    accounts.insert(
                        name.clone(),
                        AccountHealth {
                            is_refused: health.is_some_and(|health| health.is_refused),
                            is_broken: health.is_some_and(|health| health.is_broken),
                            settle: account.settle,
                        },
                    );
                }
                if let Some(read) = standing.reload {
                    self.try_again_after(read.at);
                    reload_problems = read.problems;
                }
                self.config = standing.config;
                standing.ledger_fails.then(|| {
                    "the ledger cannot be written; the log says why: nothing is started until it can".to_owned()
                })
            }
        };
        if !self.is_wanted() {
            return self.rest().await;
        }
        if let Err(failure) = self.begin().await {
            debug!("nothing can be told yet: {failure}");
            return;
        }
        let now = self.parts.clock.now();
        let pauses = self.parts.ledger.pauses(now).await.unwrap_or_default();
        let mut found = Found::default();
        let stuck = self.stuck.clone();
        let config = std::mem::take(&mut self.config);
        let sight = Sight {
            now,
            entries: &config.entries,
            accounts: &accounts,
            pauses: &pauses,
            reload_problems: &reload_problems,
            stuck: stuck.as_deref(),
        };
        self.take_changes(&config, &sight, &mut found).await;
        let successes = self.successes(&sight).await;
        let herald = &mut self.state.kept.herald;
        herald.look(&sight, &successes, &mut found);
        self.wake_at = herald.wake_at(&sight);
        self.config = config;
        self.hand_out(now, found);
        self.make_digests(now).await;
    }

    /// After a reload, good or bad, a secret may be another one: what failed is tried again at once.
    fn try_again_after(&mut self, reloaded_at: Timestamp) {
        if self.reloaded_at.replace(reloaded_at) == Some(reloaded_at) {
            return;
        }
        let now = self.parts.clock.now();
        let outboxes = self.state.kept.outboxes.values_mut();
        outboxes.for_each(|outbox| outbox.try_again(now));
        self.complained.clear();
    }

    /// Whether anybody wants to be told of anything.
    fn is_wanted(&self) -> bool {
        let config = &self.config;
        !config.channels.is_empty()
            || config.heartbeat.is_some()
            || config.entries.values().any(|entry| entry.ping.is_some())
    }

    /// Nobody wants to be told of anything: whoever does later is told of what comes then.
    async fn rest(&mut self) {
        self.wake_at = None;
        self.has_begun = false;
        let is_new = self.saved.is_none();
        let kept = match is_new {
            true => self.parts.ledger.memo(MEMO.to_owned()).await,
            false => Ok(Some(String::new())),
        };
        if self.state != State::default() || matches!(kept, Ok(Some(_)) if is_new) {
            self.state = State::default();
            let text = serde_json::to_string(&self.state).unwrap_or_default();
            if let Err(failure) = self.parts.ledger.put_memo(MEMO.to_owned(), text).await {
                debug!("the teller's memo stays: {failure}");
                return;
            }
        }
        self.saved = Some((Kept::default(), Instant::now()));
    }

    /// Takes up what an earlier life left.
    async fn begin(&mut self) -> Result<(), LedgerError> {
        if self.has_begun {
            return Ok(());
        }
        let ledger = &self.parts.ledger;
        if let Some(text) = ledger.memo(MEMO.to_owned()).await? {
            self.state = serde_json::from_str(&text).unwrap_or_else(|why| {
                warn!("what was told before is not known any more ({why}); only what comes now is told");
                State::default()
            });
        }
        let now = self.parts.clock.now();
        let outboxes = self.state.kept.outboxes.values_mut();
        outboxes.for_each(|outbox| outbox.try_again(now));
        if self.state.cursor.is_none() {
            self.state.cursor = Some(ledger.newest_change().await?);
        }
        for state in ["waiting", "sent", "doubtful", "running"] {
            let query = HistoryQuery {
                state: Some(state.to_owned()),
                ..HistoryQuery::default()
            };
            for tick in ledger.history(query).await? {
                let seen = seen(&self.config, tick.into(), None);
                self.state.kept.herald.know(seen);
            }
        }
        self.has_begun = true;
        self.saved = None;
        Ok(())
    }

    async fn take_changes(&mut self, config: &Config, sight: &Sight<'_>, found: &mut Found) {
        loop {
            let cursor = self.state.cursor.unwrap_or_default();
            let changes = match self.parts.ledger.changes(cursor, CHANGES_MAX).await {
                Ok(changes) => changes,
                Err(failure) => {
                    debug!("changes cannot be read now, and are read later: {failure}");
                    return;
                }
            };
            let is_last = changes.len() < CHANGES_MAX as usize;
            for Changed {
                number,
                glance,
                code,
            } in changes
            {
                let seen = seen(config, glance, code);
                self.state.kept.herald.take(sight, seen, found);
                self.state.cursor = Some(number);
            }
            if is_last {
                return;
            }
        }
    }

    /// When the entries whose time it is last succeeded.
    async fn successes(&self, sight: &Sight<'_>) -> BTreeMap<EntryName, Option<Timestamp>> {
        let mut successes = BTreeMap::new();
        for name in self.state.kept.herald.wants_success(sight) {
            // What cannot be read now is asked for again at the next look.
            if let Ok(success) = self.parts.ledger.last_success(name.clone()).await {
                successes.insert(name, success.map(|success| success.due));
            }
        }
        successes
    }

    /// Puts what was found where it belongs.
    fn hand_out(&mut self, now: Timestamp, found: Found) {
        let config = &self.config;
        let kept = &mut self.state.kept;
        kept.outboxes.retain(|name, outbox| {
            let stays = config.channels.contains_key(name);
            if !stays && !outbox.is_empty() {
                warn!("the channel {name} is gone, and with it what it was still to be told");
            }
            stays
        });
        for notice in &found.notices {
            let entry = notice.entry.as_ref();
            let entry = entry.and_then(|name| config.entries.get(name));
            for (name, channel) in &config.channels {
                if channel.topics.contains(&notice.topic)
                    && concerns(channel, entry.map(|entry| &**entry))
                {
                    let outbox = kept.outboxes.entry(name.clone()).or_default();
                    outbox.put(now, Notice::clone(notice));
                }
            }
        }
        let has_switch = |name: &EntryName| {
            let entry = config.entries.get(name);
            entry.is_some_and(|entry| entry.ping.is_some())
        };
        kept.pings.retain(|name, _| has_switch(name));
        self.pings_again
            .retain(|name, _| kept.pings.contains_key(name));
        for (name, signal, text) in found.pings {
            if has_switch(&name) {
                self.pings_again.remove(&name);
                kept.pings.insert(name, (signal, text));
            }
        }
    }

    async fn make_digests(&mut self, now: Timestamp) {
        for (name, channel) in &self.config.channels {
            let Some(at) = &channel.digest else {
                continue;
            };
            let outbox = self.state.kept.outboxes.entry(name.clone()).or_default();
            let since = outbox.digest_until(now);
            let next = at.pattern.next_after(&at.zone, since);
            let Some(next) = next.filter(|next| *next <= now) else {
                self.wake_at = [self.wake_at, next].into_iter().flatten().min();
                continue;
            };
            // Those that were due while nobody could send them are one.
            let until = at.pattern.last_until(&at.zone, now).unwrap_or(next);
            let entries = digest::entries(&self.config, channel);
            let names = entries.map(|entry| entry.name.clone()).collect();
            match self.parts.ledger.glances(names, digest::GLANCES).await {
                Ok(glances) => {
                    let made = digest::digest(&self.config, channel, &glances, since, until);
                    outbox.put_digest(made);
                }
                Err(failure) => debug!("the digest is made later: {failure}"),
            }
        }
    }

    /// Sends what is due, each channel one message at a time.
    fn send(&mut self) {
        let now = self.parts.clock.now();
        for (name, outbox) in &mut self.state.kept.outboxes {
            let Some(channel) = self.config.channels.get(name) else {
                continue;
            };
            let to = To::Channel(name.clone());
            if self.under_way.contains(&to) || self.in_flight.len() >= IN_FLIGHT_MAX {
                continue;
            }
            if let Some(message) = outbox.take(now, tact(channel)) {
                self.under_way.insert(to.clone());
                let (hands, channel) = (self.parts.hands.clone(), channel.clone());
                self.in_flight
                    .spawn(async move { (to, hands.deliver(&channel, &message).await) });
            }
        }
        self.send_pings();
        self.beat();
    }

    fn send_pings(&mut self) {
        for (name, (signal, text)) in &self.state.kept.pings {
            let entry = self.config.entries.get(name);
            let Some(ping) = entry.and_then(|entry| entry.ping.clone()) else {
                continue;
            };
            let is_later = |again: &Again| again.at > Instant::now();
            let waits = self.pings_again.get(name).is_some_and(is_later);
            // One entry's signals are told one after the other.
            let is_busy = [Signal::Start, Signal::Success, Signal::Fail]
                .map(|signal| To::Switch(name.clone(), signal))
                .iter()
                .any(|to| self.under_way.contains(to));
            if waits || is_busy || self.in_flight.len() >= IN_FLIGHT_MAX {
                continue;
            }
            let to = To::Switch(name.clone(), *signal);
            self.under_way.insert(to.clone());
            let (hands, signal, text) = (self.parts.hands.clone(), *signal, text.clone());
            self.in_flight
                .spawn(async move { (to, hands.ping(&ping, signal, &text).await) });
        }
    }

    /// The daemon's own sign of life: the loop has answered a moment ago.
    fn beat(&mut self) {
        let Some(Heartbeat { ping, every }) = self.config.heartbeat.clone() else {
            return;
        };
        let is_due = self.beat_at.is_none_or(|at| at.elapsed() >= every);
        if !is_due || self.under_way.contains(&To::Heartbeat) {
            return;
        }
        self.beat_at = Some(Instant::now());
        self.under_way.insert(To::Heartbeat);
        let hands = self.parts.hands.clone();
        let (signal, text) = match self.stuck.clone() {
            None => (Signal::Success, String::new()),
            Some(why) => (Signal::Fail, why),
        };
        self.in_flight
            .spawn(async move { (To::Heartbeat, hands.ping(&ping, signal, &text).await) });
    }

    /// Writes down what must not be forgotten.
    async fn save(&mut self) {
        if !self.has_begun {
            return;
        }
        let is_old = |at: &Instant| at.elapsed() >= SAVE_MAX;
        if let Some((kept, at)) = &self.saved
            && *kept == self.state.kept
            && !is_old(at)
        {
            return;
        }
        let text = match serde_json::to_string(&self.state) {
            Ok(text) => text,
            Err(why) => return error!("what was told cannot be written down: {why}"),
        };
        match self.parts.ledger.put_memo(MEMO.to_owned(), text).await {
            Ok(()) => self.saved = Some((self.state.kept.clone(), Instant::now())),
            Err(failure) => debug!("what was told is written down later: {failure}"),
        }
    }

    /// Waits until there may be something to do.
    async fn wait(&mut self) {
        let looked_at = Instant::now();
        loop {
            let until = looked_at + self.longest_wait();
            let stirred = self.parts.stirred.clone();
            let since = looked_at.elapsed();
            let stirring = async {
                // Many ticks change at the same moment.
                tokio::time::sleep(LOOK_MIN.saturating_sub(since)).await;
                stirred.notified().await;
            };
            tokio::select! {
                biased;
                Some(came) = self.in_flight.join_next() => {
                    if let Ok((to, came)) = came {
                        self.take(to, came);
                    } else {
                        // A delivery that panicked: what it was is tried again.
                        self.under_way.clear();
                    }
                    self.save().await;
                    self.send();
                    self.save().await;
                }
                () = stirring => return,
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    /// How long nothing has to be looked at if nothing comes.
    fn longest_wait(&self) -> Duration {
        let now = self.parts.clock.now();
        let boxes = self.state.kept.outboxes.iter();
        let dues = boxes.filter_map(|(name, outbox)| {
            let is_under_way = self.under_way.contains(&To::Channel(name.clone()));
            let channel = self.config.channels.get(name).filter(|_| !is_under_way)?;
            outbox.due(tact(channel))
        });
        let next = dues.chain(self.wake_at).min();
        let until_next = next.map(|next| (next - now).to_std().unwrap_or_default());
        let pings = self.pings_again.values();
        let until_ping = pings.map(|again| again.at.saturating_duration_since(Instant::now()));
        let until_beat = self.config.heartbeat.as_ref().map(|heartbeat| {
            let since = self.beat_at.map_or(heartbeat.every, |at| at.elapsed());
            heartbeat.every.saturating_sub(since)
        });
        let waits = until_next.into_iter().chain(until_ping).chain(until_beat);
        // Never in a circle without a pause, whatever the clocks say.
        waits.min().unwrap_or(LOOK_MAX).clamp(LOOK_MIN, LOOK_MAX)
    }

    /// What came of a delivery.
    fn take(&mut self, to: To, came: Result<(), Undelivered>) {
        self.under_way.remove(&to);
        let now = self.parts.clock.now();
        match (&to, came) {
            (To::Channel(name), Ok(())) => {
                if let Some(outbox) = self.state.kept.outboxes.get_mut(name) {
                    outbox.delivered(now);
                }
                info!("a message was delivered to the channel {name}");
                self.complained.remove(&to);
            }
            (To::Channel(name), Err(failure)) => {
                let outbox = self.state.kept.outboxes.get_mut(name);
                let given_up = outbox.and_then(|outbox| {
                    outbox.failed(now, &failure.why, failure.may_pass, failure.retry_after)
                });
                if let Some(count) = given_up {
                    error!(
                        "a message of {count} notices to the channel {name} is given up after a day: {}",
                        failure.why
                    );
                } else {
                    let what = format!("the channel {name} cannot be told, which is tried again");
                    self.complain(to, &what, &failure.why);
                }
            }
            (To::Switch(name, signal), Ok(())) => {
                self.pings_again.remove(name);
                let pings = &mut self.state.kept.pings;
                // A newer signal may have come meanwhile.
                if pings.get(name).is_some_and(|(waits, _)| waits == signal) {
                    pings.remove(name);
                }
                self.complained.remove(&to);
            }
            (To::Switch(name, _), Err(failure)) => {
                let tries = self
                    .pings_again
                    .get(name)
                    .map_or(1, |again| again.tries + 1);
                if tries >= PING_TRIES_MAX || !failure.may_pass {
                    self.state.kept.pings.remove(name);
                    self.pings_again.remove(name);
                } else {
                    let wait = PING_AGAIN * 2_u32.pow(tries);
                    let wait = wait.max(failure.retry_after.unwrap_or_default());
                    let at = Instant::now() + wait.min(LOOK_MAX);
                    self.pings_again.insert(name.clone(), Again { tries, at });
                }
                let what = format!("the ping of {name} did not arrive");
                self.complain(to, &what, &failure.why);
            }
            (To::Heartbeat, Ok(())) => {
                self.complained.remove(&to);
            }
            (To::Heartbeat, Err(failure)) => {
                self.complain(to, "the heartbeat did not arrive", &failure.why);
            }
        }
    }

    /// Says that something cannot be reached, but not each time.
    fn complain(&mut self, to: To, what: &str, why: &str) {
        let is_new = |at: &Instant| at.elapsed() < COMPLAIN_EVERY;
        if self.complained.get(&to).is_some_and(is_new) {
            debug!("{what}: {why}");
        } else {
            warn!("{what}: {why}");
            self.complained.insert(to, Instant::now());
        }
    }
}
