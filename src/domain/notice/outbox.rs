//! What a channel is still to be told, and when: few messages, none lost, none told before its time.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{Digest, GROUPS_MAX, Group, LISTED_MAX, Message, Notice, cut};
use crate::domain::{Timestamp, after};

/// How a channel wants to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tact {
    /// How long it waits for more of the same.
    pub collect: Duration,
    /// Most messages in an hour.
    pub messages_per_hour: u32,
}

/// Shortest wait after a delivery that failed; it doubles each time.
const RETRY_MIN: Duration = Duration::from_secs(5);
/// Longest wait, and the one where another try would help only if somebody mended something.
const RETRY_MAX: Duration = Duration::from_secs(600);
/// A message that could not be delivered for so long is given up.
const GIVE_UP: Duration = Duration::from_secs(86_400);
const HOUR: TimeDelta = TimeDelta::hours(1);

/// What waits for a channel. It is kept in the ledger until it is delivered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outbox {
    /// What is to be told next.
    groups: Vec<Group>,
    /// Notices that found no place in a group.
    left_out: u64,
    /// When the first of these came.
    since: Option<Timestamp>,
    /// A digest that waits.
    digest: Option<Digest>,
    /// What is being delivered, and since when that is tried. It does not change until it is.
    sending: Option<(Message, Timestamp)>,
    /// How often that failed, why the last time, and when it is tried again.
    failures: u32,
    why: String,
    again_at: Option<Timestamp>,
    /// When messages were delivered in the last hour.
    delivered: VecDeque<Timestamp>,
    /// Up to when it was given digests.
    digest_until: Option<Timestamp>,
}

impl Outbox {
    /// Takes in a notice.
    pub fn put(&mut self, now: Timestamp, notice: Notice) {
        self.since.get_or_insert(now);
        let same = |group: &&mut Group| group.topic == notice.topic && group.cause == notice.cause;
        if let Some(group) = self.groups.iter_mut().find(same) {
            group.count += 1;
            if group.notices.len() < LISTED_MAX {
                group.notices.push(notice);
            }
        } else if self.groups.len() < GROUPS_MAX {
            self.groups.push(Group {
                topic: notice.topic,
                cause: notice.cause.clone(),
                count: 1,
                notices: vec![notice],
            });
        } else {
            self.left_out += 1;
        }
    }

    /// Takes in a digest, in place of one that was not delivered.
    pub fn put_digest(&mut self, digest: Digest) {
        self.digest_until = Some(digest.until);
        self.digest = Some(digest);
    }

    /// Up to when digests were made; from now on, if none ever was.
    pub fn digest_until(&mut self, now: Timestamp) -> Timestamp {
        let until = self.digest_until.get_or_insert(now);
        // A clock that was ahead must not keep digests back.
        *until = (*until).min(now);
        *until
    }

    /// When something is to be delivered next; none: when there is something.
    pub fn due(&self, tact: Tact) -> Option<Timestamp> {
        if let Some((_, since)) = &self.sending {
            return Some(self.again_at.unwrap_or(*since));
        }
        if let Some(digest) = &self.digest {
            return Some(digest.until);
        }
        let ready = after(self.since?, tact.collect);
        let count = self.delivered.len();
        let limit = tact.messages_per_hour.max(1) as usize;
        // The one that has to be an hour old before the next may go.
        let free = count
            .checked_sub(limit)
            .and_then(|at| self.delivered.get(at))
            .map(|at| *at + HOUR);
        Some(free.map_or(ready, |free| free.max(ready)))
    }

    /// What is to be delivered now, if its time has come; it is given again until somebody says what came of it.
    pub fn take(&mut self, now: Timestamp, tact: Tact) -> Option<Message> {
        self.set_right(now);
        if self.due(tact).is_none_or(|due| due > now) {
            return None;
        }
        if self.sending.is_none() {
            let message = match self.digest.take() {
                Some(digest) => Message {
                    digest: Some(digest),
                    ..Message::default()
                },
                None => self.message(),
            };
            self.sending = Some((message, now));
        }
        self.sending.as_ref().map(|(message, _)| message.clone())
    }

    fn message(&mut self) -> Message {
        self.since = None;
        let mut groups = std::mem::take(&mut self.groups);
        groups.sort_by_key(|group| (group.topic.is_good(), group.topic));
        Message {
            groups,
            left_out: std::mem::take(&mut self.left_out),
            digest: None,
        }
    }

    /// After a clock was set back nothing may wait for a time that does not come soon.
    fn set_right(&mut self, now: Timestamp) {
        let hour_ago = now.checked_sub_signed(HOUR).unwrap_or(now);
        self.delivered.retain(|at| *at > hour_ago && *at <= now);
        self.since = self.since.map(|since| since.min(now));
        let longest = after(now, RETRY_MAX);
        self.again_at = self.again_at.map(|at| at.min(longest));
        if let Some((_, since)) = &mut self.sending {
            *since = (*since).min(now);
        }
    }

    /// What was being delivered has arrived.
    pub fn delivered(&mut self, now: Timestamp) {
        let is_digest = self
            .sending
            .take()
            .is_some_and(|(message, _)| message.digest.is_some());
        self.failures = 0;
        self.why.clear();
        self.again_at = None;
        if !is_digest {
            self.delivered.push_back(now);
        }
    }

    /// It has not. Gives how many notices were given up, if it was tried for long enough.
    pub fn failed(
        &mut self,
        now: Timestamp,
        why: &str,
        may_pass: bool,
        retry_after: Option<Duration>,
    ) -> Option<u64> {
        let (message, since) = self.sending.as_ref()?;
        self.why = cut(why.to_owned());
        if now >= after(*since, GIVE_UP) {
            let count = message.count();
            self.sending = None;
            self.failures = 0;
            self.again_at = None;
            // Whoever is reached again is told that there was more.
            if count > 0 {
                self.left_out += count;
                self.since.get_or_insert(now);
            }
            return Some(count);
        }
        let doubled = RETRY_MIN.saturating_mul(1 << self.failures.min(10));
        let wait = match may_pass {
            true => doubled.max(retry_after.unwrap_or_default()).min(RETRY_MAX),
            false => RETRY_MAX,
        };
        self.failures += 1;
        self.again_at = Some(after(now, wait));
        None
    }

    /// Somebody may have mended what stood in the way: what failed is tried again at once.
    pub fn try_again(&mut self, now: Timestamp) {
        if self.sending.is_some() {
            self.failures = 0;
            self.again_at = Some(now);
        }
    }

    /// How many notices wait.
    pub fn waiting(&self) -> u64 {
        let groups: u64 = self.groups.iter().map(|group| group.count).sum();
        let sending = self.sending.as_ref();
        groups + self.left_out + sending.map_or(0, |(message, _)| message.count())
    }

    /// Since when it is in vain that something is delivered, and why it did not arrive the last time.
    pub fn trouble(&self) -> Option<(Timestamp, &str)> {
        let (_, since) = self.sending.as_ref().filter(|_| self.failures > 0)?;
        Some((*since, &self.why))
    }

    /// Whether there is nothing that anybody still has to be told.
    pub fn is_empty(&self) -> bool {
        self.sending.is_none() && self.digest.is_none() && self.since.is_none()
    }
}
