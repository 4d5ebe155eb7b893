//! `status`: how the daemon stands. Without one, what the ledger knows, and that none answers.

use std::io::Write;
use std::process::ExitCode;

use hyper::Method;
use serde_json::{Value, json};

use super::ask::{self, Asked};
use super::{Common, form, load, stderr, stdout};
use crate::config::shown;
use crate::control::server::add_ledger;
use crate::os::Clock;

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 the daemon runs; 1 nothing is known, and a message says why; 2 the arguments are not understood; 3 no \
                  daemon answers, and what is printed is what the ledger knows; 4 the daemon runs, but its last reload was \
                  refused, its ledger fails, or an account rests."
)]
pub(super) struct Options {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// No daemon answers.
const NO_DAEMON: u8 = 3;
/// It runs, and something is wrong.
const IN_TROUBLE: u8 = 4;

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    let (status, code) = load::runtime()?.block_on(async {
        match ask::daemon(common, Method::GET, "/v1/status", None).await? {
            Asked::Answer(status) => {
                let code = if is_in_trouble(&status) {
                    IN_TROUBLE
                } else {
                    0
                };
                anyhow::Ok((status, code))
            }
            Asked::NoDaemon(why) => {
                writeln!(stderr(), "{why}; this is what the ledger knows")?;
                let ledger = load::ledger_to_read(common)?;
                let mut status = json!({ "running": false });
                add_ledger(&mut status, &ledger, Clock::system().now()).await?;
                Ok((status, NO_DAEMON))
            }
        }
    })?;
    let mut out = stdout(form(options.json));
    match options.json {
        true => writeln!(out, "{status}")?,
        false => tell(&mut out, &status)?,
    }
    out.flush()?;
    Ok(ExitCode::from(code))
}

fn is_in_trouble(status: &Value) -> bool {
    let rests = |account: &Value| !account["rests_until"].is_null() || account["breaker"] == true;
    let mut accounts = status["accounts"].as_array().into_iter().flatten();
    status["last_reload"]["refused"] == true
        || status["ledger_fails"] == true
        || accounts.any(rests)
}

fn word(value: &Value) -> String {
    match value.as_str() {
        Some(text) => shown(text),
        None if value.is_null() => "?".to_owned(),
        None => value.to_string(),
    }
}

fn tell(out: &mut impl Write, status: &Value) -> std::io::Result<()> {
    if status["running"] == true {
        writeln!(
            out,
            "pipecron {} runs as process {} since {}",
            word(&status["version"]),
            word(&status["pid"]),
            word(&status["started_at"])
        )?;
        writeln!(
            out,
            "configuration: {} entries; zone data: {}",
            word(&status["entries"]),
            word(&status["tzdata"])
        )?;
        let reload = &status["last_reload"];
        if !reload.is_null() {
            let refused = reload["refused"] == true;
            let what = if refused {
                "was refused; the one before stays"
            } else {
                "is in use"
            };
            writeln!(
                out,
                "last reload: {}, by {}: it {what}",
                word(&reload["at"]),
                word(&reload["by"])
            )?;
            for problem in reload["problems"].as_array().into_iter().flatten() {
                for line in problem.as_str().unwrap_or_default().lines() {
                    writeln!(out, "  {}", shown(line))?;
                }
            }
        }
        let next = &status["next"];
        match next.is_null() {
            true => writeln!(out, "next tick: none")?,
            false => writeln!(
                out,
                "next tick: {} due {}",
                word(&next["entry"]),
                word(&next["due"])
            )?,
        }
        if status["ledger_fails"] == true {
            writeln!(
                out,
                "the ledger FAILS: nothing is sent until it works again; the log says why"
            )?;
        }
        for account in status["accounts"].as_array().into_iter().flatten() {
            let mut words = Vec::new();
            if account["credentials_refused"] == true {
                words.push("its credentials were refused".to_owned());
            }
            if account["breaker"] == true {
                words.push("the service does not work for it".to_owned());
            }
            if !account["rests_until"].is_null() {
                words.push(format!("rests until {}", word(&account["rests_until"])));
            }
            if !words.is_empty() {
                writeln!(
                    out,
                    "account {}: {}",
                    word(&account["account"]),
                    words.join(", ")
                )?;
            }
        }
    }
    let open = status["open"].as_object().into_iter().flatten();
    let open: Vec<String> = open
        .filter(|(_, count)| **count != 0)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    match open.as_slice() {
        [] => writeln!(out, "open ticks: none")?,
        some => writeln!(out, "open ticks: {}", some.join(", "))?,
    }
    for tick in status["open_ticks"].as_array().into_iter().flatten() {
        writeln!(
            out,
            "  {}  {}  {}",
            word(&tick["tick"]),
            word(&tick["state"]),
            word(&tick["note"])
        )?;
    }
    for pause in status["pauses"].as_array().into_iter().flatten() {
        writeln!(out, "{}", word(&pause["text"]))?;
    }
    Ok(())
}
