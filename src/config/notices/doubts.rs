//! What is right and hardly meant: alarms that cannot come, or come each weekend, and labels that no entry bears.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{SubsecRound, TimeDelta};

use super::Channel;
use crate::config::calendars::coming_year;
use crate::config::check::Check;
use crate::config::excerpt::quoted;
use crate::config::problem::{At, Finding, Kind};
use crate::config::text::{nearest, show_duration};
use crate::domain::schedule::Schedule;
use crate::domain::{Entry, EntryName, Timestamp};

/// Starts of an entry that are looked at: those of a year, if it is due every day.
const STARTS_MAX: usize = 400;
/// The same for all entries together: a hundred thousand of them are checked in seconds.
pub(in crate::config) const ALL_STARTS_MAX: usize = 500_000;

/// Warns of an alarm that does not fit the entry that has it. `at` is where the alarm stands, which may be in defaults.
pub(in crate::config) fn alarm(check: &mut Check<'_>, entry: &Entry, at: At) {
    // What stands in defaults is the same for all; it is said once.
    if check.alarms_told.contains(&at) {
        return;
    }
    let name = quoted(entry.name.as_str());
    let mut told = Vec::new();
    if let Some(within) = entry.alarm.not_started_within {
        if entry.schedule.is_none() {
            let message =
                format!("`not_started_within` says nothing of {name}, which has no schedule");
            told.push((message, "remove it".to_owned()));
        } else if within > entry.deadline {
            let message = format!(
                "`not_started_within` of {name} is longer than its `deadline`, so a tick is given up before the alarm comes"
            );
            let help = format!("write less than {}", show_duration(entry.deadline));
            told.push((message, help));
        }
    }
    if let Some(limit) = entry.alarm.no_success_for {
        if !entry.policy.follow {
            let message = format!(
                "`no_success_for` of {name} always comes: its runs are not followed, so no success is ever known"
            );
            told.push((
                message,
                "write `follow: true`, or remove the alarm".to_owned(),
            ));
        } else if let Some(schedule) = &entry.schedule {
            let gap = longest_gap(schedule, check.world.now, &mut check.alarm_starts);
            if let Some((from, to)) =
                gap.filter(|(from, to)| (*to - *from).to_std().is_ok_and(|gap| gap >= limit))
            {
                let length = (to - from).to_std().unwrap_or_default();
                let zone = schedule.zone();
                let local = |at: Timestamp| zone.local(at).format("%a %Y-%m-%d %H:%M").to_string();
                let message = format!(
                    "`no_success_for` of {name} comes although all is well: from {} to {} it is not due for {}",
                    local(from),
                    local(to),
                    show_duration(length)
                );
                let hour = 3600;
                let enough = std::time::Duration::from_secs((length.as_secs() / hour + 2) * hour);
                let help = format!(
                    "write {} or more, and add how long a run takes",
                    show_duration(enough)
                );
                told.push((message, help));
            }
        }
    }
    if !told.is_empty() {
        check.alarms_told.insert(at);
    }
    for (message, help) in told {
        check.report(Finding::warning(Kind::Idle, at, message).help(help));
    }
}

/// The longest time between two starts that follow each other in the coming year.
fn longest_gap(
    schedule: &Schedule,
    now: Timestamp,
    left: &mut usize,
) -> Option<(Timestamp, Timestamp)> {
    let end = coming_year(now);
    let mut from = schedule.next_after(now.trunc_subsecs(0))?;
    let mut longest: Option<(Timestamp, Timestamp)> = None;
    for _ in 0..STARTS_MAX.min(*left) {
        *left -= 1;
        let Some(to) = schedule.next_after(from).filter(|_| from < end) else {
            break;
        };
        let length = |(from, to): (Timestamp, Timestamp)| to - from;
        if longest.is_none_or(|gap| length(gap) < to - from) {
            longest = Some((from, to));
        }
        from = to;
    }
    longest.filter(|(from, to)| *to - *from > TimeDelta::zero())
}

/// Warns of labels of channels that no entry bears.
pub(in crate::config) fn labels(
    check: &mut Check<'_>,
    channels: &[(At, Arc<Channel>)],
    entries: &BTreeMap<EntryName, Arc<Entry>>,
) {
    if channels
        .iter()
        .all(|(_, channel)| channel.labels.is_empty())
    {
        return;
    }
    let borne: std::collections::BTreeSet<&str> = entries
        .values()
        .flat_map(|entry| entry.labels.iter().map(String::as_str))
        .collect();
    for (at, channel) in channels {
        let labels = channel.labels.iter();
        for label in labels.filter(|label| !borne.contains(label.as_str())) {
            let message = format!(
                "no entry bears the label {}, of which the channel {} is told",
                quoted(label),
                quoted(&channel.name)
            );
            let help = match nearest(label, borne.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "give entries this label under `labels:`, or remove it here".to_owned(),
            };
            check.report(Finding::warning(Kind::Idle, *at, message).help(help));
        }
    }
}
