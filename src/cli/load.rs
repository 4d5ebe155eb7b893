//! Reading the configuration and finding the ledger: what most commands begin with.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use super::Common;
use crate::codearts::http::Client;
use crate::codearts::secret_variables;
use crate::config::{
    self, Colour, Config, Kind, Loaded, Problem, Severity, SourceFile, Unread, World,
};
use crate::domain::pipeline::Told;
use crate::domain::request::SecretRef;
use crate::domain::zone::Zone;
use crate::domain::{Entry, EntryName, LastSuccess, RunRequest};
use crate::ledger::{self, Ledger, sqlite::SqliteLedger};
use crate::os::zones::Zones;
use crate::os::{self, Clock};
use crate::telemetry::{Form, Plain};

/// Where the configuration is looked for when nobody says.
const DEFAULT_CONFIG: &str = "/etc/pipecron";

/// Where the configuration is: the flags, else the environment, else the usual place.
pub(super) fn config_paths(common: &Common) -> Vec<PathBuf> {
    if !common.config.is_empty() {
        return common.config.clone();
    }
    match os::variable("PIPECRON_CONFIG") {
        Some(list) => std::env::split_paths(&list)
            .filter(|path| !path.as_os_str().is_empty())
            .collect(),
        None => vec![PathBuf::from(DEFAULT_CONFIG)],
    }
}

/// Under what a ledger keeps the last good configuration of these paths.
pub(super) fn config_key(paths: &[PathBuf]) -> String {
    let absolute = |path: &PathBuf| {
        std::path::absolute(path)
            .unwrap_or_else(|_| path.clone())
            .display()
            .to_string()
    };
    paths.iter().map(absolute).collect::<Vec<_>>().join(":")
}

/// What reading files gave.
pub(super) struct Read {
    /// The configuration, if there is no error in any file.
    pub(super) config: Option<Config>,
    /// Every problem, warnings included.
    pub(super) problems: Vec<Problem>,
    /// How many problems there are beside these.
    pub(super) unlisted: usize,
    /// The files.
    pub(super) files: Vec<SourceFile>,
}

/// Reads and checks the files at `paths`.
pub(super) fn read(paths: &[PathBuf], clock: &Clock) -> Read {
    read_by(paths, |files, unread| {
        parse_by(files, clock, &|files, world| {
            config::parse_with(files, unread, world)
        })
    })
}

/// Reads the accounts in the files at `paths`; entries are not looked at.
pub(super) fn read_accounts(paths: &[PathBuf], clock: &Clock) -> Read {
    read_by(paths, |files, _| parse_accounts(files, clock))
}

/// The accounts of files that were read before.
pub(super) fn parse_accounts(files: Vec<SourceFile>, clock: &Clock) -> Read {
    parse_by(files, clock, &|files, world| {
        config::parse_accounts(files, world)
    })
}

fn read_by(paths: &[PathBuf], parse: impl FnOnce(Vec<SourceFile>, Unread<'_>) -> Read) -> Read {
    if let [path] = paths
        && path == Path::new(DEFAULT_CONFIG)
        && !path.exists()
    {
        let message = format!("no configuration was named, and {DEFAULT_CONFIG} does not exist");
        let problem = Problem::of_file(Severity::Error, Kind::File, "", message)
            .with_help("say where it is with --config PATH or PIPECRON_CONFIG");
        return Read {
            config: None,
            problems: vec![problem],
            unlisted: 0,
            files: Vec::new(),
        };
    }
    let (mut files, unread) = os::files::read_what_is_there(paths);
    let (calendars, missing) = os::files::read_calendars(&config::calendar_files(&files));
    // They are kept with the others: a start with broken files needs them as well.
    files.extend(calendars);
    let beside = Unread {
        calendars: &missing,
        files: unread.len(),
    };
    let mut read = parse(files, beside);
    if !unread.is_empty() {
        read.config = None;
    }
    read.problems.splice(0..0, unread);
    read
}

/// Checks files that were read before.
pub(super) fn parse(files: Vec<SourceFile>, clock: &Clock) -> Read {
    parse_by(files, clock, &|files, world| config::parse(files, world))
}

/// Checks them against what the service says of the pipelines as well.
pub(super) fn parse_online(files: Vec<SourceFile>, clock: &Clock, told: &Told) -> Read {
    parse_by(files, clock, &|files, world| {
        config::parse_online(files, world, told)
    })
}

fn parse_by(
    files: Vec<SourceFile>,
    clock: &Clock,
    parse: &dyn Fn(&[SourceFile], &World<'_>) -> Loaded,
) -> Read {
    // Zone data is read again each time: a reload is how a new tzdata comes in.
    let zones = Zones::load();
    let names = zones.names();
    let world = World {
        zone: &|name| zones.get(name),
        zone_names: &names,
        now: clock.now(),
    };
    let Loaded {
        config,
        problems,
        unlisted,
    } = parse(&files, &world);
    Read {
        config,
        problems,
        unlisted,
        files,
    }
}

/// The configuration, or all its problems printed and an error.
pub(super) fn config_or_problems(common: &Common, clock: &Clock) -> anyhow::Result<Config> {
    let read = read(&config_paths(common), clock);
    let Some(config) = read.config else {
        print_problems(&read)?;
        bail!("the configuration has problems; nothing was done");
    };
    Ok(config)
}

/// What is known to be wrong with secrets: of accounts, by the client, and of entries' variables. Those may be there only
/// where the daemon runs, so they are warnings.
pub(super) fn missing_secrets(config: &Config, client: &Client) -> Vec<String> {
    let of_accounts = client
        .check_secrets()
        .into_iter()
        .map(|(account, why)| format!("account {account} cannot start anything: {why}"));
    let of_variables = config
        .entries
        .values()
        .flat_map(|entry| unread_variables(&entry.request, &entry.name));
    let of_notices = notice_secrets(config)
        .into_iter()
        .filter_map(|(what, secret)| {
            let why = os::read_secret(secret).err()?;
            Some(format!("{what} cannot be told of anything: {why}"))
        });
    of_accounts.chain(of_variables).chain(of_notices).collect()
}

/// The secrets by which people are told, and whose they are.
fn notice_secrets(config: &Config) -> Vec<(String, &SecretRef)> {
    let mut secrets: Vec<(String, &SecretRef)> = Vec::new();
    for (name, channel) in &config.channels {
        let what = || format!("channel {name}");
        secrets.extend(channel.secrets().map(|secret| (what(), secret)));
    }
    let pings = config.entries.values().filter_map(|entry| {
        let ping = entry.ping.as_ref()?;
        Some((
            format!("the dead man's switch of {}", entry.name),
            ping.url.secret()?,
        ))
    });
    secrets.extend(pings);
    if let Some(heartbeat) = &config.heartbeat {
        let secret = heartbeat.ping.url.secret();
        secrets.extend(secret.map(|secret| ("the heartbeat".to_owned(), secret)));
    }
    secrets
}

fn unread_variables(request: &RunRequest, entry: &EntryName) -> Vec<String> {
    secret_variables(request)
        .filter_map(|(name, secret)| {
            let why = os::read_secret(secret).err()?;
            Some(format!(
                "entry {entry} cannot start: its variable {name}: {why}"
            ))
        })
        .collect()
}

/// Prints every problem with its place to stderr.
pub(super) fn print_problems(read: &Read) -> std::io::Result<()> {
    print_all(&read.problems, read.unlisted)
}

/// The same of a list.
pub(super) fn print_all(problems: &[Problem], unlisted: usize) -> std::io::Result<()> {
    let colour = if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        Colour::Always
    } else {
        Colour::Never
    };
    let text = config::render(problems, unlisted, colour);
    let form = match colour {
        Colour::Always => Form::Coloured,
        Colour::Never => Form::Text,
    };
    Plain::new(std::io::stderr().lock(), form).write_all(text.as_bytes())
}

/// The zones of entries, where a local time says more than UTC: for people who look at the past. Best effort: a ledger is
/// read also where the configuration cannot be.
#[derive(Debug, Default)]
pub(super) struct EntryZones {
    zones: BTreeMap<EntryName, Option<Arc<Zone>>>,
    same: Option<Arc<Zone>>,
}

impl EntryZones {
    /// The zones of the configuration that the ledger keeps for these paths, else of the files there.
    pub(super) async fn find(common: &Common, ledger: &impl Ledger) -> Self {
        let (paths, clock) = (config_paths(common), Clock::system());
        let kept = ledger.last_config(config_key(&paths)).await.ok().flatten();
        let config = match kept {
            Some(kept) => parse(kept.files, &clock).config,
            None => read(&paths, &clock).config,
        };
        let zone = |entry: &Entry| {
            entry
                .schedule
                .as_ref()
                .map(|schedule| schedule.zone().clone())
        };
        let zones = config.unwrap_or_default().entries;
        Self {
            zones: zones
                .into_iter()
                .map(|(name, entry)| (name, zone(&entry)))
                .collect(),
            same: None,
        }
    }

    /// One zone for all, because somebody asked for it.
    pub(super) fn same(zone: Arc<Zone>) -> Self {
        Self {
            zones: BTreeMap::new(),
            same: Some(zone),
        }
    }

    /// The zone of an entry, unless it is not known or is UTC anyway.
    pub(super) fn of(&self, entry: &EntryName) -> Option<&Zone> {
        if let Some(same) = &self.same {
            return Some(same);
        }
        let zone = self.zones.get(entry)?.as_deref();
        zone.filter(|zone| zone.name() != "UTC")
    }

    /// Whether the entry is configured.
    pub(super) fn knows(&self, entry: &EntryName) -> bool {
        self.zones.contains_key(entry)
    }

    /// The entries that are configured.
    pub(super) fn entries(&self) -> impl Iterator<Item = &EntryName> {
        self.zones.keys()
    }
}

/// The name that is most like `name`, if one is like it.
pub(super) fn nearest_entry<'e>(
    name: &str,
    known: impl Iterator<Item = &'e EntryName>,
) -> Option<&'e EntryName> {
    known
        .map(|known| (strsim::jaro_winkler(name, known.as_str()), known))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, near)| near)
}

/// The entry of that name, or an error that names the nearest one.
pub(super) fn entry(config: &Config, name: &str) -> anyhow::Result<Arc<Entry>> {
    let found = EntryName::parse(name)
        .ok()
        .and_then(|name| config.entries.get(&name).cloned());
    found.with_context(|| match nearest_entry(name, config.entries.keys()) {
        Some(near) => format!(
            "there is no entry {name:?}; did you mean {:?}?",
            near.as_str()
        ),
        None => format!(
            "there is no entry {name:?} among the {} configured",
            config.entries.len()
        ),
    })
}

/// The ledger's file: the flag, else the usual place.
pub(super) fn ledger_path(common: &Common) -> anyhow::Result<PathBuf> {
    match &common.ledger {
        Some(url) => Ok(ledger::parse_url(url)?),
        None => Ok(os::state_directory()?.join(if common.sandbox {
            "sandbox.db"
        } else {
            "pipecron.db"
        })),
    }
}

/// Under what a ledger keeps whether it is the sandbox's.
pub(super) const PURPOSE: &str = "purpose";

/// Makes sure that a ledger of the real service never takes a rehearsal's ticks for its own, nor the other way round. The
/// first use decides.
pub(super) async fn claim(ledger: &impl Ledger, sandbox: bool) -> anyhow::Result<()> {
    let wanted = if sandbox { "sandbox" } else { "service" };
    let known = ledger.last_config(PURPOSE.to_owned()).await?;
    match known.as_ref().and_then(|known| known.files.first()) {
        Some(file) if file.text == wanted => Ok(()),
        Some(_) if sandbox => bail!(
            "this ledger is the real service's, and a rehearsal in it would count as real; leave --ledger out, or name another"
        ),
        Some(_) => bail!("this ledger is the sandbox's; leave --ledger out, or name another"),
        None => {
            let file = SourceFile {
                path: PURPOSE.to_owned(),
                text: wanted.to_owned(),
            };
            Ok(ledger.keep_config(PURPOSE.to_owned(), vec![file]).await?)
        }
    }
}

/// Opens the ledger for looking only.
pub(super) fn ledger_to_read(common: &Common) -> anyhow::Result<SqliteLedger> {
    let path = ledger_path(common)?;
    open_to_read(&path)
}

fn open_to_read(path: &Path) -> anyhow::Result<SqliteLedger> {
    Ok(SqliteLedger::open_read_only(path)?)
}

/// What the templates of these entries may say of their last successes: nothing where there is no ledger yet.
pub(super) fn last_successes<'e>(
    common: &Common,
    entries: impl IntoIterator<Item = &'e Entry>,
) -> anyhow::Result<BTreeMap<EntryName, LastSuccess>> {
    let names = entries
        .into_iter()
        .filter(|entry| entry.templates.is_some());
    let mut names = names.map(|entry| &entry.name).peekable();
    let mut successes = BTreeMap::new();
    if names.peek().is_none() {
        return Ok(successes);
    }
    let Ok(ledger) = ledger_to_read(common) else {
        return Ok(successes);
    };
    runtime()?.block_on(async {
        for name in names {
            let success = ledger.last_success(name.clone()).await?;
            successes.extend(success.map(|success| (name.clone(), success)));
        }
        anyhow::Ok(())
    })?;
    Ok(successes)
}

/// A small runtime for commands that do one thing.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")
}
