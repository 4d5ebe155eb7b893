//! `trigger`: start a run of an entry now. Without a daemon it works on its own with the ledger.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use super::daemon::{events, sandboxed, start_sandbox};
use super::history::tick_json;
use super::moment::{Meant, Moment, Towards, fixed_moment};
use super::{Common, form, load, stderr, stdout};
use crate::codearts::http::{self, Client};
use crate::codearts::{Start, secret_variables};
use crate::config::{Config, shown};
use crate::daemon::{Daemon, Parts};
use crate::domain::plan::{Occasion, previous_tick, request_for};
use crate::domain::request::{Variable, VariableValue};
use crate::domain::zone::Zone;
use crate::domain::{Entry, Origin, RunRequest, TickId, Timestamp};
use crate::ledger::{Ledger, LedgerError, sqlite::SqliteLedger};
use crate::os::{self, Clock};
use crate::telemetry::{self, Form, plain};

/// Arguments of `trigger`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 the run was started, its ID is printed; 1 it was not, or nobody knows."
)]
pub(super) struct Options {
    /// The entry
    #[arg(value_name = "ENTRY")]
    entry: String,
    /// Set a variable of the run, in place of the entry's value or beside the others; repeatable
    #[arg(short = 'v', long = "variable", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// Send nothing: print the exact request, with secrets masked
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: the request of the tick that is due at this time, an instant (2026-11-24T18:00:00Z) or a day or a
    /// date and time in the entry's zone [default: of one by hand, now]
    #[arg(long, value_name = "T", value_parser = fixed_moment, allow_hyphen_values = true, requires = "dry_run")]
    at: Option<Moment>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "write NAME=VALUE".to_owned())?;
    crate::config::check_variable(name, value)?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let config = load::config_or_problems(common, &clock)?;
    let entry = load::entry(&config, &options.entry)?;
    let variables = variables(&entry.request, &options.variables)?;
    // The daemon waits for a secret to appear; a person who waits at a terminal is told at once.
    let missing = missing_secrets(common, &config, &entry, &variables, &clock);
    if options.dry_run {
        for why in &missing {
            writeln!(
                stderr(),
                "warning: this request cannot be sent from here now: {why}"
            )?;
        }
        return dry_run(common, options, config, &entry, &variables, clock.now());
    }
    if !missing.is_empty() {
        bail!("nothing was sent: {}", missing.join("; "));
    }
    let _logging = telemetry::set_up(&common.logging())?;
    let path = load::ledger_path(common)?;
    let ledger = match SqliteLedger::open(&path, clock.clone()) {
        Err(LedgerError::Held { pid, .. }) => bail!(
            "a daemon (process {pid}) runs on this ledger, and this version has no control socket to hand it a trigger; \
             stop the daemon for the moment, or start the pipeline in the console"
        ),
        other => Arc::new(other?),
    };
    let outcome = load::runtime()?.block_on(async {
        load::claim(&*ledger, common.sandbox).await?;
        let sandbox = if common.sandbox {
            Some(start_sandbox().await?)
        } else {
            None
        };
        let config = match &sandbox {
            Some(sandbox) => sandboxed(config, &sandbox.base_url()),
            None => config,
        };
        let client = Client::new(&config.accounts, clock.clone());
        let parts = Parts {
            ledger,
            service: Arc::new(client),
            clock,
            config,
            loader: Arc::new(|| Err(Vec::new())),
            config_key: String::new(),
            grace: Duration::from_secs(20),
        };
        let mut events = events()?;
        anyhow::Ok(
            Daemon::new(parts)
                .trigger(entry, variables, os::random_word(4), &mut events)
                .await?,
        )
    })?;
    let mut out = stdout(form(options.json));
    match (options.json, &outcome.run) {
        (true, _) => writeln!(out, "{}", tick_json(&outcome))?,
        (false, Some(run)) => writeln!(out, "{}", shown(&run.id))?,
        (false, None) => {}
    }
    out.flush()?;
    if outcome.run.is_some() {
        return Ok(ExitCode::SUCCESS);
    }
    if !outcome.state.is_ended() {
        writeln!(
            stderr(),
            "{} has no run yet; a daemon on this ledger will go on with it",
            outcome.id
        )?;
    }
    Ok(ExitCode::FAILURE)
}

/// Which secrets of the account and of the request cannot be read now; none is needed in the sandbox.
fn missing_secrets(
    common: &Common,
    config: &Config,
    entry: &Entry,
    variables: &[Variable],
    clock: &Clock,
) -> Vec<String> {
    if common.sandbox {
        return Vec::new();
    }
    let mut only = entry.clone();
    for variable in variables {
        only.request.set_variable(&variable.name, &variable.value);
    }
    let account = config.accounts.get_key_value(&entry.account);
    let mine = Config {
        accounts: account
            .map(|(name, account)| (name.clone(), account.clone()))
            .into_iter()
            .collect(),
        entries: [(entry.name.clone(), Arc::new(only))].into(),
    };
    load::missing_secrets(&mine, &Client::new(&mine.accounts, clock.clone()))
}

/// The variables that are to be set, each once, the last of a name.
///
/// A variable that is a secret in the configuration stays one: a value from the command line would stand in the ledger.
fn variables(request: &RunRequest, given: &[(String, String)]) -> anyhow::Result<Vec<Variable>> {
    let mut variables = RunRequest::default();
    for (name, value) in given {
        if secret_variables(request).any(|(secret, _)| secret == name) {
            bail!(
                "{name} is a secret of the entry, and a value given here would be written down; change it where it is kept"
            );
        }
        variables.set_variable(name, &VariableValue::Value(value.clone()));
    }
    Ok(variables
        .variables
        .map_or_else(Vec::new, |list| list.to_vec()))
}

/// The zone in which the entry is due.
fn zone_of(entry: &Entry) -> Arc<Zone> {
    match (&entry.schedule, &entry.templates) {
        (Some(schedule), _) => schedule.zone().clone(),
        (None, Some(zones)) => zones.own.clone(),
        (None, None) => Arc::new(Zone::utc()),
    }
}

fn dry_run(
    common: &Common,
    options: &Options,
    config: Config,
    entry: &Entry,
    variables: &[Variable],
    now: Timestamp,
) -> anyhow::Result<ExitCode> {
    // The marker bears the ledger's id; before there is a ledger, eight letters stand for it.
    let ledger_id = load::ledger_to_read(common)
        .map_or_else(|_| "xxxxxxxx".to_owned(), |ledger| ledger.id().to_owned());
    let meant = Meant {
        zone: zone_of(entry),
        given: true,
    };
    let (id, origin, due) = match options.at {
        None => {
            let id = TickId::manual(&entry.name, now, &os::random_word(4));
            (id, Origin::Manual, now)
        }
        Some(at) => {
            let due = meant.read("--at", at, now, Towards::Future)?;
            (TickId::scheduled(&entry.name, due), Origin::Scheduled, due)
        }
    };
    let successes = load::last_successes(common, [entry])?;
    let occasion = Occasion {
        id: &id,
        origin,
        due,
        previous: previous_tick(entry, due),
        last_success: successes.get(&entry.name),
    };
    let request = request_for(entry, &occasion, variables).map_err(|unmade| {
        anyhow!(
            "the request cannot be made: {unmade}; {}",
            unmade.wrong.help
        )
    })?;
    let config = if common.sandbox {
        sandboxed(config, "http://127.0.0.1")
    } else {
        config
    };
    let account = config
        .accounts
        .get(&entry.account)
        .context("the entry's account is not configured")?;
    let start = Start {
        account: entry.account.clone(),
        request,
        marker: crate::domain::marker(&ledger_id, &id),
        leave_within: Duration::ZERO,
    };
    let request = http::dry_run(&start, account, now).context("the request cannot be made")?;
    let whole = request.to_json();
    let mut out = stdout(form(options.json));
    if options.json {
        writeln!(out, "{whole}")?;
    } else {
        writeln!(out, "{} {}", request.method, shown(&request.url))?;
        for (name, value) in &request.headers {
            writeln!(out, "{name}: {}", shown(value))?;
        }
        // In a text as well it is JSON that somebody may copy.
        let body = format!("{:#}", whole["body"]);
        writeln!(out, "\n{}", plain(&body, Form::Json))?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
