//! A world in which texts are checked: built-in zones, a fixed present, files by name.

use std::sync::LazyLock;

use pipecron::config::{Config, Loaded, SourceFile, World, parse, render};
use pipecron::os::zones::Zones;

static ZONES: LazyLock<Zones> = LazyLock::new(Zones::built_in);
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| ZONES.names());

/// An account, so that a test shows only what it is about.
pub(crate) const ACCOUNT: &str = "accounts: { main: { region: cn-north-4 } }\n";

/// Ids for an entry, which has to have them.
pub(crate) const IDS: &str = "    project_id: 54f90b75fc1447b1b65e8d3a9f77923d\n    pipeline_id: e5460d1d403146a1935c2d4b68ef506c\n";

/// Checks several files, each with its path.
pub(crate) fn check_files(files: &[(&str, &str)]) -> Loaded {
    let files: Vec<SourceFile> = files
        .iter()
        .map(|(path, text)| SourceFile {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        })
        .collect();
    check_sources(&files)
}

/// Checks files as they were read.
pub(crate) fn check_sources(files: &[SourceFile]) -> Loaded {
    with_world(|world| parse(files, world))
}

/// The world of all tests.
pub(crate) fn with_world<T>(with: impl FnOnce(&World<'_>) -> T) -> T {
    let world = World {
        zone: &|name| ZONES.get(name),
        zone_names: &NAMES,
        now: "2026-11-24T12:00:00Z".parse().expect("an instant"),
    };
    with(&world)
}

/// Checks one text.
pub(crate) fn check(text: &str) -> Loaded {
    check_files(&[("a.yaml", text)])
}

/// The configuration that a text makes; it has neither errors nor warnings.
pub(crate) fn good(text: &str) -> Config {
    let loaded = check(text);
    let shown = render(
        &loaded.problems,
        loaded.unlisted,
        pipecron::config::Colour::Never,
    );
    assert!(loaded.problems.is_empty(), "{shown}\nin\n{text}");
    loaded.config.expect("a configuration without problems")
}
