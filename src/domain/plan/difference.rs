//! What a new configuration changes, for the log and for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::just_before;
use crate::domain::calendar::Calendar;
use crate::domain::schedule::{Days, Schedule};
use crate::domain::{Entry, EntryName, Timestamp};

/// How many ticks of these entries are due in (`from`, `until`].
pub fn starts_between(
    entries: &BTreeMap<EntryName, Arc<Entry>>,
    from: Timestamp,
    until: Timestamp,
) -> u64 {
    let of = |entry: &Arc<Entry>| {
        let schedule = entry.schedule.as_ref().filter(|_| entry.enabled)?;
        let begin = entry
            .not_before
            .map_or(from, |begin| from.max(just_before(begin)));
        let end = entry.not_after.map_or(until, |end| until.min(end));
        (begin < end).then(|| schedule.count_between(begin, end).number())
    };
    entries.values().filter_map(of).sum()
}

/// What changed between two sets of entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The entry.
    pub entry: EntryName,
    /// How it changed.
    pub kind: DifferenceKind,
}

/// How an entry changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DifferenceKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// These keys changed.
    Changed(Vec<&'static str>),
}

/// What changed between two sets of entries, by name.
pub fn diff<'a>(
    old: &'a BTreeMap<EntryName, Arc<Entry>>,
    new: &'a BTreeMap<EntryName, Arc<Entry>>,
) -> Vec<Difference> {
    let mut names: Vec<&EntryName> = old
        .keys()
        .chain(new.keys().filter(|name| !old.contains_key(*name)))
        .collect();
    names.sort();
    let kind = |name| match (old.get(name), new.get(name)) {
        (None, _) => Some(DifferenceKind::Added),
        (_, None) => Some(DifferenceKind::Removed),
        (Some(old), Some(new)) => {
            let keys = changed_keys(old, new);
            (!keys.is_empty()).then_some(DifferenceKind::Changed(keys))
        }
    };
    names
        .into_iter()
        .filter_map(|name| {
            Some(Difference {
                entry: name.clone(),
                kind: kind(name)?,
            })
        })
        .collect()
}

fn changed_keys(old: &Entry, new: &Entry) -> Vec<&'static str> {
    let print = |entry: &Entry| {
        let bare = |schedule: &Schedule| schedule.clone().with_days(Days::default()).fingerprint();
        entry.schedule.as_ref().map(bare)
    };
    let days = |entry: &'_ Entry| entry.schedule.as_ref().map(|of| of.days().clone());
    let (old_days, new_days) = (days(old).unwrap_or_default(), days(new).unwrap_or_default());
    let names = |calendars: &[Arc<Calendar>]| -> Vec<String> {
        calendars.iter().map(|of| of.name().to_owned()).collect()
    };
    let only_on = names(&old_days.only_on) != names(&new_days.only_on);
    let skip_on = names(&old_days.skip_on) != names(&new_days.skip_on);
    let calendars =
        (&old_days.only_on, &old_days.skip_on) != (&new_days.only_on, &new_days.skip_on);
    let (was, is) = (&old.request, &new.request);
    [
        ("cron or timezone", print(old) != print(new)),
        ("only_on", only_on),
        ("skip_on", skip_on),
        ("what its calendars say", calendars && !only_on && !skip_on),
        ("on_excluded", old_days.on_excluded != new_days.on_excluded),
        ("freezes", old_days.freezes != new_days.freezes),
        ("account", old.account != new.account),
        ("project_id", was.project_id != is.project_id),
        ("pipeline_id", was.pipeline_id != is.pipeline_id),
        ("sources", was.sources != is.sources),
        ("description", was.description != is.description),
        ("variables", was.variables != is.variables),
        ("choose_jobs", was.choose_jobs != is.choose_jobs),
        ("choose_stages", was.choose_stages != is.choose_stages),
        ("sub_hook", was.sub_hook != is.sub_hook),
        (
            "execution_plan_id",
            was.execution_plan_id != is.execution_plan_id,
        ),
        ("spread", old.spread != new.spread),
        ("catch_up", old.catch_up != new.catch_up),
        ("catch_up_max", old.catch_up_max != new.catch_up_max),
        ("deadline", old.deadline != new.deadline),
        ("retry", old.policy.retry != new.policy.retry),
        ("on_doubt", old.policy.on_doubt != new.policy.on_doubt),
        ("settle", old.policy.settle != new.policy.settle),
        ("follow", old.policy.follow != new.policy.follow),
        (
            "run_timeout",
            old.policy.run_timeout != new.policy.run_timeout,
        ),
        ("overlap", old.policy.overlap != new.policy.overlap),
        ("priority", old.policy.priority != new.policy.priority),
        ("enabled", old.enabled != new.enabled),
        ("not_before", old.not_before != new.not_before),
        ("not_after", old.not_after != new.not_after),
        ("labels", old.labels != new.labels),
    ]
    .into_iter()
    .filter_map(|(key, changed)| changed.then_some(key))
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::domain::{AccountName, CatchUp, Overlap, Policy, RunRequest};

    #[test]
    fn what_an_entry_does_about_other_runs_is_a_difference() {
        let name = EntryName::parse("nightly").unwrap();
        let entry = |policy| {
            let entry = Entry {
                name: name.clone(),
                schedule: None,
                account: AccountName::parse("main").unwrap(),
                request: RunRequest::default(),
                spread: Duration::ZERO,
                catch_up: CatchUp::Latest,
                catch_up_max: 100,
                deadline: Duration::from_secs(60),
                policy,
                enabled: true,
                not_before: None,
                not_after: None,
                labels: BTreeSet::new(),
                templates: None,
            };
            BTreeMap::from([(name.clone(), Arc::new(entry))])
        };
        let usual = Policy::default();
        let changed = Policy {
            overlap: Overlap::Skip,
            priority: 1,
            ..usual
        };
        assert_eq!(diff(&entry(usual), &entry(usual)), []);
        let difference = Difference {
            entry: name.clone(),
            kind: DifferenceKind::Changed(vec!["overlap", "priority"]),
        };
        assert_eq!(diff(&entry(usual), &entry(changed)), [difference]);
    }
}
