//! `sandbox`: a local stand-in for CodeArts Pipeline, for as long as it is wanted.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tracing::info;

use super::daemon::events;
use super::{Common, load, online, parse_duration, stdout};
use crate::daemon::Event;
use crate::sandbox::{FaultRule, Sandbox, Settings, declared, faults_manual};
use crate::telemetry::{self, Form};

/// Arguments of `sandbox`.
#[derive(Debug, clap::Args)]
#[command(after_help = manual())]
pub(super) struct Options {
    /// Where to listen: an address of this machine; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The pipelines that it has, as below
    #[arg(long, value_name = "FILE")]
    pipelines: Option<PathBuf>,
    /// What goes wrong, as below; repeatable
    #[arg(long, value_name = "RULE", value_parser = |text: &str| FaultRule::parse(text))]
    fault: Vec<FaultRule>,
    /// How long a run takes
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = parse_duration)]
    run_duration: Duration,
    /// What all chance hangs on; drawn at random if absent
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

fn manual() -> String {
    format!(
        "{}\n{}\n\
         For example:\n\
         \x20 lost=reset,next=2       the run is started, but the answer is lost, twice\n\
         \x20 status=503,chance=0.1   one start in ten is answered 503\n\
         \n\
         While it runs they can be changed: POST rules to /sandbox/faults, as text (one a line) or\n\
         JSON; DELETE /sandbox/faults forgets them; GET /sandbox/runs lists all runs.\n\
         It prints how to use it to stdout, and its log to stderr.\n\
         \n\
         It keeps nothing: ended and started again it knows no run of before. A daemon looks for\n\
         those it followed, and ends their ticks as unknown after ten minutes. The sandbox inside\n\
         `daemon --sandbox` ends with it, the ledger of its rehearsals does not.",
        declared::MANUAL,
        faults_manual()
    )
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    let _logging = telemetry::set_up(&common.logging())?;
    load::runtime()?.block_on(async {
        let (_tell, mut events) = events()?;
        let mut settings = Settings {
            listen: options.listen,
            seed: options.seed,
            run_duration: options.run_duration..=options.run_duration,
            faults: options.fault.clone(),
            ..Settings::default()
        };
        if let Some(file) = &options.pipelines {
            online::declare(&mut settings, file)?;
        }
        let sandbox = Sandbox::start(settings)
            .await
            .context("cannot start the sandbox")?;
        info!(
            "a stand-in for CodeArts answers on {} ; nothing leaves this machine",
            sandbox.base_url()
        );
        let mut out = stdout(Form::Text);
        write!(out, "{}", sandbox.guide())?;
        out.flush()?;
        drop(out);
        loop {
            match events.recv().await {
                Some(Event::Reload { .. } | Event::Asked(_) | Event::Look { .. }) => {}
                Some(Event::Stop { by }) => {
                    info!(
                        "stopping, asked by {by}; {} started",
                        match sandbox.runs().len() {
                            1 => "1 run was".to_owned(),
                            runs => format!("{runs} runs were"),
                        }
                    );
                    break;
                }
                None => break,
            }
        }
        sandbox.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}
