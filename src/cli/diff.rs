//! `diff`: what one configuration changes in another, for people before they merge and for a script that waits at a merge.
//!
//! It only reads: files, or the configuration that a ledger keeps as the last good one, which is what its daemon runs with.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::moment::{Meant, Moment, Towards, fixed_moment, local, weekday_local};
use super::{Common, count, form, load, print_error, stdout};
use crate::config::notices::{MailTls, Way};
use crate::config::{Account, Channel, Config, Credentials, Heartbeat, Text, show_duration, shown};
use crate::domain::plan::{
    CALENDARS_KEY, DifferenceKind, StartChange, changed_calendars, diff, start_changes,
};
use crate::domain::request::VariableValue;
use crate::domain::zone::Zone;
use crate::domain::{Entry, EntryName, Timestamp, after, rfc3339};
use crate::ledger::Ledger;
use crate::os::Clock;

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "OLD and NEW are each a file, a directory, or a list of them split at ':'.\n\n\
                  Exit codes: 0 compared; 1 one of them has problems, or is not there. With --exit-code: 0 they do the \
                  same, 1 they differ, 2 they could not be compared."
)]
pub(super) struct Options {
    /// OLD and NEW; with --running only NEW, which is what --config names if it is left out
    #[arg(value_name = "PATH", num_args = 0..=2)]
    paths: Vec<PathBuf>,
    /// Compare with what the daemon runs: the last good configuration that the ledger keeps for the --config paths
    #[arg(long)]
    running: bool,
    /// Of how many coming days starts are compared
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(0..=366))]
    days: u16,
    /// From when on: an instant (2026-11-24T18:00:00Z), a day (2026-11-24: its start) or a date and time
    /// (2026-11-24T18:00), in UTC [default: now]
    #[arg(long, value_name = "T", value_parser = fixed_moment, allow_hyphen_values = true)]
    at: Option<Moment>,
    /// How many starts of an entry are shown; --json gives them all
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: u32,
    /// Exit with 1 if they differ
    #[arg(long)]
    exit_code: bool,
    /// Print JSON, one object a line: entries, accounts, starts, and last a summary
    #[arg(long)]
    json: bool,
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    match (options.running, options.paths.len()) {
        (false, 2) | (true, 0 | 1) => {}
        (false, _) => {
            return super::not_understood("name two: OLD and NEW; or one and --running");
        }
        (true, _) => {
            return super::not_understood(
                "with --running there is one PATH: what is compared with what the daemon runs",
            );
        }
    }
    match compare(common, options) {
        Ok(counts) if options.exit_code && counts != Counts::default() => Ok(ExitCode::FAILURE),
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error) if options.exit_code && !super::is_broken_pipe(&error) => {
            print_error(&error);
            Ok(ExitCode::from(2))
        }
        Err(error) => Err(error),
    }
}

fn compare(common: &Common, options: &Options) -> anyhow::Result<Counts> {
    let clock = Clock::system();
    let (old, new) = match (options.running, options.paths.as_slice()) {
        (false, [old, new]) => (of_path(old, &clock)?, of_path(new, &clock)?),
        (true, [new]) => (of_daemon(common, &clock)?, of_path(new, &clock)?),
        (false | true, _) => {
            let paths = load::config_paths(common);
            (of_daemon(common, &clock)?, of_paths(&paths, "NEW", &clock)?)
        }
    };
    let meant = Meant::new(None)?;
    let now = clock.now();
    let from = match options.at {
        Some(at) => meant.read("--at", at, now, Towards::Future)?,
        None => now,
    };
    let until = after(from, Duration::from_secs(u64::from(options.days) * 86_400));
    let mut printer = Printer {
        out: stdout(form(options.json)),
        json: options.json,
        limit: u64::from(options.limit),
        counts: Counts::default(),
    };
    printer.entries(&old, &new)?;
    printer.accounts(&old, &new)?;
    printer.channels(&old, &new)?;
    printer.starts(&old, &new, from, until)?;
    printer.summary(from, until)?;
    Ok(printer.counts)
}

fn of_path(path: &PathBuf, clock: &Clock) -> anyhow::Result<Config> {
    let paths: Vec<PathBuf> = if path.exists() {
        vec![path.clone()]
    } else {
        std::env::split_paths(path).collect()
    };
    of_paths(&paths, &path.display().to_string(), clock)
}

fn of_paths(paths: &[PathBuf], what: &str, clock: &Clock) -> anyhow::Result<Config> {
    usable(load::read(paths, clock), what)
}

/// What the daemon runs with. It keeps each configuration that it has loaded, also while it runs.
fn of_daemon(common: &Common, clock: &Clock) -> anyhow::Result<Config> {
    let paths = load::config_paths(common);
    let key = load::config_key(&paths);
    let ledger = load::ledger_to_read(common)?;
    let kept = load::runtime()?.block_on(ledger.last_config(key.clone()))?;
    let kept = kept.with_context(|| {
        format!(
            "the ledger keeps no configuration of {key}: no daemon has loaded one from there; give the --config and --ledger \
             that the daemon has"
        )
    })?;
    let what = format!("what the daemon loaded at {}", rfc3339(kept.loaded_at));
    usable(load::parse(kept.files, clock), &what)
}

fn usable(read: load::Read, what: &str) -> anyhow::Result<Config> {
    match read.config {
        Some(config) => Ok(config),
        None => {
            load::print_problems(&read)?;
            bail!("{what} has problems; nothing was compared");
        }
    }
}

/// What differs, in numbers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    entries: Sort,
    accounts: Sort,
    /// And the heartbeat, which is one.
    channels: Sort,
    starts: Sort,
}

/// How many are new, gone, and there in another way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
struct Sort {
    added: u64,
    removed: u64,
    changed: u64,
}

/// A key of an entry or account, and what it says; null if that is nothing.
type Said = BTreeMap<String, Value>;

struct Printer<W: Write> {
    out: W,
    json: bool,
    limit: u64,
    counts: Counts,
}

impl<W: Write> Printer<W> {
    fn entries(&mut self, old: &Config, new: &Config) -> std::io::Result<()> {
        for difference in diff(&old.entries, &new.entries) {
            let name = &difference.entry;
            let said = |config: &Config| config.entries.get(name).map(|entry| of_entry(entry));
            let mut keys = match difference.kind {
                DifferenceKind::Changed(keys) => keys,
                DifferenceKind::Added | DifferenceKind::Removed => Vec::new(),
            };
            // It is the account's, and told there.
            let is_changed = !keys.is_empty();
            keys.retain(|key| *key != "settle");
            if is_changed && keys.is_empty() {
                continue;
            }
            let calendars = match (old.entries.get(name), new.entries.get(name)) {
                (Some(old), Some(new)) => changed_calendars(old, new),
                (None, _) | (_, None) => BTreeSet::new(),
            };
            self.counts.entries.count(&said(old), &said(new));
            self.thing("entry", name.as_str(), (said(old), said(new)), |changed| {
                unseen(&keys, changed, &calendars)
            })?;
        }
        Ok(())
    }

    fn accounts(&mut self, old: &Config, new: &Config) -> std::io::Result<()> {
        let names: BTreeSet<_> = old.accounts.keys().chain(new.accounts.keys()).collect();
        for name in names {
            let (was, is) = (old.accounts.get(name), new.accounts.get(name));
            if was == is {
                continue;
            }
            let said = |account: Option<&Arc<Account>>| account.map(|account| of_account(account));
            self.counts.accounts.count(&said(was), &said(is));
            self.thing("account", name.as_str(), (said(was), said(is)), |_| {
                Vec::new()
            })?;
        }
        Ok(())
    }

    fn channels(&mut self, old: &Config, new: &Config) -> std::io::Result<()> {
        let names: BTreeSet<_> = old.channels.keys().chain(new.channels.keys()).collect();
        for name in names {
            let (was, is) = (old.channels.get(name), new.channels.get(name));
            if was == is {
                continue;
            }
            let said = |channel: Option<&Arc<Channel>>| channel.map(|channel| of_channel(channel));
            self.counts.channels.count(&said(was), &said(is));
            self.thing("channel", name, (said(was), said(is)), |_| Vec::new())?;
        }
        if old.heartbeat != new.heartbeat {
            let said = |heartbeat: &Option<Heartbeat>| heartbeat.as_ref().map(of_heartbeat);
            let (was, is) = (said(&old.heartbeat), said(&new.heartbeat));
            self.counts.channels.count(&was, &is);
            self.thing("heartbeat", "of the daemon", (was, is), |_| Vec::new())?;
        }
        Ok(())
    }

    /// Something with a name, and what it said and says. `unseen` gives what changed beside the keys that it is told.
    fn thing(
        &mut self,
        what: &str,
        name: &str,
        (was, is): (Option<Said>, Option<Said>),
        unseen: impl FnOnce(&[&str]) -> Vec<(String, String)>,
    ) -> std::io::Result<()> {
        let change = match (&was, &is) {
            (None, _) => "added",
            (_, None) => "removed",
            (Some(_), Some(_)) => "changed",
        };
        let changed: Vec<(&str, &Value, &Value)> = match (&was, &is) {
            (Some(was), Some(is)) => changed(was, is),
            (None, _) | (_, None) => Vec::new(),
        };
        let keys: Vec<&str> = changed.iter().map(|(key, _, _)| *key).collect();
        let unseen = unseen(&keys);
        if self.json {
            let keys: Vec<Value> = changed
                .iter()
                .map(|(key, was, is)| json!({ "key": key, "old": was, "new": is }))
                .chain(
                    unseen
                        .iter()
                        .map(|(key, how)| json!({ "key": key, "how": how })),
                )
                .collect();
            return writeln!(
                self.out,
                "{}",
                json!({ what: name, "change": change, "keys": keys })
            );
        }
        writeln!(self.out, "{what} {name} {change}")?;
        for (key, was, is) in changed {
            writeln!(
                self.out,
                "  {}: {} -> {}",
                shown(key),
                brief(was),
                brief(is)
            )?;
        }
        for (key, how) in unseen {
            writeln!(self.out, "  {}: {how}", shown(&key))?;
        }
        Ok(())
    }

    fn starts(
        &mut self,
        old: &Config,
        new: &Config,
        from: Timestamp,
        until: Timestamp,
    ) -> std::io::Result<()> {
        let names: BTreeSet<&EntryName> = old.entries.keys().chain(new.entries.keys()).collect();
        let mut is_first = true;
        for name in names {
            let was = old.entries.get(name).map(|entry| &**entry);
            let is = new.entries.get(name).map(|entry| &**entry);
            if was == is {
                continue; // a start hangs on nothing else
            }
            let zone = [is, was]
                .into_iter()
                .flatten()
                .find_map(|entry| Some(Arc::clone(entry.schedule.as_ref()?.zone())))
                .unwrap_or_else(|| Arc::new(Zone::utc()));
            let mut more = 0_u64;
            for (number, change) in (0_u64..).zip(start_changes(was, is, from, until)) {
                self.counts.starts.count_start(change);
                if self.json {
                    writeln!(self.out, "{}", start_json(name, &zone, change))?;
                } else if number < self.limit {
                    if std::mem::take(&mut is_first) {
                        writeln!(
                            self.out,
                            "\nstarts that differ from {} to {}:",
                            rfc3339(from),
                            rfc3339(until)
                        )?;
                    }
                    writeln!(self.out, "{name}  {}", start_line(&zone, change))?;
                } else {
                    more += 1;
                }
            }
            if more > 0 && self.limit > 0 {
                writeln!(self.out, "{name}  ... and {more} more")?;
            }
        }
        Ok(())
    }

    fn summary(&mut self, from: Timestamp, until: Timestamp) -> std::io::Result<()> {
        let Counts {
            entries,
            accounts,
            channels,
            starts,
        } = self.counts;
        if self.json {
            let moved = json!({
                "added": starts.added, "removed": starts.removed, "moved": starts.changed,
            });
            let summary = json!({
                "same": self.counts == Counts::default(),
                "entries": entries, "accounts": accounts, "channels": channels, "starts": moved,
                "from": rfc3339(from), "until": rfc3339(until),
            });
            writeln!(self.out, "{}", json!({ "summary": summary }))?;
        } else if self.counts == Counts::default() {
            writeln!(self.out, "no difference")?;
        } else {
            let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
            let said = |sort: Sort, what: &str, changed: &str| {
                let all = number(sort.added + sort.removed + sort.changed);
                format!(
                    "{}: {} added, {} removed, {} {changed}",
                    count(all, what),
                    sort.added,
                    sort.removed,
                    sort.changed
                )
            };
            let mut lines = vec![
                said(entries, "entry", "changed"),
                said(accounts, "account", "changed"),
            ];
            if channels != Sort::default() {
                lines.push(said(channels, "channel", "changed"));
            }
            lines.push(said(starts, "start", "moved"));
            writeln!(self.out, "\n{}", lines.join("\n"))?;
        }
        self.out.flush()
    }
}

impl Sort {
    fn count<T>(&mut self, was: &Option<T>, is: &Option<T>) {
        match (was, is) {
            (None, _) => self.added += 1,
            (_, None) => self.removed += 1,
            (Some(_), Some(_)) => self.changed += 1,
        }
    }

    fn count_start(&mut self, change: StartChange) {
        match change {
            StartChange::Added(_) => self.added += 1,
            StartChange::Removed(_) => self.removed += 1,
            StartChange::Moved { .. } => self.changed += 1,
        }
    }
}

fn start_json(name: &EntryName, zone: &Zone, change: StartChange) -> Value {
    let (word, was, is) = match change {
        StartChange::Added(at) => ("added", None, Some(at)),
        StartChange::Removed(at) => ("removed", Some(at), None),
        StartChange::Moved { from, to } => ("moved", Some(from), Some(to)),
    };
    let at =
        |at: Option<Timestamp>| at.map(|at| json!({ "at": rfc3339(at), "local": local(zone, at) }));
    json!({ "start": word, "entry": name, "timezone": zone.name(), "old": at(was), "new": at(is) })
}

fn start_line(zone: &Zone, change: StartChange) -> String {
    let at = |at| {
        format!(
            "{} {}  {}",
            weekday_local(zone, at),
            zone.name(),
            rfc3339(at)
        )
    };
    match change {
        StartChange::Added(new) => format!("added    {}", at(new)),
        StartChange::Removed(old) => format!("removed  {}", at(old)),
        StartChange::Moved { from, to } => {
            format!("moved    {} -> {}", at(from), at(to))
        }
    }
}

/// The longest value that is shown in a text, in characters.
const BRIEF_CHARS_MAX: usize = 200;

/// A value on one line of text.
fn brief(value: &Value) -> String {
    let text = match value {
        Value::Null => return "nothing".to_owned(),
        Value::String(text) => format!("{text:?}"),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    };
    if text.chars().count() <= BRIEF_CHARS_MAX {
        return shown(&text);
    }
    let cut: String = text.chars().take(BRIEF_CHARS_MAX).collect();
    format!("{}...", shown(&cut))
}

/// What changed of an entry and does not show in what its keys say, and how. `keys` changed, and of these the `told` ones
/// do show.
fn unseen(keys: &[&str], told: &[&str], calendars: &BTreeSet<&str>) -> Vec<(String, String)> {
    let is_told = |key: &str| {
        told.iter().any(|told| match key {
            "cron or timezone" => ["cron", "timezone"].contains(told),
            // Of these each value has a key of its own.
            "variables" | "retry" => told.split_once('.').is_some_and(|(of, _)| of == key),
            key => *told == key,
        })
    };
    let how = |key: &str| match key {
        // They are read in a zone, and that changed.
        "freezes" => "the same words, at other instants",
        "variables" => "the same ones, in another order",
        _ => "not the same, though it is written alike",
    };
    let keys = keys
        .iter()
        .filter(|key| **key != CALENDARS_KEY && !is_told(key));
    let keys = keys.map(|key| ((*key).to_owned(), how(key).to_owned()));
    let days = |name: &&str| (format!("calendar {name}"), "its days changed".to_owned());
    calendars.iter().map(days).chain(keys).collect()
}

/// The keys that do not say the same.
fn changed<'s>(was: &'s Said, is: &'s Said) -> Vec<(&'s str, &'s Value, &'s Value)> {
    let keys: BTreeSet<&str> = was.keys().chain(is.keys()).map(String::as_str).collect();
    keys.into_iter()
        .filter_map(|key| {
            let said = |said: &'s Said| said.get(key).unwrap_or(&Value::Null);
            (said(was) != said(is)).then(|| (key, said(was), said(is)))
        })
        .collect()
}

/// What an entry says, by key; secrets by the place where they are kept.
fn of_entry(entry: &Entry) -> Said {
    let mut said = Said::new();
    let request = &entry.request;
    let policy = &entry.policy;
    let time = |instant: Option<Timestamp>| instant.map(rfc3339);
    if let Some(schedule) = &entry.schedule {
        said.set("cron", schedule.texts());
        said.set("timezone", schedule.zone().name());
        let days = schedule.days();
        for (key, calendars) in [("only_on", &days.only_on), ("skip_on", &days.skip_on)] {
            let names: Vec<&str> = calendars.iter().map(|calendar| calendar.name()).collect();
            said.set(key, (!names.is_empty()).then_some(names));
        }
        if !(days.only_on.is_empty() && days.skip_on.is_empty()) {
            said.set("on_excluded", days.on_excluded.name());
        }
        let freezes: Vec<&str> = days
            .freezes
            .iter()
            .map(|freeze| freeze.why.as_str())
            .collect();
        said.set("freezes", (!freezes.is_empty()).then_some(freezes));
    } else {
        said.set("cron", ["@manually"]);
    }
    said.set("account", &entry.account);
    said.set("project_id", &request.project_id);
    said.set("pipeline_id", &request.pipeline_id);
    said.set("sources", &request.sources);
    said.set("description", &request.description);
    for variable in request.variables.iter().flat_map(|list| list.iter()) {
        let key = format!("variables.{}", variable.name);
        match &variable.value {
            VariableValue::Value(value) => said.set(&key, value),
            VariableValue::Secret(secret) => said.set(&key, secret),
        }
    }
    said.set("choose_stages", &request.choose_stages);
    said.set("choose_jobs", &request.choose_jobs);
    said.set("sub_hook", request.sub_hook);
    said.set("execution_plan_id", &request.execution_plan_id);
    said.set("spread", show_duration(entry.spread));
    said.set("catch_up", entry.catch_up);
    said.set("catch_up_max", entry.catch_up_max);
    said.set("deadline", show_duration(entry.deadline));
    said.set("retry.max_attempts", policy.retry.max_attempts);
    said.set(
        "retry.initial_backoff",
        show_duration(policy.retry.initial_backoff),
    );
    said.set("retry.max_backoff", show_duration(policy.retry.max_backoff));
    said.set("retry.multiplier", policy.retry.multiplier);
    said.set("retry.jitter", policy.retry.jitter);
    said.set("on_doubt", policy.on_doubt);
    said.set("follow", policy.follow);
    said.set("run_timeout", policy.run_timeout.map(show_duration));
    said.set("overlap", policy.overlap);
    said.set("priority", policy.priority);
    said.set("enabled", entry.enabled);
    said.set("not_before", time(entry.not_before));
    said.set("not_after", time(entry.not_after));
    said.set("labels", &*entry.labels);
    let alarm = entry.alarm;
    said.set(
        "alarm.no_success_for",
        alarm.no_success_for.map(show_duration),
    );
    said.set(
        "alarm.not_started_within",
        alarm.not_started_within.map(show_duration),
    );
    let ping = entry.ping.as_ref();
    said.set("ping", ping.map(|ping| address(&ping.url)));
    said
}

/// Whoever knows an address may post there, so only its host is shown, and by what it can be told from others.
fn address(url: &Text) -> Value {
    match url {
        Text::Secret(secret) => json!(secret),
        Text::Plain(url) => {
            let begin = url.find("://").map_or(0, |at| at + 3);
            let host = url.get(begin..).unwrap_or_default();
            let end = begin + host.find(['/', '?', '#']).unwrap_or(host.len());
            let print = Sha256::digest(url.as_bytes());
            let print: String = print
                .iter()
                .take(3)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            json!(format!(
                "{}/... (print {print})",
                url.get(..end).unwrap_or_default()
            ))
        }
    }
}

/// What a channel says, by key; secrets by the place where they are kept.
fn of_channel(channel: &Channel) -> Said {
    let mut said = Said::new();
    said.set("kind", channel.way.kind());
    match &channel.way {
        Way::Json {
            url,
            secret,
            token,
            body,
        } => {
            said.set("url", address(url));
            said.set("secret", secret);
            said.set("token", token);
            said.set("body", body);
        }
        Way::Slack { url } | Way::WeCom { url } => said.set("url", url),
        Way::Feishu { url, secret } | Way::DingTalk { url, secret } => {
            said.set("url", url);
            said.set("secret", secret);
        }
        Way::Mail(mail) => {
            let scheme = match mail.tls {
                MailTls::Wrapped => "smtps",
                MailTls::Required | MailTls::None => "smtp",
            };
            said.set("server", format!("{scheme}://{}:{}", mail.host, mail.port));
            if let Some((user, password)) = &mail.login {
                let user = match user {
                    Text::Plain(user) => json!(user),
                    Text::Secret(secret) => json!(secret),
                };
                said.set("user", user);
                said.set("password", password);
            }
            said.set("from", &mail.from);
            said.set("to", &mail.to);
        }
    }
    let topics: Vec<&str> = channel.topics.iter().map(|topic| topic.name()).collect();
    said.set("events", topics);
    said.set("labels", &channel.labels);
    said.set("collect", show_duration(channel.collect));
    said.set("messages_per_hour", channel.messages_per_hour);
    if let Some(digest) = &channel.digest {
        said.set("digest.cron", &digest.text);
        said.set("digest.timezone", digest.zone.name());
    }
    said.set("proxy", &channel.proxy);
    said.set("ca_file", &channel.ca_file);
    said
}

fn of_heartbeat(heartbeat: &Heartbeat) -> Said {
    let mut said = Said::new();
    said.set("url", address(&heartbeat.ping.url));
    said.set("every", show_duration(heartbeat.every));
    said
}

/// What an account says, by key; secrets by the place where they are kept.
fn of_account(account: &Account) -> Said {
    let mut said = Said::new();
    said.set("region", &account.region);
    said.set("endpoint", &account.endpoint);
    said.set("iam_endpoint", &account.iam_endpoint);
    said.set("metadata_endpoint", &account.metadata_endpoint);
    said.set("iam_project_id", &account.iam_project_id);
    said.set("credentials", credentials(&account.credentials));
    said.set("proxy", &account.proxy);
    said.set("ca_file", &account.ca_file);
    said.set("connect_timeout", show_duration(account.connect_timeout));
    said.set("request_timeout", show_duration(account.request_timeout));
    said.set("settle", show_duration(account.settle));
    said.set("max_running", account.max_running);
    said.set("requests_per_second", account.requests_per_second);
    said
}

fn credentials(credentials: &Credentials) -> Value {
    let text = |text: &Text| match text {
        Text::Plain(text) => json!(text),
        Text::Secret(secret) => json!(secret),
    };
    match credentials {
        Credentials::Chain => Value::Null,
        Credentials::Keys {
            ak,
            sk,
            security_token,
        } => json!({ "ak": text(ak), "sk": sk, "security_token": security_token }),
        Credentials::Password {
            domain,
            user,
            password,
            project,
        } => json!({
            "domain": text(domain), "user": text(user), "password": password, "project": project,
        }),
        Credentials::Token(token) => json!({ "token": token }),
        Credentials::Metadata => json!({ "metadata": true }),
        Credentials::Sandbox => json!("sandbox"),
        Credentials::Profile { profile, file } => json!({ "profile": profile, "file": file }),
    }
}

/// Setting what is said.
trait Set {
    fn set(&mut self, key: &str, value: impl Serialize);
}

impl Set for Said {
    /// What is absent is left out.
    fn set(&mut self, key: &str, value: impl Serialize) {
        match serde_json::to_value(value) {
            Ok(Value::Null) | Err(_) => {}
            Ok(value) => {
                self.insert(key.to_owned(), value);
            }
        }
    }
}
