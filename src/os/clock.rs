//! The wall clock; and in tests one that runs on tokio's paused time and is set by hand.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::domain::{Timestamp, after};

/// Readings of the two clocks that lie further apart are taken again: we were stopped between them.
const READING_TAKES: Duration = Duration::from_millis(100);
/// How often they are taken again: a machine that is that busy gets what it got last.
const READINGS_MAX: u32 = 10;

/// The wall clock. In tests it is an instant plus tokio's own (paused) time, so that a day passes in no time, and it can
/// be set as an administrator would set the machine's. Clones are one clock: what is set on one shows on all.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Virtual(Arc<Virtual>),
}

#[derive(Debug)]
struct Virtual {
    epoch: Timestamp,
    started: Instant,
    /// Where the paused time lives: a thread of our own, such as the ledger's, sees the machine's otherwise.
    runtime: Option<tokio::runtime::Handle>,
    /// How far it was set off, told to who sleeps by it.
    offset: watch::Sender<TimeDelta>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that shows `epoch` now and moves with tokio's time.
    pub fn starting_at(epoch: Timestamp) -> Self {
        Self(Source::Virtual(Arc::new(Virtual {
            epoch,
            started: Instant::now(),
            runtime: tokio::runtime::Handle::try_current().ok(),
            offset: watch::Sender::new(TimeDelta::zero()),
        })))
    }

    /// What the clock shows.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => chrono::Utc::now(),
            Source::Virtual(clock) => clock.now(),
        }
    }

    /// What the clock shows, and the running time beside it.
    pub fn read(&self) -> Reading {
        let mut readings_left = READINGS_MAX;
        loop {
            let running = Instant::now();
            let wall = self.now();
            readings_left -= 1;
            if running.elapsed() < READING_TAKES || readings_left == 0 {
                return Reading { wall, running };
            }
        }
    }

    /// Another clock on the same running time, `by` ahead of what this one shows, to be set by itself: the clock of
    /// another machine. Of the machine's clock there is only one, and this gives it again.
    pub fn apart(&self, by: TimeDelta) -> Self {
        let Source::Virtual(clock) = &self.0 else {
            return self.clone();
        };
        let offset = *clock.offset.borrow();
        Self(Source::Virtual(Arc::new(Virtual {
            epoch: clock.epoch,
            started: clock.started,
            runtime: clock.runtime.clone(),
            offset: watch::Sender::new(offset.checked_add(&by).unwrap_or(offset)),
        })))
    }

    /// Sets a virtual clock; who sleeps by it hears of it at once. The machine's is not ours to set: it stays as it is.
    pub fn set(&self, to: Timestamp) {
        self.step(to - self.now());
    }

    /// Sets a virtual clock ahead, or back if `by` is negative; who sleeps by it hears of it at once.
    pub fn step(&self, by: TimeDelta) {
        if let Source::Virtual(clock) = &self.0 {
            clock.offset.send_modify(|offset| add(offset, by));
        }
    }

    /// Steps a virtual clock as where the system tells nobody of it.
    pub fn step_unheard(&self, by: TimeDelta) {
        if let Source::Virtual(clock) = &self.0 {
            clock.offset.send_if_modified(|offset| {
                add(offset, by);
                false
            });
        }
    }

    /// Tells when a virtual clock is set.
    pub(super) fn listen(&self) -> Option<watch::Receiver<TimeDelta>> {
        match &self.0 {
            Source::System => None,
            Source::Virtual(clock) => Some(clock.offset.subscribe()),
        }
    }
}

impl Virtual {
    fn now(&self) -> Timestamp {
        let _within = self.runtime.as_ref().map(tokio::runtime::Handle::enter);
        let unset = after(self.epoch, self.started.elapsed());
        unset
            .checked_add_signed(*self.offset.borrow())
            .unwrap_or(unset)
    }
}

fn add(offset: &mut TimeDelta, by: TimeDelta) {
    *offset = offset.checked_add(&by).unwrap_or(*offset);
}

/// What the clock showed, and the running time beside it, to see later whether the clock was set.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// What the clock showed.
    pub wall: Timestamp,
    running: Instant,
}

impl Reading {
    /// How much further the clock went than time did since `earlier`. It was set by so much; or, when this is positive,
    /// the machine may have slept, for then only the wall clock goes on.
    pub fn step_since(&self, earlier: &Self) -> TimeDelta {
        let passed = self.running.saturating_duration_since(earlier.running);
        (self.wall - earlier.wall) - TimeDelta::from_std(passed).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn clones_are_one_clock_and_one_apart_is_another_on_the_same_time() {
        let clock = Clock::starting_at(at("2026-11-24T02:00:00Z"));
        let (clone, other) = (clock.clone(), clock.apart(TimeDelta::minutes(5)));
        clock.step(TimeDelta::days(-1));
        tokio::time::sleep(HOUR).await;
        other.step(TimeDelta::seconds(1));
        assert_eq!(clone.now(), at("2026-11-23T03:00:00Z"));
        assert_eq!(other.now(), at("2026-11-24T03:05:01Z"));
        let third = clone.apart(TimeDelta::zero());
        clone.set(at("2027-11-24T00:00:00Z"));
        assert_eq!(third.now(), at("2026-11-23T03:00:00Z"));
        tokio::time::sleep(HOUR).await;
        assert_eq!(clock.now(), at("2027-11-24T01:00:00Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_without_a_runtime_sees_what_was_set() {
        let clock = Clock::starting_at(at("2026-11-24T02:00:00Z"));
        tokio::time::sleep(HOUR).await;
        clock.step(TimeDelta::hours(1));
        let there = clock.clone();
        let seen = std::thread::spawn(move || there.now()).join().unwrap();
        assert_eq!(seen, at("2026-11-24T04:00:00Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_tells_a_step_from_time_that_passed() {
        let clock = Clock::starting_at(at("2026-11-24T02:00:00Z"));
        let before = clock.read();
        tokio::time::sleep(HOUR).await;
        assert_eq!(clock.read().step_since(&before), TimeDelta::zero());
        clock.step(TimeDelta::minutes(-30));
        let after = clock.read();
        assert_eq!(after.step_since(&before), TimeDelta::minutes(-30));
        clock.step_unheard(TimeDelta::days(365));
        assert_eq!(clock.read().step_since(&after), TimeDelta::days(365));
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_beyond_all_calendars_is_no_step() {
        let clock = Clock::starting_at(at("2026-11-24T02:00:00Z"));
        clock.step(TimeDelta::MAX);
        clock.step(TimeDelta::MAX);
        assert_eq!(clock.now(), at("2026-11-24T02:00:00Z"));
        clock.step(TimeDelta::MIN);
        clock.step(TimeDelta::hours(1));
        assert_eq!(clock.now(), at("2026-11-24T03:00:00Z"));
    }

    #[test]
    fn the_machines_clock_is_not_ours_to_set() {
        let clock = Clock::system();
        let before = clock.read();
        clock.step(TimeDelta::days(1));
        clock
            .apart(TimeDelta::days(1))
            .step_unheard(TimeDelta::days(1));
        let step = clock.apart(TimeDelta::days(1)).read().step_since(&before);
        assert!(step.abs() < TimeDelta::hours(1), "{step}");
    }
}
