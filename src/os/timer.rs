//! What the loop sleeps on: it ends when the clock shows an instant, and early when somebody sets the clock.
//!
//! The running time that tokio sleeps by knows nothing of the wall clock being set, and stands still while the machine
//! sleeps. So on Linux the kernel is asked as well: a timer on the wall clock, cancelled when that is set, and due or
//! cancelled right after a resume. Elsewhere, or when there is no such timer, the longest sleep is the latest notice.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::watch;

use super::Clock;
use crate::domain::{Timestamp, after};

/// A clock that is set by less than this is adjusted.
const STEP: TimeDelta = TimeDelta::seconds(1);

/// Why a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rang {
    /// It was time.
    OnTime,
    /// The clock was set, during the sleep or since the last one; or the machine woke up.
    ClockSet,
}

/// Sleeps by a clock.
#[derive(Debug)]
pub struct Timer {
    clock: Clock,
    ears: Ears,
}

/// Who tells that the clock was set.
#[derive(Debug)]
enum Ears {
    #[cfg(target_os = "linux")]
    Kernel(linux::WallTimer),
    Virtual(watch::Receiver<TimeDelta>),
    /// Nobody; why.
    Deaf(String),
}

impl Timer {
    /// A timer on `clock`, from within a tokio runtime.
    pub fn new(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            ears: clock.listen().map_or_else(kernel, Ears::Virtual),
        }
    }

    /// Why nobody tells it that the clock was set, if so: it is noticed when a sleep ends, then.
    pub fn deaf(&self) -> Option<&str> {
        match &self.ears {
            #[cfg(target_os = "linux")]
            Ears::Kernel(_) => None,
            Ears::Virtual(_) => None,
            Ears::Deaf(why) => Some(why),
        }
    }

    /// Sleeps until the clock shows `until`, for `longest` at most, and not when the clock was set meanwhile or since
    /// the last sleep. To give a sleep up loses nothing.
    pub async fn sleep(&mut self, until: Option<Timestamp>, longest: Duration) -> Rang {
        let now = self.clock.now();
        let last = after(now, longest);
        let until = until.map_or(last, |until| until.min(last));
        tokio::select! {
            biased;
            rang = self.ears.ring(until) => rang,
            () = tokio::time::sleep((until - now).to_std().unwrap_or_default()) => Rang::OnTime,
        }
    }
}

impl Ears {
    async fn ring(&mut self, until: Timestamp) -> Rang {
        let rang = match self {
            #[cfg(target_os = "linux")]
            Self::Kernel(timer) => timer.ring(until).await.ok(),
            Self::Virtual(set) => set.changed().await.ok().map(|()| Rang::ClockSet),
            Self::Deaf(_) => None,
        };
        match rang {
            Some(rang) => rang,
            // Running time ends the sleep.
            None => std::future::pending().await,
        }
    }
}

/// Waits until the clock is set back. Where nobody tells of it, it takes up to a minute to be seen.
pub async fn set_back(clock: &Clock) {
    let mut timer = Timer::new(clock);
    let mut before = clock.read();
    loop {
        timer.sleep(None, Duration::from_secs(60)).await;
        let now = clock.read();
        if now.step_since(&before) <= -STEP {
            return;
        }
        before = now;
    }
}

#[cfg(target_os = "linux")]
fn kernel() -> Ears {
    match linux::WallTimer::new() {
        Ok(timer) => Ears::Kernel(timer),
        Err(error) => Ears::Deaf(format!("the kernel gives no timer for it: {error}")),
    }
}

#[cfg(not(target_os = "linux"))]
fn kernel() -> Ears {
    Ears::Deaf("this system has no timer for it".to_owned())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::Rang;
    use crate::domain::Timestamp;

    /// The kernel's timer on the wall clock, which is cancelled when the clock is set.
    #[derive(Debug)]
    pub(super) struct WallTimer(AsyncFd<OwnedFd>);

    impl WallTimer {
        #[expect(
            deprecated,
            reason = "what takes its place is unsafe, for handles that may change or close meanwhile: one that is owned does neither"
        )]
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
            AsyncFd::with_interest(timer, Interest::READABLE).map(Self)
        }

        pub(super) async fn ring(&self, until: Timestamp) -> io::Result<Rang> {
            let armed = timerfd_settime(
                self.0.get_ref(),
                TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET,
                &Itimerspec {
                    it_interval: Timespec::default(),
                    it_value: instant(until),
                },
            );
            match armed {
                Ok(_) => {}
                // It was set since the last sleep.
                Err(Errno::CANCELED) => return Ok(Rang::ClockSet),
                Err(error) => return Err(error.into()),
            }
            let read = |timer: &OwnedFd| Ok(rustix::io::read(timer, &mut [0_u8; 8])?);
            match self.0.async_io(Interest::READABLE, read).await {
                Ok(_) => Ok(Rang::OnTime),
                Err(error) if error.raw_os_error() == Some(Errno::CANCELED.raw_os_error()) => {
                    Ok(Rang::ClockSet)
                }
                Err(error) => Err(error),
            }
        }
    }

    /// The kernel knows no instant before 1970, and nothing at all would disarm the timer.
    fn instant(until: Timestamp) -> Timespec {
        let until = until.max(Timestamp::UNIX_EPOCH + chrono::TimeDelta::nanoseconds(1));
        Timespec {
            tv_sec: until.timestamp(),
            tv_nsec: until.timestamp_subsec_nanos().min(999_999_999).into(),
        }
    }
}
