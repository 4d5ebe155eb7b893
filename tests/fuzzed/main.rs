//! Everything that reads what others wrote is fed with what was kept and with mutations of it.
//!
//! `cargo test --test fuzzed` replays `tests/fuzz/corpus` and `tests/fuzz/regressions`, and throws [`INPUTS`] mutations at each
//! target of `tests/fuzz`. `FUZZ=n` throws so many; the seed is printed, and `SEED=n` begins there: the input after it is that
//! of the next seed. What fails is written to `target/tmp`; put it into `tests/fuzz/regressions/TARGET` when it is mended.
//!
//! No coverage guides these; `cargo fuzz run --fuzz-dir tests/fuzz TARGET` does what this cannot, and this runs everywhere.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test says what is wrong by failing, and is told how long to try by its environment"
)]

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is the other package's as well")]
mod targets;

mod guard;
mod mutate;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use guard::{Broken, guarded};
use mutate::Mutations;
use targets::Target;

/// How many mutations are thrown at a target.
const INPUTS: u64 = 1_500;
/// An input that takes longer hangs. The slowest takes some milliseconds on a quiet machine.
const INPUT_TIME_MAX: Duration = Duration::from_secs(60);
/// Most memory that the whole process may need, in MiB. It needs a tenth of it.
const MEMORY_MIB_MAX: u64 = 1_024;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// The inputs that lie in a folder, with their names; none if it is not there.
fn kept(folder: &str, endings: &[&str]) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let Ok(files) = fs::read_dir(&folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|ending| endings.iter().any(|known| ending == *known))
    });
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect()
}

/// What mutations are made of: what is kept, and what other tests keep.
fn seeds(target: &Target) -> Vec<(String, Vec<u8>)> {
    let mut seeds = kept(&format!("fuzz/corpus/{}", target.name), &["txt"]);
    seeds.extend(kept(&format!("fuzz/regressions/{}", target.name), &["txt"]));
    if target.name == "config" {
        seeds.extend(kept("config/broken", &["yaml"]));
        seeds.extend(kept("..", &["yaml"]));
    }
    seeds
}

/// Saves an input that broke its target, and says how to see it again.
fn report(target: &Target, broken: &Broken, again: &str) -> ! {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("broke-{}.txt", target.name));
    fs::write(&path, &broken.input).unwrap();
    panic!(
        "{}: {}\n{again}; the input of {} bytes is in {}:\n{:?}",
        target.name,
        broken.how,
        broken.input.len(),
        path.display(),
        String::from_utf8_lossy(&broken.input)
    );
}

/// Replays what is kept for a target.
fn replay(target: &Target) {
    let seeds = seeds(target);
    assert!(
        seeds.len() > 5,
        "only {} inputs are kept for {}",
        seeds.len(),
        target.name
    );
    for (name, input) in seeds {
        let outcome = guarded(target.run, std::iter::once(input), INPUT_TIME_MAX);
        outcome.unwrap_or_else(|broken| report(target, &broken, &format!("it is kept as {name}")));
    }
}

/// Throws mutations at a target.
fn throw(target: &Target) {
    let (first, count) = (
        number("SEED").unwrap_or(1),
        number("FUZZ").unwrap_or(INPUTS),
    );
    let mutations = Mutations::new(
        target,
        seeds(target).into_iter().map(|(_, input)| input).collect(),
    );
    let began = Instant::now();
    let inputs = (0..count).map(move |at| mutations.input(first.wrapping_add(at)));
    let thrown = guarded(target.run, inputs, INPUT_TIME_MAX).unwrap_or_else(|broken| {
        let again = format!(
            "SEED={} FUZZ=1 cargo test --test fuzzed {}",
            first.wrapping_add(broken.at),
            target.name
        );
        report(target, &broken, &format!("see it again with {again}"));
    });
    let peak = peak_mib();
    eprintln!(
        "{}: {} inputs from SEED={first} on in {:.1} s, the longest took {:.1} ms (that of SEED={}); the process needed {} MiB at most",
        target.name,
        thrown.inputs,
        began.elapsed().as_secs_f64(),
        thrown.longest.as_secs_f64() * 1e3,
        first.wrapping_add(thrown.longest_at),
        peak.unwrap_or_default(),
    );
    assert_eq!(thrown.inputs, count);
    assert!(
        peak.is_none_or(|mib| mib <= MEMORY_MIB_MAX),
        "{peak:?} MiB are too many"
    );
}

/// The most memory that this process ever had, where the system tells.
fn peak_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1_024)
}

#[test]
fn what_is_kept_breaks_nothing() {
    targets::ALL.iter().for_each(replay);
}

#[test]
fn no_mutation_breaks_pattern() {
    throw(&targets::pattern::TARGET);
}

#[test]
fn no_mutation_breaks_config() {
    throw(&targets::config::TARGET);
}

#[test]
fn no_mutation_breaks_answer() {
    throw(&targets::answer::TARGET);
}

#[test]
fn no_mutation_breaks_search() {
    throw(&targets::search::TARGET);
}

#[test]
fn no_mutation_breaks_template() {
    throw(&targets::template::TARGET);
}

#[test]
fn no_mutation_breaks_words() {
    throw(&targets::words::TARGET);
}

#[test]
fn every_folder_belongs_to_a_target() {
    for folder in ["corpus", "regressions"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fuzz")
            .join(folder);
        for item in fs::read_dir(folder).unwrap() {
            let name = item.unwrap().file_name();
            assert!(
                targets::ALL.iter().any(|target| name == target.name),
                "{name:?} is no target"
            );
        }
    }
}
