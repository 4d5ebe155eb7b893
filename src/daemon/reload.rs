//! A reload: all of the new configuration or none of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::asked::{Refusal, Reply};
use super::{Daemon, Fresh, Read, Reload, hand, report};
use crate::codearts::CodeArts;
use crate::domain::{Entry, EntryName, after, plan};
use crate::ledger::Ledger;

impl<L: Ledger, C: CodeArts> Daemon<L, C> {
    /// Reads the files again. Whoever waits is told what came of a reading that began after they asked.
    pub(super) fn start_reload(&mut self, by: &str, wait: Option<oneshot::Sender<Reply>>) {
        match &mut self.reload {
            Reload::Reading { again, later, .. } => {
                info!("reload asked by {by} during another; the files are read once more after it");
                again.get_or_insert_with(|| by.to_owned());
                // Nobody waits any more for some of them, perhaps.
                later.retain(|wait| !wait.is_closed());
                later.extend(wait);
            }
            Reload::Idle => {
                info!("reloading the configuration, asked by {by}");
                let loader = self.parts.loader.clone();
                let task = tokio::task::spawn_blocking(move || loader());
                self.reload = Reload::Reading {
                    task,
                    by: by.to_owned(),
                    waits: wait.into_iter().collect(),
                    again: None,
                    later: Vec::new(),
                };
            }
        }
    }

    pub(super) async fn finish_reload(&mut self, loaded: Result<Fresh, Vec<String>>) {
        let Reload::Reading {
            by,
            waits,
            again,
            later,
            ..
        } = std::mem::take(&mut self.reload)
        else {
            return;
        };
        let reply = match loaded {
            Err(problems) => {
                for problem in &problems {
                    error!("{problem}");
                }
                error!(
                    problems = problems.len(),
                    "reload refused; the configuration that was loaded before stays"
                );
                self.metrics.reload_refused();
                Err(Refusal::Problems(problems))
            }
            Ok(fresh) => Ok(self.swap(fresh).await),
        };
        self.note_reload(&by, &reply).await;
        self.last_read = Some(Read::new(self.now(), by, &reply));
        self.stood = None;
        self.bell.notify_one();
        for wait in waits {
            // Whoever asked may have left.
            let _ = wait.send(reply.clone());
        }
        if let Some(by) = again {
            self.start_reload(&by, None);
            if let Reload::Reading { waits, .. } = &mut self.reload {
                *waits = later;
            }
        }
    }

    /// Writes down who had it read again, and what came of it.
    async fn note_reload(&self, by: &str, reply: &Reply) {
        let outcome = match reply {
            Ok(came_of_it) => format!(
                "in use: {} entries, {} changed",
                came_of_it["entries"], came_of_it["changed"]
            ),
            Err(Refusal::Problems(problems)) => match problems.as_slice() {
                [] => "refused".to_owned(),
                [one] => format!("refused: {one}"),
                [first, more @ ..] => format!("refused: {first} (and {} more)", more.len()),
            },
            Err(Refusal::Unknown(why) | Refusal::Refused(why) | Refusal::NotNow(why)) => {
                why.clone()
            }
        };
        let (ledger, now) = (&*self.parts.ledger, self.now());
        let on = "the configuration".to_owned();
        hand::note(ledger, now, by, "reload", on, String::new(), outcome).await;
    }

    /// What is remembered of entries that are gone: where hundreds come and go, a daemon that runs for a year must not grow.
    fn forget_removed(&mut self, entries: &BTreeMap<EntryName, Arc<Entry>>) {
        self.fuses.retain(|name, _| entries.contains_key(name));
        for names in self.held.values_mut() {
            names.retain(|name| entries.contains_key(name));
        }
        self.held.retain(|_, names| !names.is_empty());
    }

    /// Takes a new configuration, all of it at once; gives what there is to say of it.
    async fn swap(&mut self, fresh: Fresh) -> Value {
        for warning in &fresh.warnings {
            warn!("{warning}");
        }
        let differences = plan::diff(&self.parts.config.entries, &fresh.config.entries);
        report::differences(&differences);
        report::accounts(&self.parts.config.accounts, &fresh.config.accounts);
        report::channels(&self.parts.config, &fresh.config);
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
        let came_of_it = json!({
            "entries": config.entries.len(),
            "changed": differences.len(),
            "warnings": fresh.warnings,
        });
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
        self.count_config();
        self.metrics.reloaded(now, &fresh.files);
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
        came_of_it
    }
}
