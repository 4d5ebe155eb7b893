//! What was asked of the service: the last requests and how many there were. No headers and no bodies, so no secrets.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::call::Call;
use crate::domain::Timestamp;

/// So many requests are kept.
const KEPT_MAX: usize = 1_000;
/// Longest path that is kept, in characters.
const PATH_CHARS_MAX: usize = 300;

/// A request, after it was dealt with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestRecord {
    /// Its number, from 1.
    pub number: u64,
    /// When it arrived; when it was carried out, if that was later.
    pub at: Timestamp,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// What was asked for.
    #[serde(serialize_with = "name")]
    pub call: Call,
    /// Who asked, and how that was shown; none if nobody looked or it was not shown.
    pub caller: Option<String>,
    /// The status of the answer; none if there was none.
    pub status: Option<u16>,
    /// The service's error code in the answer.
    pub code: Option<String>,
    /// The run that was started.
    pub run_id: Option<String>,
    /// The rules that struck, in their text form.
    pub faults: Vec<String>,
    /// The answer's `X-Request-Id`.
    pub request_id: String,
}

fn name<S: serde::Serializer>(call: &Call, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(call.name())
}

/// The last requests and how many there were.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// How many there were in all.
    pub count: u64,
    /// How many of each call.
    pub by_call: BTreeMap<&'static str, u64>,
    /// How many started a run, an answer lost on the way included.
    pub started: u64,
    /// The last ones, oldest first.
    pub last: VecDeque<RequestRecord>,
}

impl Requests {
    /// Notes a request.
    pub(super) fn note(&mut self, mut record: RequestRecord) {
        self.count += 1;
        record.number = self.count;
        record.path = record.path.chars().take(PATH_CHARS_MAX).collect();
        *self.by_call.entry(record.call.name()).or_default() += 1;
        self.started += u64::from(record.call == Call::Run && record.run_id.is_some());
        self.last.push_back(record);
        if self.last.len() > KEPT_MAX {
            self.last.pop_front();
        }
    }
}
