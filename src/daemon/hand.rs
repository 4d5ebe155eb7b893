//! What people change in the ledger by hand: the same whether the loop does it for them or a command does it while no
//! daemon runs.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tracing::{info, warn};

use super::asked::{Refusal, Reply};
use crate::config::{Config, nearest};
use crate::domain::pause::{PAUSES_MAX, Pause, REASON_CHARS_MAX, latest_end};
use crate::domain::{Act, Entry, EntryName, SKIPS_MAX, Scope, Skip, Timestamp, rfc3339};
use crate::ledger::Ledger;

/// Holds entries still.
///
/// # Errors
/// When there are none of that name or label, when the end makes no sense, when too many pauses hold already, and when the
/// ledger fails.
pub async fn pause<L: Ledger>(
    ledger: &L,
    config: &Config,
    now: Timestamp,
    by: String,
    scope: Scope,
    until: Option<Timestamp>,
    reason: String,
) -> Reply {
    check_reason(&reason)?;
    check_scope(config, &scope)?;
    if let Some(until) = until {
        let what = rfc3339(until);
        if until <= now {
            let why = format!(
                "nothing was paused: {what} has passed already; it is {}",
                rfc3339(now)
            );
            return Err(Refusal::Refused(why));
        }
        if until > latest_end(now) {
            let why = format!(
                "nothing was paused: {what} is more than ten years ahead; leave the end out, and resume when it is time"
            );
            return Err(Refusal::Refused(why));
        }
    }
    let standing = ledger.pauses(now).await?;
    let others = standing
        .iter()
        .filter(|pause| pause.scope != scope && pause.holds(now));
    if others.count() >= PAUSES_MAX {
        let why = format!(
            "nothing was paused: {PAUSES_MAX} pauses hold already; resume some (`pipecron status` lists them), or pause a label"
        );
        return Err(Refusal::Refused(why));
    }
    let pause = Pause {
        scope: scope.clone(),
        since: now,
        until,
        by: by.clone(),
        reason: reason.clone(),
        lifted: None,
    };
    let replaced = ledger.put_pause(pause.clone()).await?;
    info!("{pause}");
    note(
        ledger,
        now,
        &by,
        "pause",
        scope.to_string(),
        reason,
        pause.to_string(),
    )
    .await;
    Ok(json!({ "pause": pause_json(&pause), "replaced": replaced.as_ref().map(pause_json) }))
}

/// Lets them go on.
///
/// # Errors
/// When no pause of this scope holds, and when the ledger fails.
pub async fn resume<L: Ledger>(
    ledger: &L,
    now: Timestamp,
    by: String,
    scope: Scope,
    reason: String,
) -> Reply {
    check_reason(&reason)?;
    let Some(lifted) = ledger.lift_pause(scope.clone(), now, by.clone()).await? else {
        let holding = ledger.pauses(now).await?;
        let holding: Vec<String> = holding
            .iter()
            .filter(|pause| pause.holds(now))
            .map(|pause| pause.scope.to_string())
            .collect();
        let held = match holding.as_slice() {
            [] => "nothing is paused".to_owned(),
            some => format!("paused are: {}; resume what was paused", some.join(", ")),
        };
        return Err(Refusal::Unknown(format!(
            "there is no pause of {scope} to lift: {held}"
        )));
    };
    info!("{lifted}");
    note(
        ledger,
        now,
        &by,
        "resume",
        scope.to_string(),
        reason,
        lifted.to_string(),
    )
    .await;
    let holding: Vec<Value> = ledger
        .pauses(now)
        .await?
        .iter()
        .filter(|pause| pause.holds(now))
        .map(pause_json)
        .collect();
    Ok(json!({ "pause": pause_json(&lifted), "still_paused": holding }))
}

/// Marks coming ticks of an entry to be skipped, or takes that back.
///
/// # Errors
/// When there is no such entry, when too many are marked already, and when the ledger fails.
#[expect(clippy::too_many_arguments, reason = "each is one word of the request")]
pub async fn skip<L: Ledger>(
    ledger: &L,
    config: &Config,
    now: Timestamp,
    by: String,
    entry: &str,
    dues: Vec<Timestamp>,
    reason: String,
    undo: bool,
) -> Reply {
    check_reason(&reason)?;
    let entry = self::entry(config, entry)?;
    let name = entry.name.clone();
    if dues.is_empty() || dues.len() > SKIPS_MAX {
        return Err(Refusal::Refused(format!(
            "nothing was changed: {} due times were given, and 1 to {SKIPS_MAX} are possible",
            dues.len()
        )));
    }
    if !undo {
        for due in &dues {
            check_to_come(entry, *due, now)?;
        }
    }
    let texts: Vec<String> = dues.iter().copied().map(rfc3339).collect();
    let texts = texts.join(", ");
    let (what, outcome) = if undo {
        let of = |due: &Timestamp| instants_of(entry, *due).into_iter().chain([*due]);
        let instants = dues.iter().flat_map(of).collect();
        ledger.drop_skips(name.clone(), instants).await?;
        ("unskip", format!("runs after all: due {texts}"))
    } else {
        // What is marked are the instants that a start stands for, which may lie on a day that has passed.
        let instants = dues.iter().flat_map(|due| instants_of(entry, *due));
        let instants: BTreeSet<Timestamp> = instants.collect();
        let marked = ledger.skips(now).await?;
        let is_other = |due: &Timestamp| !instants.contains(due);
        let marked = marked.iter().filter(|(of, _)| *of == name);
        let marked = marked.filter(|(_, skip)| is_other(&skip.due)).count();
        if marked + dues.len() > SKIPS_MAX {
            return Err(Refusal::Refused(format!(
                "{marked} ticks of {name} are marked already, and {SKIPS_MAX} are possible; pause it instead"
            )));
        }
        let skip = |due| Skip {
            due,
            by: by.clone(),
            asked_at: now,
            reason: reason.clone(),
        };
        ledger
            .put_skips(name.clone(), instants.into_iter().map(skip).collect())
            .await?;
        ("skip", format!("will be skipped: due {texts}"))
    };
    info!(entry = name.as_str(), "{outcome}, asked by {by}");
    note(
        ledger,
        now,
        &by,
        what,
        format!("entry {name}"),
        reason,
        outcome,
    )
    .await;
    Ok(json!({ "by": by, "asked_at": rfc3339(now) }))
}

/// The instants that a start stands for: a mark goes along when a calendar moves one of them.
fn instants_of(entry: &Entry, due: Timestamp) -> Vec<Timestamp> {
    let schedule = entry.schedule.as_ref();
    schedule.map_or_else(Vec::new, |schedule| schedule.instants_of(due))
}

/// Whether a tick of the entry is to come then.
fn check_to_come(entry: &Entry, due: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    let schedule = entry.schedule.as_ref();
    if due > now && schedule.is_some_and(|schedule| schedule.last_until(due) == Some(due)) {
        return Ok(());
    }
    let next = schedule.and_then(|schedule| schedule.next_after(due.max(now)));
    let near = next.map_or_else(
        || "there is none after it".to_owned(),
        |next| format!("the next one is due {}", rfc3339(next)),
    );
    Err(Refusal::Unknown(format!(
        "no tick of {} is to come at {}; {near}",
        entry.name,
        rfc3339(due)
    )))
}

/// Writes down what somebody did. That it was done counts more than that it is written down.
pub async fn note<L: Ledger>(
    ledger: &L,
    at: Timestamp,
    by: &str,
    what: &str,
    on: String,
    reason: String,
    outcome: String,
) {
    let act = Act {
        at,
        by: by.to_owned(),
        what: what.to_owned(),
        on,
        reason,
        outcome,
    };
    if let Err(failure) = ledger.put_act(act).await {
        warn!("it was done, but who did it could not be written down: {failure}");
    }
}

/// How the tick's story says who wanted it.
pub fn by_hand(by: &str, reason: &str) -> String {
    match reason {
        "" => format!("triggered by hand by {by}"),
        reason => format!("triggered by hand by {by} ({reason})"),
    }
}

/// The entry of that name.
///
/// # Errors
/// When there is none; names the nearest.
pub fn entry<'c>(config: &'c Config, name: &str) -> Result<&'c Entry, Refusal> {
    let found = EntryName::parse(name).ok();
    let found = found.and_then(|name| config.entries.get(&name));
    found.map(|entry| &**entry).ok_or_else(|| {
        let known = config.entries.keys().map(EntryName::as_str);
        Refusal::Unknown(unknown("entry", name, known))
    })
}

fn unknown<'k>(what: &str, name: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    let count = known.clone().count();
    let name: String = name.chars().take(120).collect();
    match nearest(&name, known) {
        Some(near) => format!("there is no {what} {name:?}; did you mean {near:?}?"),
        None => format!("there is no {what} {name:?} among the {count} configured"),
    }
}

fn check_scope(config: &Config, scope: &Scope) -> Result<(), Refusal> {
    match scope {
        Scope::All => Ok(()),
        Scope::Entry(name) => entry(config, name.as_str()).map(|_| ()),
        Scope::Label(label) => {
            let labels = config
                .entries
                .values()
                .flat_map(|entry| entry.labels.iter());
            let labels: BTreeSet<&str> = labels.map(String::as_str).collect();
            match labels.contains(label.as_str()) {
                true => Ok(()),
                false => Err(Refusal::Unknown(unknown(
                    "label",
                    label,
                    labels.iter().copied(),
                ))),
            }
        }
    }
}

pub(super) fn check_reason(reason: &str) -> Result<(), Refusal> {
    match reason.chars().count() {
        0..=REASON_CHARS_MAX => Ok(()),
        count => Err(Refusal::Refused(format!(
            "the reason has {count} characters, and {REASON_CHARS_MAX} are possible"
        ))),
    }
}

/// A pause as scripts see it.
pub fn pause_json(pause: &Pause) -> Value {
    json!({
        "scope": pause.scope.key(),
        "since": rfc3339(pause.since),
        "until": pause.until.map(rfc3339),
        "by": pause.by,
        "reason": pause.reason,
        "lifted_at": pause.lifted.as_ref().map(|lifted| rfc3339(lifted.at)),
        "lifted_by": pause.lifted.as_ref().map(|lifted| &lifted.by),
        "text": pause.to_string(),
    })
}
