//! Times and lengths as people read them.

use chrono::TimeDelta;

use crate::daemon::night::Class;
use crate::domain::zone::Zone;
use crate::domain::{TickState, Timestamp, rfc3339};
use crate::ledger::Glance;

/// `47 s`, `23 min`, `2 h 05 min`, `3 d 4 h`.
pub(super) fn length(length: TimeDelta) -> String {
    let secs = length.num_seconds().max(0);
    let (minutes, hours, days) = (secs / 60, secs / 3600, secs / 86_400);
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{minutes} min"),
        3600..86_400 => format!("{hours} h {:02} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// An instant in UTC and on the clock of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct When {
    /// RFC 3339, for programs.
    pub(super) utc: String,
    /// `Wed 25 Nov 02:00`, and the seconds if there are any.
    pub(super) local: String,
    /// The zone's name.
    pub(super) zone: String,
}

impl When {
    /// As the clock of this zone shows it; of UTC, if there is none.
    pub(super) fn new(at: Timestamp, zone: Option<&Zone>) -> Self {
        let local = zone.map_or_else(|| at.naive_utc(), |zone| zone.local(at));
        let format = match local.format("%S").to_string().as_str() {
            "00" => "%a %-d %b %H:%M",
            _ => "%a %-d %b %H:%M:%S",
        };
        Self {
            utc: rfc3339(at),
            local: local.format(format).to_string(),
            zone: zone.map_or("UTC", Zone::name).to_owned(),
        }
    }
}

/// How a tick stands, in a few words.
pub(super) fn state(glance: &Glance) -> String {
    match glance.state {
        TickState::Waiting { .. } => "waiting".to_owned(),
        TickState::Sent { .. } => "sent, not answered yet".to_owned(),
        TickState::Doubtful { .. } => "in doubt: its run is looked for".to_owned(),
        TickState::Running { .. } => match glance.run.as_ref() {
            Some(run) if run.overdue => "running, overdue".to_owned(),
            Some(_) | None => "running".to_owned(),
        },
        TickState::Ended { reason, .. } => {
            let words = reason.name().replace('_', " ");
            match Class::of(glance) {
                Class::NotStarted => format!("not started: {words}"),
                Class::Good
                | Class::Running
                | Class::Waiting
                | Class::Doubtful
                | Class::Failed
                | Class::Canceled
                | Class::LeftOut => words,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_at_a_glance() {
        for (secs, words) in [
            (-5, "0 s"),
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h 00 min"),
            (7500, "2 h 05 min"),
            (86_399, "23 h 59 min"),
            (86_400, "1 d 0 h"),
            (1_000_000, "11 d 13 h"),
        ] {
            assert_eq!(length(TimeDelta::seconds(secs)), words);
        }
    }

    #[test]
    fn an_instant_is_told_by_the_clock_of_its_zone() {
        let at = "2026-11-24T18:00:00Z".parse().unwrap();
        let when = When::new(at, None);
        assert_eq!(
            (when.utc.as_str(), when.local.as_str(), when.zone.as_str()),
            ("2026-11-24T18:00:00Z", "Tue 24 Nov 18:00", "UTC")
        );
        let zone = Zone::new("Asia/Shanghai", 8 * 3600, Vec::new());
        let when = When::new(at + TimeDelta::seconds(7), Some(&zone));
        assert_eq!(when.local, "Wed 25 Nov 02:00:07");
        assert_eq!(when.zone, "Asia/Shanghai");
    }
}
