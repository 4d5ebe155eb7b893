//! Worlds that last for days, and in which entries keep to a calendar that changes at reloads, also too late.
//!
//! What a day is, is worked out here from a set of days and not by the calendars that are tried.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{Datelike, NaiveDate, TimeDelta, Weekday};
use pipecron::domain::calendar::{Calendar, CalendarParts, Span};
use pipecron::domain::schedule::{Days, Freeze, OnExcluded, Schedule};
use pipecron::domain::zone::{Change, Zone};
use pipecron::domain::{
    Entry, EntryName, EntryState, Origin, Plan, Skip, Tick, TickId, TickState, Timestamp, rfc3339,
};

use super::dice::Dice;

/// One world in so many is one of calendars.
pub(crate) const ONE_IN: u64 = 24;
/// How long the faults last, at most.
pub(crate) const DAYS_MAX: u64 = 5;
/// How long the days after them are watched, while the calendar goes on changing, and then only that it comes to its ends.
pub(crate) const DAYS_WATCHED: u64 = 3;
/// A reload has reached every daemon after this time.
const RELOADED_WITHIN: TimeDelta = TimeDelta::minutes(15);
/// Longest deadline of an entry.
pub(crate) const DEADLINE_MAX_SECS: u64 = 30 * 3_600;

/// The days that are off although they are none of a weekend, or the other way round.
type Flipped = BTreeSet<NaiveDate>;

fn is_off(flipped: &Flipped, day: NaiveDate) -> bool {
    matches!(day.weekday(), Weekday::Sat | Weekday::Sun) != flipped.contains(&day)
}

fn calendar(flipped: &Flipped) -> Calendar {
    let spans = |off: bool| {
        let days = flipped
            .iter()
            .filter(move |day| is_off(flipped, **day) == off);
        let span = |day: &NaiveDate| Span {
            first: *day,
            last: *day,
            label: String::new(),
        };
        days.map(span).collect()
    };
    Calendar::new(
        "c",
        CalendarParts {
            weekend: 0b100_0001,
            holidays: spans(true),
            workdays: spans(false),
            ..CalendarParts::default()
        },
    )
}

/// What is known of the calendar and of the entries that keep to it; empty in a world without.
#[derive(Debug, Default)]
pub(crate) struct Almanac {
    /// The entries that keep to it, with what their patterns name and nothing else.
    plain: BTreeMap<EntryName, Schedule>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The calendar since when.
    versions: Vec<(Timestamp, Flipped)>,
    /// Under which tick each instant was opened to run.
    opened: BTreeMap<(EntryName, Timestamp), TickId>,
    /// What is marked to be skipped.
    marks: BTreeSet<(EntryName, Timestamp)>,
}

impl Almanac {
    pub(crate) fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    pub(crate) fn keepers(&self) -> impl Iterator<Item = &EntryName> {
        self.plain.keys()
    }

    pub(crate) fn keeps(&self, entry: &EntryName) -> bool {
        self.plain.contains_key(entry)
    }

    /// The entry gets a schedule of few ticks a day, and most of them the calendar.
    pub(crate) fn take(&mut self, dice: &mut Dice, entry: &mut Entry, epoch: Timestamp) {
        let midnight = epoch
            .date_naive()
            .and_time(chrono::NaiveTime::MIN)
            .and_utc();
        let zone = match dice.below(3) {
            0 => Zone::utc(),
            // The clock skips 02:00 to 03:00 on one of the days, or shows 01:00 to 02:00 twice.
            kind => {
                let change =
                    midnight + TimeDelta::days(dice.between(2, 8) as i64) + TimeDelta::hours(1);
                let offset = if kind == 1 { 7_200 } else { 0 };
                let at = change.timestamp();
                Zone::new(
                    &format!("changing-{offset}"),
                    3_600,
                    vec![Change { at, offset }],
                )
            }
        };
        let first = dice.one_of(&[
            "30 2 * * *",
            "30 1,13 * * *",
            "15 0 * * *",
            "45 23 * * 1-5",
            "0 */8 * * *",
            "20 6 * * 0,6",
        ]);
        let second = dice.one_of(&["30 2 * * 6", "0 12 * * *", "0,30 2 * * 0"]);
        let patterns = &[first, second][..dice.between(1, 2) as usize];
        let schedule = Schedule::parse(patterns, Arc::new(zone)).unwrap();
        entry.deadline = dice.one_of(&[900, 6 * 3_600, DEADLINE_MAX_SECS].map(Duration::from_secs));
        let kept = dice.one_of(&[
            None,
            Some(OnExcluded::Skip),
            Some(OnExcluded::Next),
            Some(OnExcluded::Next),
            Some(OnExcluded::Previous),
            Some(OnExcluded::Previous),
        ]);
        let Some(on_excluded) = kept else {
            entry.schedule = Some(schedule);
            return;
        };
        self.plain.insert(entry.name.clone(), schedule.clone());
        let from = epoch + TimeDelta::hours(dice.between(1, 120) as i64);
        let freeze = Freeze {
            from,
            until: from + TimeDelta::hours(dice.between(1, 12) as i64),
            why: "freeze of the world".to_owned(),
        };
        let days = Days {
            on_excluded,
            freezes: if dice.chance(250) {
                [freeze].into()
            } else {
                Arc::default()
            },
            ..Days::default()
        };
        entry.schedule = Some(schedule.with_days(days));
    }

    /// The calendar of the first day.
    pub(crate) fn begin(&self, dice: &mut Dice, epoch: Timestamp) {
        let mut flipped = Flipped::new();
        for _ in 0..dice.below(5) {
            flipped.insert(epoch.date_naive() + TimeDelta::days(dice.below(10) as i64));
        }
        self.inner.lock().unwrap().versions = vec![(Timestamp::MIN_UTC, flipped)];
    }

    /// A day becomes a day off or a working day: one to come, today, or one that has passed. Gives which.
    pub(crate) fn change(&self, dice: &mut Dice, now: Timestamp) -> String {
        let day = now.date_naive() + TimeDelta::days(dice.below(8) as i64 - 3);
        let mut inner = self.inner.lock().unwrap();
        let mut flipped = inner.versions.last().unwrap().1.clone();
        if !flipped.remove(&day) {
            flipped.insert(day);
        }
        let what = if is_off(&flipped, day) {
            "a day off"
        } else {
            "a working day"
        };
        inner.versions.push((now, flipped));
        format!("{} {day} becomes {what}", day.weekday())
    }

    /// The entry as it keeps to the calendar now.
    pub(crate) fn apply(&self, entry: &Entry) -> Entry {
        let mut entry = entry.clone();
        if !self.keeps(&entry.name) {
            return entry;
        }
        let calendar = calendar(&self.inner.lock().unwrap().versions.last().unwrap().1);
        entry.schedule = entry.schedule.map(|schedule| {
            let days = Days {
                only_on: [Arc::new(calendar)].into(),
                ..schedule.days().clone()
            };
            schedule.with_days(days)
        });
        entry
    }

    /// Somebody marks one of the coming starts of an entry.
    pub(crate) fn mark(&self, dice: &mut Dice, entry: &Entry, now: Timestamp) -> Vec<Skip> {
        let schedule = entry.schedule.as_ref().unwrap();
        let coming = schedule.between(now, now + TimeDelta::days(9));
        let coming: Vec<Timestamp> = coming.take(4).collect();
        let Some(due) = coming.get(dice.below(coming.len() as u64) as usize) else {
            return Vec::new();
        };
        let skip = |due| Skip {
            due,
            by: "somebody".to_owned(),
            asked_at: now,
            reason: String::new(),
        };
        let skips: Vec<Skip> = schedule.instants_of(*due).into_iter().map(skip).collect();
        let marks = skips.iter().map(|skip| (entry.name.clone(), skip.due));
        self.inner.lock().unwrap().marks.extend(marks);
        skips
    }

    /// Another ledger was put in place, with these marks.
    pub(crate) fn read_anew(&self, marks: BTreeSet<(EntryName, Timestamp)>) {
        let mut inner = self.inner.lock().unwrap();
        inner.opened.clear();
        inner.marks = marks;
    }

    /// The instants that a tick stands for, as its row says; or what is wrong with that.
    fn instants(plain: &Schedule, tick: &Tick) -> Result<Vec<Timestamp>, String> {
        let is_named = |instant: &Timestamp| plain.named_until(*instant) == Some(*instant);
        if let Some(strange) = tick.moved_from.iter().find(|instant| !is_named(instant)) {
            let strange = rfc3339(*strange);
            return Err(format!(
                "{} stands for {strange}, which no pattern names",
                tick.id
            ));
        }
        let own = Some(tick.due).filter(is_named);
        let instants: Vec<Timestamp> = tick.moved_from.iter().copied().chain(own).collect();
        match instants.is_empty() {
            true => Err(format!(
                "{} stands for nothing that a pattern names",
                tick.id
            )),
            false => Ok(instants),
        }
    }

    /// The ticks that a plan opens to run, with what their entries' patterns name.
    fn opened<'p>(&'p self, plan: &'p Plan) -> impl Iterator<Item = (&'p Tick, &'p Schedule)> {
        plan.changes
            .iter()
            .map(|change| &change.tick)
            .filter(|tick| tick.origin == Origin::Scheduled && !tick.state.is_ended())
            .filter_map(|tick| Some((tick, self.plain.get(&tick.entry)?)))
    }

    /// What is wrong with a decision.
    pub(crate) fn wrong(&self, now: Timestamp, state: &EntryState, plan: &Plan) -> Option<String> {
        let inner = self.inner.lock().unwrap();
        let is_new = |tick: &&Tick| state.open.iter().all(|open| open.id != tick.id);
        for (tick, plain) in self.opened(plan).filter(|(tick, _)| is_new(tick)) {
            let instants = match Self::instants(plain, tick) {
                Ok(instants) => instants,
                Err(wrong) => return Some(wrong),
            };
            let key = |instant: &Timestamp| (tick.entry.clone(), *instant);
            let before =
                |instant: &Timestamp| inner.opened.get(&key(instant)).filter(|id| **id != tick.id);
            if instants.iter().all(|instant| before(instant).is_some()) {
                let other = instants.iter().find_map(before);
                let other = other.map_or("", TickId::as_str);
                return Some(format!(
                    "{} is opened, and {other} stood for the same",
                    tick.id
                ));
            }
            if instants
                .iter()
                .all(|instant| inner.marks.contains(&key(instant)))
            {
                return Some(format!(
                    "{} is opened, and is marked to be skipped",
                    tick.id
                ));
            }
            let day = plain.zone().local(tick.due).date();
            let newer = inner
                .versions
                .iter()
                .skip(1)
                .map(|(since, _)| Some(*since))
                .chain([None]);
            let in_force = inner.versions.iter().zip(newer);
            let in_force = in_force
                .filter(|(_, until)| until.is_none_or(|until| until + RELOADED_WITHIN > now));
            if in_force
                .map(|((_, flipped), _)| flipped)
                .all(|flipped| is_off(flipped, day))
            {
                return Some(format!(
                    "{} is opened on {day}, which is a day off",
                    tick.id
                ));
            }
        }
        None
    }

    /// A decision was stored.
    pub(crate) fn stored(&self, plan: &Plan) {
        let mut inner = self.inner.lock().unwrap();
        for (tick, plain) in self.opened(plan) {
            for instant in Self::instants(plain, tick).unwrap_or_default() {
                let key = (tick.entry.clone(), instant);
                inner.opened.entry(key).or_insert_with(|| tick.id.clone());
            }
        }
    }

    /// An instant in (`from`, `until`] of which no row tells, though what it stands for now has passed. The faults were over
    /// by `from`.
    pub(crate) fn passed_over(
        &self,
        entry: &Entry,
        ticks: &[Tick],
        from: Timestamp,
        until: Timestamp,
    ) -> Option<Timestamp> {
        let plain = &self.plain[&entry.name];
        let with = |flipped: &Flipped| {
            let days = Days {
                only_on: [Arc::new(calendar(flipped))].into(),
                ..entry.schedule.as_ref().unwrap().days().clone()
            };
            plain.clone().with_days(days)
        };
        let versions = self.inner.lock().unwrap().versions.clone();
        let old = versions
            .iter()
            .rposition(|(since, _)| *since < from)
            .unwrap();
        let all: Vec<(Timestamp, Schedule)> = versions
            .iter()
            .map(|(since, flipped)| (*since, with(flipped)))
            .collect();
        // What was in force in that time.
        let in_force = &all[old..];
        let (before, now) = (&in_force.first().unwrap().1, &in_force.last().unwrap().1);
        let tells_of = |tick: &Tick, instant: Timestamp| match (tick.missed, tick.state) {
            (Some(missed), TickState::Ended { at, .. }) => {
                let is_in = |start: &Timestamp| (missed.from..=missed.to).contains(start);
                if at > from {
                    let starts = in_force.iter().flat_map(|(_, of)| of.starts_for(instant));
                    starts.chain([instant]).any(|start| is_in(&start))
                } else {
                    // It was moved back and missed there, by the calendar that was in force when the row was written.
                    let then = all.iter().rfind(|(since, _)| *since <= at);
                    let starts = then.map(|(_, of)| of.starts_for(instant));
                    let mut starts = starts.into_iter().flatten();
                    starts.any(|start| start < instant && is_in(&start))
                }
            }
            _ => tick.due == instant || tick.moved_from.contains(&instant),
        };
        plain.between(from, until).find(|instant| {
            // What was due before the faults were over may have been lost to an entry that began then.
            let was_due = |starts: &[Timestamp]| starts.last().is_some_and(|last| *last <= from);
            let is_to_come = now.starts_for(*instant).iter().any(|start| *start > until);
            let mut rows = ticks.iter().filter(|tick| tick.entry == entry.name);
            !is_to_come
                && !was_due(&before.starts_for(*instant))
                && !rows.any(|tick| tells_of(tick, *instant))
        })
    }
}
