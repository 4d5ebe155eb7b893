//! The command line: one function a command, each in its file. Only here and in `os` the environment is read.

#![expect(
    clippy::doc_markdown,
    reason = "what stands above a command or flag is its help on a terminal, not markdown"
)]

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};

use crate::config::shown;
use crate::os;
use crate::telemetry::{self, Form, Format, Plain, plain};

mod afar;
mod ask;
mod backfill;
mod check;
mod chores;
mod daemon;
mod diff;
mod discover;
mod history;
mod live;
mod load;
mod moment;
mod next;
mod notices;
mod online;
mod pause;
mod reload;
mod sandbox;
mod schema;
mod show;
mod skip;
mod status;
mod trigger;
mod why;

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
    /// The daemon's control socket, through which commands reach it; `off` for none
    /// [default: control.sock in $RUNTIME_DIRECTORY, else in /run/pipecron for root, else in pipecron in $XDG_RUNTIME_DIR]
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
    /// Also write the log into daily files in this directory, one of its own; they are for the user and group of the
    /// process alone (0640, or less by its umask)
    #[arg(
        long,
        value_name = "DIR",
        env = "PIPECRON_LOG_DIR",
        global = true,
        hide_env_values = true
    )]
    log_dir: Option<PathBuf>,
    /// How many daily log files are kept; 0 keeps all of them
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
    /// List the pipelines of a project, or print an entry for one of them
    Discover(discover::Options),
    /// Compare two configurations, or one with what the daemon runs: entries, accounts, and the starts that differ
    Diff(diff::Options),
    /// Print the coming ticks of entries, or of a pattern of one's own
    Next(next::Options),
    /// Start a run of an entry now and wait for its run ID
    Trigger(trigger::Options),
    /// Start runs for due times of an entry that have passed: lists them, asks, and starts them one after another
    Backfill(backfill::BackfillOptions),
    /// Start runs for ticks that were given up, missed or refused
    Replay(backfill::ReplayOptions),
    /// Hold an entry, a label or everything still
    Pause(pause::PauseOptions),
    /// Lift a pause
    Resume(pause::ResumeOptions),
    /// Mark coming ticks of an entry to be skipped, or take that back
    Skip(skip::Options),
    /// Have the daemon read its configuration again, and wait for what comes of it
    Reload(reload::Options),
    /// Print how the daemon stands: what is open, what comes next, what is wrong
    Status(status::Options),
    /// Print the ticks of the past, newest first
    History(history::Options),
    /// Print everything that is known about one tick
    Show(show::Options),
    /// List who is told of what, and send a message to see whether it arrives
    Notices(notices::Options),
    /// Tell why an entry ran, did not run, or waits: its last tick, or those of a time
    Why(why::Options),
    /// Print the JSON Schema of a configuration file, for editors
    Schema(schema::Options),
    /// Run a local stand-in for CodeArts Pipeline, to rehearse a configuration without an account
    Sandbox(sandbox::Options),
}

/// Runs the command that the arguments name.
///
/// # Errors
/// Whatever stood in its way, to be printed once.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    os::keep_others_out();
    let Cli { common, command } = cli;
    match command {
        Command::Daemon(options) => daemon::run(&common, &options),
        Command::Check(options) => check::run(&common, &options),
        Command::Discover(options) => discover::run(&common, &options),
        Command::Diff(options) => diff::run(&common, &options),
        Command::Next(options) => next::run(&common, &options),
        Command::Trigger(options) => trigger::run(&common, &options),
        Command::Backfill(options) => backfill::backfill(&common, &options),
        Command::Replay(options) => backfill::replay(&common, &options),
        Command::Pause(options) => pause::pause(&common, &options),
        Command::Resume(options) => pause::resume(&common, &options),
        Command::Reload(options) => reload::run(&common, &options),
        Command::Status(options) => status::run(&common, &options),
        Command::Skip(options) => skip::run(&common, &options),
        Command::History(options) => history::run(&common, &options),
        Command::Show(options) => show::run(&common, &options),
        Command::Why(options) => why::run(&common, &options),
        Command::Notices(options) => notices::run(&common, &options),
        Command::Schema(options) => schema::run(&options),
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
fn stdout(form: Form) -> impl Write {
    Plain::new(std::io::BufWriter::new(std::io::stdout().lock()), form)
}

/// Standard error, for what a person is to know.
fn stderr() -> impl Write {
    Plain::new(std::io::stderr().lock(), Form::Text)
}

/// `1 error`, `2 entries`.
fn count(number: usize, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

/// JSON or text, as `--json` says.
fn form(json: bool) -> Form {
    match json {
        true => Form::Json,
        false => Form::Text,
    }
}

/// The arguments of this process, or the exit code after help or an error was printed.
///
/// # Errors
/// When there is nothing to run.
pub fn parse() -> Result<Cli, ExitCode> {
    let error = match Cli::try_parse() {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let arguments: Vec<String> = std::env::args_os().map(text).collect();
    let variables = std::env::vars_os()
        .filter(|(name, _)| name.to_string_lossy().starts_with("PIPECRON_"))
        .map(|(_, value)| text(value));
    let is_odd = |text: &String| matches!(plain(text, Form::Text), Cow::Owned(_));
    let error = if arguments.iter().any(is_odd) || variables.into_iter().any(|text| is_odd(&text)) {
        // The message repeats what it does not understand, and would take the colours of that for its own.
        let arguments = arguments.iter().map(|argument| shown(argument));
        let error = Cli::try_parse_from(arguments).err().unwrap_or(error);
        let _ = write!(stderr(), "{}", error.render());
        error
    } else {
        let _ = error.print();
        error
    };
    let code = u8::try_from(error.exit_code()).unwrap_or(1);
    Err(ExitCode::from(code))
}

/// Prints the one error that ends a command.
pub fn print_error(error: &anyhow::Error) {
    // A closed stderr leaves only the exit code to tell of it.
    let _ = writeln!(stderr(), "error: {}", shown(&format!("{error:#}")));
}

/// Says why arguments that are each in order cannot be meant together.
fn not_understood(why: &str) -> anyhow::Result<ExitCode> {
    writeln!(stderr(), "error: {why}")?;
    Ok(ExitCode::from(2))
}

fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    crate::config::parse_duration(text).map_err(|error| error.to_string())
}
