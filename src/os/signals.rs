//! Signals as events: HUP reloads, TERM and INT stop, a second one of these ends the process at once.

use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::Origin;
use signal_hook_tokio::SignalsInfo;

/// A signal that arrived, with who sent it as far as the kernel tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// What it asks for.
    pub wish: Wish,
    /// `SIGHUP from process 4711 of user 0`.
    pub origin: String,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// SIGHUP.
    Reload,
    /// SIGTERM or SIGINT.
    Stop,
}

/// The signals that arrive from now on.
pub struct Signals(SignalsInfo<WithOrigin>);

impl std::fmt::Debug for Signals {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Signals")
    }
}

impl Signals {
    /// Listens for HUP, TERM and INT.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn listen() -> std::io::Result<Self> {
        SignalsInfo::<WithOrigin>::new([SIGHUP, SIGTERM, SIGINT]).map(Self)
    }

    /// The next signal. Equal ones that arrive together count as one.
    pub async fn next(&mut self) -> Option<Signal> {
        self.0.next().await.map(|origin| Signal {
            wish: wish(origin.signal),
            origin: describe(&origin),
        })
    }
}

fn wish(signal: i32) -> Wish {
    if signal == SIGHUP {
        Wish::Reload
    } else {
        Wish::Stop
    }
}

fn describe(origin: &Origin) -> String {
    let name = match origin.signal {
        SIGHUP => "SIGHUP",
        SIGINT => "SIGINT",
        _ => "SIGTERM",
    };
    match &origin.process {
        Some(process) => format!(
            "{name} from process {} of user {}",
            process.pid, process.uid
        ),
        None => name.to_owned(),
    }
}
