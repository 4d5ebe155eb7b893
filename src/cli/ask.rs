//! Asking the daemon that runs, through its control socket.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{anyhow, bail};
use hyper::Method;
use serde_json::{Value, json};

use super::{Common, load, stderr};
use crate::config::shown;
use crate::control::TriggerBody;
use crate::control::client::{Ask, NoAnswer, ask};
use crate::daemon::asked::{KEY_CHARS, Refusal, Reply};
use crate::ledger::LedgerError;
use crate::ledger::sqlite::SqliteLedger;
use crate::os::{self, Clock};

/// The control socket: the flag, else the usual place; none if there is to be none.
pub(super) fn socket(common: &Common) -> Option<PathBuf> {
    match &common.control {
        Some(path) if path == Path::new("off") => None,
        Some(path) => Some(path.clone()),
        None => {
            // A rehearsal beside the service has a socket of its own, as it has a ledger.
            let name = match common.sandbox {
                true => "sandbox.sock",
                false => "control.sock",
            };
            os::runtime_directory().map(|directory| directory.join(name))
        }
    }
}

/// So long nobody who acts is told that the daemon has not answered yet.
const WAIT_UNSAID: Duration = Duration::from_secs(5);

/// What the daemon answered.
pub(super) enum Asked {
    /// It runs, and this is what came of it.
    Answer(Value),
    /// None runs; why that is believed.
    NoDaemon(String),
}

/// Asks the daemon for something.
///
/// # Errors
/// When it refuses, or does not answer as it should.
pub(super) async fn daemon(
    common: &Common,
    method: Method,
    target: &str,
    body: Option<Value>,
) -> anyhow::Result<Asked> {
    let Some(socket) = socket(common) else {
        return Ok(Asked::NoDaemon(
            "no control socket is to be used (--control off)".to_owned(),
        ));
    };
    // Without the flag the daemon's own ledger is meant, wherever that is.
    let ledger = match &common.ledger {
        Some(_) => Some(load::ledger_path(common)?),
        None => None,
    };
    let ledger = ledger.map(|path| resolved(&path));
    let request = Ask {
        method,
        target,
        body,
        ledger: ledger.as_deref(),
    };
    let only_reads = request.method == Method::GET;
    let mut asking = std::pin::pin!(ask(&socket, request));
    let answer = tokio::select! {
        biased;
        answer = &mut asking => answer,
        () = tokio::time::sleep(WAIT_UNSAID), if !only_reads => {
            writeln!(
                stderr(),
                "the daemon on {} has not answered yet; still waiting",
                socket.display()
            )?;
            asking.await
        }
    };
    match answer {
        Ok((200..=299, value)) => Ok(Asked::Answer(value)),
        Ok((_, value)) => {
            let error = &value["error"];
            for problem in error["problems"].as_array().into_iter().flatten() {
                let problem = problem.as_str().unwrap_or_default();
                writeln!(stderr(), "{}", shown_lines(problem))?;
            }
            bail!(
                "{}",
                error["message"]
                    .as_str()
                    .unwrap_or("the daemon refused, without a word")
            )
        }
        Err(failure @ (NoAnswer::NoDaemon { .. } | NoAnswer::Silent { .. })) => {
            Ok(Asked::NoDaemon(failure.to_string()))
        }
        Err(failure) => Err(failure.into()),
    }
}

/// So often it is asked for a run whose answer is lost.
const TRIGGER_TRIES: u32 = 3;
/// After a lost answer.
const TRIGGER_PAUSE: Duration = Duration::from_secs(1);

/// Has the daemon start a run. If the answer is lost it is asked again under the same key, by which it knows that it did it.
///
/// # Errors
/// When it refuses, or no answer comes: then it says how to find out whether there is a run.
pub(super) async fn trigger(common: &Common, body: TriggerBody) -> anyhow::Result<Asked> {
    let key = os::random_word(KEY_CHARS);
    let where_to_look = format!(
        "whether a run was started, `pipecron history {}` shows: its tick ends with +{key}",
        body.entry
    );
    let body = json!(TriggerBody {
        key: Some(key),
        ..body
    });
    let mut lost = None;
    for _ in 0..TRIGGER_TRIES {
        if lost.is_some() {
            tokio::time::sleep(TRIGGER_PAUSE).await;
        }
        match daemon(common, Method::POST, "/v1/trigger", Some(body.clone())).await {
            Err(failure) if is_lost(&failure) => lost = Some(failure),
            Ok(Asked::NoDaemon(why)) if lost.is_some() => {
                bail!("the daemon went away before it answered ({why}); {where_to_look}")
            }
            answer => return answer,
        }
    }
    Err(lost
        .unwrap_or_else(|| anyhow!("no answer came"))
        .context(where_to_look))
}

/// Whether it may have been done, and only the answer is lost.
fn is_lost(failure: &anyhow::Error) -> bool {
    matches!(
        failure.downcast_ref::<NoAnswer>(),
        Some(NoAnswer::Broken { .. })
    )
}

/// A text of several lines, each as it may be shown.
fn shown_lines(text: &str) -> String {
    text.lines().map(shown).collect::<Vec<_>>().join("\n")
}

/// The path as the daemon names its ledger.
pub(super) fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.canonicalize().unwrap_or(absolute)
}

/// Opens the ledger for writing, because no daemon answered, and says so.
///
/// # Errors
/// When a daemon has it all the same, or it cannot be opened.
pub(super) async fn ledger_instead(
    common: &Common,
    clock: Clock,
    why: &str,
) -> anyhow::Result<SqliteLedger> {
    let path = load::ledger_path(common)?;
    let ledger = match SqliteLedger::open(&path, clock) {
        Err(LedgerError::Held { pid, .. }) => bail!(
            "a daemon (process {pid}) runs on this ledger, but cannot be asked: {why}; say with --control where it listens"
        ),
        other => other?,
    };
    load::claim(&ledger, common.sandbox).await?;
    writeln!(
        stderr(),
        "{why}; written into the ledger {}",
        path.display()
    )?;
    Ok(ledger)
}

/// Whoever reads the ledger is to know that nobody works on it, and that nothing in it will change.
/// Scripts, which read `json`, have no use for it.
pub(super) async fn note_if_alone(common: &Common, json: bool) -> std::io::Result<()> {
    let Some(socket) = socket(common).filter(|_| !json) else {
        return Ok(());
    };
    match tokio::net::UnixStream::connect(&socket).await {
        Err(error) if is_nobody(&error) => writeln!(
            stderr(),
            "no daemon answers on {}; this is what the ledger knows",
            socket.display()
        ),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn is_nobody(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused
    )
}

/// What came of something that was done without a daemon.
pub(super) fn done(reply: Reply) -> anyhow::Result<Value> {
    match reply {
        Ok(value) => Ok(value),
        Err(Refusal::Unknown(why) | Refusal::Refused(why) | Refusal::NotNow(why)) => bail!(why),
        Err(Refusal::Problems(problems)) => bail!(problems.join("; ")),
    }
}

/// Longest reason that may be given.
pub(super) fn reason(text: &str) -> Result<String, String> {
    let most = crate::domain::pause::REASON_CHARS_MAX;
    match text.chars().count() {
        count if count > most => Err(format!(
            "it has {count} characters, and {most} are possible"
        )),
        _ => Ok(text.to_owned()),
    }
}
