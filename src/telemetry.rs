//! Where log lines go: to stderr, for the journal, and on demand to a directory of daily files.
//!
//! Logging never blocks the loop: lines go through a bounded queue to a thread of their own. Lines that find the queue
//! full, because a disk or terminal hangs, are lost and counted; what a full disk swallows is lost uncounted. The ledger
//! is the record, not the log.

use std::path::{Path, PathBuf};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

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
    /// How many daily files are kept.
    pub keep_files: usize,
    /// Which lines are written: `info`, `debug`, `pipecron=debug,warn`, ...
    pub filter: String,
}

/// Logging as it was set up. Dropped last, it writes what is still in the queues.
#[derive(Debug)]
pub struct Logging {
    counters: Vec<ErrorCounter>,
    _guards: Vec<WorkerGuard>,
}

impl Logging {
    /// A counter of lost lines for somebody else to look at.
    pub fn loss(&self) -> Loss {
        Loss(self.counters.clone())
    }
}

/// Counts lost lines.
#[derive(Debug, Clone)]
pub struct Loss(Vec<ErrorCounter>);

impl Loss {
    /// How many lines were lost so far.
    pub fn lines(&self) -> usize {
        self.0.iter().map(ErrorCounter::dropped_lines).sum()
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
    let mut sinks = vec![
        NonBlockingBuilder::default()
            .thread_name("log-stderr")
            .finish(std::io::stderr()),
    ];
    if let Some(directory) = &settings.directory {
        let file = daily(directory, settings.keep_files)?;
        sinks.push(
            NonBlockingBuilder::default()
                .thread_name("log-file")
                .finish(file),
        );
    }
    let counters = sinks.iter().map(|(sink, _)| sink.error_counter()).collect();
    let mut guards = Vec::new();
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    for (index, (sink, guard)) in sinks.into_iter().enumerate() {
        guards.push(guard);
        let colours = index == 0 && std::io::IsTerminal::is_terminal(&std::io::stderr());
        layers.push(layer(settings.format, sink, colours));
    }
    tracing_subscriber::registry()
        .with(layers)
        .with(filter)
        .try_init()
        .map_err(|error| LogError::Twice(error.to_string()))?;
    Ok(Logging {
        counters,
        _guards: guards,
    })
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

fn daily(directory: &Path, keep_files: usize) -> Result<RollingFileAppender, LogError> {
    let fail = |why: String| LogError::Directory {
        directory: directory.to_owned(),
        why,
    };
    std::fs::create_dir_all(directory).map_err(|error| fail(error.to_string()))?;
    RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("pipecron")
        .filename_suffix("log")
        .max_log_files(keep_files)
        .build(directory)
        .map_err(|error| {
            fail(
                std::error::Error::source(&error)
                    .map_or_else(|| error.to_string(), ToString::to_string),
            )
        })
}
