//! A fuse against more starts of one entry than its pattern allows: the last thing that stands between a clock that
//! jumps to and fro, or a mistake of ours, and a pipeline that is started every minute.
//!
//! Starts are counted by a clock that cannot be set, in hours since the program began. A fuse never switches an entry
//! off: its ticks wait until the count allows them, or until their deadline.

use std::collections::VecDeque;

/// Hours that are counted together.
pub const HOURS: u64 = 24;

/// How often an entry started in the last hours, under one schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fuse {
    schedule: String,
    /// Hour and how many starts in it, oldest first.
    hours: VecDeque<(u64, u32)>,
}

impl Fuse {
    /// How many starts there were in the [`HOURS`] up to `hour`, under this schedule; one of another schedule owes
    /// nothing to what was counted under the old one.
    pub fn starts(&self, hour: u64, schedule: &str) -> u32 {
        if self.schedule != schedule {
            return 0;
        }
        let recent = self.hours.iter().filter(|(of, _)| of + HOURS > hour);
        recent.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// A tick of the entry is sent for the first time.
    pub fn count(&mut self, hour: u64, schedule: &str) {
        if self.schedule != schedule {
            self.hours.clear();
            schedule.clone_into(&mut self.schedule);
        }
        while self.hours.front().is_some_and(|(of, _)| of + HOURS <= hour) {
            self.hours.pop_front();
        }
        match self.hours.back_mut() {
            Some((of, count)) if *of == hour => *count = count.saturating_add(1),
            Some(_) | None => self.hours.push_back((hour, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_counted_for_a_day_and_for_one_schedule() {
        let mut fuse = Fuse::default();
        assert_eq!(fuse.starts(0, "daily"), 0);
        for hour in [0, 0, 5, 23] {
            fuse.count(hour, "daily");
        }
        assert_eq!(fuse.starts(23, "daily"), 4);
        assert_eq!(fuse.starts(24, "daily"), 2);
        assert_eq!(fuse.starts(29, "daily"), 1);
        assert_eq!(fuse.starts(47, "daily"), 0);
        assert_eq!(fuse.starts(23, "hourly"), 0);
        fuse.count(47, "daily");
        assert_eq!(fuse.hours.len(), 1, "what is too old is forgotten");
        fuse.count(47, "hourly");
        assert_eq!(fuse.starts(47, "hourly"), 1);
        assert_eq!(fuse.starts(47, "daily"), 0);
    }
}
