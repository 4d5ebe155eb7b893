//! A reload: all of the new configuration or none of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info, warn};

use super::{Daemon, Fresh, Reload, report};
use crate::codearts::CodeArts;
use crate::domain::{Entry, EntryName, after, plan};
use crate::ledger::Ledger;

impl<L: Ledger, C: CodeArts> Daemon<L, C> {
    pub(super) fn start_reload(&mut self, by: &str) {
        match &mut self.reload {
            Reload::Reading { again, .. } => {
                info!("reload asked by {by} during another; the files are read once more after it");
                *again = true;
            }
            Reload::Idle => {
                info!("reloading the configuration, asked by {by}");
                let loader = self.parts.loader.clone();
                let task = tokio::task::spawn_blocking(move || loader());
                self.reload = Reload::Reading { task, again: false };
            }
        }
    }

    pub(super) async fn finish_reload(&mut self, loaded: Result<Fresh, Vec<String>>) {
        let again = matches!(
            std::mem::take(&mut self.reload),
            Reload::Reading { again: true, .. }
        );
        match loaded {
            Err(problems) => {
                for problem in &problems {
                    error!("{problem}");
                }
                error!(
                    problems = problems.len(),
                    "reload refused; the configuration that was loaded before stays"
                );
            }
            Ok(fresh) => self.swap(fresh).await,
        }
        if again {
            self.start_reload("the request that came during the last one");
        }
    }

    /// What is remembered of entries that are gone: where hundreds come and go, a daemon that runs for a year must not grow.
    fn forget_removed(&mut self, entries: &BTreeMap<EntryName, Arc<Entry>>) {
        self.fuses.retain(|name, _| entries.contains_key(name));
        for names in self.held.values_mut() {
            names.retain(|name| entries.contains_key(name));
        }
        self.held.retain(|_, names| !names.is_empty());
    }

    /// Takes a new configuration, all of it at once.
    async fn swap(&mut self, fresh: Fresh) {
        for warning in &fresh.warnings {
            warn!("{warning}");
        }
        let differences = plan::diff(&self.parts.config.entries, &fresh.config.entries);
        report::differences(&differences);
        report::accounts(&self.parts.config.accounts, &fresh.config.accounts);
        let now = self.now();
        for name in self
            .parts
            .config
            .entries
            .keys()
            .chain(fresh.config.entries.keys())
        {
            self.alarms.set(name, Some(now));
        }
        let mut config = fresh.config;
        let starts = plan::starts_between(
            &config.entries,
            now,
            after(now, Duration::from_secs(86_400)),
        );
        info!(
            entries = config.entries.len(),
            changed = differences.len(),
            "configuration reloaded, with {starts} to start in the coming 24 hours"
        );
        // Ticks that wait may still name an account that is gone; it stays usable until the next start.
        let mut accounts = std::mem::take(&mut self.parts.config.accounts);
        accounts.append(&mut config.accounts.clone());
        self.parts.service.use_accounts(&accounts);
        // Secrets are read again now: whoever mended them need not wait for the end of a rest, and what is new has to
        // prove itself.
        for name in accounts.keys() {
            self.paces.entry(name.clone()).or_default().prove_again();
        }
        self.turns.stir_all();
        self.forget_removed(&config.entries);
        config.accounts = accounts;
        self.parts.config = config;
        if let Err(failure) = self
            .parts
            .ledger
            .keep_config(self.parts.config_key.clone(), fresh.files)
            .await
        {
            warn!(
                "the new configuration is in use, but could not be kept for a start with broken files: {failure}"
            );
        }
    }
}
