//! `/metrics`: what is counted, for Prometheus.
//!
//! It is written from a copy, on a thread for what takes long, once a second at most, and one at a time: neither the loop nor
//! the other pages notice a scrape. It asks the loop nothing, so that it tells of one that hangs. The pauses alone come from
//! the ledger; if it is slow, those that were seen last have to do.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::{Answer, FRESH, Shared};
use crate::domain::pause::Pause;
use crate::ledger::Ledger;
use crate::os::process::Usage;
use crate::os::zones::Zones;
use crate::telemetry::Loss;
use crate::telemetry::metrics::{Form, Outside, Process};

/// The ledger says what is paused within this.
const PAUSES_MAX: Duration = Duration::from_millis(500);
/// How often the version of the zone data is looked up.
const ZONES_FRESH: Duration = Duration::from_secs(300);

/// What was written last.
#[derive(Default)]
pub(super) struct Measured(Mutex<Last>);

#[derive(Default)]
struct Last {
    page: Option<(Instant, Form, Bytes)>,
    pauses: Vec<Pause>,
    tzdata: Option<(Instant, String)>,
}

pub(super) async fn answer<L: Ledger>(shared: &Arc<Shared<L>>, form: Form) -> Answer {
    let mut last = shared.measured.0.lock().await;
    if let Some((at, of, page)) = &last.page
        && at.elapsed() < FRESH
        && *of == form
    {
        return page_of(form, page.clone());
    }
    let parts = &shared.parts;
    let now = parts.clock.now();
    if let Ok(Ok(pauses)) = timeout(PAUSES_MAX, parts.ledger.pauses(now)).await {
        last.pauses = pauses;
    }
    let known = last.tzdata.take();
    let known = known.filter(|(at, _)| at.elapsed() < ZONES_FRESH);
    let (metrics, loss) = (parts.metrics.clone(), parts.loss.clone());
    let (pauses, began) = (last.pauses.clone(), shared.began);
    let written = tokio::task::spawn_blocking(move || {
        let tzdata = known.unwrap_or_else(|| (Instant::now(), Zones::load().version()));
        let usage = Usage::now();
        let outside = Outside {
            now,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tzdata: tzdata.1.clone(),
            pauses,
            lines_lost: loss.as_ref().map_or(0, Loss::lines) as u64,
            process: Process {
                started_at: Some(began),
                cpu_seconds: usage.cpu_seconds,
                resident_bytes: usage.resident_bytes,
                open_fds: usage.open_fds,
                max_fds: usage.max_fds,
            },
        };
        (tzdata, Bytes::from(metrics.page(form, outside)))
    });
    match written.await {
        Ok((tzdata, page)) => {
            last.tzdata = Some(tzdata);
            last.page = Some((Instant::now(), form, page.clone()));
            page_of(form, page)
        }
        Err(failure) => Answer::text(500, format!("the page could not be written: {failure}\n")),
    }
}

fn page_of(form: Form, page: Bytes) -> Answer {
    Answer {
        status: 200,
        kind: form.content_type(),
        body: page,
        is_fixed: false,
    }
}
