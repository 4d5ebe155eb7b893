//! The house keeps its floors: a file uses only what lies below it, and the core stays pure.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what is wrong by failing"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules and the floor they stand on; the longest name that fits counts. A file may use what lies on a lower floor, and
/// what lies in its own folder.
const FLOORS: [(&str, u32); 31] = [
    ("domain::zone", 0),
    ("domain::request", 0),
    ("domain::fuse", 0),
    ("domain::overlap", 0),
    ("domain::retry", 1),
    ("domain::cron", 1),
    ("domain::template", 1),
    ("domain::calendar", 2),
    ("domain::schedule", 3),
    ("domain", 4),
    ("domain::pace", 5),
    ("domain::notice", 5),
    ("domain::plan", 6),
    ("config", 7),
    ("codearts", 8),
    ("os", 9),
    ("codearts::http", 10),
    ("ledger", 10),
    ("sandbox", 10),
    ("telemetry::metrics", 9),
    ("notify", 10),
    ("telemetry", 10),
    ("daemon", 11),
    ("control", 12),
    ("page", 12),
    ("teller", 12),
    ("cli", 13),
    ("notes", 0),
    ("lib", 14),
    ("main", 14),
    ("pipecron", 14),
];

/// What nothing in `domain` may mention: it is told the time and everything else.
const IMPURE: [&str; 11] = [
    "async ",
    "tokio",
    "::now()",
    "std::fs",
    "std::env",
    "std::net",
    "std::thread",
    "tracing",
    "getrandom",
    "Mutex",
    "println!",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// `src/domain/plan/due.rs` is `domain::plan::due`, and `src/ledger/mod.rs` is `ledger`.
fn module(path: &Path) -> String {
    let name = path
        .strip_prefix("src")
        .unwrap()
        .with_extension("")
        .to_string_lossy()
        .replace('/', "::");
    name.strip_suffix("::mod")
        .map_or_else(|| name.clone(), str::to_owned)
}

fn floor(module: &str) -> (&'static str, u32) {
    let fits =
        |name: &&(&str, u32)| module == name.0 || module.starts_with(&format!("{}::", name.0));
    *FLOORS
        .iter()
        .filter(fits)
        .max_by_key(|(name, _)| name.len())
        .unwrap_or_else(|| panic!("{module} has no floor"))
}

/// The text without comments and without the tests beside the code.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end]
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

fn used(code: &str) -> Vec<String> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.match_indices("crate::")
        .map(|(at, start)| {
            code[at + start.len()..]
                .split(|c| !word(c))
                .next()
                .unwrap()
                .trim_end_matches(':')
                .to_owned()
        })
        .collect()
}

#[test]
fn a_file_uses_only_what_lies_below_it() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    assert!(files.len() > 20, "only {} files were found", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let name = module(&path);
        if name.ends_with("::tests") {
            continue;
        }
        let (room, own) = floor(&name);
        let text = code(&fs::read_to_string(&path).unwrap());
        assert!(
            !text.contains("crate::{"),
            "{}: one path a `use crate::`, so that this test can read it",
            path.display()
        );
        for target in used(&text).iter().filter(|target| !target.is_empty()) {
            let (other, level) = floor(target);
            if level > own || (level == own && other != room) {
                wrong.push(format!(
                    "{} (floor {own}) uses crate::{target} (floor {level})",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_is_told_the_time_and_touches_nothing() {
    let mut files = Vec::new();
    sources(Path::new("src/domain"), &mut files);
    for path in files.iter().filter(|path| !path.ends_with("tests.rs")) {
        let text = code(&fs::read_to_string(path).unwrap());
        for word in IMPURE {
            assert!(!text.contains(word), "{} mentions {word:?}", path.display());
        }
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches"].map(Path::new) {
        if folder.exists() {
            sources(folder, &mut files);
        }
    }
    for path in files {
        assert!(
            fs::read_to_string(&path).unwrap().starts_with("//!"),
            "{} does not open with //!",
            path.display()
        );
    }
}
