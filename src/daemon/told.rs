//! The time that decisions go by: this machine's, or the ledger's if several machines share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::TimeDelta;

use crate::domain::Timestamp;
use crate::os::Clock;

/// Our clock, and how far the ledger's is ahead of it. Copies share what they learn.
#[derive(Debug, Clone)]
pub(super) struct Told {
    clock: Clock,
    /// In microseconds; none if nobody but us goes by the ledger.
    ahead: Option<Arc<AtomicI64>>,
}

impl Told {
    pub(super) fn new(clock: Clock, is_shared: bool) -> Self {
        Self {
            clock,
            ahead: is_shared.then(Arc::default),
        }
    }

    /// The ledger's clock shows `now`.
    pub(super) fn ledger_shows(&self, now: Timestamp) {
        if let Some(ahead) = &self.ahead {
            let by = (now - self.clock.now()).num_microseconds();
            ahead.store(by.unwrap_or_default(), Ordering::Relaxed);
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        let now = self.clock.now();
        now.checked_add_signed(self.by()).unwrap_or(now)
    }

    /// What our own clock shows when it is `at` for decisions.
    pub(super) fn here(&self, at: Timestamp) -> Timestamp {
        at.checked_sub_signed(self.by()).unwrap_or(at)
    }

    fn by(&self) -> TimeDelta {
        let ahead = self.ahead.as_ref();
        TimeDelta::microseconds(ahead.map_or(0, |ahead| ahead.load(Ordering::Relaxed)))
    }
}
