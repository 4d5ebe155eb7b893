//! The daemon's own recurring chores and clocks that are set.

use anyhow::Result;
use chrono::TimeDelta;
use tokio_cron_scheduler::JobScheduler;
use tracing::warn;

use crate::domain::Timestamp;
use crate::os::timer::set_back;
use crate::os::{Clock, Reading};

/// Does the chores that `start` starts for as long as `daemon` runs, and gives what it ends with. They begin anew when
/// the clock was set back: the scheduler waits for the instant that it chose while the clock was ahead, be it in a year.
pub(super) async fn beside<T>(
    clock: &Clock,
    start: impl AsyncFn() -> Result<JobScheduler>,
    daemon: impl Future<Output = T>,
) -> Result<T> {
    tokio::pin!(daemon);
    let mut chores = start().await?;
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut daemon => break ended,
            () = set_back(clock) => {}
        }
        end(chores).await;
        chores = start().await?;
    };
    // Without this the chores would go on beside the end of the process.
    end(chores).await;
    Ok(ended)
}

async fn end(mut chores: JobScheduler) {
    if let Err(failure) = chores.shutdown().await {
        warn!("the chores did not end: {failure}");
    }
}

/// What the time is for what cannot be undone, such as to forget. A clock that was set ahead since we `began` may be
/// wrong, and would have a year forgotten in its one minute: then it counts how long we have been here.
pub(super) fn no_later_than(clock: &Clock, began: &Reading) -> Timestamp {
    let read = clock.read();
    read.wall - read.step_since(began).max(TimeDelta::zero())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn clock() -> Clock {
        Clock::starting_at("2026-11-24T01:59:59Z".parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_chores_begin_anew_when_the_clock_was_set_back_and_end_with_the_daemon() {
        let (clock, starts) = (clock(), AtomicUsize::new(0));
        let start = async || {
            starts.fetch_add(1, Ordering::Relaxed);
            let scheduler = JobScheduler::new().await?;
            scheduler.start().await?;
            Ok(scheduler)
        };
        let daemon = async {
            for step in [-365, 365, -1] {
                tokio::time::sleep(Duration::from_secs(5)).await;
                clock.step(TimeDelta::days(step));
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
            "over"
        };
        assert_eq!(beside(&clock, start, daemon).await.unwrap(), "over");
        assert_eq!(
            starts.load(Ordering::Relaxed),
            3,
            "at first, and after each step back"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_ahead_is_not_believed_before_that_time_has_passed() {
        let clock = clock();
        let began = clock.read();
        let day = Duration::from_secs(86_400);
        tokio::time::sleep(day).await;
        let honest = clock.now();
        assert_eq!(no_later_than(&clock, &began), honest);
        clock.step(TimeDelta::days(365));
        assert_eq!(no_later_than(&clock, &began), honest);
        clock.step(TimeDelta::days(-400));
        assert_eq!(
            no_later_than(&clock, &began),
            clock.now(),
            "one behind forgets nothing"
        );
        clock.step(TimeDelta::days(400));
        tokio::time::sleep(day).await;
        assert_eq!(no_later_than(&clock, &began), honest + TimeDelta::days(1));
    }
}
