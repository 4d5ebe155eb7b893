//! `reload`: have the daemon read its configuration again, and wait for what comes of it.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use hyper::Method;

use super::ask::{self, Asked};
use super::{Common, form, load, stderr, stdout};
use crate::config::shown;

/// Arguments of `reload`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 the new configuration is in use; 1 the files have problems, which are printed, and the one that was \
                  loaded before stays; also 1 if no daemon answers."
)]
pub(super) struct Options {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    let asked = ask::daemon(common, Method::POST, "/v1/reload", None);
    let answer = match load::runtime()?.block_on(asked)? {
        Asked::Answer(answer) => answer,
        Asked::NoDaemon(why) => bail!("nothing was reloaded: {why}; is it running?"),
    };
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        for line in warning.as_str().unwrap_or_default().lines() {
            writeln!(stderr(), "{}", shown(line))?;
        }
    }
    let mut out = stdout(form(options.json));
    match options.json {
        true => writeln!(out, "{answer}")?,
        false => writeln!(
            out,
            "reloaded: {} entries, {} changed",
            answer["entries"], answer["changed"]
        )?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
