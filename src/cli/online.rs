//! `check --online`: asks CodeArts about the pipelines of the entries, and has them compared. It starts nothing.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::Instant;

use super::daemon::sandboxed;
use super::load::{self, Read};
use super::{Common, count, stderr};
use crate::codearts::http::Client;
use crate::config;
use crate::os::{self, Clock};
use crate::sandbox::{Sandbox, Settings, declared};

/// The largest file of pipelines for the sandbox, in bytes.
const PIPELINES_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How often somebody at a terminal is told how far it is.
const TOLD_EVERY: Duration = Duration::from_secs(2);

/// What a sandbox knows of pipelines.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Pipelines {
    /// With --sandbox: the pipelines that the sandbox has, as `sandbox --help` says; without it, it has every pipeline and
    /// shows nothing of it
    #[arg(long = "pipelines", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
}

/// Asks about the pipelines of a configuration without errors, and checks it again beside the answers.
pub(super) fn check(
    common: &Common,
    pipelines: &Pipelines,
    read: Read,
    clock: &Clock,
) -> anyhow::Result<Read> {
    let Some(config) = &read.config else {
        writeln!(
            stderr(),
            "CodeArts was not asked, as the files have errors of their own"
        )?;
        return Ok(read);
    };
    let wanted = config::pipelines_of(config);
    let told = load::runtime()?.block_on(async {
        let service = Service::of(common, pipelines).await?;
        let accounts = service.config(config.clone()).accounts;
        let client = Client::new(&accounts, clock.clone());
        let progress = Progress::new(wanted.len());
        anyhow::Ok(client.show_pipelines(&wanted, &|| progress.tell()).await)
    })?;
    Ok(load::parse_online(read.files, clock, &told))
}

/// The real service, or a sandbox in this process.
pub(super) struct Service(Option<Sandbox>);

impl Service {
    pub(super) async fn of(common: &Common, pipelines: &Pipelines) -> anyhow::Result<Self> {
        if !common.sandbox {
            if pipelines.file.is_some() {
                bail!("--pipelines says what the sandbox has; it needs --sandbox");
            }
            return Ok(Self(None));
        }
        let mut settings = Settings::default();
        if let Some(file) = &pipelines.file {
            declare(&mut settings, file)?;
        }
        let sandbox = Sandbox::start(settings)
            .await
            .context("cannot start the sandbox")?;
        Ok(Self(Some(sandbox)))
    }

    /// The configuration whose accounts lead there.
    pub(super) fn config(&self, config: config::Config) -> config::Config {
        match &self.0 {
            Some(sandbox) => sandboxed(config, &sandbox.base_url()),
            None => config,
        }
    }
}

/// Gives a sandbox the pipelines of a file, and no others.
pub(super) fn declare(settings: &mut Settings, file: &Path) -> anyhow::Result<()> {
    let read = || {
        let bytes = os::read_file(file, PIPELINES_BYTES_MAX)?;
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        declared::parse(&text)
    };
    settings.pipelines = read()
        .map_err(|why| anyhow::anyhow!("cannot read the pipelines in {}: {why}", file.display()))?;
    settings.known_pipelines_only = true;
    Ok(())
}

/// Tells somebody at a terminal how far it is.
struct Progress {
    all: usize,
    heard: AtomicUsize,
    told: Mutex<Instant>,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self {
            all,
            heard: AtomicUsize::new(0),
            told: Mutex::new(Instant::now()),
        }
    }

    fn tell(&self) {
        let heard = self.heard.fetch_add(1, Ordering::Relaxed) + 1;
        let Ok(mut told) = self.told.try_lock() else {
            return;
        };
        if told.elapsed() >= TOLD_EVERY && std::io::stderr().is_terminal() {
            *told = Instant::now();
            let all = count(self.all, "pipeline");
            // Who does not see it misses nothing.
            let _ = writeln!(stderr(), "asked CodeArts about {heard} of {all}");
        }
    }
}
