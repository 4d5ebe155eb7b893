//! What passes between a client and the service, as plain values: no sockets, no clock.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// A request as it arrived. Header names are in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, in upper case.
    pub method: String,
    /// Path and query exactly as the client wrote them.
    pub target: String,
    /// Names and values in the order they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; empty if there is none.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_ascii_uppercase(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers
            .push((name.to_ascii_lowercase(), value.as_bytes().to_vec()));
        self
    }

    /// The same with this JSON as its body, and the content type that goes with it.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into_bytes();
        self.header("content-type", "application/json;charset=utf-8")
    }

    /// The path, as it was written.
    pub fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The query, as it was written; empty if there is none.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The bytes of a header's first value.
    pub fn header_bytes(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_slice())
    }

    /// A header's first value, if it is text.
    pub fn header_text(&self, name: &str) -> Option<&str> {
        self.header_bytes(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The decoded value of a query parameter; empty if it stands there without one.
    pub fn query_value(&self, name: &str) -> Option<String> {
        self.query().split('&').find_map(|pair| {
            let (have, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(have) == name.as_bytes())
                .then(|| String::from_utf8_lossy(&decode(value)).into_owned())
        })
    }
}

/// Percent-decoded bytes. A plus sign stays one: that is how the service's signature reads it.
pub(super) fn decode(text: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(text).collect()
}

/// Says what arrived, but neither keys nor tokens nor passwords.
impl fmt::Debug for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        write!(
            out,
            "Request {{ {} {}, headers: {names:?}, body: {} bytes }}",
            self.method,
            self.target,
            self.body.len()
        )
    }
}

/// A response as it leaves.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Names and values; the length is not among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// So many spaces follow the body: JSON of any size that costs no memory.
    pub padding_bytes: u64,
}

impl Response {
    /// A response with a JSON body.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, "application/json", body.to_string().into_bytes())
    }

    /// A response with a text body.
    pub fn text(status: u16, body: &str) -> Self {
        Self::bytes(status, "text/plain;charset=utf-8", body.as_bytes().to_vec())
    }

    /// A response with these bytes.
    pub fn bytes(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body,
            padding_bytes: 0,
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// A header's first value.
    pub fn header_text(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null if it is none.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// How long the body is, padding included.
    pub fn length(&self) -> u64 {
        u64::try_from(self.body.len())
            .unwrap_or(u64::MAX)
            .saturating_add(self.padding_bytes)
    }
}

/// Says what leaves; a token in a header is not shown.
impl fmt::Debug for Response {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "Response {{ {}, {} bytes: {} }}",
            self.status,
            self.length(),
            String::from_utf8_lossy(
                self.body
                    .get(..self.body.len().min(2000))
                    .unwrap_or_default()
            )
        )
    }
}

/// How an exchange ends without an answer, or before the answer is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// The connection is reset.
    Reset,
    /// The connection is closed in good order.
    Close,
    /// The connection stays open and nothing comes any more.
    Stall,
}

/// How fast an answer's bytes leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All at once.
    Whole,
    /// The head at once, then so many bytes of the body at a time.
    Drip {
        /// How many bytes.
        bytes: usize,
        /// Every so often.
        every: Duration,
    },
    /// The head and half of the body, then the connection is closed.
    Cut,
}

/// Names a request that will be carried out later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is answered.
    Answer {
        /// With this.
        response: Response,
        /// The answer leaves so much later; what was asked for is done already.
        after: Duration,
        /// And in this way.
        pace: Pace,
    },
    /// It is not answered. What was asked for may have been done.
    Silence(Hangup),
    /// It is not carried out yet, but will be, whether the client waits or not: ask `Service::collect` then.
    Later {
        /// When.
        after: Duration,
        /// Under this name.
        ticket: Ticket,
    },
}

impl Outcome {
    /// An answer that leaves at once.
    pub fn now(response: Response) -> Self {
        Self::Answer {
            response,
            after: Duration::ZERO,
            pace: Pace::Whole,
        }
    }

    /// The response, if there is one.
    pub fn response(&self) -> Option<&Response> {
        match self {
            Self::Answer { response, .. } => Some(response),
            Self::Silence(_) | Self::Later { .. } => None,
        }
    }
}

/// What becomes of a connection that a client opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Welcome {
    /// Its requests are read.
    Served,
    /// It is reset before a byte is read.
    Reset,
    /// Nobody listens.
    Refused,
}
