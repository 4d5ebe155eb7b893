//! Whatever an account goes through, and whatever becomes of the clock, it is never left waiting for ever.

use std::time::Duration;

use chrono::TimeDelta;
use pipecron::domain::pace::{Admit, Heard, Pace, PaceNews, REST_MAX};
use pipecron::domain::{Timestamp, after};
use proptest::prelude::*;

/// What happens to an account.
#[derive(Debug, Clone)]
enum Event {
    /// Time passes.
    Passes(Duration),
    /// The clock is set, by so many seconds.
    Set(i64),
    /// Some starts want to leave, and where none may a look; those that may do.
    Send(usize),
    /// One of those under way is answered.
    Answered(prop::sample::Index, Heard),
    /// Its credentials change.
    Renewed,
}

/// Seconds of every size.
fn seconds() -> impl Strategy<Value = u64> {
    prop_oneof![0..5_u64, 0..120_u64, 0..7_200_u64, 0..100_000_000_u64]
}

fn heard() -> impl Strategy<Value = Heard> {
    let wait = prop::option::of(seconds().prop_map(Duration::from_secs));
    prop_oneof![
        1 => any::<bool>().prop_map(|is_start| Heard::Well { is_start }),
        1 => wait.prop_map(Heard::Throttled),
        1 => Just(Heard::Unauthorized),
        2 => Just(Heard::Outage),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let passes = (0..4_000_000_u64).prop_map(|millis| Event::Passes(Duration::from_millis(millis)));
    let set = (seconds(), any::<bool>()).prop_map(|(seconds, ahead)| {
        let seconds = i64::try_from(seconds).unwrap_or_default();
        Event::Set(if ahead { seconds } else { -seconds })
    });
    let answered = (any::<prop::sample::Index>(), heard())
        .prop_map(|(which, heard)| Event::Answered(which, heard));
    prop_oneof![
        4 => passes,
        2 => set,
        6 => (1..8_usize).prop_map(Event::Send),
        8 => answered,
        1 => Just(Event::Renewed),
    ]
}

/// An account, its clock, and when each request left that is under way.
struct World {
    now: Timestamp,
    pace: Pace,
    under_way: Vec<Timestamp>,
}

impl World {
    fn new() -> Self {
        Self {
            now: Timestamp::UNIX_EPOCH + TimeDelta::days(20_000),
            pace: Pace::default(),
            under_way: Vec::new(),
        }
    }

    fn hears(&mut self, which: usize, heard: Heard) {
        let sent_at = self.under_way.swap_remove(which);
        match self.pace.answered(self.now, sent_at, heard) {
            Some(PaceNews::Rests(rest) | PaceNews::BreakerOpened(rest)) => {
                assert!(rest <= REST_MAX, "rests for {rest:?}");
            }
            Some(PaceNews::BreakerShut) | None => {}
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Passes(time) => self.now = after(self.now, time),
            Event::Set(seconds) => self.now += TimeDelta::seconds(seconds),
            Event::Send(wanted) => {
                for _ in 0..wanted {
                    match self.pace.admit(self.now) {
                        Admit::Go | Admit::LookFirst => {
                            self.pace.sent(self.now);
                            self.under_way.push(self.now);
                        }
                        Admit::RestUntil(_) | Admit::AfterAnswer => {}
                    }
                }
            }
            Event::Answered(which, heard) => {
                if !self.under_way.is_empty() {
                    self.hears(which.index(self.under_way.len()), heard);
                }
            }
            Event::Renewed => self.pace.prove_again(),
        }
    }

    /// How long a request has to wait from now on, if the clock is left alone and nothing is under way.
    fn wait(&self) -> TimeDelta {
        let mut at = self.now;
        loop {
            match self.pace.admit(at) {
                Admit::Go | Admit::LookFirst => return at - self.now,
                Admit::RestUntil(until) => {
                    assert!(until > at, "a rest that is over: {until} at {at}");
                    at = until;
                }
                Admit::AfterAnswer => at += TimeDelta::seconds(10),
            }
            let waited = at - self.now;
            assert!(
                waited < TimeDelta::days(1),
                "waits for ever: {:?}",
                self.pace
            );
        }
    }

    fn waits_no_longer_than_any_rest(&self) -> bool {
        self.wait() <= TimeDelta::from_std(REST_MAX).unwrap_or_default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn with_nothing_under_way_a_request_may_leave_within_the_longest_rest(
        events in prop::collection::vec(event(), 1..60),
        last in prop::collection::vec(heard(), 500),
    ) {
        let mut world = World::new();
        for event in events {
            world.happens(event);
            if world.under_way.is_empty() {
                prop_assert!(world.waits_no_longer_than_any_rest(), "{:?}", world.pace);
            }
        }
        for heard in last {
            if world.under_way.is_empty() {
                break;
            }
            world.hears(0, heard);
        }
        prop_assert!(world.under_way.is_empty());
        prop_assert!(world.waits_no_longer_than_any_rest(), "{:?}", world.pace);

        // And when all goes well from there on, nothing is held against it any more.
        // One more at once for each that goes well.
        for _ in 0..70 {
            world.now += world.wait();
            let is_start = world.pace.admit(world.now) == Admit::Go;
            world.happens(Event::Send(1));
            prop_assert_eq!(world.under_way.len(), 1, "{:?}", world.pace);
            world.hears(0, Heard::Well { is_start });
        }
        world.happens(Event::Send(200));
        prop_assert_eq!(world.under_way.len(), 200, "{:?}", world.pace);
    }
}
