//! YAML text to checked settings and entries, or all problems at once. No IO: files come in as text.
//!
//! Every file becomes a tree with places (`yaml`, `tree`), then the trees are checked: accounts first (`account`), then defaults
//! (`entry`), then each entry with what fills it (`resolve`). Nothing that is read is ignored: what nobody
//! knows is an error. One run finds all problems of all files ([`Problem`], [`render()`]).
//!
//! What this module refuses to do: open a file, read a secret, ask for the time. It gives the same answer for the same
//! texts, zones and instant.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::sync::Arc;

use chrono::NaiveDateTime;

use crate::domain::pipeline::Told;
use crate::domain::request::VARIABLE_VALUE_CHARS_MAX;
use crate::domain::zone::Zone;
use crate::domain::{AccountName, Entry, EntryName, Timestamp};

pub mod account;
mod calendars;
mod check;
mod clock;
mod credentials;
mod crowd;
mod doubts;
mod draft;
mod entry;
mod excerpt;
mod hidden;
mod ics;
mod machine;
mod matrix;
pub mod notices;
mod online;
mod problem;
pub mod regions;
mod render;
mod request;
mod resolve;
mod same;
mod schema;
mod shape;
mod shared;
mod stand_in;
mod syntax;
mod template;
mod text;
mod tree;
mod yaml;
mod zones;

pub use account::{Account, Credentials, NO_PROXY, Text};
pub use draft::draft;
pub use entry::{ZonePrefix, pattern_help, zone_prefix};
pub use excerpt::{is_unseen, shown};
pub use ics::CALENDAR_BYTES_MAX;
pub use machine::{ProblemJson, github};
pub use notices::{Channel, Heartbeat};
pub use online::pipelines_of;
pub use problem::{Kind, PROBLEMS_MAX, Place as ProblemPlace, Problem, Related, Severity};
pub use render::{Colour, SHOWN_MAX, render, render_one};

pub use schema::schema;

use calendars::{Calendars, Sources};
use check::{Check, KeySet, unknown_key};
use entry::Keys;
use excerpt::quoted;
use matrix::{Alike, Combination, Made};
use online::Online;
use problem::{At, Finding, Findings};
use resolve::{Accounts, Layers};
use tree::{Mapping, Pair, Shape, Tree};

/// A configuration file as it was read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SourceFile {
    /// The path as it is to be shown.
    pub path: String,
    /// The text.
    pub text: String,
}

/// A checked configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The accounts by name.
    pub accounts: BTreeMap<AccountName, Arc<Account>>,
    /// The entries by name.
    pub entries: BTreeMap<EntryName, Arc<Entry>>,
    /// Whom to tell, by name.
    pub channels: BTreeMap<String, Arc<Channel>>,
    /// The daemon's own sign of life.
    pub heartbeat: Option<Heartbeat>,
}

/// What the files are checked against.
pub struct World<'w> {
    /// The zone of an IANA name.
    pub zone: &'w dyn Fn(&str) -> Option<Arc<Zone>>,
    /// All zone names, for suggestions.
    pub zone_names: &'w [String],
    /// The present, for warnings about windows that are over.
    pub now: Timestamp,
}

impl std::fmt::Debug for World<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("World")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// What came of the files.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Loaded {
    /// The configuration, if there is no error.
    pub config: Option<Config>,
    /// Errors and warnings, in the order of the files and then of their places.
    pub problems: Vec<Problem>,
    /// How many more there are than the [`PROBLEMS_MAX`] that are kept.
    pub unlisted: usize,
}

/// A duration as the configuration writes it: `90d`, `1h30m`, `250ms`.
///
/// # Errors
/// What is wrong with the text, and what to write.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    text::duration(text).map_err(|wrong| format!("{}; {}", wrong.message, wrong.help))
}

/// A duration as it would be written: `1h30m`.
pub fn show_duration(duration: std::time::Duration) -> String {
    text::show_duration(duration)
}

/// The first instant at which the wall clock of a zone shows `local`, or the end of the gap in which a clock change skips
/// it.
pub fn earliest_instant(local: NaiveDateTime, zone: &Zone) -> Timestamp {
    zone.earliest(local)
}

/// Checks a variable that was given outside a file, as on the command line.
///
/// # Errors
/// What is wrong with its name or value, by the API's limits.
pub fn check_variable(name: &str, value: &str) -> Result<(), String> {
    if let Some(wrong) = request::name_wrong(name, "the name of a variable") {
        return Err(format!("{}; {}", wrong.message, wrong.help));
    }
    let count = value.chars().count();
    if count > VARIABLE_VALUE_CHARS_MAX {
        return Err(format!(
            "the value has {count} characters, and the API takes {VARIABLE_VALUE_CHARS_MAX}"
        ));
    }
    Ok(())
}

/// The known word that is most like `text`, if one is like it.
pub fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    text::nearest(text, known)
}

/// The largest text of a file, in bytes. Places are kept in 32 bits.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The paths of the calendar files (`ics`) that these files name. They are handed to [`parse`] among the others, under
/// these paths.
pub fn calendar_files(files: &[SourceFile]) -> Vec<String> {
    calendars::named_files(files)
}

/// Checks the files, which make one configuration together: those whose name ends in `.ics` are calendar files that the
/// others name, all others are YAML.
pub fn parse(files: &[SourceFile], world: &World<'_>) -> Loaded {
    parse_with(files, Unread::default(), world)
}

/// What could not be read beside the files that are checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unread<'u> {
    /// The paths of calendar files, and why.
    pub calendars: &'u [(String, String)],
    /// How many other files. If there are some, no configuration comes of the rest, and nothing is said of what may stand
    /// in them.
    pub files: usize,
}

/// The same where some files could not be read.
pub fn parse_with(files: &[SourceFile], unread: Unread<'_>, world: &World<'_>) -> Loaded {
    parse_all(files, unread, Check::new(world))
}

/// Checks the files against what the service says of the pipelines as well, of which [`pipelines_of`] says which to ask
/// about.
pub fn parse_online(files: &[SourceFile], world: &World<'_>, told: &Told) -> Loaded {
    let mut check = Check::new(world);
    check.online = Some(Online::new(told));
    parse_all(files, Unread::default(), check)
}

/// Reads the accounts alone: for who asks the service before there is an entry, or while entries are still wrong.
pub fn parse_accounts(files: &[SourceFile], world: &World<'_>) -> Loaded {
    let mut check = Check::new(world);
    check.only_accounts = true;
    parse_all(files, Unread::default(), check)
}

fn parse_all(files: &[SourceFile], unread: Unread<'_>, mut check: Check<'_>) -> Loaded {
    let mut trees = read_trees(files, &mut check);
    if unread.files > 0 {
        trees.push(Tree::broken(u32::MAX, ""));
        check.findings.count_again();
    }
    let tops: Vec<Top<'_>> = trees.iter().map(|tree| top(&mut check, tree)).collect();
    let schedules = tops.iter().filter_map(|top| top.schedules);
    let made = matrix::make(&mut check, schedules);
    let incomplete = trees.iter().any(|tree| tree.broken);
    let sources = Sources {
        files,
        unread: unread.calendars,
    };
    let config = read_config(&tops, &made, sources, incomplete, &mut check);
    let errors = check.findings.errors();
    let (problems, unlisted) = check.findings.finish(files);
    Loaded {
        config: (errors == 0).then_some(config),
        problems,
        unlisted,
    }
}

static TOP: KeySet = KeySet {
    what: "a configuration file",
    known: &[
        "accounts",
        "calendars",
        "freezes",
        "defaults",
        "global_defaults",
        "schedules",
        "notices",
        "heartbeat",
    ],
    advice: &[
        ("entries", "did you mean `schedules`?"),
        ("jobs", "did you mean `schedules`?"),
        ("cron", "it belongs to an entry under `schedules:`"),
        ("matrix", "it belongs to an entry under `schedules:`"),
        ("default", "did you mean `defaults`?"),
        ("calendar", "did you mean `calendars`?"),
        ("freeze", "did you mean `freezes`?"),
        ("notify", "did you mean `notices`?"),
        ("channels", "did you mean `notices`?"),
    ],
};

/// The kinds of mappings in a configuration file, each with its keys: for a schema, and for the test that the example
/// shows them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeysOf {
    /// A file.
    File,
    /// An account.
    Account,
    /// The credentials of an account.
    Credentials,
    /// A reference to a secret.
    Secret,
    /// An entry, and defaults.
    Entry,
    /// `retry` of an entry.
    Retry,
    /// A source.
    Source,
    /// `params` of a source in the API's form.
    Params,
    /// `build_params` there.
    BuildParams,
    /// A variable of a list.
    Variable,
    /// A calendar.
    Calendar,
    /// A freeze.
    Freeze,
    /// A channel.
    Channel,
    /// `digest` of a channel.
    Digest,
    /// `heartbeat`.
    Heartbeat,
    /// `alarm` of an entry.
    Alarm,
}

impl KeysOf {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::File,
        Self::Account,
        Self::Credentials,
        Self::Secret,
        Self::Entry,
        Self::Retry,
        Self::Source,
        Self::Params,
        Self::BuildParams,
        Self::Variable,
        Self::Calendar,
        Self::Freeze,
        Self::Channel,
        Self::Digest,
        Self::Heartbeat,
        Self::Alarm,
    ];

    /// The keys that are possible.
    pub fn known(self) -> &'static [&'static str] {
        self.set().known
    }

    fn set(self) -> &'static KeySet {
        match self {
            Self::File => &TOP,
            Self::Account => &account::KEYS,
            Self::Credentials => &credentials::KEYS,
            Self::Secret => &check::SECRET,
            Self::Entry => &entry::KEYS,
            Self::Retry => &entry::RETRY,
            Self::Source => &request::SOURCE,
            Self::Params => &request::PARAMS,
            Self::BuildParams => &request::BUILD_PARAMS,
            Self::Variable => &request::VARIABLE,
            Self::Calendar => &calendars::KEYS,
            Self::Freeze => &calendars::FREEZE,
            Self::Channel => &notices::read::CHANNEL,
            Self::Digest => &notices::read::DIGEST,
            Self::Heartbeat => &notices::read::HEARTBEAT,
            Self::Alarm => &notices::read::ALARM,
        }
    }
}

/// What stands at the left edge of a file.
#[derive(Debug, Default)]
struct Top<'t> {
    accounts: Option<Pair<'t>>,
    calendars: Option<Pair<'t>>,
    freezes: Option<Pair<'t>>,
    defaults: Option<Pair<'t>>,
    global_defaults: Option<Pair<'t>>,
    schedules: Option<Pair<'t>>,
    notices: Option<Pair<'t>>,
    heartbeat: Option<Pair<'t>>,
    /// Whether there may be accounts that cannot be seen.
    accounts_unsure: bool,
}

/// Reads the YAML files, two at a time: that is most of the work on a large directory, and one file knows nothing of another.
/// What is found does not depend on it.
fn read_trees<'s>(files: &'s [SourceFile], check: &mut Check<'_>) -> Vec<Tree<'s>> {
    let mut room = yaml::VALUES_MAX;
    let numbered = (0_u32..).zip(files);
    let numbered: Vec<(u32, &SourceFile)> = numbered
        .filter(|(_, source)| !calendars::is_calendar_file(&source.path))
        .collect();
    let mut trees = Vec::with_capacity(numbered.len());
    for two in numbered.chunks(2) {
        let read = |numbered: &(u32, &'s SourceFile), room: u32| {
            ReadTree::new(*numbered, room, check.findings.beside())
        };
        let (first, second) = std::thread::scope(|scope| {
            let second = two
                .get(1)
                .map(|numbered| scope.spawn(|| read(numbered, room)));
            let first = two.first().map(|numbered| read(numbered, room));
            (first, second.and_then(|second| second.join().ok()))
        });
        for (numbered, ahead) in two.iter().zip([first, second]) {
            // Read ahead as if the one before it had nothing in it; if both are too much together, its end is elsewhere.
            let ahead = ahead.filter(|ahead| ahead.used <= room);
            let read = ahead.unwrap_or_else(|| read(numbered, room));
            room -= read.used;
            trees.push((read.tree, read.findings));
        }
    }
    let trees = trees.into_iter().map(|(tree, findings)| {
        check.findings.append(findings);
        tree
    });
    trees.collect()
}

/// A file that was read.
struct ReadTree<'s> {
    tree: Tree<'s>,
    /// How much of the room for values it took.
    used: u32,
    findings: Findings,
}

impl<'s> ReadTree<'s> {
    fn new((file, source): (u32, &'s SourceFile), room: u32, mut findings: Findings) -> Self {
        // The door refuses larger files; whoever comes another way gets the same answer.
        let text = if source.text.len() > FILE_BYTES_MAX {
            ""
        } else {
            source.text.as_str()
        };
        if text.len() < source.text.len() {
            let at = At {
                file,
                start: 0,
                end: 0,
            };
            let message = format!(
                "the file has {} bytes, and {FILE_BYTES_MAX} are possible",
                source.text.len()
            );
            findings.add(Finding::error(Kind::Limit, at, message).help("split it"));
        }
        let mut left = room;
        let tree = yaml::read(file, text, &mut left, &mut findings);
        Self {
            tree,
            used: room - left,
            findings,
        }
    }
}

fn read_config<'t>(
    tops: &[Top<'t>],
    made: &'t Made,
    sources: Sources<'_>,
    incomplete: bool,
    check: &mut Check<'_>,
) -> Config {
    let accounts = tops.iter().filter_map(|top| top.accounts);
    let refused = |top: &Top<'_>| {
        let accounts = top.accounts.map(|pair| pair.value.shape());
        matches!(accounts, Some(Shape::Refused))
    };
    let unsure = incomplete || tops.iter().any(|top| top.accounts_unsure || refused(top));
    let mut accounts = read_accounts(check, accounts, unsure);
    if check.only_accounts {
        return Config {
            accounts: accounts.into_config(),
            ..Config::default()
        };
    }
    let mut calendars = read_calendars(check, tops, sources, incomplete);
    let channels = read_channels(check, tops);
    let heartbeat = read_heartbeat(check, tops);
    let global = global_defaults(check, tops, incomplete);
    refuse_matrix(check, &global);
    let mut entries = BTreeMap::new();
    let mut names = BTreeMap::new();
    for top in tops {
        let nothing = Keys::default();
        let defaults = top.defaults.map(|pair| {
            Keys::read(check, pair.value, pair.key).unwrap_or_else(Keys::of_something_refused)
        });
        defaults.iter().for_each(|keys| refuse_matrix(check, keys));
        let layers = [defaults.as_ref().unwrap_or(&nothing), &global];
        if let Some(schedules) = top.schedules {
            let mut read =
                |check: &mut Check<'_>, name: &EntryName, title: Title<'_>, keys: &Keys<'t>| {
                    let layers = Layers {
                        name,
                        title: title.text,
                        name_at: title.at,
                        layers: [keys, layers[0], layers[1]],
                    };
                    let entry = layers.resolve(check, &mut accounts, &mut calendars);
                    entries.extend(entry.map(|entry| (name.clone(), Arc::new(entry))));
                };
            read_schedules(check, schedules, made, &mut names, &mut read);
        }
    }
    notices::doubts::labels(check, &channels, &entries);
    shared::warn(check, &entries, &names);
    calendars.warn(check, &entries);
    clock::warn(check);
    crowd::warn(check, &entries, &names, &accounts);
    online::finish(check, &accounts.names);
    if names.is_empty() && !incomplete && check.findings.errors() == 0 {
        let message = "nothing to do: none of the files has an entry under `schedules:`";
        check.report(
            Finding::overall(Kind::Missing, message)
                .help("write an entry")
                .example(ENTRY_EXAMPLE),
        );
    }
    // Whatever reader forgot to say why it gave nothing: an entry that is left out in silence never runs.
    let left_out = |(name, _): &(&&str, &At)| {
        let is_it = |entry: &EntryName| entry.as_str() == **name;
        !entries.keys().any(is_it)
    };
    if check.findings.errors() == 0
        && names.len() != entries.len()
        && let Some((name, at)) = names.iter().find(left_out)
    {
        let message = format!("the entry {} cannot be used", quoted(name));
        let help = "this is a mistake in pipecron, which should say why; compare the entry with one that works";
        check.report(Finding::error(Kind::Value, *at, message).help(help));
    }
    Config {
        accounts: accounts.into_config(),
        entries,
        channels: channels
            .into_iter()
            .map(|(_, channel)| (channel.name.clone(), channel))
            .collect(),
        heartbeat,
    }
}

const ENTRY_EXAMPLE: &str = "\
    schedules:\n  \
      nightly:\n    \
        cron: \"0 2 * * *\"\n    \
        project_id: 54f90b75fc1447b1b65e8d3a9f77923d\n    \
        pipeline_id: e5460d1d403146a1935c2d4b68ef506c";

fn top<'t>(check: &mut Check<'_>, tree: &'t Tree<'t>) -> Top<'t> {
    let mut top = Top::default();
    let Some(root) = tree.root() else {
        return top;
    };
    match root.shape() {
        Shape::Mapping(mapping) => {
            not_indented(check, mapping);
            let pairs = check.keys(mapping, &TOP);
            top.accounts_unsure = check.lacks || check.meant.contains(&"accounts");
            for pair in pairs {
                match pair.key {
                    "accounts" => top.accounts = Some(pair),
                    "calendars" => top.calendars = Some(pair),
                    "freezes" => top.freezes = Some(pair),
                    "defaults" => top.defaults = Some(pair),
                    "global_defaults" => top.global_defaults = Some(pair),
                    "schedules" => top.schedules = Some(pair),
                    "notices" => top.notices = Some(pair),
                    "heartbeat" => top.heartbeat = Some(pair),
                    _ => {}
                }
            }
        }
        // A file of comments alone.
        Shape::Null | Shape::Refused => {}
        Shape::Text(_) | Shape::List(_) => {
            let message = "a configuration file is a mapping, and this is a text or a list";
            let help = "begin with `accounts:`, `calendars:`, `defaults:`, `global_defaults:` or `schedules:` at the left edge";
            check.report(Finding::error(Kind::Type, root.at(), message).help(help));
        }
    }
    top
}

/// Says of names at the left edge, where keys stand, that they lack their indentation: the key before them has no value.
fn not_indented(check: &mut Check<'_>, mapping: Mapping<'_>) {
    let pairs = mapping.pairs(&mut check.findings);
    let mut empty: Option<&Pair<'_>> = None;
    for pair in &pairs {
        if TOP.known.contains(&pair.key) {
            empty = Some(pair).filter(|pair| pair.value.is_null());
        } else if let Some(above) = empty
            && matches!(pair.value.shape(), Shape::Mapping(_))
            && text::nearest(pair.key, TOP.known.iter().copied()).is_none()
        {
            // The same message as of any unknown key, which is then not reported again.
            let message = unknown_key(pair.key, &TOP);
            let help = format!(
                "if it belongs to `{}`, indent it and what is below it by two spaces",
                above.key
            );
            let label = format!("`{}` has nothing below it", above.key);
            check.report(
                Finding::error(Kind::UnknownKey, pair.key_at, message)
                    .help(help)
                    .related(above.key_at, label),
            );
        }
    }
}

/// The pairs of a mapping of names. A name that was given before, in this or another file, is reported.
fn named<'t>(
    check: &mut Check<'_>,
    pair: Pair<'t>,
    what: &str,
    names: &mut BTreeMap<&'t str, At>,
) -> Vec<(Pair<'t>, Name)> {
    let Shape::Mapping(mapping) = pair.value.shape() else {
        let help = match pair.value.shape() {
            Shape::List(_) => format!(
                "write the name of {what} and a colon, without a `-` and `name:`, and below it, indented, its keys"
            ),
            Shape::Null | Shape::Text(_) | Shape::Mapping(_) | Shape::Refused => {
                format!("write the name of {what} and a colon, and below it its keys")
            }
        };
        check.wrong_form(pair.value, pair.key, "a mapping of names", &help);
        return Vec::new();
    };
    let pairs = mapping.pairs(&mut check.findings);
    let mut name = |pair: Pair<'t>| match names.entry(pair.key) {
        Place::Vacant(place) => {
            place.insert(pair.key_at);
            (pair, Name::New)
        }
        Place::Occupied(first) => {
            let first = *first.get();
            // Within a file the key is given twice, which is reported already.
            if first.file != pair.key_at.file {
                let message = format!("the name {} of {what} is given twice", quoted(pair.key));
                check.report(
                    Finding::error(Kind::Duplicate, pair.key_at, message)
                        .help("all files make one configuration: rename one of them, or remove it")
                        .related(first, "first given here"),
                );
            }
            (pair, Name::Taken)
        }
    };
    pairs.into_iter().map(&mut name).collect()
}

/// Whether a name is given for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    New,
    /// What stands under it is checked, but not used.
    Taken,
}

fn read_accounts<'t>(
    check: &mut Check<'_>,
    pairs: impl Iterator<Item = Pair<'t>>,
    incomplete: bool,
) -> Accounts<'t> {
    let mut accounts = Accounts {
        incomplete,
        ..Accounts::default()
    };
    for pair in pairs {
        let before = check.findings.errors();
        let pairs = named(check, pair, "an account", &mut accounts.names);
        // What cannot be merged may hold accounts.
        accounts.incomplete |= check.findings.errors() > before;
        for (Pair { key, key_at, value }, is) in pairs {
            let name = match AccountName::parse(key) {
                Ok(name) => name,
                Err(error) => {
                    check.report(bad_name(key, key_at, "an account", &error.reason));
                    continue;
                }
            };
            let account = account::read(check, &name, key_at, value);
            if let Some(account) = account.filter(|_| is == Name::New) {
                accounts.read.insert(key, Arc::new(account));
            }
        }
    }
    accounts
}

fn read_calendars<'t>(
    check: &mut Check<'_>,
    tops: &[Top<'t>],
    sources: Sources<'_>,
    incomplete: bool,
) -> Calendars<'t> {
    let mut calendars = Calendars::default();
    calendars.incomplete = incomplete;
    if sources
        .files
        .iter()
        .any(|file| calendars::is_calendar_file(&file.path))
    {
        let named_files = calendar_files(sources.files);
        for (file, _) in (0_u32..)
            .zip(sources.files)
            .filter(|(_, file)| calendars::is_calendar_file(&file.path))
            .filter(|(_, file)| !named_files.contains(&file.path))
        {
            let (start, end) = (0, 0);
            let message = "this is a calendar file, and no calendar names it";
            let help = "name it under `calendars:` in a YAML file, as { ics: FILE }, and not among the files of the configuration";
            check.report(Finding::error(Kind::File, At { file, start, end }, message).help(help));
        }
    }
    for pair in tops.iter().filter_map(|top| top.calendars) {
        let before = check.findings.errors();
        let pairs = named(check, pair, "a calendar", &mut calendars.names);
        calendars.incomplete |= check.findings.errors() > before;
        for (pair, is) in pairs {
            match is {
                Name::New => calendars.take(check, pair, sources),
                // Checked all the same.
                Name::Taken => Calendars::default().take(check, pair, sources),
            };
        }
    }
    for pair in tops.iter().filter_map(|top| top.freezes) {
        calendars.take_freezes(check, pair);
    }
    calendars
}

/// The entries that a matrix makes of one.
fn read_combinations<'t>(
    check: &mut Check<'_>,
    Pair { key, key_at, value }: Pair<'t>,
    combinations: &'t Option<Vec<Combination>>,
    names: &mut BTreeMap<&'t str, At>,
    read: &mut dyn FnMut(&mut Check<'_>, &EntryName, Title<'_>, &Keys<'t>),
) {
    let title = Title {
        text: key,
        at: key_at,
    };
    let (mut misnamed, mut taken) = (Alike::default(), Alike::default());
    for combination in combinations.iter().flatten() {
        let value = value.with(Some(&combination.overlay));
        let keys = Keys::read(check, value, key);
        let name = match EntryName::parse(&combination.name) {
            Ok(name) => name,
            Err(error) => {
                misnamed.add(|| bad_name(&combination.name, key_at, "an entry", &error.reason));
                continue;
            }
        };
        if let Some(first) = names.insert(&combination.name, key_at) {
            taken.add(|| {
                let message = format!(
                    "the matrix makes an entry {}, and there is one of that name",
                    quoted(&combination.name)
                );
                Finding::error(Kind::Duplicate, key_at, message)
                    .help("all files make one configuration: rename one of them, or remove it")
                    .related(first, "made or given here")
            });
        } else if let Some(keys) = keys {
            read(check, &name, title, &keys);
        }
    }
    misnamed.report(check);
    taken.report(check);
}

/// Reads each entry's keys and hands them on, one after the other, so that they need no memory together.
fn read_schedules<'t>(
    check: &mut Check<'_>,
    pair: Pair<'t>,
    made: &'t Made,
    names: &mut BTreeMap<&'t str, At>,
    read: &mut dyn FnMut(&mut Check<'_>, &EntryName, Title<'_>, &Keys<'t>),
) {
    let mut before: Option<(&str, At)> = None;
    let pairs = named(check, pair, "an entry", names);
    // `cron:` in the column of the names of entries.
    let is_key = |pair: &Pair<'_>| {
        entry::KEYS.known.contains(&pair.key)
            && !matches!(pair.value.shape(), Shape::Mapping(_) | Shape::Null)
    };
    for (index, (pair, is)) in pairs.iter().enumerate() {
        let Pair { key, key_at, value } = *pair;
        let title = Title {
            text: key,
            at: key_at,
        };
        if let Some(combinations) = made.get(&key_at) {
            before = None;
            if *is == Name::New {
                names.remove(key); // it stands for others
            }
            read_combinations(check, *pair, combinations, names, read);
            continue;
        }
        if is_key(pair) {
            // Said once for those that follow each other.
            if before.is_some_and(|(before, _)| entry::KEYS.known.contains(&before)) {
                check.findings.count_again();
                continue;
            }
            let message =
                format!("`{key}` is a key of an entry, and stands where the names of entries do");
            let finding = Finding::error(Kind::Type, key_at, message);
            check.report(match before {
                Some((name, at)) => finding
                    .help(format!(
                        "if it belongs to {}, indent it and what follows it by two spaces more",
                        quoted(name)
                    ))
                    .related(at, "an entry without keys"),
                None => finding.help("write the name of the entry above it, and indent its keys"),
            });
            before = Some((key, key_at));
            continue;
        }
        before = value.is_null().then_some((key, key_at));
        if before.is_some() && pairs.get(index + 1).is_some_and(|(next, _)| is_key(next)) {
            continue; // those are its keys
        }
        let keys = Keys::read(check, value, key);
        match EntryName::parse(key) {
            Ok(name) => {
                if let Some(keys) = keys.filter(|_| *is == Name::New) {
                    read(check, &name, title, &keys);
                }
            }
            Err(error) => check.report(bad_name(key, key_at, "an entry", &error.reason)),
        }
    }
}

/// How an entry is called in the file, and where.
#[derive(Debug, Clone, Copy)]
struct Title<'t> {
    text: &'t str,
    at: At,
}

/// Defaults are for many entries, and a matrix is of one.
fn refuse_matrix(check: &mut Check<'_>, defaults: &Keys<'_>) {
    if let Some(at) = defaults.matrix {
        let help = "write it in the entry that is to be repeated";
        let finding = Finding::error(
            Kind::Conflict,
            at,
            "`matrix` belongs to an entry, not to defaults",
        );
        check.report(finding.help(help));
    }
}

fn bad_name(name: &str, at: At, what: &str, reason: &str) -> Finding {
    let message = format!("the name {} of {what} {reason}", quoted(name));
    Finding::error(Kind::Value, at, message).help(match possible_name(name) {
        Some(possible) => {
            format!(
                "write it as `{possible}`; the name stands in logs and in the run's description"
            )
        }
        None => "rename it; the name stands in logs and in the run's description".to_owned(),
    })
}

/// The name with what it must not contain replaced, if something of it stays.
fn possible_name(name: &str) -> Option<String> {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    let words: Vec<&str> = name
        .split(|c| !letter(c))
        .filter(|word| !word.is_empty())
        .collect();
    let possible = words.join("-");
    let possible = possible.trim_start_matches(['.', '_', '-']);
    let kept = possible.chars().filter(char::is_ascii_alphanumeric).count();
    let was = name.chars().filter(|c| c.is_alphanumeric()).count();
    let is_address = name.contains("://"); // and may be a secret
    (kept > 0 && kept == was && !is_address && EntryName::parse(possible).is_ok())
        .then(|| possible.to_owned())
}

fn read_channels(check: &mut Check<'_>, tops: &[Top<'_>]) -> Vec<(At, Arc<Channel>)> {
    let mut names = BTreeMap::new();
    let mut channels = Vec::new();
    let mut are_many = false;
    for pair in tops.iter().filter_map(|top| top.notices) {
        if !matches!(pair.value.shape(), Shape::Mapping(_)) {
            check.hide(pair.value);
        }
        for (Pair { key, key_at, value }, is) in named(check, pair, "a channel", &mut names) {
            if let Err(error) = AccountName::parse(key) {
                check.report(bad_name(key, key_at, "a channel", &error.reason));
                continue;
            }
            let channel = notices::read::channel(check, key, key_at, value);
            if let Some(channel) = channel.filter(|_| is == Name::New) {
                channels.push((key_at, Arc::new(channel)));
            }
        }
        if names.len() > notices::read::CHANNELS_MAX && !std::mem::replace(&mut are_many, true) {
            let message = format!(
                "there are {} channels, and {} are possible",
                names.len(),
                notices::read::CHANNELS_MAX
            );
            check.report(Finding::error(Kind::Limit, pair.key_at, message).help("remove some"));
        }
    }
    channels
}

/// There is one daemon, so it has one sign of life.
fn read_heartbeat(check: &mut Check<'_>, tops: &[Top<'_>]) -> Option<Heartbeat> {
    let mut given = tops.iter().filter_map(|top| top.heartbeat);
    let first = given.next()?;
    for second in given {
        let message = "`heartbeat` is given in two files";
        check.report(
            Finding::error(Kind::Duplicate, second.key_at, message)
                .help("it is the daemon's, so it stands in one")
                .related(first.key_at, "first given here"),
        );
        notices::read::heartbeat(check, second);
    }
    notices::read::heartbeat(check, first)
}

/// The defaults of all files, which may stand in one of them.
fn global_defaults<'t>(check: &mut Check<'_>, tops: &[Top<'t>], incomplete: bool) -> Keys<'t> {
    let mut given = tops.iter().filter_map(|top| top.global_defaults);
    let Some(first) = given.next() else {
        // They may stand in the file that could not be read.
        return Keys {
            lacks: incomplete,
            ..Keys::default()
        };
    };
    for second in given {
        let message = "`global_defaults` is given in two files";
        check.report(
            Finding::error(Kind::Duplicate, second.key_at, message)
                .help("it holds for every file, so it stands in one; `defaults` holds for its own file")
                .related(first.key_at, "first given here"),
        );
        // Not used, but checked all the same.
        Keys::read(check, second.value, second.key);
    }
    Keys::read(check, first.value, first.key).unwrap_or_else(Keys::of_something_refused)
}
