//! `notices`: whom the configuration has told of what, what waits for them, and a message to see whether it arrives.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Value, json};

use super::{Common, count, form, load, stdout};
use crate::config::{Channel, Config, nearest, shown};
use crate::domain::notice::{Group, Message, Notice, Topic};
use crate::domain::rfc3339;
use crate::notify::{Deliver, Notifier};
use crate::os::{self, Clock};
use crate::teller::{self, Waiting};

/// Arguments of `notices`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 done; 1 a channel is unknown, a message did not arrive, or the configuration has errors."
)]
pub(super) struct Options {
    /// Only these channels
    #[arg(value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Send each a test message now, from here and not through the daemon, and say whether it arrived
    #[arg(long)]
    test: bool,
    /// Print one JSON object a channel
    #[arg(long)]
    json: bool,
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let config = load::config_or_problems(common, &clock)?;
    let channels = chosen(&config, &options.channels)?;
    let mut out = stdout(form(options.json));
    if channels.is_empty() && !options.json {
        writeln!(
            out,
            "nobody is told of anything: there is no channel under `notices:`"
        )?;
    }
    if options.test {
        if common.sandbox {
            bail!("with --sandbox nothing leaves this machine, so there is no test message either");
        }
        return test(&clock, &channels, options.json, &mut out);
    }
    let waiting = waiting(common);
    for channel in channels {
        let waits = waiting.get(&channel.name);
        match options.json {
            true => writeln!(out, "{}", as_json(channel, waits))?,
            false => print(&mut out, channel, waits)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen<'c>(config: &'c Config, names: &[String]) -> anyhow::Result<Vec<&'c Channel>> {
    if names.is_empty() {
        return Ok(config.channels.values().map(|channel| &**channel).collect());
    }
    let find = |name: &String| {
        if let Some(channel) = config.channels.get(name) {
            return Ok(&**channel);
        }
        let known = config.channels.keys().map(String::as_str);
        let near = nearest(name, known).map(|near| format!("; did you mean {near}?"));
        bail!(
            "there is no channel {}{}",
            shown(name),
            near.unwrap_or_default()
        )
    };
    names.iter().map(find).collect()
}

/// What the ledger knows; a ledger that is not there or cannot be read knows nothing.
fn waiting(common: &Common) -> BTreeMap<String, Waiting> {
    let waiting = || {
        let ledger = load::ledger_to_read(common).ok()?;
        let runtime = load::runtime().ok()?;
        runtime.block_on(teller::waiting(&ledger)).ok()
    };
    waiting().unwrap_or_default()
}

fn as_json(channel: &Channel, waits: Option<&Waiting>) -> Value {
    let topics = channel.topics.iter();
    let topics: Vec<&str> = topics.map(|topic| topic.name()).collect();
    let trouble = waits.and_then(|waits| waits.trouble.as_ref());
    json!({
        "name": channel.name,
        "kind": channel.way.kind(),
        "events": topics,
        "labels": channel.labels,
        "digest": channel.digest.is_some(),
        "waiting": waits.map_or(0, |waits| waits.notices),
        "failing_since": trouble.map(|(since, _)| rfc3339(*since)),
        "failing_with": trouble.map(|(_, why)| why),
    })
}

fn print(out: &mut impl Write, channel: &Channel, waits: Option<&Waiting>) -> std::io::Result<()> {
    let topics = channel.topics.iter();
    let topics: Vec<&str> = topics.map(|topic| topic.name()).collect();
    let topics = topics.join(", ");
    let entries = match channel.labels.as_slice() {
        [] => "all entries".to_owned(),
        labels => format!("entries with the label {}", labels.join(" or ")),
    };
    writeln!(out, "{} ({})", channel.name, channel.way.kind())?;
    writeln!(out, "  told of   {topics}")?;
    writeln!(out, "  of        {entries}")?;
    if let Some(digest) = &channel.digest {
        writeln!(out, "  digest    {} in {}", digest.text, digest.zone.name())?;
    }
    let notices = waits.map_or(0, |waits| waits.notices);
    let many = usize::try_from(notices).unwrap_or(usize::MAX);
    if notices > 0 {
        writeln!(out, "  waiting   {}", count(many, "notice"))?;
    }
    if let Some((since, why)) = waits.and_then(|waits| waits.trouble.as_ref()) {
        writeln!(out, "  failing   since {}: {}", rfc3339(*since), shown(why))?;
    }
    Ok(())
}

fn test(
    clock: &Clock,
    channels: &[&Channel],
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let hands = Notifier::new(&os::node_name(), clock.clone());
    let runtime = load::runtime()?;
    let mut code = ExitCode::SUCCESS;
    for channel in channels {
        let came = runtime.block_on(hands.deliver(channel, &test_message(clock)));
        if came.is_err() {
            code = ExitCode::FAILURE;
        }
        let name = &channel.name;
        match (json, came) {
            (true, came) => {
                let why = came.as_ref().err().map(|failure| failure.why.clone());
                writeln!(
                    out,
                    "{}",
                    json!({ "name": name, "arrived": came.is_ok(), "why": why })
                )?;
            }
            (false, Ok(())) => writeln!(out, "{name}: a test message was delivered")?,
            (false, Err(failure)) => {
                writeln!(
                    out,
                    "{name}: the test message did not arrive: {}",
                    shown(&failure.why)
                )?;
            }
        }
        out.flush()?;
    }
    Ok(code)
}

fn test_message(clock: &Clock) -> Message {
    let notice = Notice {
        topic: Topic::Test,
        at: clock.now(),
        entry: None,
        account: None,
        tick: None,
        due: None,
        due_local: None,
        cause: "test message".to_owned(),
        text: "if you read this, notices of pipecron arrive here".to_owned(),
        run_id: None,
        run_page: None,
    };
    let group = Group {
        topic: Topic::Test,
        cause: notice.cause.clone(),
        count: 1,
        notices: vec![notice],
    };
    Message {
        groups: vec![group],
        ..Message::default()
    }
}
