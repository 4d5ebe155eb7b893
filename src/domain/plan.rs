//! The decisions: told the time, an entry and what the ledger knows of it, what should happen and when to look again.
//!
//! Pure. Deciding twice does nothing the second time; deciding too early does nothing and says when. Promises held
//! here: a tick is opened once (P1), nothing goes before its instant (P2), a doubtful attempt is never sent again
//! (P4), every tick ends in one way with a reason (P5).

use std::time::Duration;

use chrono::TimeDelta;

use super::fuse::HOURS;
use super::pace::REST_MAX;
use super::request::Variable;
use super::retry::hashed_share;
use super::schedule::Schedule;
use super::{
    Answer, Ask, Attempt, Change, Entry, EntryState, Mark, MarkChange, Origin, Plan, Reason, Tick,
    TickId, TickState, Timestamp, Turn, after, rfc3339,
};

mod difference;
mod doubt;
mod due;
mod follow;
mod making;
mod moves;
mod overlap;
mod paused;
mod room;
mod verdict;

pub use difference::{
    CALENDARS_KEY, Difference, DifferenceKind, DueSpan, StartChange, changed_calendars, diff,
    due_span, start_changes, starts, starts_between,
};
use doubt::look_before_first_send;
pub use doubt::{found, interrupted};
use due::{next_look, open_due};
pub use follow::{Followed, is_news, look_again, looked, started_note};
pub use making::{Occasion, previous_tick, request_for};
pub use overlap::{Survey, surveyed};
use room::Leave;
pub use room::Room;
use verdict::{Verdict, verdict};

/// How long a tick that the fuse holds back waits before it is counted again.
const FUSE_REST: Duration = Duration::from_secs(600);

/// An attempt whose answer has not come after this time, and which nobody here waits for, has no sender any more.
pub const SENT_LEASE: Duration = Duration::from_secs(1800);

/// Decides everything about an entry that is due: opens ticks, drops missed ones, gives up late ones, sends what may
/// leave.
pub fn plan(now: Timestamp, entry: &Entry, state: &EntryState, room: &mut Room) -> Plan {
    let mut plan = Plan::default();
    for tick in &state.open {
        go_on(now, entry, state, tick, room, &mut plan);
    }
    open_what_is_due(now, entry, state, room, &mut plan);
    overlap::supersede(now, state, &mut plan);
    plan
}

/// Walks from the mark to now, and says when to look at the schedule again.
fn open_what_is_due(
    now: Timestamp,
    entry: &Entry,
    state: &EntryState,
    room: &mut Room,
    plan: &mut Plan,
) {
    let Some(schedule) = entry.schedule.as_ref().filter(|_| entry.enabled) else {
        if state.mark.is_some() {
            plan.mark = MarkChange::Clear;
        }
        return;
    };
    let over = entry.not_after.is_some_and(|end| now > end);
    let kept_mark = state
        .mark
        .as_ref()
        .filter(|mark| mark.schedule == schedule.fingerprint());
    match kept_mark {
        Some(mark) => open_due(now, entry, schedule, mark, state, room, plan),
        // Seen first, or under another schedule: from now on.
        None if !over => plan.mark = MarkChange::Set(begin_at(now, schedule)),
        None => {}
    }
    if over {
        // Outside its window nothing is owed; were the window opened again later, it would start from then.
        plan.mark = if state.mark.is_some() {
            MarkChange::Clear
        } else {
            MarkChange::Keep
        };
    } else if let Some(wake) = next_look(now, entry, schedule) {
        wake_by(plan, wake);
    }
}

/// Goes on with one tick of an entry and leaves everything else alone.
pub fn plan_one(
    now: Timestamp,
    entry: &Entry,
    state: &EntryState,
    id: &TickId,
    room: &mut Room,
) -> Plan {
    let mut plan = Plan::default();
    for tick in state.open.iter().filter(|tick| tick.id == *id) {
        go_on(now, entry, state, tick, room, &mut plan);
    }
    plan
}

/// Decides about an entry that is no longer configured: it opens nothing more, and what waits ends as withdrawn. What
/// is under way is followed to its end.
pub fn withdraw(now: Timestamp, state: &EntryState, room: &mut Room) -> Plan {
    let mut plan = Plan::default();
    if state.mark.is_some() {
        plan.mark = MarkChange::Clear;
    }
    for tick in &state.open {
        if let TickState::Waiting { .. } = tick.state {
            let note = format!("entry {} was removed from the configuration", tick.entry);
            end(now, tick.clone(), Reason::Withdrawn, note, &mut plan);
        } else {
            go_on_under_way(now, state, tick, room, &mut plan);
        }
    }
    plan
}

/// Ends a tick that waits, because the person who wanted it gave up. One that is under way goes on.
pub fn give_up(now: Timestamp, state: &EntryState, id: &TickId) -> Plan {
    let mut plan = Plan::default();
    for tick in state.open.iter().filter(|tick| tick.id == *id) {
        if let TickState::Waiting { .. } = tick.state {
            let note = format!(
                "the command that triggered it was stopped; last: {}",
                tick.note
            );
            end(now, tick.clone(), Reason::Withdrawn, note, &mut plan);
        }
    }
    plan
}

/// A run that somebody wants.
#[derive(Debug, Clone, Copy)]
pub struct ByHand<'w> {
    /// Tells its tick from others of the same instant.
    pub random: &'w str,
    /// For a due time that has passed: the run is told of that time, and may be late by the entry's `deadline` from now on.
    pub due: Option<Timestamp>,
    /// Variables in place of the entry's, or beside them.
    pub variables: &'w [Variable],
    /// How its story begins.
    pub why: &'w str,
}

/// Opens a tick by hand. It stands beside the scheduled ones and never moves the mark.
pub fn open_manual(
    now: Timestamp,
    entry: &Entry,
    state: &EntryState,
    by_hand: ByHand<'_>,
    room: &mut Room,
) -> Plan {
    let due = by_hand.due.unwrap_or(now);
    let id = TickId::manual(&entry.name, due, by_hand.random);
    let mut tick = new_tick(now, entry, due, id, Origin::Manual);
    tick.deadline = after(now, entry.deadline);
    let mut plan = Plan::default();
    let last_success = state.last_success.as_ref();
    if let Err(why) = making::make(entry, last_success, by_hand.variables, &mut tick) {
        end(now, tick, Reason::Refused, why, &mut plan);
        return plan;
    }
    send_or_wait(now, entry, state, tick, Some(by_hand.why), room, &mut plan);
    plan
}

/// Decides what an answer means for its tick. An answer to a tick that is over, or to an older attempt, changes nothing
/// unless it tells of a run.
pub fn settle(
    now: Timestamp,
    state: &EntryState,
    id: &TickId,
    attempt: u32,
    answer: Answer,
) -> Plan {
    let mut plan = Plan::default();
    let Some(tick) = state.open.iter().find(|tick| tick.id == *id).cloned() else {
        return plan;
    };
    let verdict = verdict(now, &tick, &answer);
    let TickState::Sent { at: sent_at } = tick.state else {
        // It was given up for lost, and came all the same.
        if let (Verdict::Started(run), None) = (verdict, &tick.run) {
            let note = started_note(&run);
            go_with_run(
                now,
                Tick {
                    run: Some(run),
                    doubt: None,
                    ..tick
                },
                note,
                &mut plan,
            );
        }
        return plan;
    };
    if tick.attempts != attempt {
        return plan;
    }
    let record = Attempt {
        tick: id.clone(),
        number: attempt,
        sent_at,
        answered_at: Some(now),
        answer: Some(answer),
    };
    match verdict {
        Verdict::Started(run) => {
            let note = started_note(&run);
            go_with_run(
                now,
                Tick {
                    run: Some(run),
                    ..tick
                },
                note,
                &mut plan,
            );
        }
        Verdict::Doubt(note) => doubt::begin(now, tick, sent_at, note, &mut plan),
        Verdict::End(reason, note) => end(now, tick, reason, note, &mut plan),
        Verdict::Wait {
            not_before,
            counts,
            note,
        } => {
            let mut tick = tick;
            if counts {
                tick.refusals += 1;
                tick.holds = 0;
            } else {
                tick.holds += 1;
            }
            wake_by(&mut plan, not_before.min(just_after(tick.deadline)));
            tick.state = TickState::Waiting { not_before };
            tick.note = note;
            plan.changes.push(Change {
                tick,
                attempt: None,
            });
        }
    }
    if let Some(change) = plan.changes.last_mut() {
        change.attempt = Some(record);
    }
    plan
}

/// The run is there: it is followed to its end, or that it was started is the end.
fn go_with_run(now: Timestamp, mut tick: Tick, note: String, plan: &mut Plan) {
    if !tick.policy.follow {
        if let Some(run) = &mut tick.run {
            run.watched = true;
        }
        end(now, tick.clone(), Reason::Started, note, plan);
        // As the row now says.
        plan.running
            .extend(plan.changes.last().map(|change| change.tick.clone()));
        return;
    }
    tick.state = TickState::Running { since: now };
    tick.note = note;
    plan.running.push(tick.clone());
    plan.changes.push(Change {
        tick,
        attempt: None,
    });
}

/// How far an entry's starts lie behind its due times: fixed by its name.
pub fn spread_offset(entry: &Entry) -> Duration {
    if entry.spread.is_zero() {
        return Duration::ZERO;
    }
    let share = hashed_share(&format!("{}\nspread", entry.name));
    Duration::from_secs_f64((entry.spread.as_secs_f64() * share).floor())
}

/// Goes on with a tick whose run is or may be under way, whatever became of its entry.
fn go_on_under_way(
    now: Timestamp,
    state: &EntryState,
    tick: &Tick,
    room: &mut Room,
    plan: &mut Plan,
) {
    match tick.state {
        TickState::Doubtful { .. } => doubt::go_on(now, state, tick, room, plan),
        TickState::Running { .. } => plan.running.push(tick.clone()),
        TickState::Ended { .. } if tick.is_watched() => plan.running.push(tick.clone()),
        TickState::Sent { at } if !room.under_way.contains(&tick.id) => {
            lease(now, at, tick, plan);
        }
        TickState::Waiting { .. } | TickState::Sent { .. } | TickState::Ended { .. } => {}
    }
}

/// An attempt that somebody else sent: if its answer has not come when the lease is over, the sender died, and the run
/// is looked for.
fn lease(now: Timestamp, sent_at: Timestamp, tick: &Tick, plan: &mut Plan) {
    let until = after(sent_at, SENT_LEASE);
    // A clock that was set back must not make the lease longer than any lease is.
    if now < until && sent_at <= now {
        return wake_by(plan, until);
    }
    if sent_at > now && sent_at <= after(now, SENT_LEASE) {
        return wake_by(plan, after(now, SENT_LEASE));
    }
    let note = format!(
        "attempt {} was sent at {} and its answer never recorded; looking for the run",
        tick.attempts,
        rfc3339(sent_at)
    );
    doubt::begin(now, tick.clone(), sent_at, note, plan);
}

/// Goes on with a tick that is open.
fn go_on(
    now: Timestamp,
    entry: &Entry,
    state: &EntryState,
    tick: &Tick,
    room: &mut Room,
    plan: &mut Plan,
) {
    let TickState::Waiting { not_before } = tick.state else {
        return go_on_under_way(now, state, tick, room, plan);
    };
    if !entry.enabled && tick.origin == Origin::Scheduled {
        return end(
            now,
            tick.clone(),
            Reason::Withdrawn,
            format!("entry {} was switched off", entry.name),
            plan,
        );
    }
    if now > tick.deadline {
        let note = format!(
            "not started by {}, its deadline; last: {}",
            rfc3339(tick.deadline),
            tick.note
        );
        return end(now, tick.clone(), Reason::TooLate, note, plan);
    }
    if now < not_before && not_before <= longest_wait(now, entry, tick) {
        return wake_by(plan, not_before.min(just_after(tick.deadline)));
    }
    // Ready; or waiting for an instant further off than any wait of ours, because the clock was set back meanwhile.
    // A tick is never sent before it is due, even so.
    if !tick.is_due(now) {
        return wake_by(plan, tick.due);
    }
    if tick.doubt.is_some_and(|doubt| doubt.precaution) {
        let note = "it waited before the daemon was started; a look whether it ran comes first";
        return look_before_first_send(now, state, tick.clone(), note.to_owned(), room, plan);
    }
    send_or_wait(now, entry, state, tick.clone(), None, room, plan);
}

fn longest_wait(now: Timestamp, entry: &Entry, tick: &Tick) -> Timestamp {
    after(now, tick.policy.retry.max_backoff.max(REST_MAX)).max(after(tick.due, entry.spread))
}

fn new_tick(now: Timestamp, entry: &Entry, due: Timestamp, id: TickId, origin: Origin) -> Tick {
    Tick {
        id,
        entry: entry.name.clone(),
        due,
        origin,
        opened_at: now,
        account: entry.account.clone(),
        request: entry.request.clone(),
        policy: entry.policy,
        deadline: after(due, entry.deadline),
        state: TickState::Waiting {
            not_before: match origin {
                Origin::Scheduled => after(due, spread_offset(entry)),
                Origin::Manual | Origin::Missed => now,
            },
        },
        attempts: 0,
        refusals: 0,
        holds: 0,
        doubt: None,
        run: None,
        missed: None,
        moved_from: Vec::new(),
        note: String::new(),
    }
}

/// Sends a tick that is due, or says what it waits for. `new` is why it was opened, if it is not written down yet.
fn send_or_wait(
    now: Timestamp,
    entry: &Entry,
    state: &EntryState,
    mut tick: Tick,
    new: Option<&str>,
    room: &mut Room,
    plan: &mut Plan,
) {
    let TickState::Waiting { not_before } = tick.state else {
        return;
    };
    let leave = if new.is_some() && now < not_before {
        Leave::NotBefore(not_before)
    } else {
        room.leave(now, entry, state, &tick, plan)
    };
    let latest = just_after(tick.deadline);
    let (note, keeps) = match leave {
        Leave::Now => {
            let note = new.map_or_else(|| format!("attempt {}", tick.attempts + 1), str::to_owned);
            return send(now, tick, note, room, plan);
        }
        Leave::NotBefore(instant) => {
            wake_by(plan, instant);
            (format!("starts at {} (spread)", rfc3339(instant)), true)
        }
        Leave::RestUntil(instant) => {
            wake_by(plan, instant.min(latest));
            let note = format!("account {} rests until {}", tick.account, rfc3339(instant));
            (note, false)
        }
        Leave::WhenThereIsRoom => {
            plan.wants_room = true;
            wake_by(plan, latest);
            ("waits for other requests to be answered".to_owned(), false)
        }
        Leave::AfterProbe => {
            room.take(now, &tick.account);
            plan.asks.push(Ask::Probe(tick.pipeline_at()));
            plan.wants_room = true;
            wake_by(plan, latest);
            ("waits until the service works again".to_owned(), true)
        }
        Leave::InTurn { most, is_full } => {
            plan.in_turn.push(turn(&tick, is_full));
            wake_by(plan, latest);
            let account = &tick.account;
            let note = match is_full {
                true => format!("waits for a place: account {account} has max_running {most}"),
                false => format!("asks for a place of account {account}"),
            };
            (note, is_full)
        }
        Leave::AfterSurvey => {
            room.take(now, &tick.account);
            room.reserve(&tick);
            plan.asks.push(Ask::Survey(Box::new(tick.clone())));
            wake_by(plan, latest);
            ("looks at what its pipeline has under way".to_owned(), false)
        }
        // What is under way for it decides.
        Leave::AfterAnswer => return wake_by(plan, latest),
        Leave::Blown { starts, most } => {
            let again = after(now, FUSE_REST);
            tick.state = TickState::Waiting { not_before: again };
            wake_by(plan, again.min(latest));
            let note = format!(
                "held back by the fuse: {starts} starts in {HOURS} hours, and its pattern allows {most}; \
                 does the clock jump?"
            );
            (note, true)
        }
    };
    match new {
        Some(why) => tick.note = format!("{why}; {note}"),
        // Passing waits are not worth a row.
        None if !keeps || tick.note.ends_with(&note) => return,
        None => tick.note = note,
    }
    plan.changes.push(Change {
        tick,
        attempt: None,
    });
}

fn turn(tick: &Tick, is_told: bool) -> Turn {
    Turn {
        tick: tick.id.clone(),
        entry: tick.entry.clone(),
        account: tick.account.clone(),
        priority: tick.policy.priority,
        due: tick.due,
        deadline: tick.deadline,
        is_told,
    }
}

fn send(now: Timestamp, mut tick: Tick, note: String, room: &mut Room, plan: &mut Plan) {
    room.take(now, &tick.account);
    tick.attempts += 1;
    tick.state = TickState::Sent { at: now };
    tick.note = note;
    let attempt = Attempt {
        tick: tick.id.clone(),
        number: tick.attempts,
        sent_at: now,
        answered_at: None,
        answer: None,
    };
    plan.asks.push(Ask::Start(Box::new(tick.clone())));
    plan.changes.push(Change {
        tick,
        attempt: Some(attempt),
    });
}

fn end(now: Timestamp, mut tick: Tick, reason: Reason, note: String, plan: &mut Plan) {
    tick.state = TickState::Ended { reason, at: now };
    tick.note = note;
    plan.changes.push(Change {
        tick,
        attempt: None,
    });
}

fn begin_at(now: Timestamp, schedule: &Schedule) -> Mark {
    Mark {
        until: now,
        schedule: schedule.fingerprint(),
        crossed: moves::before_the_beginning(schedule, now),
    }
}

fn wake_by(plan: &mut Plan, instant: Timestamp) {
    plan.wake_at = Some(plan.wake_at.map_or(instant, |wake| wake.min(instant)));
}

fn just_before(instant: Timestamp) -> Timestamp {
    instant
        .checked_sub_signed(TimeDelta::microseconds(1))
        .unwrap_or(instant)
}

fn just_after(instant: Timestamp) -> Timestamp {
    instant
        .checked_add_signed(TimeDelta::microseconds(1))
        .unwrap_or(instant)
}

#[cfg(test)]
mod tests;
