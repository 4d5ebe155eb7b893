//! An account's standing, answer by answer.

use super::*;

const WELL: Heard = Heard::Well { is_start: true };
const LOOKED_WELL: Heard = Heard::Well { is_start: false };

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn rests(seconds: u64) -> Option<PaceNews> {
    Some(PaceNews::Rests(Duration::from_secs(seconds)))
}

fn proven() -> Pace {
    let mut pace = Pace::default();
    let now = at("2026-11-25T00:00:00Z");
    pace.sent(now);
    pace.answered(now, now, WELL);
    pace
}

#[test]
fn an_account_whose_credentials_are_refused_sends_one_probe_then_rests_longer_each_time() {
    let now = at("2026-11-25T02:00:00Z");
    let mut pace = Pace::default();
    let refused = Heard::Unauthorized;
    assert_eq!(
        pace.answered(now, now, refused),
        None,
        "renewed credentials are tried at once"
    );
    for _ in 0..63 {
        let left_together = now - TimeDelta::milliseconds(5);
        assert_eq!(
            pace.answered(now, left_together, refused),
            None,
            "a burst is one failure"
        );
    }
    assert_eq!(pace.admit(now), Admit::Go);
    pace.sent(now);
    assert_eq!(pace.admit(now), Admit::AfterAnswer);
    assert_eq!(pace.answered(now, now, refused), rests(60));
    assert_eq!(
        pace.admit(now),
        Admit::RestUntil(after(now, Duration::from_secs(60)))
    );
    let later = after(now, Duration::from_secs(60));
    assert_eq!(pace.admit(later), Admit::Go);
    pace.sent(later);
    assert_eq!(pace.answered(later, later, refused), rests(120));
    let earlier = at("2025-01-01T00:00:00Z");
    assert_eq!(
        pace.admit(earlier),
        Admit::Go,
        "a clock set back must not make it rest for years"
    );
    pace.sent(later);
    assert_eq!(pace.answered(later, later, Heard::Outage), None);
    assert_eq!(
        pace.admit(after(later, Duration::from_secs(121))),
        Admit::Go,
        "a lost probe lets another one try"
    );
    pace.sent(later);
    assert_eq!(pace.answered(later, later, WELL), None);
    assert_eq!(pace, proven());
}

#[test]
fn an_answer_that_left_before_the_failure_does_not_end_the_rest() {
    let (sent, now) = (at("2026-11-25T02:00:00Z"), at("2026-11-25T02:00:01Z"));
    let mut pace = Pace::default();
    let throttled = Heard::Throttled(Some(Duration::from_secs(60)));
    pace.answered(now, sent, throttled);
    pace.answered(now, sent, WELL);
    assert_eq!(
        pace.admit(now),
        Admit::RestUntil(after(now, Duration::from_secs(60)))
    );
}

#[test]
fn a_clock_set_back_while_a_probe_is_under_way_leaves_nobody_waiting_for_it() {
    let mut pace = Pace::default();
    let refused = Heard::Unauthorized;
    for now in ["2026-11-25T04:00:00Z", "2026-11-25T04:00:01Z"] {
        pace.sent(at(now));
        pace.answered(at(now), at(now), refused);
    }
    for probe in ["2026-11-25T02:00:05Z", "2026-11-25T02:05:00Z"] {
        let probe = at(probe);
        assert_eq!(pace.admit(probe), Admit::Go);
        pace.sent(probe);
        assert!(
            pace.answered(probe, probe, refused).is_some(),
            "the probe's failure counts"
        );
    }
    assert_eq!(pace.admit(at("2026-11-25T03:00:00Z")), Admit::Go);
    pace.sent(at("2026-11-25T03:00:00Z"));
    assert_eq!(pace.admit(at("2026-11-25T03:01:00Z")), Admit::AfterAnswer);
    assert_eq!(
        pace.admit(at("2026-11-25T03:20:00Z")),
        Admit::Go,
        "a probe that is lost is not awaited for ever"
    );
}

#[test]
fn a_throttled_account_rests_as_long_as_the_service_says() {
    let now = at("2026-11-25T02:00:00Z");
    let mut pace = Pace::default();
    let mut throttled = Heard::Throttled(None);
    assert_eq!(pace.answered(now, now, throttled), rests(3));
    throttled = Heard::Throttled(Some(Duration::from_secs(1800)));
    assert_eq!(pace.answered(now, now, throttled), rests(1800));
    assert_eq!(
        pace.admit(now),
        Admit::RestUntil(after(now, Duration::from_secs(1800)))
    );
    throttled = Heard::Throttled(Some(Duration::from_secs(86_400)));
    assert_eq!(
        pace.answered(now, now, throttled),
        rests(3600),
        "a rest has a limit"
    );
}

#[test]
fn a_key_that_was_never_accepted_is_tried_with_one_request() {
    let now = at("2026-11-25T02:00:00Z");
    let mut pace = Pace::default();
    assert_eq!(pace.admit(now), Admit::Go);
    pace.sent(now);
    assert_eq!(pace.admit(now), Admit::AfterAnswer);
    assert_eq!(pace.answered(now, now, Heard::Outage), None);
    assert_eq!(pace.admit(now), Admit::Go, "it says nothing about the key");
    pace.sent(now);
    pace.answered(now, now, WELL);
    for _ in 0..64 {
        assert_eq!(pace.admit(now), Admit::Go);
        pace.sent(now);
    }
    pace.prove_again();
    assert_eq!(pace.admit(now), Admit::Go, "the one after a reload");
    pace.sent(now);
    assert_eq!(pace.admit(now), Admit::AfterAnswer);
}

#[test]
fn the_breaker_opens_once_lets_looks_probe_and_releases_gently() {
    let mut now = at("2026-11-25T02:00:00Z");
    let mut pace = proven();
    for _ in 0..64 {
        pace.sent(now);
    }
    let news: Vec<_> = (0..64)
        .filter_map(|_| pace.answered(now, now, Heard::Outage))
        .collect();
    let opened = PaceNews::BreakerOpened(Duration::from_secs(15));
    assert_eq!(news, [opened], "one alarm for a burst");
    for seconds in [15, 30, 60, 120, 120] {
        let until = after(now, Duration::from_secs(seconds));
        assert_eq!(pace.admit(now), Admit::RestUntil(until));
        now = until;
        assert_eq!(pace.admit(now), Admit::LookFirst);
        pace.sent(now);
        assert_eq!(pace.admit(now), Admit::AfterAnswer, "one probe at a time");
        assert_eq!(pace.answered(now, now, Heard::Outage), None);
    }
    now = after(now, Duration::from_secs(120));
    pace.sent(now);
    let shut = Some(PaceNews::BreakerShut);
    assert_eq!(pace.answered(now, now, LOOKED_WELL), shut);
    for most in [1, 2, 4, 8, 16, 32] {
        for _ in 0..most {
            assert_eq!(pace.admit(now), Admit::Go, "{most} at once");
            pace.sent(now);
        }
        assert_eq!(pace.admit(now), Admit::AfterAnswer, "{most} at once");
        for _ in 0..most {
            assert_eq!(pace.answered(now, now, WELL), None);
        }
    }
    for _ in 0..100 {
        assert_eq!(pace.admit(now), Admit::Go);
        pace.sent(now);
    }
}

#[test]
fn a_service_that_shows_runs_and_starts_none_opens_the_breaker_again_for_longer() {
    let mut now = at("2026-11-25T02:00:00Z");
    let mut pace = proven();
    for rest in [15, 30, 60] {
        let mut news = None;
        while news.is_none() {
            pace.sent(now);
            news = pace.answered(now, now, Heard::Outage);
        }
        let opened = PaceNews::BreakerOpened(Duration::from_secs(rest));
        assert_eq!(news, Some(opened));
        now = after(now, Duration::from_secs(rest));
        pace.sent(now);
        pace.answered(now, now, LOOKED_WELL);
    }
}

#[test]
fn failures_with_something_that_works_in_between_open_nothing() {
    let now = at("2026-11-25T02:00:00Z");
    let mut pace = proven();
    for _ in 0..100 {
        for heard in [
            Heard::Outage,
            Heard::Outage,
            Heard::Outage,
            Heard::Outage,
            WELL,
        ] {
            pace.sent(now);
            assert_eq!(pace.answered(now, now, heard), None);
            assert_eq!(pace.admit(now), Admit::Go);
        }
    }
}

#[test]
fn what_stayed_here_says_nothing_about_the_service() {
    let now = at("2026-11-25T02:00:00Z");
    let mut pace = proven();
    for _ in 0..20 {
        pace.sent(now);
    }
    let throttled = Heard::Throttled(None);
    assert_eq!(pace.answered(now, now, throttled), rests(3));
    for _ in 0..19 {
        assert_eq!(pace.answered(now, now, Heard::Nothing), None);
    }
    assert_eq!(pace.admit(now + TimeDelta::seconds(3)), Admit::Go);
    // Five in a row, far apart: a secret of one entry that cannot be read.
    let mut pace = proven();
    for minute in 1..=5 {
        let now = now + TimeDelta::minutes(minute);
        pace.sent(now);
        assert_eq!(pace.answered(now, now, Heard::Nothing), None);
    }
    assert_eq!((pace.admit(now), pace.is_broken()), (Admit::Go, false));
}

#[test]
fn a_probe_that_stayed_here_lets_the_next_one_go() {
    let now = at("2026-11-25T02:00:00Z");
    let mut pace = Pace::default();
    pace.sent(now);
    assert_eq!(pace.admit(now), Admit::AfterAnswer);
    pace.answered(now, now, Heard::Nothing);
    assert_eq!(pace.admit(now), Admit::Go, "nobody is waited for");
    pace.sent(now);
    assert_eq!(pace.admit(now), Admit::AfterAnswer, "it is unproven still");
    // While the breaker is open the next look would be asked for at once, and again, and again.
    let mut pace = proven();
    for _ in 0..5 {
        pace.sent(now);
        pace.answered(now, now, Heard::Outage);
    }
    let probed_at = now + TimeDelta::seconds(15);
    assert_eq!(pace.admit(probed_at), Admit::LookFirst);
    pace.sent(probed_at);
    pace.answered(probed_at, probed_at, Heard::Nothing);
    let until = probed_at + TimeDelta::seconds(15);
    assert_eq!(pace.admit(probed_at), Admit::RestUntil(until));
    assert_eq!(pace.admit(until), Admit::LookFirst);
}
