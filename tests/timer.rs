//! What the loop sleeps on, on virtual time and on the machine's own clock.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::time::Duration;

use chrono::TimeDelta;
use pipecron::domain::Timestamp;
use pipecron::os::Clock;
use pipecron::os::timer::{Rang, Timer, set_back};

const HOUR: Duration = Duration::from_secs(3600);

fn clock() -> (Clock, Timestamp) {
    let epoch = "2026-11-24T02:00:00Z".parse().unwrap();
    (Clock::starting_at(epoch), epoch)
}

#[tokio::test(start_paused = true)]
async fn a_sleep_ends_at_its_instant_or_when_it_has_lasted_long_enough() {
    let (clock, epoch) = clock();
    let mut timer = Timer::new(&clock);
    let until = epoch + TimeDelta::seconds(90);
    assert_eq!(timer.sleep(Some(until), HOUR).await, Rang::OnTime);
    assert_eq!(clock.now(), until);
    for until in [Some(epoch + TimeDelta::days(9)), None] {
        let before = clock.now();
        assert_eq!(timer.sleep(until, HOUR).await, Rang::OnTime);
        assert_eq!(clock.now(), before + TimeDelta::hours(1));
    }
    let now = clock.now();
    assert_eq!(timer.sleep(Some(epoch), HOUR).await, Rang::OnTime);
    assert!(clock.now() - now < TimeDelta::seconds(1));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_ends_a_sleep_at_once_and_one_set_before_it_too() {
    let (clock, epoch) = clock();
    let mut timer = Timer::new(&clock);
    let setter = clock.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(10)).await;
        setter.step(TimeDelta::days(-1));
    });
    let until = epoch + TimeDelta::minutes(1);
    assert_eq!(timer.sleep(Some(until), HOUR).await, Rang::ClockSet);
    let woken = epoch - TimeDelta::days(1) + TimeDelta::seconds(10);
    assert_eq!(clock.now(), woken);
    clock.step(TimeDelta::seconds(1));
    clock.step(TimeDelta::seconds(-1));
    assert_eq!(timer.sleep(None, HOUR).await, Rang::ClockSet);
    assert_eq!(clock.now(), woken, "set while nobody slept");
    clock.step_unheard(TimeDelta::days(1));
    assert_eq!(timer.sleep(Some(woken), HOUR).await, Rang::OnTime);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_clock_to_be_set_back_hears_of_nothing_else() {
    for is_told in [true, false] {
        let (clock, _) = clock();
        let waiting = clock.clone();
        let waits = tokio::spawn(async move { set_back(&waiting).await });
        for step in [TimeDelta::hours(2), TimeDelta::milliseconds(-999)] {
            clock.step(step);
            tokio::time::sleep(HOUR).await;
            assert!(!waits.is_finished());
        }
        let step = TimeDelta::milliseconds(-1001);
        let soon = if is_told {
            clock.step(step);
            Duration::from_millis(1)
        } else {
            clock.step_unheard(step);
            Duration::from_secs(61)
        };
        tokio::time::sleep(soon).await;
        assert!(waits.is_finished());
    }
}

/// On the machine's own clock: what the kernel tells of its being set.
#[cfg(target_os = "linux")]
mod machine {
    use std::io::Write;

    use rustix::io::Errno;
    use rustix::time::{ClockId, clock_gettime, clock_settime};

    use super::*;

    /// Sets the machine's clock to what it shows, give or take the microsecond that this takes: nobody is disturbed.
    fn set_to_itself() -> Result<(), Errno> {
        let mut now = clock_gettime(ClockId::Realtime);
        // A little ahead, so that it rather jumps ahead than back.
        now.tv_nsec = (now.tv_nsec + 1_000).min(999_999_999);
        clock_settime(ClockId::Realtime, now)
    }

    // One test and no more: each would be woken by what another sets.
    #[tokio::test]
    async fn the_kernel_ends_a_sleep_when_the_machines_clock_is_set() {
        let clock = Clock::system();
        let mut timer = Timer::new(&clock);
        assert_eq!(timer.deaf(), None);
        let until = clock.now() + TimeDelta::milliseconds(20);
        // Somebody else may set it meanwhile.
        while timer.sleep(Some(until), HOUR).await == Rang::ClockSet {}
        assert!(clock.now() >= until);

        if let Err(error) = set_to_itself() {
            // Not by a macro: the harness would keep it to itself.
            let why = format!(
                "SKIPPED: this machine's clock cannot be set ({error}); run the tests as root to see that a sleep ends then\n"
            );
            return std::io::stderr().write_all(why.as_bytes()).unwrap();
        }
        assert_eq!(
            timer.sleep(None, Duration::from_secs(60)).await,
            Rang::ClockSet,
            "set while nobody slept"
        );
        let mut setting = tokio::time::interval(Duration::from_millis(5));
        for _ in 0..3 {
            let sleep = timer.sleep(None, Duration::from_secs(60));
            tokio::pin!(sleep);
            let rang = loop {
                tokio::select! {
                    biased;
                    rang = &mut sleep => break rang,
                    _ = setting.tick() => set_to_itself().unwrap(),
                }
            };
            assert_eq!(rang, Rang::ClockSet);
        }
    }
}
