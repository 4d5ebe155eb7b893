//! The command line: one function a command, each in its file. Only here and in `os` the environment is read.

#![expect(
    clippy::doc_markdown,
    reason = "what stands above a command or flag is its help on a terminal, not markdown"
)]

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};

use crate::domain::Timestamp;
use crate::telemetry::{self, Format};

mod check;
mod chores;
mod daemon;
mod history;
mod load;
mod next;
mod sandbox;
mod show;
mod trigger;

/// Starts Huawei Cloud CodeArts Pipeline runs on schedule, each nightly exactly once.
///
/// Entries are written in YAML, reloaded on SIGHUP; every tick, attempt and run ID is kept in a ledger.
#[derive(Debug, Parser)]
#[command(name = "pipecron", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 something is wrong, and a message says what; 2 the arguments are not understood.";

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
struct Common {
    /// Configuration file, or directory of *.yaml and *.yml files; repeatable, all together make one configuration
    /// [default: /etc/pipecron] [env: PIPECRON_CONFIG, a list split at ':']
    #[arg(long, value_name = "PATH", global = true)]
    config: Vec<PathBuf>,
    /// Where ticks, attempts and runs are kept: sqlite:///absolute/path or sqlite://relative/path
    /// [default: pipecron.db in $STATE_DIRECTORY, else in /var/lib/pipecron for root, else in the user's state directory]
    #[arg(
        long,
        value_name = "URL",
        env = "PIPECRON_LEDGER",
        global = true,
        hide_env_values = true
    )]
    ledger: Option<String>,
    /// The daemon's control socket. This version has none yet: the daemon says so when the flag is given
    #[arg(
        long,
        value_name = "SOCKET",
        env = "PIPECRON_CONTROL",
        global = true,
        hide_env_values = true
    )]
    control: Option<PathBuf>,
    /// How log lines are written
    #[arg(
        long,
        value_enum,
        default_value = "text",
        env = "PIPECRON_LOG_FORMAT",
        global = true,
        hide_env_values = true
    )]
    log_format: Format,
    /// Also write the log into daily files in this directory, one of its own
    #[arg(
        long,
        value_name = "DIR",
        env = "PIPECRON_LOG_DIR",
        global = true,
        hide_env_values = true
    )]
    log_dir: Option<PathBuf>,
    /// How many daily log files are kept
    #[arg(
        long,
        value_name = "N",
        default_value_t = 14,
        env = "PIPECRON_KEEP_LOGS",
        global = true,
        hide_env_values = true
    )]
    keep_logs: usize,
    /// Which log lines are written: error, warn, info, debug, or a filter such as pipecron=debug,warn
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "info",
        env = "PIPECRON_LOG",
        global = true,
        hide_env_values = true
    )]
    log: String,
    /// Use the sandbox: `daemon` runs a stand-in for CodeArts inside itself, `trigger` too; `history` and `show` read its ledger
    #[arg(long, env = "PIPECRON_SANDBOX", global = true, hide_env_values = true, value_parser = FalseyValueParser::new())]
    sandbox: bool,
}

impl Common {
    fn logging(&self) -> telemetry::Settings {
        telemetry::Settings {
            format: self.log_format,
            directory: self.log_dir.clone(),
            keep_files: self.keep_logs,
            filter: self.log.clone(),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service: start runs on schedule until SIGTERM; SIGHUP reloads
    Daemon(daemon::Options),
    /// Read all configuration files and print every problem
    Check(check::Options),
    /// Print the coming ticks of entries, or of a pattern of one's own
    Next(next::Options),
    /// Start a run of an entry now and wait for its run ID
    Trigger(trigger::Options),
    /// Print the ticks of the past, newest first
    History(history::Options),
    /// Print everything that is known about one tick
    Show(show::Options),
    /// Run a local stand-in for CodeArts Pipeline, to rehearse a configuration without an account
    Sandbox(sandbox::Options),
}

/// Runs the command that the arguments name.
///
/// # Errors
/// Whatever stood in its way, to be printed once.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { common, command } = cli;
    match command {
        Command::Daemon(options) => daemon::run(&common, &options),
        Command::Check(options) => check::run(&common, &options),
        Command::Next(options) => next::run(&common, &options),
        Command::Trigger(options) => trigger::run(&common, &options),
        Command::History(options) => history::run(&common, &options),
        Command::Show(options) => show::run(&common, &options),
        Command::Sandbox(options) => sandbox::run(&common, &options),
    }
}

/// Whether an error only says that nobody reads our output any more, as in `history | head`.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// Standard output, buffered: a history has many lines.
fn stdout() -> impl Write {
    std::io::BufWriter::new(std::io::stdout().lock())
}

fn parse_instant(text: &str) -> Result<Timestamp, String> {
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|instant| instant.to_utc())
        .map_err(|error| {
            format!("{error}; write an instant as 2026-11-24T18:00:00Z or with an offset as +08:00")
        })
}

fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    crate::config::parse_duration(text).map_err(|error| error.to_string())
}
