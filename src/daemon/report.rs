//! What was decided, as lines in the log: one for every started run (P10), for every tick that ended (P5), and for
//! every wait. The words are the tick's own note; the fields are the same in every line.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{debug, error, info, warn};

use crate::config::{Account, Config};
use crate::domain::pace::{Heard, PaceNews};
use crate::domain::plan::{Difference, DifferenceKind, started_note};
use crate::domain::{
    AccountName, Answer, AnswerKind, Ask, Attempt, Change, Plan, Reason, Run, Tick, TickId,
    TickState, Timestamp,
};

/// Logs what a stored plan changed.
pub(super) fn plan(plan: &Plan) {
    let is_looked_for = |id: &TickId| {
        let mut asks = plan.asks.iter();
        asks.any(|ask| matches!(ask, Ask::Find { tick, .. } if tick.id == *id))
    };
    for change in &plan.changes {
        let tick = &change.tick;
        let is_doubtful = matches!(tick.state, TickState::Doubtful { .. });
        // That it is looked for again is the line that told when.
        let is_told = is_doubtful
            && is_looked_for(&tick.id)
            && !tick.doubt.is_some_and(|doubt| doubt.precaution);
        if is_only_seen(tick, plan) {
            let (entry, id, note) = (tick.entry.as_str(), tick.id.as_str(), tick.note.as_str());
            debug!(entry, tick = id, "{note}");
        } else if !is_told && !has_started(change) {
            log_change(change);
        }
    }
}

/// Logs that a run was found for a tick, before that is stored, for the same reason as [`started`].
pub(super) fn found(tick: &Tick, run_id: &str) {
    let (entry, id, attempt) = (tick.entry.as_str(), tick.id.as_str(), tick.attempts);
    let pipeline_id = tick.request.pipeline_id.as_str();
    info!(
        entry,
        tick = id,
        attempt,
        run_id,
        pipeline_id,
        "run {run_id} bears its marker"
    );
}

/// Whether its end has had its line, and its run goes on as it should.
fn is_only_seen(tick: &Tick, plan: &Plan) -> bool {
    let is_new = plan.running.iter().any(|running| running.id == tick.id);
    let run = tick.run.as_ref().filter(|run| run.watched && !run.overdue);
    tick.state.is_ended() && run.is_some() && !is_new
}

/// Whether it is the answer that started its run, which had its line before it was stored.
fn has_started(change: &Change) -> bool {
    let answer = change.attempt.as_ref();
    let answer = answer.and_then(|attempt| attempt.answer.as_ref());
    answer.is_some_and(|answer| matches!(answer.kind, AnswerKind::Started { .. }))
}

/// Logs that the service started a run, before that is stored: if we die in between, the ledger learns of the run by its
/// marker, and the log has it already (P10).
pub(super) fn started(now: Timestamp, tick: &Tick, answer: &Answer) {
    let AnswerKind::Started { run_id, queue_id } = &answer.kind else {
        return;
    };
    let run = Run {
        id: run_id.clone(),
        queue_id: queue_id.clone(),
        ..Run::started(now)
    };
    let state = match tick.policy.follow {
        true => TickState::Running { since: now },
        false => TickState::Ended {
            reason: Reason::Started,
            at: now,
        },
    };
    let attempt = Attempt {
        tick: tick.id.clone(),
        number: tick.attempts,
        sent_at: now,
        answered_at: Some(now),
        answer: Some(answer.clone()),
    };
    log_change(&Change {
        tick: Tick {
            state,
            note: started_note(&run),
            run: Some(run),
            ..tick.clone()
        },
        attempt: Some(attempt),
    });
}

/// How loud a line is.
enum Voice {
    Info,
    Warn,
    Error,
}

/// How loud, and what stands before the tick's own note.
fn voice(tick: &Tick, is_answered: bool) -> (Voice, &'static str) {
    match tick.state {
        TickState::Sent { .. } => (Voice::Info, "sending: "),
        TickState::Waiting { .. } if is_answered => (Voice::Warn, "waiting: "),
        TickState::Waiting { .. } => (Voice::Info, "waiting: "),
        // Nothing was lost as far as anybody knows: the usual thing after a restart.
        TickState::Doubtful { .. } if tick.doubt.is_some_and(|doubt| doubt.precaution) => {
            (Voice::Info, "looking first: ")
        }
        TickState::Doubtful { .. } => (Voice::Warn, "in doubt: "),
        TickState::Running { .. } => (Voice::Info, ""),
        TickState::Ended { reason, .. } => match reason {
            Reason::Succeeded | Reason::Started => (Voice::Info, ""),
            Reason::Withdrawn => (Voice::Info, "withdrawn: "),
            Reason::Excluded | Reason::Paused => (Voice::Info, ""),
            Reason::Missed => (Voice::Warn, ""),
            Reason::Skipped => (Voice::Warn, "skipped: "),
            Reason::Superseded => (Voice::Warn, "superseded: "),
            Reason::Failed | Reason::Canceled => (Voice::Error, ""),
            Reason::TooLate | Reason::Refused | Reason::GaveUp => (Voice::Error, "no run: "),
            // "No run" would send somebody to the console to start a second one.
            Reason::Unknown => (Voice::Error, "unknown whether it ran: "),
        },
    }
}

/// One line; the fields are the same in each, those that are absent are left out.
fn log_change(change: &Change) {
    let tick = &change.tick;
    if tick.state.is_ended()
        && tick
            .run
            .as_ref()
            .is_some_and(|run| run.outcome.is_some() && !run.watched)
        && matches!(
            tick.state,
            TickState::Ended {
                reason: Reason::Started,
                ..
            }
        )
    {
        // Its end has had its line; its run is over only now.
        let (entry, id, note) = (tick.entry.as_str(), tick.id.as_str(), tick.note.as_str());
        return debug!(entry, tick = id, "{note}");
    }
    let answer = change
        .attempt
        .as_ref()
        .and_then(|attempt| attempt.answer.as_ref());
    let (voice, before) = voice(tick, answer.is_some());
    let (entry, id, note) = (tick.entry.as_str(), tick.id.as_str(), tick.note.as_str());
    let attempt = (tick.attempts > 0).then_some(tick.attempts);
    let run = tick.run.as_ref();
    let run_id = run.map(|run| run.id.as_str());
    let outcome = run.and_then(|run| run.outcome.as_deref());
    let pipeline_id = tick.request.pipeline_id.as_str();
    let request_id = answer.and_then(|answer| answer.request_id.as_deref());
    let reason = match tick.state {
        TickState::Ended { reason, .. } => Some(reason.name()),
        TickState::Waiting { .. }
        | TickState::Sent { .. }
        | TickState::Doubtful { .. }
        | TickState::Running { .. } => None,
    };
    macro_rules! line {
        ($level:ident) => {
            $level!(
                entry,
                tick = id,
                attempt,
                run_id,
                pipeline_id,
                request_id,
                reason,
                outcome,
                "{before}{note}"
            )
        };
    }
    match voice {
        Voice::Info => line!(info),
        Voice::Warn => line!(warn),
        Voice::Error => line!(error),
    }
}

/// Logs what came of asking the service to stop runs.
pub(super) fn stopped(tick: &Tick, stopped: &[(String, Result<(), Answer>)]) {
    let (entry, id) = (tick.entry.as_str(), tick.id.as_str());
    for (run_id, asked) in stopped {
        match asked {
            Ok(()) => info!(
                entry,
                tick = id,
                run_id,
                "asked to stop run {run_id}, which it replaces"
            ),
            Err(answer) => warn!(
                entry,
                tick = id,
                run_id,
                "run {run_id}, which it is to replace, could not be stopped: {}",
                answer.message
            ),
        }
    }
}

/// Logs what changed for an account.
pub(super) fn pace(account: &AccountName, heard: Heard, news: PaceNews, said: &str) {
    let name = account.as_str();
    match news {
        PaceNews::Rests(rest) => {
            let why = match heard {
                Heard::Throttled(_) => "throttled",
                Heard::Unauthorized => "credentials not accepted",
                Heard::Well { .. } | Heard::Outage | Heard::Nothing => "the service does not work",
            };
            warn!(
                account = name,
                "account {account} rests for {} s: {why}: {said}",
                rest.as_secs()
            );
        }
        PaceNews::BreakerOpened(rest) => error!(
            account = name,
            "account {account}: several requests in a row came to nothing, the last with: {said}; nothing is started \
             until a look at the service succeeds, the next in {} s",
            rest.as_secs()
        ),
        PaceNews::BreakerShut => warn!(
            account = name,
            "account {account}: the service works again; starts go on, few at first"
        ),
    }
}

/// Logs what a reload changed.
pub(super) fn differences(differences: &[Difference]) {
    for difference in differences {
        let entry = difference.entry.as_str();
        match &difference.kind {
            DifferenceKind::Added => info!(entry, "entry added"),
            DifferenceKind::Removed => info!(entry, "entry removed"),
            DifferenceKind::Changed(keys) => {
                info!(entry, changed = keys.join(", "), "entry changed")
            }
        }
    }
}

/// Logs which channels a reload changed; never how, for a setting may point at a secret.
pub(super) fn channels(old: &Config, new: &Config) {
    for (channel, settings) in &new.channels {
        let channel = channel.as_str();
        match old.channels.get(channel) {
            None => info!(channel, "channel added"),
            Some(before) if before != settings => info!(channel, "channel changed"),
            Some(_) => {}
        }
    }
    let is_gone = |name: &&String| !new.channels.contains_key(*name);
    for channel in old.channels.keys().filter(is_gone) {
        info!(channel = channel.as_str(), "channel removed");
    }
    if old.heartbeat != new.heartbeat {
        info!("heartbeat changed");
    }
}

/// Logs which accounts a reload changed; never how, for a setting may point at a secret.
pub(super) fn accounts(
    old: &BTreeMap<AccountName, Arc<Account>>,
    new: &BTreeMap<AccountName, Arc<Account>>,
) {
    for (account, settings) in new {
        let account = account.as_str();
        match old.iter().find(|(name, _)| name.as_str() == account) {
            None => info!(account, "account added"),
            Some((_, before)) if before != settings => info!(account, "account changed"),
            Some(_) => {}
        }
    }
    for account in old.keys().filter(|name| !new.contains_key(*name)) {
        info!(
            account = account.as_str(),
            "account removed; ticks that wait may still use it"
        );
    }
}
