//! Whose turn it is when an account has a free place: the higher priority, then the earlier due time. A tick that has
//! waited for half of the time it has goes before all others, so that a low priority is late but not starved.

use std::cmp::Reverse;

use super::{AccountName, EntryName, TickId, Timestamp};

/// A tick that is ready and waits for a place of its account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The tick.
    pub tick: TickId,
    /// Its entry.
    pub entry: EntryName,
    /// Whose place it waits for.
    pub account: AccountName,
    /// Its priority: the higher goes first.
    pub priority: i32,
    /// When it was due.
    pub due: Timestamp,
    /// When it is given up.
    pub deadline: Timestamp,
    /// Whether its row says that it waits for a place. That is written when it finds none, once.
    pub is_told: bool,
}

/// The order of two turns: the smaller goes first.
pub type Rank<'a> = (bool, Reverse<i32>, Timestamp, &'a TickId);

impl Turn {
    /// Where it stands among others at this time; the smallest goes first.
    pub fn rank(&self, now: Timestamp) -> Rank<'_> {
        let half = self.due + (self.deadline - self.due) / 2;
        let is_urgent = now >= half;
        // Among the urgent priority counts no more: that is what starved them.
        let priority = if is_urgent { 0 } else { self.priority };
        (!is_urgent, Reverse(priority), self.due, &self.tick)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn priority_then_due_time_and_nobody_is_starved() {
        let at = |minutes| Timestamp::UNIX_EPOCH + TimeDelta::minutes(minutes);
        let turn = |name: &str, priority, due, deadline| {
            let entry = EntryName::parse(name).unwrap();
            Turn {
                tick: TickId::scheduled(&entry, at(due)),
                entry,
                account: AccountName::parse("main").unwrap(),
                priority,
                due: at(due),
                deadline: at(due + deadline),
                is_told: true,
            }
        };
        let mut turns = [
            turn("late", 0, 10, 360),
            turn("high", 5, 50, 360),
            turn("early", 0, 0, 360),
            turn("low", -3, 0, 360),
            turn("b", 0, 10, 360),
            turn("short", -9, 40, 30),
        ];
        let mut order = |now| {
            turns.sort_by(|a, b| a.rank(at(now)).cmp(&b.rank(at(now))));
            turns.each_ref().map(|turn| turn.entry.as_str().to_owned())
        };
        assert_eq!(order(54), ["high", "early", "b", "late", "low", "short"]);
        // Half of its half hour is over.
        assert_eq!(order(55), ["short", "high", "early", "b", "late", "low"]);
        // Half of everybody's time is over: due times alone count.
        assert_eq!(order(300), ["early", "low", "b", "late", "short", "high"]);
    }
}
