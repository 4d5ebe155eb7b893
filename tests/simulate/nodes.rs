//! A daemon of a world: it lives, dies, and is started again as a service manager does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipecron::config::{Config, SourceFile};
use pipecron::daemon::{Daemon, Event, Fresh, Loader, Parts};
use pipecron::os::Clock;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::ledger::SimLedger;
use super::service::Way;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) clock: Clock,
    pub(crate) ledger: Arc<SimLedger>,
    pub(crate) way: Arc<Way>,
    /// What the files say.
    pub(crate) files: Arc<Mutex<Config>>,
    tell: Arc<Mutex<Option<mpsc::Sender<Event>>>>,
    life: Option<JoinHandle<()>>,
}

impl Node {
    pub(crate) fn new(
        name: String,
        clock: Clock,
        ledger: Arc<SimLedger>,
        way: Arc<Way>,
        files: Arc<Mutex<Config>>,
    ) -> Self {
        Self {
            name,
            clock,
            ledger,
            way,
            files,
            tell: Arc::default(),
            life: None,
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.life.is_some()
    }

    fn parts(&self) -> Parts<SimLedger, Way> {
        let files = self.files.clone();
        let loader: Arc<Loader> = Arc::new(move || {
            Ok(Fresh {
                config: files.lock().unwrap().clone(),
                files: vec![SourceFile {
                    path: "x.yaml".to_owned(),
                    text: String::new(),
                }],
                warnings: Vec::new(),
            })
        });
        Parts {
            ledger: self.ledger.clone(),
            service: self.way.clone(),
            clock: self.clock.clone(),
            config: self.files.lock().unwrap().clone(),
            loader,
            config_key: "here".to_owned(),
            grace: Duration::from_secs(10),
        }
    }

    pub(crate) fn start(&mut self) {
        if self.life.is_some() {
            return;
        }
        self.way
            .service
            .checks
            .tell(format!("{} starts", self.name));
        // The first life is begun here and not in the task: what it is made of is what there is now.
        let mut first = Some((self.parts(), self.listen()));
        let again = self.again();
        self.life = Some(tokio::spawn(async move {
            loop {
                let (parts, events) = first.take().unwrap_or_else(&again);
                if Daemon::new(parts).run(events).await.is_ok() {
                    return;
                }
                // The ledger failed at the start.
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        }));
    }

    fn listen(&self) -> mpsc::Receiver<Event> {
        let (tell, events) = mpsc::channel(8);
        *self.tell.lock().unwrap() = Some(tell);
        events
    }

    /// What makes the parts of a later life.
    fn again(
        &self,
    ) -> impl Fn() -> (Parts<SimLedger, Way>, mpsc::Receiver<Event>) + Send + 'static {
        let same = Self {
            name: self.name.clone(),
            clock: self.clock.clone(),
            ledger: self.ledger.clone(),
            way: self.way.clone(),
            files: self.files.clone(),
            tell: self.tell.clone(),
            life: None,
        };
        move || (same.parts(), same.listen())
    }

    /// It dies on the spot, wherever it is.
    pub(crate) fn kill(&mut self) {
        if let Some(life) = self.life.take() {
            self.way.service.checks.tell(format!("{} dies", self.name));
            life.abort();
            *self.tell.lock().unwrap() = None;
        }
    }

    pub(crate) async fn reload(&self) {
        let tell = self.tell.lock().unwrap().clone();
        if let Some(tell) = tell {
            let by = "the world".to_owned();
            // One that is ending does not read any more.
            let _ = tell.send(Event::Reload { by }).await;
        }
    }

    /// It ends in good order.
    pub(crate) async fn stop(&mut self) {
        let tell = self.tell.lock().unwrap().take();
        if let (Some(tell), Some(life)) = (tell, self.life.take()) {
            self.way
                .service
                .checks
                .tell(format!("{} is stopped", self.name));
            let by = "the world".to_owned();
            let _ = tell.send(Event::Stop { by }).await;
            drop(tell);
            let mut life = life;
            // One that waits for its ledger to be opened hears nothing.
            if tokio::time::timeout(Duration::from_secs(600), &mut life)
                .await
                .is_err()
            {
                life.abort();
            }
        }
    }
}
