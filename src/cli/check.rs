//! `check`: read all files and print every problem, for people or for programs.

use std::io::Write;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use super::next::hash_words;
use super::online::{self, Pipelines};
use super::{Common, count, load, next, stdout};
use crate::codearts::http::Client;
use crate::config::{self, Config, Kind, PROBLEMS_MAX, Problem, ProblemJson, Severity, shown};
use crate::os::Clock;
use crate::telemetry::Form;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 no errors, perhaps warnings; 1 errors.")]
pub(super) struct Options {
    /// Treat warnings as errors
    #[arg(long)]
    strict: bool,
    /// Also ask CodeArts about each pipeline: whether it is there, enabled and to be seen, and whether its stages, jobs,
    /// variables, sources and limits fit the entry. Starts nothing. What cannot be asked is an error that says so
    #[arg(long)]
    online: bool,
    #[command(flatten)]
    pipelines: Pipelines,
    /// How problems are printed: human (to stderr, each in its place), json (one document), github (annotations for the
    /// log of a workflow)
    #[arg(long, value_enum, default_value = "human", hide_possible_values = true)]
    format: Format,
}

/// Of so many entries it is said what their `H` is.
const HASHED_SHOWN_MAX: usize = 200;

/// For whom problems are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
    Github,
}

/// What was found.
struct Found {
    /// The configuration, if there is no error.
    config: Option<Config>,
    files: usize,
    problems: Vec<Problem>,
    /// How many more there are.
    unlisted: usize,
    errors: usize,
    warnings: usize,
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    if options.pipelines.file.is_some() && !options.online {
        return super::not_understood(
            "--pipelines says what the sandbox answers to --online; it needs both --online and --sandbox",
        );
    }
    let clock = Clock::system();
    let found = find(common, options, &clock)?;
    match options.format {
        Format::Human => human(&found, &clock)?,
        Format::Json => json(&found)?,
        Format::Github => github(&found)?,
    }
    let is_bad = found.config.is_none() || (options.strict && found.warnings > 0);
    Ok(if is_bad {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn find(common: &Common, options: &Options, clock: &Clock) -> anyhow::Result<Found> {
    let read = load::read(&load::config_paths(common), clock);
    let read = if options.online {
        online::check(common, &options.pipelines, read, clock)?
    } else {
        read
    };
    let load::Read {
        config,
        mut problems,
        mut unlisted,
        files,
    } = read;
    let is_warning = |problem: &&Problem| problem.severity == Severity::Warning;
    // Of those that are not listed nobody knows what they are, unless there is no error at all.
    let mut warnings = problems.iter().filter(is_warning).count();
    let mut errors = problems.len() - warnings;
    if config.is_some() {
        warnings += unlisted;
    } else {
        errors += unlisted;
    }
    if let Some(config) = config.as_ref().filter(|_| !common.sandbox) {
        // A secret may be there only where the daemon runs, so this is a warning.
        let client = Client::new(&config.accounts, clock.clone());
        let mut missing = load::missing_secrets(config, &client);
        warnings += missing.len();
        let kept = PROBLEMS_MAX.saturating_sub(problems.len());
        unlisted += missing.len().saturating_sub(kept);
        missing.truncate(kept);
        let problem = |why| Problem::of_file(Severity::Warning, Kind::SecretUnread, "", why);
        problems.extend(missing.into_iter().map(problem));
    }
    Ok(Found {
        config,
        files: files.len(),
        problems,
        unlisted,
        errors,
        warnings,
    })
}

fn human(found: &Found, clock: &Clock) -> anyhow::Result<()> {
    load::print_all(&found.problems, found.unlisted)?;
    let (files, warnings) = (count(found.files, "file"), count(found.warnings, "warning"));
    let mut out = stdout(Form::Text);
    let Some(config) = &found.config else {
        let errors = count(found.errors, "error");
        writeln!(out, "{errors} and {warnings} in {files}")?;
        return Ok(());
    };
    let hashed = config.entries.values().filter_map(|entry| {
        let words = entry.schedule.as_ref().and_then(hash_words)?;
        Some((&entry.name, words))
    });
    let mut more = 0;
    for (place, (name, words)) in hashed.enumerate() {
        if place < HASHED_SHOWN_MAX {
            writeln!(out, "{name}: {}", shown(&words))?;
        } else {
            more += 1;
        }
    }
    if more > 0 {
        let more = count(more, "entry");
        writeln!(
            out,
            "... and {more} more with an `H`; `pipecron next ENTRY` says what it is"
        )?;
    }
    let next = next::first_start(config.entries.values(), clock.now());
    writeln!(
        out,
        "{} of {} in {files}: no errors, {}; {}",
        count(config.entries.len(), "entry"),
        count(config.accounts.len(), "account"),
        if found.warnings == 0 {
            "no warnings"
        } else {
            &warnings
        },
        next.map_or_else(
            || "nothing starts by itself".to_owned(),
            |next| format!("the next start is {next}")
        ),
    )?;
    Ok(())
}

/// The document of `--format json`, described in the README.
#[derive(Serialize)]
struct Document<'f> {
    version: u32,
    files: usize,
    /// Null if there are errors.
    entries: Option<usize>,
    accounts: Option<usize>,
    errors: usize,
    warnings: usize,
    unlisted: usize,
    problems: Vec<ProblemJson<'f>>,
}

fn json(found: &Found) -> anyhow::Result<()> {
    let config = found.config.as_ref();
    let document = Document {
        version: 1,
        files: found.files,
        entries: config.map(|config| config.entries.len()),
        accounts: config.map(|config| config.accounts.len()),
        errors: found.errors,
        warnings: found.warnings,
        unlisted: found.unlisted,
        problems: found.problems.iter().map(ProblemJson::from).collect(),
    };
    let mut out = stdout(Form::Json);
    writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
    Ok(out.flush()?)
}

fn github(found: &Found) -> anyhow::Result<()> {
    let mut out = stdout(Form::Text);
    for problem in &found.problems {
        writeln!(out, "{}", config::github(problem))?;
    }
    if found.unlisted > 0 {
        let level = if found.config.is_some() {
            "warning"
        } else {
            "error"
        };
        let more = count(found.unlisted, "problem");
        writeln!(
            out,
            "::{level} title=limit::and {more} more, which are not listed"
        )?;
    }
    Ok(out.flush()?)
}
