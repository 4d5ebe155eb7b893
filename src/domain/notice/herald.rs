//! What there is to tell. The herald sees how ticks, accounts and the daemon stand, and remembers what it has told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Notice, Signal, Topic, cut, short};
use crate::domain::{
    AccountName, Entry, EntryName, Origin, Pause, Reason, Run, TickId, TickState, Timestamp, after,
    rfc3339,
};

/// A tick that changed, as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its id.
    pub id: TickId,
    /// Whose tick it is.
    pub entry: EntryName,
    /// Whose credentials start it.
    pub account: AccountName,
    /// When it was due.
    pub due: Timestamp,
    /// How it came to be.
    pub origin: Origin,
    /// Where it stands.
    pub state: TickState,
    /// The run that was started.
    pub run: Option<Run>,
    /// Since when its run is in doubt.
    pub doubt_since: Option<Timestamp>,
    /// What was decided last, in a sentence.
    pub note: String,
    /// The code of the service's last answer.
    pub code: Option<String>,
    /// The run's page in the console.
    pub run_page: Option<String>,
}

/// How an account fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountHealth {
    /// Its credentials were refused.
    pub is_refused: bool,
    /// The service fails for everyone.
    pub is_broken: bool,
    /// How long a run is looked for.
    pub settle: Duration,
}

/// How things stand beside the ticks.
#[derive(Debug)]
pub struct Sight<'s> {
    /// The present.
    pub now: Timestamp,
    /// The entries.
    pub entries: &'s BTreeMap<EntryName, Arc<Entry>>,
    /// The accounts.
    pub accounts: &'s BTreeMap<AccountName, AccountHealth>,
    /// The pauses that hold.
    pub pauses: &'s [Pause],
    /// Why the last files were refused; empty if they were not.
    pub reload_problems: &'s [String],
    /// Why nothing can be decided, if that is so: the ledger fails, or the loop does not answer.
    pub stuck: Option<&'s str>,
}

/// What came of looking.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Found {
    /// What to tell.
    pub notices: Vec<Notice>,
    /// What to tell the dead man's switches of entries, and a word beside it.
    pub pings: Vec<(EntryName, Signal, String)>,
}

/// Since when something is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Ailing {
    since: Timestamp,
    count: u64,
}

/// Remembers what was told. It is kept in the ledger, so that a restart tells nothing twice and leaves nothing out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Herald {
    /// The entries of which something bad was told, and nothing good since.
    ailing: BTreeMap<EntryName, Ailing>,
    /// The entries of which it was told that they had no success for long, and when.
    late: BTreeMap<EntryName, Timestamp>,
    /// What else was told of and still stands, and since when.
    standing: BTreeMap<String, Timestamp>,
    /// From when on an entry's `no_success_for` counts, if not from its last success.
    counts_from: BTreeMap<EntryName, Timestamp>,
    /// Those for which it does not count now: they are paused, switched off, or outside their window.
    at_rest: BTreeSet<EntryName>,
    /// Ticks that have not ended. Not kept: they are read again at a start.
    #[serde(skip)]
    open: BTreeMap<TickId, Seen>,
    /// Ticks that have ended and whose runs are still watched. Not kept: they are few.
    #[serde(skip)]
    watched: BTreeSet<TickId>,
    /// When each entry's last success is to be looked at again.
    #[serde(skip)]
    due_again: BTreeMap<EntryName, Timestamp>,
}

impl Herald {
    /// Takes in a tick that is open at a start. Nothing is told of it that is not told anyway.
    pub fn know(&mut self, seen: Seen) {
        if !seen.state.is_ended() {
            self.open.insert(seen.id.clone(), seen);
        }
    }

    /// Takes in a tick that changed.
    pub fn take(&mut self, sight: &Sight<'_>, seen: Seen, found: &mut Found) {
        let before = self.open.remove(&seen.id);
        let was_running = before.is_some_and(|before| is_running(&before));
        if is_running(&seen) && !was_running {
            let ping = (seen.entry.clone(), Signal::Start, seen.note.clone());
            found.pings.push(ping);
        }
        let TickState::Ended { reason, at } = seen.state else {
            self.open.insert(seen.id.clone(), seen);
            return;
        };
        for sort in Sort::ALL {
            self.standing.remove(&sort.key(&seen.id));
        }
        // A run that is watched after its tick has ended changes the row again: its end was told.
        let is_watched = seen.run.as_ref().is_some_and(|run| run.watched);
        let was_told = match is_watched {
            true => !self.watched.insert(seen.id.clone()),
            false => self.watched.remove(&seen.id),
        };
        if was_told {
            return;
        }
        if let Some(signal) = signal(reason) {
            let ping = (seen.entry.clone(), signal, seen.note.clone());
            found.pings.push(ping);
        }
        if let Some(topic) = Topic::of_reason(reason) {
            if topic != Topic::Skipped {
                self.ails(&seen.entry, at);
            }
            let notice = notice(sight, &seen, topic, at, cause(&seen, reason));
            found.notices.push(notice);
        } else if reason == Reason::Succeeded {
            self.due_again.remove(&seen.entry);
            self.late.remove(&seen.entry);
            self.recovers(sight, &seen, at, found);
        }
    }

    fn ails(&mut self, entry: &EntryName, at: Timestamp) {
        let ailing = Ailing {
            since: at,
            count: 0,
        };
        let ailing = self.ailing.entry(entry.clone()).or_insert(ailing);
        ailing.count += 1;
    }

    fn recovers(&mut self, sight: &Sight<'_>, seen: &Seen, at: Timestamp, found: &mut Found) {
        let Some(ailing) = self.ailing.remove(&seen.entry) else {
            return;
        };
        let mut notice = notice(sight, seen, Topic::Recovered, at, "succeeded again");
        notice.text = format!(
            "succeeded again, after trouble since {}: {}",
            rfc3339(ailing.since),
            seen.note
        );
        found.notices.push(notice);
    }

    /// Looks at what is open, at accounts and at the daemon. `last_success` gives when an entry last succeeded; it is asked
    /// only of entries for which [`Herald::wants_success`] says so.
    pub fn look(
        &mut self,
        sight: &Sight<'_>,
        last_success: &BTreeMap<EntryName, Option<Timestamp>>,
        found: &mut Found,
    ) {
        self.look_at_ticks(sight, found);
        self.look_at_successes(sight, last_success, found);
        self.look_at_accounts(sight, found);
        self.look_at_daemon(sight, found);
        let is_known = |name: &EntryName| sight.entries.contains_key(name);
        self.ailing.retain(|name, _| is_known(name));
        self.late.retain(|name, _| is_known(name));
        self.counts_from.retain(|name, _| is_known(name));
        self.at_rest.retain(is_known);
        self.due_again.retain(|name, _| is_known(name));
    }

    fn look_at_ticks(&mut self, sight: &Sight<'_>, found: &mut Found) {
        let mut ailing = Vec::new();
        for seen in self.open.values() {
            for sort in Sort::ALL {
                let (key, stands) = (sort.key(&seen.id), sort.stands(sight, seen));
                let Some((topic, cause)) = stands else {
                    continue;
                };
                if self.standing.contains_key(&key) {
                    continue;
                }
                self.standing.insert(key, sight.now);
                ailing.push(seen.entry.clone());
                let notice = notice(sight, seen, topic, sight.now, cause);
                found.notices.push(notice);
            }
        }
        for entry in ailing {
            self.ails(&entry, sight.now);
        }
    }

    /// The entries whose last success has to be known for the next look.
    pub fn wants_success(&self, sight: &Sight<'_>) -> Vec<EntryName> {
        let watched = sight.entries.values();
        let watched = watched.filter(|entry| entry.alarm.no_success_for.is_some());
        let names = watched.map(|entry| &entry.name);
        let is_due = |name: &&EntryName| {
            let again = self.due_again.get(*name);
            // One that lies far ahead was made by a clock that was ahead.
            again.is_none_or(|again| *again <= sight.now)
        };
        names.filter(is_due).cloned().collect()
    }

    fn look_at_successes(
        &mut self,
        sight: &Sight<'_>,
        last_success: &BTreeMap<EntryName, Option<Timestamp>>,
        found: &mut Found,
    ) {
        for entry in sight.entries.values() {
            let Some(limit) = entry.alarm.no_success_for else {
                continue;
            };
            let name = &entry.name;
            if rests(sight, entry) {
                self.at_rest.insert(name.clone());
                self.due_again.remove(name);
                continue;
            }
            if self.at_rest.remove(name) {
                self.counts_from.insert(name.clone(), sight.now);
            }
            let Some(success) = last_success.get(name) else {
                continue;
            };
            if success.is_none() {
                self.counts_from.entry(name.clone()).or_insert(sight.now);
            }
            let from = self.counts_from.get(name).copied();
            let Some(from) = from.max(*success) else {
                continue;
            };
            let late_at = after(from, limit);
            if late_at > sight.now {
                self.due_again.insert(name.clone(), late_at);
                self.late.remove(name);
                continue;
            }
            // Its next success is seen as a change of its tick.
            let again = after(sight.now, LOOK_AGAIN);
            self.due_again.insert(name.clone(), again);
            if self.late.insert(name.clone(), sight.now).is_some() {
                continue;
            }
            self.ails(name, sight.now);
            let limit = short(chrono::TimeDelta::from_std(limit).unwrap_or_default());
            let last = match success {
                Some(success) => format!("the last was due at {}", rfc3339(*success)),
                None => "there never was one that is known".to_owned(),
            };
            found.notices.push(Notice {
                entry: Some(name.clone()),
                account: Some(entry.account.clone()),
                ..plain(
                    sight.now,
                    Topic::Late,
                    format!("no success for {limit}"),
                    format!("no success for {limit}: {last}"),
                )
            });
        }
    }

    fn look_at_accounts(&mut self, sight: &Sight<'_>, found: &mut Found) {
        for (account, health) in sight.accounts {
            let refused = self.turn(
                sight.now,
                format!("credentials {account}"),
                health.is_refused,
                Topic::Credentials,
                "credentials refused",
                format!(
                    "account {account}: the service does not accept its credentials: nothing is started with them until \
                     they are mended; they are read again before each try"
                ),
                "credentials are accepted again",
            );
            let broken = self.turn(
                sight.now,
                format!("breaker {account}"),
                health.is_broken,
                Topic::Breaker,
                "the service fails",
                format!(
                    "account {account}: several requests in a row came to nothing: nothing is started until a look at the \
                     service succeeds; ticks wait within their deadlines"
                ),
                "the service works again",
            );
            let both = refused.into_iter().chain(broken);
            found.notices.extend(both.map(|notice| Notice {
                account: Some(account.clone()),
                ..notice
            }));
        }
    }

    fn look_at_daemon(&mut self, sight: &Sight<'_>, found: &mut Found) {
        let problems = sight.reload_problems;
        let text = match problems {
            [] => String::new(),
            [one] => format!("{one}; what was loaded before stays in use"),
            [first, more @ ..] => format!(
                "{first} (and {} more); what was loaded before stays in use",
                more.len()
            ),
        };
        let refused = self.turn(
            sight.now,
            "reload".to_owned(),
            !problems.is_empty(),
            Topic::Reload,
            "configuration refused",
            text,
            "new configuration in use",
        );
        let stuck = self.turn(
            sight.now,
            "daemon".to_owned(),
            sight.stuck.is_some(),
            Topic::Daemon,
            "nothing is started",
            sight.stuck.unwrap_or_default().to_owned(),
            "works again",
        );
        found.notices.extend(refused.into_iter().chain(stuck));
    }

    /// Tells once that something is bad, and once that it is over.
    #[expect(clippy::too_many_arguments, reason = "each is one word of the notice")]
    fn turn(
        &mut self,
        now: Timestamp,
        key: String,
        is_bad: bool,
        topic: Topic,
        cause: &str,
        text: String,
        over: &str,
    ) -> Option<Notice> {
        if is_bad {
            if self.standing.contains_key(&key) {
                return None;
            }
            self.standing.insert(key, now);
            return Some(plain(now, topic, cause.to_owned(), text));
        }
        let since = self.standing.remove(&key)?;
        let text = format!("{over}; {cause} since {}", rfc3339(since));
        Some(plain(now, Topic::Recovered, over.to_owned(), text))
    }

    /// When to look again though nothing has changed; none: when something changes.
    pub fn wake_at(&self, sight: &Sight<'_>) -> Option<Timestamp> {
        let ticks = self.open.values();
        let sorts = ticks.flat_map(|seen| {
            let sorts = Sort::ALL.into_iter();
            let untold = sorts.filter(|sort| !self.standing.contains_key(&sort.key(&seen.id)));
            untold.filter_map(|sort| sort.at(sight, seen))
        });
        sorts.chain(self.due_again.values().copied()).min()
    }
}

/// What may be wrong with a tick that is open.
#[derive(Debug, Clone, Copy)]
enum Sort {
    Overdue,
    NotStarted,
    Doubtful,
}

impl Sort {
    const ALL: [Self; 3] = [Self::Overdue, Self::NotStarted, Self::Doubtful];

    fn key(self, tick: &TickId) -> String {
        let word = match self {
            Self::Overdue => "overdue",
            Self::NotStarted => "not_started",
            Self::Doubtful => "doubtful",
        };
        format!("{word} {tick}")
    }

    /// From when on it is so, as far as that is a matter of time.
    fn at(self, sight: &Sight<'_>, seen: &Seen) -> Option<Timestamp> {
        match self {
            Self::Overdue => None,
            Self::NotStarted => {
                if is_running(seen) {
                    return None;
                }
                let entry = sight.entries.get(&seen.entry)?;
                let within = entry.alarm.not_started_within?;
                Some(after(after(seen.due, entry.spread), within))
            }
            Self::Doubtful => {
                let settle = sight.accounts.get(&seen.account)?.settle;
                Some(after(seen.doubt_since?, settle * DOUBT_SETTLES))
            }
        }
    }

    fn stands(self, sight: &Sight<'_>, seen: &Seen) -> Option<(Topic, &'static str)> {
        let is_so = match self {
            Self::Overdue => seen.run.as_ref().is_some_and(|run| run.overdue),
            Self::NotStarted | Self::Doubtful => {
                self.at(sight, seen).is_some_and(|at| at <= sight.now)
            }
        };
        let said = match self {
            Self::Overdue => (Topic::Overdue, "runs longer than run_timeout"),
            Self::NotStarted => (Topic::Late, "not started yet"),
            Self::Doubtful => (Topic::Doubtful, "in doubt for long"),
        };
        is_so.then_some(said)
    }
}

/// After how many times `settle` a doubt is long: the looks take one.
const DOUBT_SETTLES: u32 = 2;
/// When an entry that has been late for long is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

fn is_running(seen: &Seen) -> bool {
    match seen.state {
        TickState::Running { .. } => true,
        TickState::Waiting { .. }
        | TickState::Sent { .. }
        | TickState::Doubtful { .. }
        | TickState::Ended { .. } => false,
    }
}

/// Whether nobody expects an entry to succeed now.
fn rests(sight: &Sight<'_>, entry: &Entry) -> bool {
    let now = sight.now;
    let is_paused =
        |pause: &Pause| pause.holds(now) && pause.scope.includes(&entry.name, &entry.labels);
    !entry.enabled
        || entry.not_before.is_some_and(|from| now < from)
        || entry.not_after.is_some_and(|to| now > to)
        || sight.pauses.iter().any(is_paused)
}

/// What a dead man's switch is told of an end. A day off is no reason to miss us.
fn signal(reason: Reason) -> Option<Signal> {
    match reason {
        Reason::Succeeded | Reason::Started | Reason::Excluded => Some(Signal::Success),
        Reason::Failed
        | Reason::Canceled
        | Reason::Missed
        | Reason::Skipped
        | Reason::TooLate
        | Reason::Refused
        | Reason::GaveUp
        | Reason::Unknown => Some(Signal::Fail),
        Reason::Paused | Reason::Superseded | Reason::Withdrawn => None,
    }
}

/// What ticks that ended in the same way have in common.
fn cause(seen: &Seen, reason: Reason) -> String {
    let (words, wants_code) = match reason {
        Reason::Failed => ("run failed", false),
        Reason::Canceled => ("run canceled", false),
        Reason::Refused => ("refused by the service", true),
        Reason::GaveUp => ("given up after the last attempt", true),
        Reason::TooLate => ("not started before its deadline", true),
        Reason::Unknown => ("unknown whether it ran", false),
        Reason::Missed => ("missed while pipecron was away", false),
        Reason::Skipped => ("skipped: another run was under way", false),
        Reason::Succeeded
        | Reason::Started
        | Reason::Excluded
        | Reason::Paused
        | Reason::Superseded
        | Reason::Withdrawn => (reason.name(), false),
    };
    let stage = seen.run.as_ref().and_then(|run| run.failed_stage.as_ref());
    match (&seen.code, stage) {
        (Some(code), _) if wants_code => format!("{words}: {code}"),
        (_, Some(stage)) if reason == Reason::Failed => format!("{words} in stage {stage}"),
        _ => words.to_owned(),
    }
}

fn notice(
    sight: &Sight<'_>,
    seen: &Seen,
    topic: Topic,
    at: Timestamp,
    cause: impl Into<String>,
) -> Notice {
    let entry = sight.entries.get(&seen.entry);
    let schedule = entry.and_then(|entry| entry.schedule.as_ref());
    let local = schedule.map(|schedule| {
        let zone = schedule.zone();
        let local = zone.local(seen.due).format("%Y-%m-%d %H:%M");
        format!("{local} {}", zone.name())
    });
    Notice {
        entry: Some(seen.entry.clone()),
        account: Some(seen.account.clone()),
        tick: Some(seen.id.clone()),
        due: Some(seen.due),
        due_local: local,
        run_id: seen
            .run
            .as_ref()
            .map(|run| run.id.clone())
            .filter(|id| !id.is_empty()),
        run_page: seen.run_page.clone(),
        ..plain(at, topic, cause.into(), seen.note.clone())
    }
}

/// A notice about nothing in particular.
fn plain(at: Timestamp, topic: Topic, cause: String, text: String) -> Notice {
    Notice {
        topic,
        at,
        entry: None,
        account: None,
        tick: None,
        due: None,
        due_local: None,
        cause: cut(cause),
        text: cut(text),
        run_id: None,
        run_page: None,
    }
}
