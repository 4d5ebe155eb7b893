//! `check`: read all files and print every problem.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;

use super::next::hash_words;
use super::online::{self, Pipelines};
use super::{Common, count, load, stderr, stdout};
use crate::codearts::http::Client;
use crate::config::{Problem, Severity, shown};
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
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let read = load::read(&load::config_paths(common), &clock);
    let read = if options.online {
        online::check(common, &options.pipelines, read, &clock)?
    } else if options.pipelines.file.is_some() {
        bail!(
            "--pipelines says what the sandbox answers to --online; it needs both --online and --sandbox"
        );
    } else {
        read
    };
    load::print_problems(&read)?;
    let is_warning = |problem: &&Problem| problem.severity == Severity::Warning;
    let mut warnings = read.problems.iter().filter(is_warning).count();
    let errors = read.problems.len() - warnings + read.unlisted;
    let files = count(read.files.len(), "file");
    let Some(config) = read.config else {
        let (errors, warnings) = (count(errors, "error"), count(warnings, "warning"));
        writeln!(stdout(Form::Text), "{errors} and {warnings} in {files}")?;
        return Ok(ExitCode::FAILURE);
    };
    // A secret may be there only where the daemon runs, so this is a warning.
    if !common.sandbox {
        for why in load::missing_secrets(&config, &Client::new(&config.accounts, clock)) {
            warnings += 1;
            writeln!(stderr(), "warning: {why}")?;
        }
    }
    for entry in config.entries.values() {
        if let Some(words) = entry.schedule.as_ref().and_then(hash_words) {
            writeln!(stdout(Form::Text), "{}: {}", entry.name, shown(&words))?;
        }
    }
    let (entries, warned) = (config.entries.len(), count(warnings, "warning"));
    writeln!(
        stdout(Form::Text),
        "{} in {files}: no errors, {warned}",
        count(entries, "entry")
    )?;
    Ok(if options.strict && warnings > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
