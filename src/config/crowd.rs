//! More starts at one instant than an account lets run at once.
//!
//! `max_running` is there so that ticks wait instead of being refused, so waiting alone is no mistake. But who gives forty
//! nightlies the same minute and a limit of five should know it. Counted is the instant of the start, with each entry's
//! own `spread`; how long runs take nobody knows here, so nothing is said about the wait but when it is given up.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;

use super::check::{Check, listed};
use super::excerpt::quoted;
use super::problem::{At, Finding, Kind};
use super::resolve::Accounts;
use super::text::show_duration;
use crate::domain::plan::spread_offset;
use crate::domain::schedule::Schedule;
use crate::domain::{AccountName, Entry, EntryName, Overlap, Timestamp, after};

/// How far ahead all are looked at: nightlies repeat with the week.
const AHEAD_DAYS: i64 = 7;
/// How far ahead those are looked at that start rarely, and with them others as far as there is room: the crowd of a month's
/// end is in no week but its own.
const FAR_DAYS: i64 = 366;
/// So many starts are looked at behind the week, again those of the rarest schedules first ...
const FAR_STARTS_MAX: u64 = 200_000;
/// ... and a schedule costs at least so many, also if it has none.
const FAR_SCHEDULE_COST: u64 = 12;
/// So many starts are looked at, those of the rarest schedules first: a crowd is made of nightlies, not of what starts
/// every minute.
const STARTS_MAX: u64 = 100_000;
/// So many entries are named.
const NAMED_MAX: usize = 3;

/// Warns of the fullest instant of each account that has a limit.
pub(super) fn warn(
    check: &mut Check<'_>,
    entries: &BTreeMap<EntryName, Arc<Entry>>,
    names: &BTreeMap<&str, At>,
    accounts: &Accounts<'_>,
) {
    let limited: BTreeMap<&AccountName, (u32, At)> = accounts
        .read
        .values()
        .filter_map(|account| {
            let at = accounts.names.get(account.name.as_str())?;
            Some((&account.name, (account.max_running?, *at)))
        })
        .collect();
    if limited.is_empty() {
        return;
    }
    let mut by_account: BTreeMap<&AccountName, Vec<&Entry>> = BTreeMap::new();
    for entry in entries.values().filter(|entry| entry.enabled) {
        if limited.contains_key(&entry.account) {
            by_account.entry(&entry.account).or_default().push(entry);
        }
    }
    for (account, entries) in by_account {
        let Some(&(max, at)) = limited.get(account) else {
            continue;
        };
        let most = usize::try_from(max).unwrap_or(usize::MAX);
        if entries.len() > most
            && let Some(crowd) = fullest(&entries, max, check.world.now)
        {
            report(check, account, (max, at), &entries, &crowd, names);
        }
    }
}

type Pipeline<'e> = (&'e str, &'e str);

/// The pipeline of an entry that keeps it to one run: all of these are at one instant one start.
fn kept_to_one(entry: &Entry) -> Option<Pipeline<'_>> {
    let request = &entry.request;
    let pipeline = (request.project_id.as_str(), request.pipeline_id.as_str());
    (entry.policy.overlap != Overlap::Allow).then_some(pipeline)
}

/// The instant with the most starts.
struct Crowd {
    at: Timestamp,
    /// How many other instants have too many.
    others: usize,
    /// How many start.
    count: u32,
    /// In what time: `week`, `year`.
    ahead: &'static str,
}

fn fullest(entries: &[&Entry], max: u32, now: Timestamp) -> Option<Crowd> {
    let mut keepers: HashMap<Pipeline<'_>, u32> = HashMap::new();
    for pipeline in entries.iter().filter_map(|entry| kept_to_one(entry)) {
        *keepers.entry(pipeline).or_default() += 1;
    }
    // Entries with the same schedule start together, unless they are spread.
    let mut alike: HashMap<Alike<'_>, Vec<(&Schedule, u32)>> = HashMap::new();
    for entry in entries {
        if let Some(schedule) = &entry.schedule {
            let key = Alike {
                zone: schedule.zone().name(),
                texts: schedule.texts(),
                offset: spread_offset(entry),
                window: (entry.not_before, entry.not_after),
                // Who keeps a pipeline alone is at every instant one start anyway.
                one_of: kept_to_one(entry)
                    .filter(|pipeline| keepers.get(pipeline).is_some_and(|count| *count > 1)),
            };
            // Calendars and freezes take from each its own.
            let schedules = alike.entry(key).or_default();
            let same = |(known, _): &&mut (&Schedule, u32)| known.days() == schedule.days();
            match schedules.iter_mut().find(same) {
                Some(_) if key.one_of.is_some() => {}
                Some((_, count)) => *count += 1,
                None => schedules.push((schedule, 1)),
            }
        }
    }
    let until = now + TimeDelta::days(AHEAD_DAYS);
    let mut walks: Vec<(u64, Alike<'_>, u32, &Schedule)> = alike
        .into_iter()
        .flat_map(|(alike, schedules)| {
            schedules
                .into_iter()
                .map(move |(schedule, count)| (alike, count, schedule))
        })
        .map(|(alike, count, schedule)| {
            let starts = schedule.patterns().iter();
            let starts = starts.map(|pattern| pattern.count_between(schedule.zone(), now, until));
            (starts.sum(), alike, count, schedule)
        })
        .collect();
    walks.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    let mut crowds = Crowds::default();
    let mut left = STARTS_MAX;
    for (cost, alike, count, schedule) in &walks {
        let Some(rest) = left.checked_sub(*cost) else {
            break;
        };
        left = rest;
        crowds.walk(alike, *count, schedule, (now, until), u64::MAX);
    }
    let near = crowds.fullest(max, "week");
    let mut left = FAR_STARTS_MAX;
    let far = (until, now + TimeDelta::days(FAR_DAYS));
    for (_, alike, count, schedule) in &walks {
        let Some(rest) = left.checked_sub(FAR_SCHEDULE_COST) else {
            break;
        };
        let walked = crowds.walk(alike, *count, schedule, far, left);
        left = rest.min(left.saturating_sub(walked));
    }
    // What the coming week shows is nearer to whoever reads it.
    let far = crowds.fullest(max, "year");
    match near {
        Some(near) if far.as_ref().is_none_or(|far| far.count <= near.count) => Some(near),
        _ => far,
    }
}

/// How many entries start at which instants.
#[derive(Default)]
struct Crowds<'e> {
    starts: HashMap<Timestamp, u32>,
    counted: HashSet<(Pipeline<'e>, Timestamp)>,
}

impl<'e> Crowds<'e> {
    /// Counts the starts of `count` entries that are due in a time, at most so many, and says how many they were.
    fn walk(
        &mut self,
        alike: &Alike<'e>,
        count: u32,
        schedule: &Schedule,
        (from, until): (Timestamp, Timestamp),
        most: u64,
    ) -> u64 {
        let (begin, end) = alike.window;
        let is_within = |due: &Timestamp| {
            begin.is_none_or(|begin| begin <= *due) && end.is_none_or(|end| *due <= end)
        };
        let mut walked = 0;
        for (due, number) in schedule.between(from, until).zip(1..=most) {
            walked = number;
            if !is_within(&due) {
                continue;
            }
            let at = after(due, alike.offset);
            if (alike.one_of).is_none_or(|pipeline| self.counted.insert((pipeline, at))) {
                *self.starts.entry(at).or_default() += count;
            }
        }
        walked
    }

    /// The earliest of the fullest instants.
    fn fullest(&self, max: u32, ahead: &'static str) -> Option<Crowd> {
        let too_many = || self.starts.iter().filter(|(_, count)| **count > max);
        let (at, count) =
            too_many().max_by_key(|(at, count)| (**count, std::cmp::Reverse(**at)))?;
        Some(Crowd {
            at: *at,
            others: too_many().count() - 1,
            count: *count,
            ahead,
        })
    }
}

/// What entries that start at the same instants have in common, but for their calendars and freezes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Alike<'e> {
    zone: &'e str,
    texts: &'e [String],
    offset: Duration,
    window: (Option<Timestamp>, Option<Timestamp>),
    /// The pipeline that several entries keep to one run.
    one_of: Option<Pipeline<'e>>,
}

fn report(
    check: &mut Check<'_>,
    account: &AccountName,
    (max, at): (u32, At),
    entries: &[&Entry],
    crowd: &Crowd,
    names: &BTreeMap<&str, At>,
) {
    let starts = |entry: &Entry| {
        let due = TimeDelta::from_std(spread_offset(entry))
            .ok()
            .and_then(|offset| crowd.at.checked_sub_signed(offset));
        let is_within = |due: Timestamp| {
            entry.not_before.is_none_or(|begin| begin <= due)
                && entry.not_after.is_none_or(|end| due <= end)
        };
        due.is_some_and(|due| {
            is_within(due)
                && entry
                    .schedule
                    .as_ref()
                    .and_then(|schedule| schedule.last_until(due))
                    == Some(due)
        })
    };
    let mut kept = HashSet::new();
    let them = entries.iter().copied().filter(|entry| starts(entry));
    let them: Vec<&Entry> = them
        .filter(|entry| kept_to_one(entry).is_none_or(|pipeline| kept.insert(pipeline)))
        .collect();
    let Some((first, schedule)) = them
        .first()
        .and_then(|first| Some((*first, first.schedule.as_ref()?)))
    else {
        return;
    };
    let named: Vec<&str> = them
        .iter()
        .take(NAMED_MAX)
        .map(|entry| entry.name.as_str())
        .collect();
    let named = match them.len().checked_sub(named.len()) {
        Some(more @ 1..) => {
            let named: Vec<String> = named.into_iter().map(quoted).collect();
            format!("{} and {more} more", named.join(", "))
        }
        _ => listed(&named),
    };
    let zone = schedule.zone();
    let when = zone.local(crowd.at).format("%a %Y-%m-%d %H:%M");
    let others = match crowd.others {
        0 => String::new(),
        1 => format!(
            "; likewise at another instant of the coming {}",
            crowd.ahead
        ),
        others => format!(
            "; likewise at {others} other instants of the coming {}",
            crowd.ahead
        ),
    };
    let (count, account) = (them.len(), quoted(account.as_str()));
    let waiting = u32::try_from(count).unwrap_or(u32::MAX).saturating_sub(max);
    let message = format!(
        "{count} entries start at the same instant, {when} {}, and the account {account} runs {max} at once (`max_running`), so \
         {waiting} wait{} until others have ended: {named}{others}",
        zone.name(),
        if waiting == 1 { "s" } else { "" },
    );
    let deadlines: HashSet<Duration> = them.iter().map(|entry| entry.deadline).collect();
    let given_up = match deadlines.into_iter().collect::<Vec<_>>().as_slice() {
        [deadline] => format!("after {} (`deadline`) ", show_duration(*deadline)),
        _ => "after its `deadline` ".to_owned(),
    };
    let help = format!(
        "write `spread: 20m` under `defaults` to start them one after another, or raise `max_running`; who waits is decided by \
         `priority`, and {given_up}a tick that still waits is given up"
    );
    let finding = Finding::warning(Kind::Crowd, at, message).help(help);
    let first_at = names.get(first.name.as_str());
    check.report(match first_at {
        Some(first_at) => finding.related(*first_at, "one of them"),
        None => finding,
    });
}
