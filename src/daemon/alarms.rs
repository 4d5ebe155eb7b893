//! When each entry is to be looked at next: one instant an entry.

use std::collections::{BTreeSet, HashMap};

use crate::domain::{EntryName, Timestamp};

/// One instant an entry, found by time and by name.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    by_time: BTreeSet<(Timestamp, EntryName)>,
    by_name: HashMap<EntryName, Timestamp>,
}

impl Alarms {
    /// The entry is to be looked at then, or not at all.
    pub(super) fn set(&mut self, entry: &EntryName, at: Option<Timestamp>) {
        if let Some(old) = self.by_name.remove(entry) {
            self.by_time.remove(&(old, entry.clone()));
        }
        if let Some(at) = at {
            self.by_name.insert(entry.clone(), at);
            self.by_time.insert((at, entry.clone()));
        }
    }

    /// The entry is to be looked at no later than then.
    pub(super) fn bring_forward(&mut self, entry: &EntryName, at: Timestamp) {
        if self.by_name.get(entry).is_none_or(|set| at < *set) {
            self.set(entry, Some(at));
        }
    }

    /// The earliest instant.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out the entries whose instant has come, earliest first.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<EntryName> {
        let mut due = Vec::new();
        while self.next().is_some_and(|at| at <= now) {
            if let Some((_, entry)) = self.by_time.pop_first() {
                self.by_name.remove(&entry);
                due.push(entry);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn an_entry_has_one_alarm_and_the_earliest_come_first() {
        let at = |minutes| Timestamp::UNIX_EPOCH + TimeDelta::minutes(minutes);
        let [a, b, c] = ["a", "b", "c"].map(|name| EntryName::parse(name).unwrap());
        let mut alarms = Alarms::default();
        alarms.set(&a, Some(at(5)));
        alarms.set(&b, Some(at(3)));
        alarms.set(&c, Some(at(9)));
        alarms.set(&a, Some(at(7)));
        alarms.bring_forward(&c, at(4));
        alarms.bring_forward(&b, at(8));
        assert_eq!(alarms.next(), Some(at(3)));
        assert_eq!(alarms.take_due(at(6)), [b, c.clone()]);
        alarms.set(&a, None);
        assert_eq!(alarms.next(), None);
        alarms.bring_forward(&c, at(1));
        assert_eq!(alarms.take_due(at(1)), [c]);
    }
}
