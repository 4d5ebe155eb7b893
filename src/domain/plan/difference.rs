//! What a new configuration changes, for the log and for people.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;

use super::{just_before, spread_offset};
use crate::domain::calendar::Calendar;
use crate::domain::schedule::{Days, Schedule};
use crate::domain::zone::Zone;
use crate::domain::{Entry, EntryName, Timestamp, after};

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
    let calendars = !changed_calendars(old, new).is_empty();
    let (was, is) = (&old.request, &new.request);
    [
        ("cron or timezone", print(old) != print(new)),
        ("only_on", only_on),
        ("skip_on", skip_on),
        (CALENDARS_KEY, calendars),
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
        ("alarm", old.alarm != new.alarm),
        ("ping", old.ping != new.ping),
        ("labels", old.labels != new.labels),
    ]
    .into_iter()
    .filter_map(|(key, changed)| changed.then_some(key))
    .collect()
}

/// What is said of an entry whose calendars have the names that they had, and other days.
pub const CALENDARS_KEY: &str = "what its calendars say";

/// The calendars that an entry has before and after, and that say something else now.
pub fn changed_calendars<'e>(old: &'e Entry, new: &'e Entry) -> BTreeSet<&'e str> {
    fn calendars(entry: &Entry) -> impl Iterator<Item = &Arc<Calendar>> {
        let days = entry.schedule.as_ref().map(Schedule::days);
        days.into_iter()
            .flat_map(|days| days.only_on.iter().chain(&days.skip_on))
    }
    let is_changed = |calendar: &&Arc<Calendar>| {
        calendars(old).any(|was| was.name() == calendar.name() && was != *calendar)
    };
    let changed = calendars(new).filter(is_changed);
    changed.map(|calendar| calendar.name()).collect()
}

/// A start that one of two versions of an entry has and the other has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartChange {
    /// Only the new one has it.
    Added(Timestamp),
    /// Only the old one has it.
    Removed(Timestamp),
    /// On a day on which one goes and one comes, it is the same at another time.
    Moved {
        /// When it was.
        from: Timestamp,
        /// When it is.
        to: Timestamp,
    },
}

/// Due times: later than one and not later than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueSpan {
    /// They are later than this.
    pub after: Timestamp,
    /// And not later than this, if there is an end.
    pub until: Option<Timestamp>,
}

/// The due times after `from` of what an entry starts no later than `until`. What was due before is none of them, also where its
/// spread has it start later: whether it does only the ledger knows, for an entry that is new, or has a new pattern, begins
/// from now. `status` tells of what is open.
pub fn due_span(entry: &Entry, from: Timestamp, until: Option<Timestamp>) -> DueSpan {
    let offset = chrono::TimeDelta::from_std(spread_offset(entry)).ok();
    let due = |start: Timestamp| {
        offset
            .and_then(|offset| start.checked_sub_signed(offset))
            .unwrap_or(start)
    };
    DueSpan {
        after: (entry.not_before).map_or(from, |begin| from.max(just_before(begin))),
        until: until.map(due).into_iter().chain(entry.not_after).min(),
    }
}

/// When what is due after `from` starts by itself, up to `until`, its spread included, in order; none if it does not.
pub fn starts(
    entry: Option<&Entry>,
    from: Timestamp,
    until: Timestamp,
) -> impl Iterator<Item = Timestamp> {
    let entry = entry.filter(|entry| entry.enabled);
    let schedule = entry.and_then(|entry| Some((entry, entry.schedule.as_ref()?)));
    schedule.into_iter().flat_map(move |(entry, schedule)| {
        let offset = spread_offset(entry);
        let DueSpan {
            after: begin,
            until,
        } = due_span(entry, from, Some(until));
        std::iter::successors(schedule.next_after(begin), |due| schedule.next_after(*due))
            .take_while(move |due| until.is_none_or(|until| *due <= until))
            .map(move |due| after(due, offset))
    })
}

/// The starts in (`from`, `until`] that two versions of an entry do not share, in order; one of them may not be there. One
/// day of the entry's zone is held at a time.
pub fn start_changes<'e>(
    old: Option<&'e Entry>,
    new: Option<&'e Entry>,
    from: Timestamp,
    until: Timestamp,
) -> impl Iterator<Item = StartChange> {
    let zone = |entry: Option<&Entry>| Some(Arc::clone(entry?.schedule.as_ref()?.zone()));
    // Somebody who changes a default changes entries by the thousand, and hardly ever when they start.
    let is_open = old.and_then(start_facts) != new.and_then(start_facts);
    let (old, new) = (old.filter(|_| is_open), new.filter(|_| is_open));
    StartChanges {
        old: starts(old, from, until).peekable(),
        new: starts(new, from, until).peekable(),
        zone: zone(new).or_else(|| zone(old)),
        ready: VecDeque::new(),
        next: None,
    }
}

/// All that [`starts`] looks at: two versions of an entry that have the same here start at the same instants.
#[derive(PartialEq)]
struct StartFacts<'e> {
    schedule: &'e Schedule,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    offset: Duration,
}

/// None for an entry that never starts by itself.
fn start_facts(entry: &Entry) -> Option<StartFacts<'_>> {
    let schedule = entry.schedule.as_ref().filter(|_| entry.enabled)?;
    Some(StartFacts {
        schedule,
        not_before: entry.not_before,
        not_after: entry.not_after,
        offset: spread_offset(entry),
    })
}

struct StartChanges<O: Iterator, N: Iterator> {
    old: Peekable<O>,
    new: Peekable<N>,
    /// The new entry's zone, else the old one's.
    zone: Option<Arc<Zone>>,
    ready: VecDeque<StartChange>,
    /// The first one of the next day.
    next: Option<StartChange>,
}

impl<O, N> StartChanges<O, N>
where
    O: Iterator<Item = Timestamp>,
    N: Iterator<Item = Timestamp>,
{
    /// The next start that is not in both.
    fn single(&mut self) -> Option<StartChange> {
        loop {
            return match (self.old.peek().copied(), self.new.peek().copied()) {
                (Some(old), Some(new)) if old == new => {
                    self.old.next();
                    self.new.next();
                    continue;
                }
                (Some(old), new) if new.is_none_or(|new| old < new) => {
                    self.old.next();
                    Some(StartChange::Removed(old))
                }
                (_, Some(new)) => {
                    self.new.next();
                    Some(StartChange::Added(new))
                }
                (_, None) => None,
            };
        }
    }

    fn day(&self, change: &StartChange) -> Option<NaiveDate> {
        Some(self.zone.as_ref()?.local(change.at()).date())
    }
}

impl StartChange {
    /// When it was, or else is.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Added(at) | Self::Removed(at) | Self::Moved { from: at, .. } => *at,
        }
    }
}

impl<O, N> Iterator for StartChanges<O, N>
where
    O: Iterator<Item = Timestamp>,
    N: Iterator<Item = Timestamp>,
{
    type Item = StartChange;

    fn next(&mut self) -> Option<StartChange> {
        if let Some(ready) = self.ready.pop_front() {
            return Some(ready);
        }
        let first = match self.next.take() {
            Some(first) => first,
            None => self.single()?,
        };
        let day = self.day(&first);
        self.ready.push_back(first);
        while let Some(change) = self.single() {
            if self.day(&change) != day {
                self.next = Some(change);
                break;
            }
            self.ready.push_back(change);
        }
        let moved = match self.ready.make_contiguous() {
            [StartChange::Removed(from), StartChange::Added(to)]
            | [StartChange::Added(to), StartChange::Removed(from)] => Some((*from, *to)),
            _ => None,
        };
        if let Some((from, to)) = moved {
            self.ready.clear();
            return Some(StartChange::Moved { from, to });
        }
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
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
                alarm: Default::default(),
                ping: None,
                labels: Arc::default(),
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

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn due(patterns: &[&str], change: impl FnOnce(&mut Entry)) -> Entry {
        let mut entry = Entry {
            templates: None,
            name: EntryName::parse("nightly").unwrap(),
            schedule: Some(Schedule::parse(patterns, Arc::new(Zone::utc())).unwrap()),
            account: AccountName::parse("main").unwrap(),
            request: RunRequest::default(),
            spread: Duration::ZERO,
            catch_up: CatchUp::Latest,
            catch_up_max: 100,
            deadline: Duration::from_secs(60),
            policy: Policy::default(),
            enabled: true,
            not_before: None,
            not_after: None,
            alarm: Default::default(),
            ping: None,
            labels: Arc::default(),
        };
        change(&mut entry);
        entry
    }

    #[test]
    fn starts_are_added_removed_and_moved() {
        let (from, until) = (at("2026-11-24T12:00:00Z"), at("2026-11-27T12:00:00Z"));
        let two = due(&["0 2 * * *"], |_| ());
        let three = due(&["0 3 * * *"], |_| ());
        let changes = |old, new| start_changes(old, new, from, until).collect::<Vec<_>>();
        assert_eq!(changes(Some(&two), Some(&two)), []);
        assert_eq!(changes(None, None), []);
        let day = |text: &str| at(&format!("2026-11-{text}:00:00Z"));
        let moved = |day_of: &str| StartChange::Moved {
            from: day(&format!("{day_of}T02")),
            to: day(&format!("{day_of}T03")),
        };
        let all = [moved("25"), moved("26"), moved("27")];
        assert_eq!(changes(Some(&two), Some(&three)), all);
        let removed = ["25T02", "26T02", "27T02"].map(|text| StartChange::Removed(day(text)));
        assert_eq!(changes(Some(&two), None), removed);
        let off = due(&["0 2 * * *"], |entry| entry.enabled = false);
        assert_eq!(changes(Some(&two), Some(&off)), removed);
        let by_hand = due(&["0 2 * * *"], |entry| entry.schedule = None);
        assert_eq!(changes(Some(&two), Some(&by_hand)), removed);
        let added = ["25T02", "26T02", "27T02"].map(|text| StartChange::Added(day(text)));
        assert_eq!(changes(None, Some(&two)), added);
        let ends = due(&["0 2 * * *"], |entry| entry.not_after = Some(day("26T02")));
        assert_eq!(changes(Some(&two), Some(&ends)), removed[2..]);
        let begins = due(&["0 2 * * *"], |entry| {
            entry.not_before = Some(day("26T02"))
        });
        assert_eq!(changes(Some(&two), Some(&begins)), removed[..1]);
        // Two come for one that goes: nobody can say which one moved.
        let twice = due(&["0 3,4 * * *"], |_| ());
        let first: Vec<_> = changes(Some(&two), Some(&twice))
            .into_iter()
            .take(3)
            .collect();
        let expected = [
            StartChange::Removed(day("25T02")),
            StartChange::Added(day("25T03")),
            StartChange::Added(day("25T04")),
        ];
        assert_eq!(first, expected);
    }

    #[test]
    fn starts_are_looked_for_only_where_they_may_differ() {
        use crate::domain::calendar::CalendarParts;
        use crate::domain::schedule::{Freeze, OnExcluded};

        let entry = |change: fn(&mut Entry)| due(&["0 2 * * *"], change);
        let usual = entry(|_| ());
        let differs = |change| start_facts(&usual) != start_facts(&entry(change));
        let alike: [fn(&mut Entry); 5] = [
            |_| (),
            |entry| entry.policy.priority = 7,
            |entry| entry.labels = Arc::new(BTreeSet::from(["web".to_owned()])),
            |entry| entry.catch_up = CatchUp::None,
            |entry| entry.deadline = Duration::from_secs(7),
        ];
        for change in alike {
            assert!(!differs(change));
        }
        fn with_days(entry: &mut Entry, change: impl FnOnce(&mut Days)) {
            let schedule = entry.schedule.take().unwrap();
            let mut days = schedule.days().clone();
            change(&mut days);
            entry.schedule = Some(schedule.with_days(days));
        }
        let unlike: [fn(&mut Entry); 10] = [
            |entry| entry.enabled = false,
            |entry| entry.schedule = None,
            |entry| entry.schedule = due(&["0 3 * * *"], |_| ()).schedule,
            |entry| {
                let zone = Arc::new(Zone::new("Asia/Tokyo", 9 * 3600, Vec::new()));
                entry.schedule = Some(Schedule::parse(&["0 2 * * *"], zone).unwrap());
            },
            |entry| entry.spread = Duration::from_secs(36_000),
            |entry| entry.not_before = Some(at("2026-11-24T12:00:00Z")),
            |entry| entry.not_after = Some(at("2026-11-24T12:00:00Z")),
            |entry| {
                let weekend = CalendarParts {
                    weekend: 1,
                    ..CalendarParts::default()
                };
                let calendar = Arc::new(Calendar::new("off", weekend));
                with_days(entry, |days| days.skip_on = Box::new([calendar]));
            },
            |entry| with_days(entry, |days| days.on_excluded = OnExcluded::Next),
            |entry| {
                let freeze = Freeze {
                    from: at("2026-11-24T12:00:00Z"),
                    until: at("2026-11-24T12:00:00Z"),
                    why: "audit".to_owned(),
                };
                with_days(entry, |days| days.freezes = Arc::from([freeze]));
            },
        ];
        for (number, change) in (1..).zip(unlike) {
            assert!(differs(change), "change {number}");
        }
    }

    #[test]
    fn a_spread_moves_starts_and_what_was_due_before_is_none() {
        let spread = due(&["0 * * * *"], |entry| {
            entry.spread = Duration::from_secs(3600)
        });
        let offset = spread_offset(&spread);
        assert!(!offset.is_zero());
        let due_at = at("2026-11-24T12:00:00Z");
        let next_at = at("2026-11-24T13:00:00Z");
        // The window begins between a due time and its start: only the ledger knows whether that comes.
        let from = after(due_at, offset / 2);
        let first = starts(Some(&spread), from, at("2026-11-25T00:00:00Z")).next();
        assert_eq!(first, Some(after(next_at, offset)));
        let until = after(due_at, offset / 2);
        let last = starts(Some(&spread), at("2026-11-24T00:00:00Z"), until).last();
        assert_eq!(last, Some(after(at("2026-11-24T11:00:00Z"), offset)));
        let plain = due(&["0 * * * *"], |_| ());
        let changes: Vec<_> = start_changes(
            Some(&plain),
            Some(&spread),
            due_at,
            after(due_at, Duration::from_secs(7200)),
        )
        .collect();
        assert!(
            changes.contains(&StartChange::Added(after(next_at, offset))),
            "{changes:?}"
        );
        let is_past = |change: &StartChange| change.at() <= after(due_at, offset);
        assert!(!changes.iter().any(is_past), "{changes:?}");
    }

    #[test]
    fn the_changes_make_the_old_starts_the_new_ones() {
        let patterns: [&[&str]; 7] = [
            &["0 2 * * *"],
            &["30 */6 * * *"],
            &["0 2 * * 1-5"],
            &["0 2,3 * * *"],
            &["15 2 * * *", "0 12 1 * *"],
            &["*/7 * * * *"],
            &["0 0 29 2 *"],
        ];
        let (from, until) = (at("2026-11-24T12:00:00Z"), at("2026-12-10T00:00:00Z"));
        for old in patterns {
            for new in patterns {
                let (old, new) = (
                    due(old, |_| ()),
                    due(new, |entry| entry.spread = Duration::from_secs(1200)),
                );
                let mut left: BTreeSet<Timestamp> = starts(Some(&old), from, until).collect();
                for change in start_changes(Some(&old), Some(&new), from, until) {
                    let (gone, come) = match change {
                        StartChange::Added(come) => (None, Some(come)),
                        StartChange::Removed(gone) => (Some(gone), None),
                        StartChange::Moved { from, to } => (Some(from), Some(to)),
                    };
                    assert!(gone.is_none_or(|gone| left.remove(&gone)), "{change:?}");
                    assert!(come.is_none_or(|come| left.insert(come)), "{change:?}");
                }
                let expected: BTreeSet<Timestamp> = starts(Some(&new), from, until).collect();
                assert_eq!(left, expected);
            }
        }
    }
}
