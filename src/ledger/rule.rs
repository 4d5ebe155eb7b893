//! What may become of a row: one rule for every ledger.
//!
//! `plan` decides; this is what holds when it decides wrongly. Each refusal stands for a way in which a run could be
//! started twice or a tick end twice.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::domain::{
    AccountName, Act, Attempt, Change, EntryName, EntryState, Mark, Origin, Plan, RECENT_DAYS,
    SURELY_OLDER, Tick, TickId, TickState, Timestamp,
};

use super::{MESSAGE_CHARS_MAX, NOTE_CHARS_MAX};

/// What a change does to the row that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It is new.
    Open,
    /// It is there, and is to be as the change says.
    Update,
}

/// What never changes of a tick once it is stored, and whether it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) entry: EntryName,
    pub(super) due: Timestamp,
    pub(super) origin: Origin,
    pub(super) opened_at: Timestamp,
    pub(super) is_ended: bool,
}

impl Stored {
    pub(super) fn of(tick: &Tick) -> Self {
        Self {
            entry: tick.entry.clone(),
            due: tick.due,
            origin: tick.origin,
            opened_at: tick.opened_at,
            is_ended: tick.state.is_ended(),
        }
    }
}

/// Whether `change`, decided about `entry`, opens a tick or changes the `stored` one of the same id.
///
/// # Errors
/// When it may do neither; says why.
pub(super) fn effect(
    entry: &EntryName,
    change: &Change,
    stored: Option<&Stored>,
) -> Result<Effect, String> {
    let tick = &change.tick;
    // The decision saw the state of one entry and locked that one alone: about another it knows nothing.
    if tick.entry != *entry {
        return Err(format!("{} is a tick of {}", tick.id, tick.entry));
    }
    if let Some(attempt) = &change.attempt
        && attempt.tick != tick.id
    {
        return Err(format!(
            "attempt {} of {} came with {}",
            attempt.number, attempt.tick, tick.id
        ));
    }
    if !tick.policy.retry.multiplier.is_finite() {
        return Err(format!("{} has a multiplier that is no number", tick.id));
    }
    let Some(stored) = stored else {
        return Ok(Effect::Open);
    };
    let is_same = stored.entry == tick.entry
        && stored.due == tick.due
        && stored.origin == tick.origin
        && stored.opened_at == tick.opened_at;
    if !is_same {
        return Err(already_there(&tick.id));
    }
    if stored.is_ended && !tick.state.is_ended() {
        return Err(format!("{} has ended and cannot be opened again", tick.id));
    }
    Ok(Effect::Update)
}

/// How it is said that a tick is opened a second time (P1).
pub(super) fn already_there(tick: &TickId) -> String {
    format!("{tick} is there already and cannot be opened a second time")
}

/// Whether an attempt may be written over the one of the same number that is there: only to answer it.
///
/// # Errors
/// When it would be sent a second time under the same number, or lose its answer; says why.
pub(super) fn answers(stored: Option<&Attempt>, attempt: &Attempt) -> Result<(), String> {
    match stored {
        None => Ok(()),
        Some(stored) if stored.sent_at == attempt.sent_at && attempt.answer.is_some() => Ok(()),
        Some(_) => Err(format!(
            "attempt {} of {} is there already; it can only be answered",
            attempt.number, attempt.tick
        )),
    }
}

/// The due times of an entry later than this are those a decision has to be told of: a clock that was set back must
/// not open them again.
pub(super) fn decided_after(state: &EntryState, now: Timestamp) -> Timestamp {
    state.mark.as_ref().map_or(now, |mark| mark.since(now))
}

/// How far back a decision is told what was decided, if a calendar may move ticks.
pub(super) fn recent_since(until: Timestamp) -> Timestamp {
    until
        .checked_sub_signed(RECENT_DAYS)
        .unwrap_or(Timestamp::MIN_UTC)
}

/// The marks for skips later than this are those a decision has to be told of, if it is told of due times later than `after`.
pub(super) fn skips_after(state: &EntryState, after: Timestamp) -> Timestamp {
    match state.mark.as_ref().is_some_and(Mark::moves) {
        true => recent_since(after),
        false => after,
    }
}

/// What of the other entries a decision about these ticks has to be told.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    /// (project, pipeline) of the ticks that wait and will not start beside another run.
    pub(super) pipelines: BTreeSet<(&'a str, &'a str)>,
    /// Accounts of the ticks that wait.
    pub(super) accounts: BTreeSet<&'a AccountName>,
    /// Ticks in doubt, and before which instant a run started that is surely older than theirs.
    pub(super) doubts: Vec<(&'a Tick, Timestamp)>,
}

impl<'a> Wanted<'a> {
    pub(super) fn by(open: &'a [Tick]) -> Self {
        let mut wanted = Self::default();
        for tick in open {
            match (tick.state, tick.doubt) {
                (TickState::Waiting { .. }, _) => {
                    wanted.accounts.insert(&tick.account);
                    if tick.policy.overlap.looks_first() {
                        let at = (&*tick.request.project_id, &*tick.request.pipeline_id);
                        wanted.pipelines.insert(at);
                    }
                }
                (TickState::Doubtful { .. }, Some(doubt)) => {
                    let before = doubt.since.checked_sub_signed(SURELY_OLDER);
                    wanted
                        .doubts
                        .push((tick, before.unwrap_or(Timestamp::MIN_UTC)));
                }
                _ => {}
            }
        }
        wanted
    }
}

/// Calls `decide`. A panic in it is the caller's error: it must not take the thread that serves all callers with it.
///
/// # Errors
/// When it panics; says with what.
pub(super) fn call<D>(
    decide: &mut D,
    now: Timestamp,
    entry: &EntryName,
    state: &EntryState,
) -> Result<Plan, String>
where
    D: FnMut(Timestamp, &EntryName, &EntryState) -> Plan,
{
    let mut plan = catch_unwind(AssertUnwindSafe(|| decide(now, entry, state)))
        .map_err(|payload| format!("the decision panicked: {}", panic_text(&*payload)))?;
    for change in &mut plan.changes {
        cut(&mut change.tick.note, NOTE_CHARS_MAX);
        if let Some(answer) = change
            .attempt
            .as_mut()
            .and_then(|attempt| attempt.answer.as_mut())
        {
            cut(&mut answer.message, MESSAGE_CHARS_MAX);
        }
    }
    Ok(plan)
}

/// Cuts the texts of an act to their limits.
pub(super) fn cut_act(act: &mut Act) {
    for text in [
        &mut act.by,
        &mut act.what,
        &mut act.on,
        &mut act.reason,
        &mut act.outcome,
    ] {
        cut(text, NOTE_CHARS_MAX);
    }
}

/// What was said in a panic.
pub(super) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a word")
}

/// Cuts `text` to `chars_max` characters, the last of which then is an ellipsis.
fn cut(text: &mut String, chars_max: usize) {
    // Bytes are never fewer than characters: a short text is not counted.
    if text.len() <= chars_max {
        return;
    }
    let mut starts = text.char_indices().map(|(at, _)| at);
    let Some(last) = starts.nth(chars_max - 1) else {
        return;
    };
    if starts.next().is_some() {
        text.truncate(last);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_characters_not_bytes() {
        for (text, chars_max, expected) in [
            ("", 3, ""),
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("äöü", 3, "äöü"),
            ("äöüß", 3, "äö…"),
            ("日本語の", 4, "日本語の"),
        ] {
            let mut cutting = text.to_owned();
            cut(&mut cutting, chars_max);
            assert_eq!(cutting, expected, "{text}");
        }
    }
}
