//! The daemon is killed at random moments under load, while the service fails in every way it knows.

#![expect(
    clippy::print_stdout,
    reason = "the seed and the figures are said where the test's output goes"
)]

use std::time::Duration;

use rustix::process::Signal;

use super::runs::one_run_each_and_in_the_log;
use super::{Place, beside_a_sandbox, try_request};

/// What goes wrong. All delays together stay below the five looks of a doubt, or even once could not be promised.
const FAULTS: [&str; 15] = [
    "lost=reset,chance=0.2",
    "lost=cut,chance=0.03",
    "unlisted=1s,chance=0.2",
    "late=800ms,chance=0.1",
    "slow=700ms,chance=0.1",
    "queued=1s,chance=0.05",
    "dropped=reset,on=run+list+detail,chance=0.04",
    "status=503,on=run+list+detail,chance=0.04",
    "status=502,started=yes,chance=0.02",
    "throttle,retry-after=1,on=run+list+detail,chance=0.03",
    "truncated,on=run+list+detail,chance=0.02",
    "not-json,on=run+list+detail,chance=0.02",
    "no-run-id,chance=0.02",
    "empty,chance=0.02",
    "reset-connection,chance=0.05",
];

/// A number that the tester may choose.
#[expect(
    clippy::disallowed_methods,
    reason = "how a test runs is said by the tester's environment"
)]
fn chosen(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Random numbers that a seed fixes (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn millis_below(&mut self, bound: u64) -> Duration {
        Duration::from_micros(self.below(bound * 1_000))
    }
}

/// Twice as many entries; the new ones are not followed, so that what is written down of their runs is final at once. And
/// none is given up before the service is well again.
fn under_load(place: &Place) {
    let yaml = std::fs::read_to_string(place.path("pipecron.yaml")).unwrap();
    let (accounts, entries) = yaml.split_once("schedules:\n").unwrap();
    let patience = "retry: { max_attempts: 100, initial_backoff: 1s, max_backoff: 2s }";
    let not_followed = entries
        .replace("  e", "  n")
        .replace("e5460d1d", "f5460d1d")
        .replace("    catch_up", "    follow: false\n    catch_up");
    place.write(&format!(
        "{accounts}defaults: {{ {patience} }}\nschedules:\n{entries}{not_followed}"
    ));
}

/// `KILLS=100 SEED=7 cargo test --test process killed -- --nocapture` for a long run and its figures. The seed fixes what
/// the test and the sandbox draw; when what happens is the machine's.
#[test]
fn killed_again_and_again_each_tick_has_one_run() {
    let kills = chosen("KILLS").unwrap_or(5);
    // Below 2^53, so that no tool rounds it.
    let seed = chosen("SEED").unwrap_or_else(|| getrandom::u64().unwrap() >> 11);
    println!("SEED={seed} KILLS={kills}");
    let mut dice = Dice(seed);
    let place = Place::new();
    let text = seed.to_string();
    let mut arguments = vec!["--seed", text.as_str()];
    arguments.extend(FAULTS.iter().flat_map(|fault| ["--fault", fault]));
    let (_sandbox, url) = beside_a_sandbox(&place, &arguments);
    under_load(&place);
    let mut log = String::new();
    for _ in 0..kills {
        let mut daemon = place.daemon(&[]);
        if dice.below(4) == 0 {
            // While it starts.
            daemon.hears(dice.millis_below(150));
        } else {
            // After sending, before the answer, after it, in the middle of looks.
            daemon.says(&["tick="]);
            daemon.hears(dice.millis_below(1_500));
        }
        daemon.signal(Signal::KILL);
        log.push_str(&daemon.ends().1);
        log.push('\n');
    }
    let mut daemon = place.daemon(&[]);
    daemon.says(&["run_id="]);
    // The rule that resets connections resets ours as well.
    while try_request("DELETE", &format!("{url}/sandbox/faults")).is_err() {}
    let (ticks, runs) = one_run_each_and_in_the_log(&place, &url, daemon, &log);
    println!(
        "{kills} kills: {ticks} ticks, {runs} runs, none twice, each in the ledger and in the log"
    );
}
