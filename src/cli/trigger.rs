//! `trigger`: start a run of an entry now. Without a daemon it works on its own with the ledger.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;

use super::ask::{self, Asked, reason};
use super::daemon::{events, sandboxed, start_sandbox};
use super::live::{self, Live};
use super::moment::{Meant, Moment, Towards, fixed_moment};
use super::{Common, form, load, stderr, stdout};
use crate::codearts::Start;
use crate::codearts::http::{self, Client};
use crate::config::{Config, shown};
use crate::control::{NEWS_SECS_MAX, TriggerBody, tick_json};
use crate::daemon::asked::{use_branch, variables};
use crate::daemon::{Daemon, Event, Parts, hand};
use crate::domain::plan::{Occasion, previous_tick, request_for};
use crate::domain::request::Variable;
use crate::domain::zone::Zone;
use crate::domain::{Entry, Origin, Overlap, Tick, TickId, Timestamp};
use crate::ledger::{Ledger, LedgerError, sqlite::SqliteLedger};
use crate::os::{self, Clock};
use crate::telemetry::{self, Form, plain};

/// Arguments of `trigger`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 the run was started, its ID is printed, and with --wait it succeeded; 1 it was not, nobody knows, or \
                  with --wait it did not succeed; 130 stopped while waiting: with a daemon the tick goes on there."
)]
pub(super) struct Options {
    /// The entry
    #[arg(value_name = "ENTRY")]
    entry: String,
    /// Set a variable of the run, in place of the entry's value or beside the others; repeatable
    #[arg(short = 'v', long = "variable", value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// Build all code sources of the entry from this branch
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    /// Start it whatever else runs of the pipeline, and whether the account has a free place or not
    #[arg(long)]
    force: bool,
    /// Wait for the outcome of the run; needs a daemon, which follows it
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
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
    let no_daemon = match options.dry_run {
        true => String::new(),
        false => match by_daemon(common, options)? {
            Done(code) => return Ok(code),
            NoDaemon(why) if options.wait => {
                bail!(
                    "nothing was sent: {why}, and only a daemon follows a run to its end; leave --wait out, or start one"
                )
            }
            NoDaemon(why) => why,
        },
    };
    let config = load::config_or_problems(common, &clock)?;
    let mut entry = load::entry(&config, &options.entry)?;
    if let Some(branch) = &options.branch {
        ask::done(use_branch(&mut Arc::make_mut(&mut entry).request, branch).map(Value::from))?;
    }
    if options.force {
        Arc::make_mut(&mut entry).policy.overlap = Overlap::Allow;
    }
    let variables = match variables(&entry.request, &options.variables) {
        Ok(variables) => variables,
        Err(refusal) => return ask::done(Err(refusal)).map(|_| ExitCode::FAILURE),
    };
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
            "a daemon (process {pid}) runs on this ledger, but cannot be asked: {no_daemon}; say with --control where it listens"
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
        let (_tell, mut events) = events()?;
        let reason = options.reason.clone().unwrap_or_default();
        let (by, at, on) = (
            os::who(),
            parts.clock.now(),
            format!("entry {}", entry.name),
        );
        let why = hand::by_hand(&by, &reason);
        let ledger = parts.ledger.clone();
        let random = os::random_word(4);
        let daemon = Daemon::new(parts);
        let tick = daemon
            .trigger(entry, variables, why, random, &mut events)
            .await?;
        let outcome = format!("opened {}", tick.id);
        hand::note(&*ledger, at, &by, "trigger", on, reason, outcome).await;
        anyhow::Ok(tick)
    })?;
    print(options, &outcome)
}

/// Prints what came of a tick that was opened here.
fn print(options: &Options, outcome: &Tick) -> anyhow::Result<ExitCode> {
    let mut out = stdout(form(options.json));
    match (options.json, &outcome.run) {
        (true, _) => writeln!(out, "{}", tick_json(outcome))?,
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
        ..Config::default()
    };
    load::missing_secrets(&mine, &Client::new(&mine.accounts, clock.clone()))
}

/// What came of asking the daemon.
enum ByDaemon {
    Done(ExitCode),
    NoDaemon(String),
}
use ByDaemon::{Done, NoDaemon};

/// Has the daemon start the run, and waits for its ID or its outcome.
fn by_daemon(common: &Common, options: &Options) -> anyhow::Result<ByDaemon> {
    let body = TriggerBody {
        entry: options.entry.clone(),
        variables: options.variables.clone(),
        branch: options.branch.clone(),
        reason: options.reason.clone().unwrap_or_default(),
        force: options.force,
        ..TriggerBody::default()
    };
    load::runtime()?.block_on(async {
        let answer = match ask::trigger(common, body).await? {
            Asked::Answer(answer) => answer,
            Asked::NoDaemon(why) => return Ok(NoDaemon(why)),
        };
        tell_of_others(&answer)?;
        let id = answer["tick"].as_str().unwrap_or_default().to_owned();
        let (_tell, mut events) = events()?;
        let stopped = async {
            while let Some(event) = events.recv().await {
                if let Event::Stop { .. } = event {
                    break;
                }
            }
        };
        let mut say = |line: &str| writeln!(stderr(), "{line}");
        tokio::select! {
            biased;
            tick = follow(common, &id, options.wait, &mut say) => told(options, &tick?).map(Done),
            () = stopped => {
                writeln!(stderr(), "{id} goes on in the daemon; `pipecron show {id}` tells of it")?;
                Ok(Done(ExitCode::from(STOPPED)))
            }
        }
    })
}

/// Whoever asks twice because nothing seemed to happen is to know that there are two.
fn tell_of_others(answer: &Value) -> std::io::Result<()> {
    for other in answer["beside"].as_array().into_iter().flatten() {
        let text = |key: &str| shown(other[key].as_str().unwrap_or_default());
        writeln!(
            stderr(),
            "note: {} was triggered by hand at {} and is {}; this is another one",
            text("tick"),
            text("opened_at"),
            text("state")
        )?;
    }
    Ok(())
}

/// Somebody pressed Ctrl-C.
const STOPPED: u8 = 130;

/// Waits for a tick: for its run's ID, or for its end. What happens to it meanwhile is said.
pub(super) async fn follow(
    common: &Common,
    id: &str,
    to_the_end: bool,
    say: &mut dyn FnMut(&str) -> std::io::Result<()>,
) -> anyhow::Result<Value> {
    let id_in_path = percent_encode(id.as_bytes(), NON_ALPHANUMERIC).to_string();
    let mut seen = 0;
    let mut tick = Value::Null;
    let mut live = Live::new();
    loop {
        let target = format!("/v1/ticks/{id_in_path}?wait={NEWS_SECS_MAX}&seen={seen}");
        match watched(
            &mut live,
            &tick,
            ask::daemon(common, Method::GET, &target, None),
        )
        .await?
        {
            Ok(Asked::Answer(answer)) => tick = answer,
            Ok(Asked::NoDaemon(why)) => bail!(
                "{id} was opened, and then the daemon went away: {why}; the next one goes on with it, and `pipecron show {id}` tells \
                 of it"
            ),
            // It restarts, perhaps; the tick is in its ledger.
            Err(failure) if tick.is_null() => return Err(failure),
            Err(failure) => say(&shown(&failure.to_string()))?,
        }
        let story = tick["story"].as_array().map_or(&[][..], Vec::as_slice);
        for line in story.iter().skip(seen) {
            let (at, note) = (&line["at"], &line["note"]);
            let text = |value: &Value| shown(value.as_str().unwrap_or_default());
            say(&format!("{}  {}", text(at), text(note)))?;
        }
        seen = story.len();
        let is_started = !tick["run_id"].is_null() && !to_the_end;
        if is_started || tick["state"] == "ended" {
            return Ok(tick);
        }
    }
}

/// Waits for news, and meanwhile says on a terminal what is waited for.
async fn watched<T>(
    live: &mut Live,
    tick: &Value,
    news: impl Future<Output = T>,
) -> std::io::Result<T> {
    let mut news = std::pin::pin!(news);
    let mut second = tokio::time::interval(live::EVERY);
    loop {
        tokio::select! {
            biased;
            come = &mut news => {
                live.clear()?;
                return Ok(come);
            }
            _ = second.tick(), if live.is_on() => live.draw(tick)?,
        }
    }
}

fn told(options: &Options, tick: &Value) -> anyhow::Result<ExitCode> {
    let mut out = stdout(form(options.json));
    match (options.json, tick["run_id"].as_str()) {
        (true, _) => writeln!(out, "{tick}")?,
        (false, Some(run)) => writeln!(out, "{}", shown(run))?,
        (false, None) => {}
    }
    out.flush()?;
    let reason = tick["reason"].as_str();
    let is_well = match options.wait {
        // A run that is not followed is as far as it gets.
        true => matches!(reason, Some("succeeded" | "started")),
        false => !tick["run_id"].is_null(),
    };
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
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
