//! Worlds in which everything breaks, on virtual time.
//!
//! A seed is a world: entries and accounts; one to three daemons on one ledger; a service that loses answers, starts runs
//! late, lists them late, refuses, throttles, goes away and forgets, at which other people start runs as well; clocks
//! that jump by seconds, hours and a year; a ledger that is slow and fails; backups put back; daemons that die between
//! any two steps and come back; reloads. The real loop, the real decisions and the real rules of the ledger run in it;
//! only the service, the disk and the clocks are ours.
//!
//! *Safety* is checked at every commit and at every request: a tick has one run at most (P1, P4); nothing is sent before
//! its instant (P2) or before it is written down (P3); a pipeline whose entries do not allow overlap has one run of ours
//! at most (P6); no account has more places taken than it has. One world in 24 lasts for days, and its entries keep to a
//! calendar that changes at reloads: no instant of a pattern runs under two days, none that is marked to be skipped runs,
//! and nothing starts on a day off. *Liveness* is checked after the faults stop: every
//! tick ends or its run goes on (P5), every run is known to the ledger (P10), and in the hours that follow no due time
//! of any entry is silently passed over (P12).
//!
//! # How to run it
//!
//! `cargo test --test simulate` tries [`WORLDS`] worlds; the first seed is printed. `SEED=n cargo test --test simulate
//! worlds` replays one and prints its story when it fails; `WORLDS=n` tries more of them, `FIRST=n` others. Seeds that failed once are kept
//! in [`KEPT`].
//!
//! # Does it have teeth?
//!
//! [`Mistake`] names mistakes that a daemon could make, each planted from outside: what the core decided is spoilt on its
//! way into the ledger, or what the ledger or the service says on its way back. `every_planted_mistake_is_caught` tries
//! worlds until each is caught, and fails if one is not. `MISTAKE=resend_at_once SEED=n cargo test --test simulate worlds`
//! shows how.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a test says what is wrong by failing"
)]

mod calendars;
mod checks;
mod dice;
mod ledger;
mod mistakes;
mod nodes;
mod service;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use mistakes::Mistake;
use world::{Story, World};

/// How many worlds an ordinary run tries.
const WORLDS: u64 = 2_000;
/// Worlds that failed once, and must not again.
const KEPT: &[u64] = &[20_781_000_626, 20_781_000_096, 90_002_383, 90_002_808];
/// After so many worlds a mistake counts as not caught.
const CATCH_WITHIN: u64 = 600;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// Runs one world in a runtime of its own.
fn run(seed: u64, mistake: Option<Mistake>) -> Result<Story, Story> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async move { World::of(seed, mistake).run().await })
}

/// Runs worlds on all cores until one fails; gives the failed ones, and what was seen in all.
fn try_worlds(seeds: &[u64], mistake: Option<Mistake>) -> (Vec<Story>, world::Counts) {
    let next = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    let seen = Mutex::new(world::Counts::default());
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst) as usize;
                    let Some(seed) = seeds.get(at) else {
                        return;
                    };
                    if !failed.lock().unwrap().is_empty() {
                        return;
                    }
                    match run(*seed, mistake) {
                        Ok(story) => seen.lock().unwrap().add(&story.counts),
                        Err(story) => failed.lock().unwrap().push(story),
                    }
                }
            });
        }
    });
    (failed.into_inner().unwrap(), seen.into_inner().unwrap())
}

#[test]
fn worlds() {
    let mistake = std::env::var("MISTAKE")
        .ok()
        .map(|name| Mistake::named(&name));
    let seeds: Vec<u64> = match number("SEED") {
        Some(seed) => vec![seed],
        None => {
            // Another part of all worlds each day, and the same one all day.
            let day = chrono::Utc::now().timestamp() / 86_400;
            let first = number("FIRST").unwrap_or_else(|| day.unsigned_abs() * 1_000_000);
            let count = number("WORLDS").unwrap_or(WORLDS);
            println!(
                "{count} worlds from SEED={first} on, and {} kept",
                KEPT.len()
            );
            // Worlds of calendars last for days and take as long as all others together: an ordinary run tries half of them.
            let half = 2 * calendars::ONE_IN;
            let is_taken = |seed: &u64| {
                number("WORLDS").is_some()
                    || !seed.is_multiple_of(calendars::ONE_IN)
                    || seed.is_multiple_of(half)
            };
            let taken = (first..).filter(is_taken).take(count as usize);
            KEPT.iter().copied().chain(taken).collect()
        }
    };
    let begun = Instant::now();
    let (failed, counts) = try_worlds(&seeds, mistake);
    if let Some(story) = failed.first() {
        let shown = story.tell();
        panic!(
            "SEED={} failed: {}\n{shown}\nreplay it with SEED={} cargo test --test simulate worlds",
            story.seed, story.failure, story.seed
        );
    }
    println!(
        "{} worlds in {:.1} s: {counts}",
        seeds.len(),
        begun.elapsed().as_secs_f64()
    );
    if seeds.len() > 100 {
        counts.assert_everything_happened();
    }
}

#[test]
fn a_seed_is_one_world() {
    for seed in [1, 2, 3] {
        let [first, second] = [(); 2].map(|()| run(seed, None).map(|story| story.tell()));
        assert!(first.is_ok_and(|first| Some(first) == second.ok()));
    }
}

#[test]
fn every_planted_mistake_is_caught() {
    for mistake in Mistake::ALL {
        // Worlds that last for days take long under a daemon that never rests.
        let of_calendars = |seed: &u64| seed.is_multiple_of(calendars::ONE_IN);
        let fits = |seed: &u64| of_calendars(seed) == mistake.is_of_calendars();
        let seeds: Vec<u64> = (1..).filter(fits).take(CATCH_WITHIN as usize).collect();
        let (failed, _) = try_worlds(&seeds, Some(mistake));
        let story = failed
            .first()
            .unwrap_or_else(|| panic!("{mistake:?} was not caught in {CATCH_WITHIN} worlds"));
        println!(
            "{mistake:?}: caught in the world of SEED={}: {}",
            story.seed, story.failure
        );
    }
}
