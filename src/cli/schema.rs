//! `schema`: print what an editor needs to know about a configuration file.

use std::io::Write;
use std::process::ExitCode;

use super::stdout;
use crate::config;
use crate::os::zones::Zones;
use crate::telemetry::Form;

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Write it beside the configuration, and name it in the first line of each file:\n  \
    pipecron schema > schedules.schema.json\n  \
    # yaml-language-server: $schema=schedules.schema.json"
)]
pub(super) struct Options {}

pub(super) fn run(_: &Options) -> anyhow::Result<ExitCode> {
    // The names that `check` knows on this machine.
    let schema = config::schema(&Zones::load().names());
    let mut out = stdout(Form::Json);
    writeln!(out, "{}", serde_json::to_string_pretty(&schema)?)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
