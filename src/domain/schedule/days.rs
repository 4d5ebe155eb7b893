//! What calendars and freezes make of a schedule: which of its instants are starts, which are excluded and why, and which
//! are moved to another day.
//!
//! An instant on a day off is *excluded*, or, if the entry says so, *moved*: it is due at the same time of the wall clock on
//! the next (or previous) working day, read by the rule of its own pattern for clock changes there. What a move brings to an
//! instant that is due anyway is one with it. A move reaches no further than [`MOVED_DAYS_MAX`] days; what finds no working
//! day so near is excluded. Whatever then lies within a *freeze* is excluded, and nothing is moved out of one.
//!
//! Moves are worked out from the day that they lead to: a pattern is due on a working day if it names that day or one of the
//! days off right before (or after) it. So the next start is found without a list of what is moved, and costs days, not
//! instants. Every search ends after [`DAYS_LOOKED_AT_MAX`] days on which something could have been due.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use super::{COUNTED_MAX, Count, Schedule};
use crate::domain::calendar::{Calendar, DayOff};
use crate::domain::cron::{ClockNote, CronPattern};
use crate::domain::zone::Zone;

/// The furthest that an instant is moved, in days.
pub const MOVED_DAYS_MAX: i64 = 31;
/// A search gives up after so many days on which something could have been due and was not: over ten years of a pattern
/// that names every day.
pub const DAYS_LOOKED_AT_MAX: u32 = 4_000;

/// What the fingerprint of a schedule has that may move what is due.
pub(super) const MOVED_TO: &str = " | moved to ";

/// What becomes of an instant that lies on a day off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnExcluded {
    /// It is excluded.
    #[default]
    Skip,
    /// It is moved to the next working day.
    Next,
    /// It is moved to the previous working day.
    Previous,
}

impl OnExcluded {
    /// Its word in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Next => "next",
            Self::Previous => "previous",
        }
    }
}

/// A time in which nothing starts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Freeze {
    /// Its first instant.
    pub from: DateTime<Utc>,
    /// Its last second.
    pub until: DateTime<Utc>,
    /// Why, and how it was written.
    pub why: String,
}

/// The calendars and freezes of a schedule; by default none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Days {
    /// It is due only on days that are working days of each of these.
    pub only_on: Box<[Arc<Calendar>]>,
    /// It is not due on days off of any of these.
    pub skip_on: Box<[Arc<Calendar>]>,
    /// What becomes of an instant on another day.
    pub on_excluded: OnExcluded,
    /// It is not due within these. Most entries share theirs.
    pub freezes: Arc<[Freeze]>,
}

impl Days {
    /// Whether they let everything pass.
    pub fn is_empty(&self) -> bool {
        self.has_no_calendars() && self.freezes.is_empty()
    }

    fn has_no_calendars(&self) -> bool {
        self.only_on.is_empty() && self.skip_on.is_empty()
    }

    fn moves(&self) -> bool {
        self.on_excluded != OnExcluded::Skip && !self.has_no_calendars()
    }

    /// The calendar and rule that make it a day off.
    fn off(&self, day: NaiveDate) -> Option<(&Calendar, DayOff<'_>)> {
        let calendars = self.only_on.iter().chain(&self.skip_on);
        calendars
            .filter_map(|calendar| Some((&**calendar, calendar.day_off(day)?)))
            .next()
    }

    fn is_open(&self, day: NaiveDate) -> bool {
        self.off(day).is_none()
    }

    /// Whether no day after this one is open: there is no need to look at each.
    fn is_over_after(&self, day: NaiveDate) -> bool {
        let mut calendars = self.only_on.iter().chain(&self.skip_on);
        calendars.any(|calendar| calendar.is_over_after(day))
    }

    /// Where what lies on a day off is moved to.
    fn target(&self, day: NaiveDate) -> Option<NaiveDate> {
        let step = match self.on_excluded {
            OnExcluded::Skip => return None,
            OnExcluded::Next => 1,
            OnExcluded::Previous => -1,
        };
        (1..=MOVED_DAYS_MAX)
            .filter_map(|days| plus(day, days * step))
            .find(|day| self.is_open(*day))
    }

    /// The days off from which a working day takes over what is due on them, the nearest first.
    fn sources(&self, day: NaiveDate) -> impl Iterator<Item = NaiveDate> {
        let step = match self.on_excluded {
            OnExcluded::Skip => 0,
            OnExcluded::Next => -1,
            OnExcluded::Previous => 1,
        };
        (1..=MOVED_DAYS_MAX)
            .filter_map(move |days| plus(day, days * step))
            .take_while(move |source| step != 0 && !self.is_open(*source))
    }

    fn freeze_at(&self, instant: DateTime<Utc>) -> Option<&Freeze> {
        let holds = |freeze: &&Freeze| freeze.from <= instant && instant <= freeze.until;
        self.freezes.iter().find(holds)
    }

    /// Why nothing is due on that day; none if it is a working day, or if what is due there is moved.
    fn why_off(&self, day: NaiveDate) -> Option<String> {
        let (calendar, off) = self.off(day)?;
        let name = calendar.name();
        match self.on_excluded {
            OnExcluded::Skip => Some(format!("{name}: {off}")),
            OnExcluded::Next | OnExcluded::Previous if self.target(day).is_some() => None,
            OnExcluded::Next => Some(format!(
                "{name}: {off}, and no working day in the {MOVED_DAYS_MAX} days after it"
            )),
            OnExcluded::Previous => Some(format!(
                "{name}: {off}, and no working day in the {MOVED_DAYS_MAX} days before it"
            )),
        }
    }

    /// What of them a schedule's fingerprint has: what an entry says, not what stands in the calendars, which may change
    /// every night without a new beginning.
    pub(super) fn fingerprint(&self) -> String {
        let names = |calendars: &[Arc<Calendar>]| {
            let mut names: Vec<&str> = calendars.iter().map(|calendar| calendar.name()).collect();
            names.sort_unstable();
            names.dedup();
            names.join(", ")
        };
        let mut text = String::new();
        for (word, calendars) in [("only on", &self.only_on), ("skip on", &self.skip_on)] {
            if !calendars.is_empty() {
                text.push_str(&format!(" | {word} {}", names(calendars)));
            }
        }
        if self.moves() {
            text.push_str(&format!("{MOVED_TO}{}", self.on_excluded.name()));
        }
        text
    }
}

/// Instants that follow each other and are excluded for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// The first of them.
    pub first: DateTime<Utc>,
    /// The last of them.
    pub last: DateTime<Utc>,
    /// How many they are.
    pub count: Count,
    /// Why: the calendar and its rule, or the freeze.
    pub why: String,
    is_freeze: bool,
}

/// From where an instant was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The days off, the nearest first.
    pub days: Vec<NaiveDate>,
    /// The calendar and rule of the nearest.
    pub why: String,
}

impl fmt::Display for Moved {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(nearest) = self.days.first() else {
            return Ok(());
        };
        write!(out, "moved from {}", nearest.format("%a %Y-%m-%d"))?;
        match self.days.len() - 1 {
            0 => {}
            1 => out.write_str(" and another day")?,
            more => write!(out, " and {more} other days")?,
        }
        write!(out, " ({})", self.why)
    }
}

impl Schedule {
    /// The same schedule under these calendars and freezes.
    #[must_use]
    pub fn with_days(self, mut days: Days) -> Self {
        if !days.freezes.is_sorted_by_key(|freeze| freeze.from) {
            Arc::make_mut(&mut days.freezes).sort_by_key(|freeze| freeze.from);
        }
        Self { days, ..self }
    }

    /// Its calendars and freezes.
    pub fn days(&self) -> &Days {
        &self.days
    }

    /// Whether it may be due on another day than a pattern names.
    pub fn moves(&self) -> bool {
        self.days.moves()
    }

    /// When to look again after `after`: something starts then, is excluded, or was moved away.
    pub fn look_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let named = self.named_after(after);
        match self.days.is_empty() {
            true => named,
            false => named.into_iter().chain(self.unfrozen_after(after)).min(),
        }
    }

    /// How many starts may have left in that time, whatever its calendars said then: they may have changed since.
    pub fn count_possible(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Count {
        match (self.count_named(after, until), self.days.moves()) {
            (Count::Exactly(named), true) => {
                Count::Exactly(named.saturating_add(self.count_starts(after, until).number()))
            }
            (named, _) => named,
        }
    }

    /// The first start later than `after`.
    pub(super) fn start_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut cursor = after;
        // A freeze ends, and freezes that follow each other are few.
        for _ in 0..=self.days.freezes.len() {
            let start = self.unfrozen_after(cursor)?;
            match self.days.freeze_at(start) {
                None => return Some(start),
                Some(freeze) => cursor = freeze.until,
            }
        }
        None
    }

    /// The last start at or before `until`.
    pub(super) fn start_until(&self, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut cursor = until;
        for _ in 0..=self.days.freezes.len() {
            let start = self.unfrozen_until(cursor)?;
            match self.days.freeze_at(start) {
                None => return Some(start),
                Some(freeze) => cursor = before(freeze.from),
            }
        }
        None
    }

    /// What calendars leave, whatever the freezes say.
    fn unfrozen_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.days.has_no_calendars() {
            return self.named_after(after);
        }
        if !self.days.moves() {
            let day_after = |day| plus(day, 1);
            return self.search_up(
                after,
                |cursor| self.named_after(cursor),
                |day| self.days.is_open(day),
                day_after,
            );
        }
        let of = |pattern: &CronPattern| {
            let daily = pattern.on_every_day();
            let next = |cursor| daily.next_after(&self.zone, cursor);
            self.search_up(
                after,
                next,
                |day| self.runs_on(pattern, day),
                |day| self.day_up(pattern, day),
            )
        };
        self.patterns.iter().filter_map(of).min()
    }

    fn unfrozen_until(&self, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.days.has_no_calendars() {
            return self.named_until(until);
        }
        if !self.days.moves() {
            let day_before = |day| plus(day, -1);
            return self.search_down(
                until,
                |cursor| self.named_until(cursor),
                |day| self.days.is_open(day),
                day_before,
            );
        }
        let of = |pattern: &CronPattern| {
            let daily = pattern.on_every_day();
            let last = |cursor| daily.last_until(&self.zone, cursor);
            self.search_down(
                until,
                last,
                |day| self.runs_on(pattern, day),
                |day| self.day_down(pattern, day),
            )
        };
        self.patterns.iter().filter_map(of).max()
    }

    /// The first of what `next` gives after `after` that lies on a day on which it `runs`; from one on which it does not the
    /// search goes on at the day that `skip_to` says.
    fn search_up(
        &self,
        after: DateTime<Utc>,
        next: impl Fn(DateTime<Utc>) -> Option<DateTime<Utc>>,
        runs: impl Fn(NaiveDate) -> bool,
        skip_to: impl Fn(NaiveDate) -> Option<NaiveDate>,
    ) -> Option<DateTime<Utc>> {
        let mut cursor = after;
        for _ in 0..DAYS_LOOKED_AT_MAX {
            let instant = next(cursor)?;
            let day = self.zone.local(instant).date();
            if runs(day) {
                return Some(instant);
            }
            if self.days.is_over_after(day) {
                return None;
            }
            cursor = instant.max(before(self.zone.start_of_day(skip_to(day)?)));
        }
        None
    }

    fn search_down(
        &self,
        until: DateTime<Utc>,
        last: impl Fn(DateTime<Utc>) -> Option<DateTime<Utc>>,
        runs: impl Fn(NaiveDate) -> bool,
        skip_to: impl Fn(NaiveDate) -> Option<NaiveDate>,
    ) -> Option<DateTime<Utc>> {
        let mut cursor = until;
        for _ in 0..DAYS_LOOKED_AT_MAX {
            let instant = last(cursor)?;
            let day = self.zone.local(instant).date();
            if runs(day) {
                return Some(instant);
            }
            let end = before(self.zone.start_of_day(plus(skip_to(day)?, 1)?));
            cursor = before(instant).min(end);
        }
        None
    }

    /// Whether a pattern is due on that day, by itself or by what is moved there.
    fn runs_on(&self, pattern: &CronPattern, day: NaiveDate) -> bool {
        self.days.is_open(day)
            && (pattern.names_day(day)
                || self
                    .days
                    .sources(day)
                    .any(|source| pattern.names_day(source)))
    }

    /// The first day after `day` on which a pattern may be due.
    fn day_up(&self, pattern: &CronPattern, day: NaiveDate) -> Option<NaiveDate> {
        let day = plus(day, 1)?;
        let (back, ahead) = self.reach();
        let since = before(self.zone.start_of_day(plus(day, -back)?));
        let named = pattern.next_after(&self.zone, since)?;
        let named = self.zone.local(named).date();
        Some(plus(named, -ahead)?.max(day))
    }

    /// The last day before `day` on which a pattern may be due.
    fn day_down(&self, pattern: &CronPattern, day: NaiveDate) -> Option<NaiveDate> {
        let day = plus(day, -1)?;
        let (back, ahead) = self.reach();
        let until = before(self.zone.start_of_day(plus(day, ahead + 1)?));
        let named = pattern.last_until(&self.zone, until)?;
        let named = self.zone.local(named).date();
        Some(plus(named, back)?.min(day))
    }

    /// From how many days before, and from how many days after it, a day may take over what is due there.
    fn reach(&self) -> (i64, i64) {
        match self.days.on_excluded {
            OnExcluded::Skip => (0, 0),
            OnExcluded::Next => (MOVED_DAYS_MAX, 0),
            OnExcluded::Previous => (0, MOVED_DAYS_MAX),
        }
    }

    /// How many starts are later than `after` and not later than `until`.
    pub(super) fn count_starts(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Count {
        if self.days.moves() {
            return self.count_walking(after, until);
        }
        let named = self.count_named(after, until);
        let excluded = self.exclusions(after, until);
        let mut all_counted = matches!(named, Count::Exactly(_));
        let mut left = named.number();
        for Exclusion { count, .. } in &excluded {
            all_counted &= matches!(count, Count::Exactly(_));
            left = left.saturating_sub(count.number());
        }
        let looked_at = self.first_day_looked_at(until);
        match all_counted && looked_at.is_none_or(|day| day <= self.zone.local(after).date()) {
            true => Count::Exactly(left),
            false => Count::AtLeast(left.min(named.number())),
        }
    }

    fn count_walking(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Count {
        let (mut count, mut cursor) = (0, after);
        while let Some(start) = self.start_after(cursor).filter(|start| *start <= until) {
            count += 1;
            cursor = start;
            if count > COUNTED_MAX {
                return Count::AtLeast(count);
            }
        }
        Count::Exactly(count)
    }

    /// Looking back from `until`, the first day that is looked at.
    fn first_day_looked_at(&self, until: DateTime<Utc>) -> Option<NaiveDate> {
        plus(
            self.zone.local(until).date(),
            -i64::from(DAYS_LOOKED_AT_MAX),
        )
    }

    /// What is excluded later than `after` and not later than `until`, oldest first; of a longer time than
    /// [`DAYS_LOOKED_AT_MAX`] days only the end.
    pub fn exclusions(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Exclusion> {
        let mut found = Vec::new();
        if self.days.is_empty() || until <= after {
            return found;
        }
        self.exclude_days(after, until, &mut found);
        let calendars_say = found.len();
        let mut covered = after;
        for freeze in self.days.freezes.iter() {
            let from = covered.max(before(freeze.from));
            let to = until.min(freeze.until);
            covered = covered.max(to);
            found.extend(self.exclusion(from, to, &freeze.why, true));
        }
        if calendars_say < found.len() {
            found.sort_by_key(|exclusion| exclusion.first);
        }
        found
    }

    /// What calendars exclude.
    fn exclude_days(&self, after: DateTime<Utc>, until: DateTime<Utc>, found: &mut Vec<Exclusion>) {
        if self.days.has_no_calendars() {
            return;
        }
        let first = self.zone.local(after).date();
        let first = self
            .first_day_looked_at(until)
            .map_or(first, |day| day.max(first));
        // Midnight may be shown twice, so that an instant of the day before comes after it.
        let last = plus(self.zone.local(until).date(), 1);
        let mut day = Some(first);
        // Days off of one reason that follow each other.
        let mut run: Option<(DateTime<Utc>, DateTime<Utc>, String)> = None;
        while let Some(today) = day.filter(|day| Some(*day) <= last) {
            day = plus(today, 1);
            let off = self.days.why_off(today);
            if let Some((from, to, why)) = &run
                && off.as_ref() != Some(why)
            {
                found.extend(self.exclusion(*from, *to, why, false));
                run = None;
            }
            let Some((why, tomorrow)) = off.zip(day) else {
                continue;
            };
            let to = until.min(before(self.zone.start_of_day(tomorrow)));
            match &mut run {
                Some((_, end, _)) => *end = to,
                None => {
                    let from = after.max(before(self.zone.start_of_day(today)));
                    run = Some((from, to, why));
                }
            }
        }
        if let Some((from, to, why)) = run {
            found.extend(self.exclusion(from, to, &why, false));
        }
    }

    /// What is due in (`from`, `to`] and excluded there.
    fn exclusion(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        why: &str,
        is_freeze: bool,
    ) -> Option<Exclusion> {
        let (first, last) = match is_freeze {
            true => (self.unfrozen_after(from)?, self.unfrozen_until(to)?),
            false => (self.named_after(from)?, self.named_until(to)?),
        };
        if first > to || last < first {
            return None;
        }
        let count = match is_freeze && !self.days.has_no_calendars() {
            true => self.count_unfrozen(before(first), last),
            false => self.count_named(before(first), last),
        };
        Some(Exclusion {
            first,
            last,
            count,
            why: why.to_owned(),
            is_freeze,
        })
    }

    fn count_unfrozen(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Count {
        let (mut count, mut cursor) = (0, after);
        while let Some(start) = self.unfrozen_after(cursor).filter(|start| *start <= until) {
            count += 1;
            cursor = start;
            if count > COUNTED_MAX {
                return Count::AtLeast(count);
            }
        }
        Count::Exactly(count)
    }

    /// The first instants of an exclusion, at most `max` of them.
    pub fn excluded_instants(&self, of: &Exclusion, max: usize) -> Vec<DateTime<Utc>> {
        let next = |cursor| match of.is_freeze {
            true => self.unfrozen_after(cursor),
            false => self.named_after(cursor),
        };
        std::iter::successors(Some(of.first), |instant| next(*instant))
            .take_while(|instant| *instant <= of.last)
            .take(max)
            .collect()
    }

    /// From where the start at `instant` was moved; none if a pattern names it.
    pub fn moved_from(&self, instant: DateTime<Utc>) -> Option<Moved> {
        let moved = self.stands_for(instant);
        let (nearest, _) = moved.first()?;
        if self.named_until(instant) == Some(instant) {
            return None;
        }
        let (calendar, off) = self.days.off(*nearest)?;
        let why = format!("{}: {off}", calendar.name());
        let days = moved.into_iter().map(|(day, _)| day).collect();
        Some(Moved { days, why })
    }

    /// The days off, the nearest first, and the instants there, that the start at `instant` stands for.
    pub fn stands_for(&self, instant: DateTime<Utc>) -> Vec<(NaiveDate, DateTime<Utc>)> {
        let day = self.zone.local(instant).date();
        if !self.days.moves() || !self.days.is_open(day) {
            return Vec::new();
        }
        let due = |pattern: &&CronPattern| self.fires(&pattern.on_every_day(), instant);
        // The clock may change here and not there, so it is the wall time that is wanted which goes back, not the one shown.
        let due: Vec<(&CronPattern, Vec<NaiveTime>)> = (self.patterns.iter().filter(due))
            .map(|pattern| (pattern, self.wanted_at(pattern, instant)))
            .collect();
        let mut found = Vec::new();
        for source in self.days.sources(day) {
            let named = due
                .iter()
                .filter(|(pattern, _)| pattern.names_day(source))
                .flat_map(|(pattern, times)| times.iter().map(move |time| (*pattern, *time)))
                .flat_map(|(pattern, time)| self.due_for(pattern, source.and_time(time)));
            let named: BTreeSet<DateTime<Utc>> = named.collect();
            found.extend(named.into_iter().map(|instant| (source, instant)));
        }
        found
    }

    /// Every instant that the start at `instant` stands for: those on days off, and its own if a pattern names it.
    pub fn instants_of(&self, instant: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let moved = self.stands_for(instant).into_iter().map(|(_, named)| named);
        let own = self.named_until(instant).filter(|named| *named == instant);
        moved.chain(own).collect()
    }

    /// Where the starts are that stand for `instant`, which a pattern names, whatever the freezes say: there, or on the day
    /// to which it is moved. None if it is excluded, or if the clock skips its time on that day.
    pub fn starts_for(&self, instant: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let day = self.zone.local(instant).date();
        if self.days.is_open(day) {
            return vec![instant];
        }
        let Some(target) = self.days.target(day) else {
            return Vec::new();
        };
        let due = |pattern: &&CronPattern| self.fires(pattern, instant);
        let starts = self.patterns.iter().filter(due).flat_map(|pattern| {
            let daily = pattern.on_every_day();
            let times = self.wanted_at(pattern, instant);
            let starts = times
                .into_iter()
                .flat_map(move |time| self.due_for(&daily, target.and_time(time)));
            starts.collect::<Vec<_>>()
        });
        let starts: BTreeSet<DateTime<Utc>> = starts.collect();
        starts.into_iter().collect()
    }

    /// The calendar and rule that make the day of `instant` a day off; none if it is a working day.
    pub fn day_off(&self, instant: DateTime<Utc>) -> Option<String> {
        let (calendar, off) = self.days.off(self.zone.local(instant).date())?;
        Some(format!("{}: {off}", calendar.name()))
    }

    /// Whether what is due on the day of `instant` is excluded, and not moved either.
    pub fn is_excluded_on(&self, instant: DateTime<Utc>) -> bool {
        let day = self.zone.local(instant).date();
        self.days.why_off(day).is_some()
    }

    /// The freeze that holds at `instant`.
    pub fn frozen_at(&self, instant: DateTime<Utc>) -> Option<&Freeze> {
        self.days.freeze_at(instant)
    }

    fn fires(&self, pattern: &CronPattern, instant: DateTime<Utc>) -> bool {
        pattern.last_until(&self.zone, instant) == Some(instant)
    }

    /// The wall times for which a pattern that would be due at `instant` on any day is due then: what the clock shows, and
    /// what it skipped right before.
    fn wanted_at(&self, pattern: &CronPattern, instant: DateTime<Utc>) -> Vec<NaiveTime> {
        let daily = pattern.on_every_day();
        let shown = self.zone.local(instant);
        let Some(ClockNote::Shifted { wanted } | ClockNote::Merged { wanted }) =
            daily.clock_note(&self.zone, instant)
        else {
            return vec![shown.time()];
        };
        // A clock that never changes shows the times as they are written.
        let plain = Zone::utc();
        let next = |time: &DateTime<Utc>| daily.next_after(&plain, *time);
        std::iter::successors(next(&before(wanted.and_utc())), next)
            .take_while(|time| *time <= shown.and_utc())
            .map(|time| time.time())
            .collect()
    }

    /// The instants at which a pattern is due for this wall time: one; two if the clock shows it twice and the pattern
    /// follows real time; none if the clock skips it for good.
    fn due_for(&self, pattern: &CronPattern, wall: NaiveDateTime) -> Vec<DateTime<Utc>> {
        let first = self.zone.earliest(wall);
        if !self.fires(pattern, first)
            || (!pattern.is_fixed_time() && self.zone.local(first) != wall)
        {
            return Vec::new();
        }
        match pattern.clock_note(&self.zone, first) {
            Some(ClockNote::FirstPass { second }) => vec![first, second],
            _ => vec![first],
        }
    }
}

fn before(instant: DateTime<Utc>) -> DateTime<Utc> {
    instant
        .checked_sub_signed(TimeDelta::seconds(1))
        .unwrap_or(instant)
}

fn plus(day: NaiveDate, days: i64) -> Option<NaiveDate> {
    day.checked_add_signed(TimeDelta::days(days))
}

#[cfg(test)]
mod tests;
