//! Where log lines go: to stderr, for the journal, and on demand to a directory of daily files.
//!
//! Logging never blocks the loop: lines go through a bounded queue to a thread of their own. Lines that find the queue
//! full, because a disk or terminal hangs, are lost and counted, and so are lines that cannot be written, because a disk
//! is full or fails; both are reported (`sink`). The ledger is the record, not the log.
//!
//! No line steers the terminal that it is read on, or hides anything: see `telemetry/plain.rs`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::warn;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::os::Clock;

pub mod metrics;
mod plain;
mod sink;

pub use plain::{Form, Plain, plain};

use sink::{Sink, lines_were};

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A sentence and its fields.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is to be set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How a line is written, to stderr and to files.
    pub format: Format,
    /// Where daily files go, if anywhere: a directory of its own, because old files are deleted by name.
    pub directory: Option<PathBuf>,
    /// How many daily files are kept; all of them if it is 0.
    pub keep_files: usize,
    /// Which lines are written: `info`, `debug`, `pipecron=debug,warn`, ...
    pub filter: String,
}

/// Logging as it was set up. Dropped last, it writes what is still in the queues.
#[derive(Debug)]
pub struct Logging {
    loss: Loss,
    /// One for each place, stderr first.
    guards: Vec<WorkerGuard>,
}

impl Logging {
    /// A counter of lost lines for somebody else to look at.
    pub fn loss(&self) -> Loss {
        self.loss.clone()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        // The files first, so that stderr can still say what did not get there.
        while self.guards.len() > 1 {
            self.guards.pop();
        }
        let lines = self.loss.lines();
        if lines > 0 {
            warn!(
                lines,
                "{} lost since the start; the ledger has everything",
                lines_were(lines)
            );
        }
    }
}

/// Counts lost lines.
#[derive(Debug, Clone)]
pub struct Loss {
    overflown: Vec<ErrorCounter>,
    unwritten: Vec<Arc<AtomicUsize>>,
}

impl Loss {
    /// How many lines were lost so far.
    pub fn lines(&self) -> usize {
        let unwritten = self.unwritten.iter();
        let unwritten: usize = unwritten.map(|lost| lost.load(Ordering::Relaxed)).sum();
        self.overflown() + unwritten
    }

    /// How many of them found a queue full. The others are told where they are lost.
    pub fn overflown(&self) -> usize {
        self.overflown.iter().map(ErrorCounter::dropped_lines).sum()
    }
}

/// What stood in the way of logging.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directory for the daily files cannot be used.
    #[error(
        "cannot write log files into {directory}: {why}; make the directory writable or give another --log-dir"
    )]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// The filter is not one.
    #[error(
        "{filter:?} is not a log filter: {why}; write for example info, debug or pipecron=debug,warn"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What went wrong.
        why: String,
    },
    /// Logging was set up before.
    #[error("logging was set up twice: {0}")]
    Twice(String),
}

/// Sets logging up for the whole process.
///
/// # Errors
/// When the directory cannot be written to, the filter is malformed, or logging was set up before.
pub fn set_up(settings: &Settings) -> Result<Logging, LogError> {
    // A lone word that is no level would be taken for the name of a module, and silence everything.
    let word = settings.filter.trim();
    let is_word = word.chars().all(|c| c.is_alphanumeric() || c == '_');
    if is_word && word.parse::<tracing::level_filters::LevelFilter>().is_err() {
        return Err(LogError::Filter {
            filter: settings.filter.clone(),
            why: "it is no level; levels are error, warn, info, debug and trace".to_owned(),
        });
    }
    // The scheduler of chores tells of its own workings at level info; nobody wants to read that at night.
    let all = format!("tokio_cron_scheduler=warn,{}", settings.filter);
    let filter = EnvFilter::try_new(all).map_err(|error| LogError::Filter {
        filter: settings.filter.clone(),
        why: error.to_string(),
    })?;
    let mut places = Places::new(settings.format);
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    places.add(
        "log-stderr",
        "stderr".to_owned(),
        std::io::stderr(),
        colours,
        false,
    );
    if let Some(directory) = &settings.directory {
        let file = daily(directory, settings.keep_files)?;
        let name = format!("the log files in {}", directory.display());
        places.add("log-file", name, file, false, ends_torn(directory));
    }
    let Places {
        layers,
        guards,
        loss,
        ..
    } = places;
    tracing_subscriber::registry()
        .with(layers)
        .with(filter)
        .try_init()
        .map_err(|error| LogError::Twice(error.to_string()))?;
    Ok(Logging { loss, guards })
}

/// The places that lines go to.
struct Places {
    format: Format,
    layers: Vec<Box<dyn Layer<Registry> + Send + Sync>>,
    guards: Vec<WorkerGuard>,
    loss: Loss,
}

impl Places {
    fn new(format: Format) -> Self {
        Self {
            format,
            layers: Vec::new(),
            guards: Vec::new(),
            loss: Loss {
                overflown: Vec::new(),
                unwritten: Vec::new(),
            },
        }
    }

    fn add(
        &mut self,
        thread: &str,
        name: String,
        to: impl std::io::Write + Send + 'static,
        colours: bool,
        torn: bool,
    ) {
        let form = match self.format {
            Format::Json => Form::Json,
            Format::Text if colours => Form::Coloured,
            Format::Text => Form::Text,
        };
        let sink = Sink::new(to, name, form, Clock::system()).torn(torn);
        self.loss.unwritten.push(sink.lost());
        let queue = NonBlockingBuilder::default().thread_name(thread);
        let (queue, guard) = queue.finish(sink);
        self.loss.overflown.push(queue.error_counter());
        self.guards.push(guard);
        self.layers.push(layer(self.format, queue, colours));
    }
}

fn layer(
    format: Format,
    sink: NonBlocking,
    colours: bool,
) -> Box<dyn Layer<Registry> + Send + Sync> {
    let plain = fmt::layer()
        .with_writer(sink)
        .with_target(false)
        .with_ansi(colours);
    match format {
        Format::Text => Box::new(plain),
        Format::Json => Box::new(
            plain
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false),
        ),
    }
}

/// What the daily files are called: `pipecron.2026-11-24.log`.
const FILE_NAME: (&str, &str) = ("pipecron", "log");

fn daily(directory: &Path, keep_files: usize) -> Result<RollingFileAppender, LogError> {
    let fail = |why: String| LogError::Directory {
        directory: directory.to_owned(),
        why,
    };
    std::fs::create_dir_all(directory).map_err(|error| fail(error.to_string()))?;
    let mut files = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix(FILE_NAME.0)
        .filename_suffix(FILE_NAME.1);
    // The appender would take a limit of no files for one that every file exceeds.
    if keep_files > 0 {
        files = files.max_log_files(keep_files);
    }
    files.build(directory).map_err(|error| {
        fail(
            std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string),
        )
    })
}

/// Whether the newest file ends in the middle of a line, as after a full disk or a loss of power.
fn ends_torn(directory: &Path) -> bool {
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let newest = names
        .map(|file| file.path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            // A pipe of that name would keep us waiting for somebody who writes.
            name.is_some_and(|name| name.starts_with(FILE_NAME.0) && name.ends_with(FILE_NAME.1))
                && path.is_file()
        })
        .max();
    let last = |path: PathBuf| {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        std::io::Result::Ok(last[0])
    };
    newest
        .and_then(|path| last(path).ok())
        .is_some_and(|last| last != b'\n')
}
