//! `daemon`: the service.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::builder::FalseyValueParser;
use secrecy::SecretString;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_cron_scheduler::{Job, JobScheduler};
use tracing::{error, info, warn};

use serde_json::json;

use super::{Common, ask, chores, count, load, parse_duration};
use crate::codearts::http::Client;
use crate::config::{Config, Problem, Severity};
use crate::control;
use crate::control::server::Control;
use crate::daemon::{Daemon, Event, Fresh, Loader, Parts};
use crate::domain::request::SecretRef;
use crate::domain::{RECENT_DAYS, rfc3339};
use crate::ledger::{Ledger, sqlite::SqliteLedger};
use crate::notify::Notifier;
use crate::os::signals::{Signals, Wish};
use crate::os::zones::Zones;
use crate::os::{self, Clock, Reading};
use crate::page::server::{self, Listen, Server};
use crate::sandbox::{self, Sandbox};
use crate::telemetry::metrics::{Metrics, Source};
use crate::telemetry::{self, Logging, Loss};
use crate::teller::{self, Teller};

/// Arguments of `daemon`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Signals: SIGHUP reads the configuration again; SIGTERM and SIGINT stop in good order; a second one \
                        of these ends the process at once.\nExit codes: 0 stopped as asked; 1 could not start, or not go on \
                        with its ledger, and the log says why; 130 ended by a second signal."
)]
pub(super) struct Options {
    /// Do not start with the last good configuration when the files have errors
    #[arg(long, env = "PIPECRON_STRICT", hide_env_values = true, value_parser = FalseyValueParser::new())]
    strict: bool,
    /// How long ended ticks stay in the ledger, as 90d or 36h
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = keep_history, env = "PIPECRON_KEEP_HISTORY", hide_env_values = true)]
    keep_history: Duration,
    /// How long requests under way may take after SIGTERM
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = parse_duration, env = "PIPECRON_GRACE", hide_env_values = true)]
    grace: Duration,
    /// The mode of the control socket: who gets in. Root, the daemon's user and its group may act, all others only look
    #[arg(long, value_name = "MODE", default_value = "0660", value_parser = socket_mode, env = "PIPECRON_CONTROL_MODE", hide_env_values = true)]
    control_mode: u32,
    /// Where the status page is, for browsers of this machine; off: nowhere. Other addresses need a token
    #[arg(long, value_name = "ADDRESS", default_value = server::LISTEN_DEFAULT, value_parser = Listen::parse, env = "PIPECRON_LISTEN", hide_env_values = true)]
    listen: Listen,
    /// A file with the token that whoever reads the page has to give, as a password of any user or as a bearer token
    #[arg(
        long,
        value_name = "FILE",
        env = "PIPECRON_LISTEN_TOKEN_FILE",
        hide_env_values = true
    )]
    listen_token_file: Option<PathBuf>,
}

fn socket_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|mode| mode & !0o666 == 0 && mode & 0o600 == 0o600)
        .ok_or_else(|| "write 0600, 0660 or 0666".to_owned())
}

/// When the history is pruned: each hour at minute 17, so that no deletion is ever large.
const PRUNE_AT: &str = "0 17 * * * *";
/// When lost log lines are looked for: every five minutes.
const LOSS_AT: &str = "30 */5 * * * *";
/// Stop signals that come closer together than this are one.
const SAME_WISH: Duration = Duration::from_millis(500);
/// Events that wait for the loop. More signals of one kind would say nothing more; those who ask are told to come later.
const EVENTS_MAX: usize = 64;

/// Least days for which the history is kept: as long as decisions look back, and one.
const KEEP_DAYS_MIN: u64 = RECENT_DAYS.num_days().unsigned_abs() + 1;

/// What is forgotten cannot be told from what was never due, should the clock go back.
fn keep_history(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    match time < Duration::from_secs(KEEP_DAYS_MIN * 86_400) {
        true => Err(format!(
            "keep at least {KEEP_DAYS_MIN}d: a clock that is set back, or a calendar that is changed under a tick that it moved, must not \
             start again what was forgotten"
        )),
        false => Ok(time),
    }
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    // Dropped last: what is still to be written is written then.
    let logging = telemetry::set_up(&common.logging())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let served = runtime.block_on(serve(common, options, &logging));
    // A name look-up or a file on a dead disk must not hold the end of the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match served {
        Ok(code) => Ok(code),
        Err(failure) => {
            error!("{failure:#}");
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn serve(common: &Common, options: &Options, logging: &Logging) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let (tell, events) = events()?;
    check_listen(options)?;
    let paths = load::config_paths(common);
    let path = load::ledger_path(common)?;
    let mut read = load::read(&paths, &clock);
    let metrics = Metrics::default();
    if read.config.is_none() && (options.strict || !path.exists()) {
        return refuse(&read);
    }
    let is_new = !path.exists();
    let ledger = Arc::new(SqliteLedger::open(&path, clock.clone())?);
    if is_new {
        warn!(
            "made a new ledger at {}; if there should be one already, stop and look at --ledger",
            std::path::absolute(&path)
                .unwrap_or_else(|_| path.clone())
                .display()
        );
    }
    load::claim(&*ledger, common.sandbox).await?;
    let key = load::config_key(&paths);
    if read.config.is_none() {
        match last_good(&*ledger, &key, &read, &clock).await? {
            Some(last) => {
                read = last;
                metrics.loaded(clock.now(), &read.files, Source::Ledger);
            }
            None => return refuse(&read),
        }
    } else {
        metrics.loaded(clock.now(), &read.files, Source::Files);
        ledger
            .keep_config(key.clone(), std::mem::take(&mut read.files))
            .await?;
    }
    for problem in read
        .problems
        .iter()
        .filter(|problem| problem.severity == Severity::Warning)
    {
        warn!("{}", problem);
    }
    let sandbox = if common.sandbox {
        Some(start_sandbox().await?)
    } else {
        None
    };
    let url = sandbox.as_ref().map(Sandbox::base_url);
    let config = read.config.take().unwrap_or_default();
    let config = match &url {
        Some(url) => sandboxed(config, url),
        None => config,
    };
    metrics.use_config(&config);
    let client = Client::counting(&config.accounts, clock.clone(), metrics.clone());
    if sandbox.is_none() {
        for why in load::missing_secrets(&config, &client) {
            warn!("{why}");
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    info!(
        entries = config.entries.len(),
        accounts = config.accounts.len(),
        ledger_id = ledger.id(),
        "pipecron {version} started as process {}, with the ledger {}",
        std::process::id(),
        path.display()
    );
    let history = History {
        ledger: ledger.clone(),
        clock: clock.clone(),
        began: clock.read(),
        keep: options.keep_history,
        keep_configs: vec![key.clone(), load::PURPOSE.to_owned()],
    };
    // Dropped before the ledger is closed.
    let _control = control(common, options.control_mode, &ledger, &clock, tell.clone());
    let counted = (metrics.clone(), logging.loss());
    let _page = page(options, &ledger, &clock, tell.clone(), counted);
    let stirred = Arc::new(Notify::new());
    let _teller = teller(common, &ledger, &clock, tell, &stirred);
    let seen = clock.clone();
    let start = async || start_chores(history.clone(), logging.loss()).await;
    let parts = Parts {
        ledger,
        service: Arc::new(client),
        loader: loader(paths, clock.clone(), url),
        clock,
        config,
        config_key: key,
        grace: options.grace,
    };
    let daemon = Daemon::new(parts).counting(metrics).ringing(stirred);
    let ended = chores::beside(&seen, start, daemon.run(events)).await?;
    ended.context("ended, and not as asked")?;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Listens for commands. Without a socket the nightlies run all the same.
fn control(
    common: &Common,
    mode: u32,
    ledger: &Arc<SqliteLedger>,
    clock: &Clock,
    tell: mpsc::Sender<Event>,
) -> Option<Control> {
    let socket = ask::socket(common);
    if socket.is_none() && common.control.is_none() {
        warn!(
            "no directory for the control socket is known: commands cannot reach this daemon; say where with --control SOCKET"
        );
    }
    let socket = socket?;
    let path = ledger.path().to_owned();
    let about = move || {
        json!({
            "running": true,
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "tzdata": Zones::load().version(),
            "ledger": path.display().to_string(),
        })
    };
    let parts = control::server::Parts {
        ledger: ledger.clone(),
        ledger_path: ledger.path().to_owned(),
        tell,
        clock: clock.clone(),
        about: Arc::new(about),
    };
    match Control::listen(&socket, mode, parts) {
        Ok(control) => {
            info!("commands are taken on {}", socket.display());
            Some(control)
        }
        Err(failure) => {
            error!("commands cannot reach this daemon, which runs all the same: {failure}");
            None
        }
    }
}

/// Refuses a page that other machines reach without a token.
fn check_listen(options: &Options) -> anyhow::Result<()> {
    if options.listen.is_local() || options.listen_token_file.is_some() {
        return Ok(());
    }
    bail!(
        "--listen names an address that other machines reach, and the page is for those who know a token: write one of at least {} \
         characters into a file and name it with --listen-token-file, or listen on {}",
        server::TOKEN_CHARS_MIN,
        server::LISTEN_DEFAULT
    )
}

/// Hands out the status page. Without it the nightlies run all the same.
fn page(
    options: &Options,
    ledger: &Arc<SqliteLedger>,
    clock: &Clock,
    tell: mpsc::Sender<Event>,
    (metrics, loss): (Metrics, Loss),
) -> Option<Server> {
    let Listen::At(address) = options.listen else {
        return None;
    };
    let token = options.listen_token_file.as_deref().map(token).transpose();
    let token = match token {
        Ok(token) => token,
        Err(why) => {
            error!("there is no status page: {why:#}");
            return None;
        }
    };
    let parts = server::Parts {
        ledger: ledger.clone(),
        tell,
        clock: clock.clone(),
        node: os::node_name(),
        token,
        metrics,
        loss: Some(loss),
    };
    let (bound, _) = oneshot::channel();
    Some(Server::start(address, parts, bound))
}

/// Tells people what happens. In the sandbox nothing leaves this machine.
fn teller(
    common: &Common,
    ledger: &Arc<SqliteLedger>,
    clock: &Clock,
    tell: mpsc::Sender<Event>,
    stirred: &Arc<Notify>,
) -> Option<Teller> {
    (!common.sandbox).then(|| {
        Teller::start(teller::Parts {
            ledger: ledger.clone(),
            tell,
            stirred: stirred.clone(),
            clock: clock.clone(),
            hands: Arc::new(Notifier::new(&os::node_name(), clock.clone())),
        })
    })
}

fn token(path: &Path) -> anyhow::Result<SecretString> {
    let token = os::read_secret(&SecretRef::File(path.to_owned()))?;
    server::check_token(&token)
        .map_err(|why| anyhow!("the token in {} cannot be used: {why}", path.display()))?;
    Ok(token)
}

fn refuse(read: &load::Read) -> anyhow::Result<ExitCode> {
    let mut errors = read.unlisted;
    for problem in &read.problems {
        if problem.severity == Severity::Error {
            errors += 1;
            error!("{}", problem);
        } else {
            warn!("{}", problem);
        }
    }
    error!(
        "not started: {} in the configuration; `pipecron check` shows each in its place",
        count(errors, "error")
    );
    Ok(ExitCode::FAILURE)
}

/// A reboot at night after a bad edit must not stop the nightlies (P7).
async fn last_good(
    ledger: &impl Ledger,
    key: &str,
    broken: &load::Read,
    clock: &Clock,
) -> anyhow::Result<Option<load::Read>> {
    let Some(good) = ledger.last_config(key.to_owned()).await? else {
        return Ok(None);
    };
    let last = load::parse(good.files, clock);
    if last.config.is_none() {
        return Ok(None);
    }
    for problem in broken
        .problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
    {
        error!("{}", problem);
    }
    error!(
        "the configuration files have errors; started with the last good configuration, loaded at {}. Mend the files and \
         reload (SIGHUP); --strict would have refused to start",
        rfc3339(good.loaded_at)
    );
    Ok(Some(last))
}

fn loader(paths: Vec<PathBuf>, clock: Clock, sandbox: Option<String>) -> Arc<Loader> {
    Arc::new(move || {
        let read = load::read(&paths, &clock);
        let lines = |severity: Severity| {
            let of = |problem: &&Problem| problem.severity == severity;
            read.problems
                .iter()
                .filter(of)
                .map(ToString::to_string)
                .collect()
        };
        let Some(config) = read.config.clone() else {
            return Err(lines(Severity::Error));
        };
        let config = match &sandbox {
            Some(url) => sandboxed(config, url),
            None => config,
        };
        Ok(Fresh {
            config,
            warnings: lines(Severity::Warning),
            files: read.files.clone(),
        })
    })
}

/// Signals as events, from now on.
pub(super) fn events() -> anyhow::Result<(mpsc::Sender<Event>, mpsc::Receiver<Event>)> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let (teller, events) = mpsc::channel(EVENTS_MAX);
    let tell = teller.clone();
    tokio::spawn(async move {
        let mut stopping: Option<Instant> = None;
        while let Some(signal) = signals.next().await {
            match signal.wish {
                // Whoever asks through the socket leaves places for us: a full queue holds a reload already, which will read
                // the newest files.
                Wish::Reload => drop(tell.try_send(Event::Reload { by: signal.origin })),
                // timeout(1) sends each signal twice, to its child and to the group; that is one wish.
                Wish::Stop if stopping.is_some_and(|since| since.elapsed() < SAME_WISH) => {}
                Wish::Stop if stopping.is_some() => {
                    // Logging goes through a queue that would die with us.
                    let line = format!(
                        "ended at once by a second signal, {}; what was under way is looked for at the next start\n",
                        signal.origin
                    );
                    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
                    os::exit_at_once(130)
                }
                Wish::Stop => {
                    stopping = Some(Instant::now());
                    drop(tell.send(Event::Stop { by: signal.origin }).await);
                }
            }
        }
    });
    Ok((teller, events))
}

/// What is kept of the past.
#[derive(Clone)]
struct History {
    ledger: Arc<SqliteLedger>,
    clock: Clock,
    /// What it showed when we began: a clock that was set ahead since may be wrong.
    began: Reading,
    /// For so long.
    keep: Duration,
    /// And these configurations for ever.
    keep_configs: Vec<String>,
}

impl History {
    /// Forgets what is older.
    async fn prune(self) {
        let keep = chrono::TimeDelta::from_std(self.keep).unwrap_or_default();
        let now = chores::no_later_than(&self.clock, &self.began);
        let Some(before) = now.checked_sub_signed(keep) else {
            return;
        };
        match self.ledger.prune(before).await {
            Ok(0) => {}
            Ok(ticks) => {
                let ticks = count(usize::try_from(ticks).unwrap_or(usize::MAX), "tick");
                info!("forgot {ticks} that ended before {}", rfc3339(before));
            }
            Err(failure) => {
                return warn!("the history was not pruned; the next try is in an hour: {failure}");
            }
        }
        match self.ledger.forget_configs(before, self.keep_configs).await {
            Ok(0) => {}
            Ok(configs) => {
                let configs = count(
                    usize::try_from(configs).unwrap_or(usize::MAX),
                    "configuration",
                );
                info!(
                    "forgot {configs} of other --config paths, last loaded before {}",
                    rfc3339(before)
                );
            }
            Err(failure) => warn!(
                "old configurations were not forgotten; the next try is in an hour: {failure}"
            ),
        }
    }
}

/// The daemon's own recurring chores. Ticks do not hang on this scheduler; half a second does not matter here.
async fn start_chores(history: History, loss: Loss) -> anyhow::Result<JobScheduler> {
    let scheduler = JobScheduler::new()
        .await
        .context("cannot start the scheduler of chores")?;
    let prune = Job::new_async(PRUNE_AT, move |_, _| Box::pin(history.clone().prune()))?;
    scheduler
        .add(prune)
        .await
        .context("cannot add the chore that prunes the history")?;
    let told = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count_losses = Job::new(LOSS_AT, move |_, _| {
        let lines = loss.overflown();
        let new = lines.saturating_sub(told.swap(lines, std::sync::atomic::Ordering::Relaxed));
        if new > 0 {
            warn!(
                "{} lost: a disk or terminal did not keep up; the ledger has everything",
                match new {
                    1 => "1 log line was".to_owned(),
                    _ => format!("{new} log lines were"),
                }
            );
        }
    })?;
    scheduler
        .add(count_losses)
        .await
        .context("cannot add the chore that counts lost log lines")?;
    scheduler.start().await.context("cannot start the chores")?;
    Ok(scheduler)
}

/// Starts a stand-in for the service inside this process.
pub(super) async fn start_sandbox() -> anyhow::Result<Sandbox> {
    let sandbox = Sandbox::start(sandbox::Settings::default())
        .await
        .context("cannot start the sandbox")?;
    info!(
        "sandbox: a stand-in for CodeArts answers on {}; nothing leaves this machine",
        sandbox.base_url()
    );
    Ok(sandbox)
}

/// The same configuration with every endpoint and every secret replaced by the sandbox's; secret variables are sent as a
/// dummy text.
pub(super) fn sandboxed(mut config: Config, url: &str) -> Config {
    let accounts: BTreeMap<_, _> = config
        .accounts
        .into_iter()
        .map(|(name, account)| (name, Arc::new(account.for_sandbox(url))))
        .collect();
    config.accounts = accounts;
    config
}
