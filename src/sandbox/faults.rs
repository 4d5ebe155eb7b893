//! What can go wrong, said in a line of text, in JSON, or as a value.
//!
//! A *rule* is a fault and when it strikes: `lost=reset,on=run,next=2`. Faults take different *parts* of an exchange
//! (whether it is carried out, what is answered, how the answer leaves, how the run goes on); for a request each part
//! goes to the first rule that wants it, so that `lost=reset` and `unlisted=2m` together make a run whose answer is
//! lost and that is listed late. A rule that finds one of its parts taken does not strike and is not used up.
//!
//! | fault | what happens |
//! | --- | --- |
//! | `refuse=30s` | nobody listens, from the moment it is set; open connections are closed |
//! | `reset-connection` | a new connection is reset before a byte is read |
//! | `dropped=HOW` | the request is read, **nothing** is done, no answer; HOW: `reset`, `close`, `stall` |
//! | `lost=HOW` | the request is **carried out**, the answer is lost; HOW also: `cut` (half of the answer comes) |
//! | `slow=2m` | carried out at once, answered so much later |
//! | `late=2m` | carried out so much later, even if the client has gone |
//! | `drip=10/1s` | so many bytes of the answer at a time |
//! | `status=503:APIG.0613` | this status and code; `started=yes`: after it was carried out; `message=` |
//! | `throttle` | 429 `APIGW.0308`; with `retry-after=7`, or `retry-after=date:7` for the form with a date |
//! | `redirect` | 307 to `location=` (by default another path of the same server) |
//! | `code=DEVCP.00014031` | 200 with an error code; `shape=nested` for the other shape; `message=` |
//! | `message-only` | 200 with `error_msg` alone |
//! | `empty`, `not-json`, `truncated`, `no-run-id`, `huge=100000000` | 200 that cannot be used, after it was carried out; `started=no`: before |
//! | `queued=10m` | the run has to wait in the queue so long |
//! | `unlisted=2m` | the run is in no list before |
//! | `forgotten=1h` | the service forgets the run so much later |
//! | `ends=FAILED`, `ends=PAUSED` | what the run comes to; `takes=5m`: after so long |
//! | `skew=-90s` | the answer's clocks are so far off |
//!
//! Options of all: `on=run` (the default), or `list`, `detail`, `token`, ... several with `+`, `any`; `pipeline=ID`;
//! `skip=N` requests first, then at most `next=N`; `chance=0.2`. In a line a comma inside a value is written `%2C`.

use std::fmt;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

use super::dice::Dice;
use super::message::Hangup;
use super::run::RunStatus;

/// The most rules at once.
pub const RULES_MAX: usize = 1_000;
/// Longest wait that a rule may ask for.
const WAIT_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longest text in a rule, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;

macro_rules! calls {
    ($($(#[doc = $doc:literal])* $call:ident => $name:literal,)*) => {
        /// What a request asks for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Call {
            $($(#[doc = $doc])* $call,)*
        }

        impl Call {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$call,)*];

            /// The call's name in rules and lists.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$call => $name,)*
                }
            }
        }
    };
}

calls! {
    /// `RunPipeline`.
    Run => "run",
    /// `ListPipelineRuns`.
    List => "list",
    /// `ShowPipelineRunDetail`.
    Detail => "detail",
    /// `ListRunVariables`.
    Variables => "variables",
    /// `queued-pipeline`.
    Queue => "queue",
    /// `cancel-queuing`.
    CancelQueuing => "cancel-queuing",
    /// `trigger-failed-record`.
    FailedTriggers => "failed-triggers",
    /// `list-runtime-vars`.
    RuntimeVariables => "runtime-variables",
    /// `StopPipelineRun`.
    Stop => "stop",
    /// `RetryPipelineRun`.
    Retry => "retry",
    /// `ListPipelines`.
    Pipelines => "pipelines",
    /// `ShowPipelineDetail`.
    Pipeline => "pipeline",
    /// `BatchShowPipelinesLatestStatus`.
    LatestStatus => "latest-status",
    /// `POST /v3/auth/tokens`.
    Token => "token",
    /// `GET /v3/projects`.
    Projects => "projects",
    /// The instance metadata service's token.
    MetadataToken => "metadata-token",
    /// The instance metadata service's key.
    MetadataKey => "metadata-key",
    /// Anything else.
    Unknown => "unknown",
}

impl Call {
    /// The call of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|call| call.name() == name)
    }

    /// Whether IAM answers it.
    pub(super) fn is_iam(self) -> bool {
        matches!(self, Self::Token | Self::Projects)
    }
}

/// Which calls a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// All of them.
    Any,
    /// These.
    These(Vec<Call>),
}

/// How an answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing of it comes.
    All(Hangup),
    /// Half of it comes, then the connection is closed.
    Cut,
}

/// How `Retry-After` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// As seconds.
    Seconds(u32),
    /// As the date so many seconds ahead.
    Date(u32),
}

/// The two shapes of a refusal with status 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `{"error_code", "error_msg"}`.
    Flat,
    /// `{"error": {"code", "message"}}`.
    Nested,
}

/// An answer that is given whatever was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Canned {
    /// A status above 299, with a code where one is known.
    Status {
        /// The status.
        status: u16,
        /// The error code.
        code: Option<String>,
        /// The message.
        message: Option<String>,
        /// When to come again.
        retry_after: Option<RetryAfter>,
        /// Where to go instead.
        location: Option<String>,
    },
    /// 200 with an error code.
    Refusal {
        /// The error code.
        code: String,
        /// The message.
        message: Option<String>,
        /// How it is written.
        shape: Shape,
    },
    /// 200 with `error_msg` alone.
    MessageOnly {
        /// The message.
        message: Option<String>,
    },
    /// 200 without a body.
    Empty,
    /// 200 with a page for people.
    NotJson,
    /// 200 with JSON that ends in the middle.
    Truncated,
    /// 200 with an empty object.
    NoRunId,
    /// The real answer, followed by so many bytes of white space.
    Huge(u64),
}

/// One thing that can go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens for so long.
    Refuse(Duration),
    /// A new connection is reset before a byte is read.
    ResetConnection,
    /// The request is read, nothing is done, and no answer comes.
    Dropped(Hangup),
    /// The request is carried out and the answer is lost.
    Lost(Loss),
    /// The answer comes so much later.
    Slow(Duration),
    /// The request is carried out so much later.
    Late(Duration),
    /// The answer comes in drops.
    Drip {
        /// So many bytes.
        bytes: u32,
        /// Every so often.
        every: Duration,
    },
    /// This answer is given.
    Answer {
        /// Which.
        canned: Canned,
        /// Whether the request is carried out before.
        started: bool,
    },
    /// The run waits in the queue so long.
    Queued(Duration),
    /// The run is in no list before.
    Unlisted(Duration),
    /// The run is forgotten so much later.
    Forgotten(Duration),
    /// What the run comes to, and after how long.
    Ends {
        /// This.
        status: RunStatus,
        /// After so long; after the usual time if absent.
        takes: Option<Duration>,
    },
    /// The answer's clocks are so far ahead; behind if negative.
    SkewSecs(i64),
}

/// A part of an exchange that a fault takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Connection,
    Execution,
    Answer,
    Delivery,
    Delay,
    Queue,
    Listing,
    Memory,
    Outcome,
    Clock,
}

impl Fault {
    fn parts(&self) -> &'static [Part] {
        match self {
            Self::Refuse(_) | Self::ResetConnection => &[Part::Connection],
            Self::Dropped(_) => &[Part::Execution, Part::Answer, Part::Delivery, Part::Delay],
            Self::Lost(_) | Self::Drip { .. } => &[Part::Delivery],
            Self::Slow(_) => &[Part::Delay],
            Self::Late(_) => &[Part::Execution],
            Self::Answer { started: false, .. } => &[Part::Execution, Part::Answer],
            Self::Answer { started: true, .. } => &[Part::Answer],
            Self::Queued(_) => &[Part::Queue],
            Self::Unlisted(_) => &[Part::Listing],
            Self::Forgotten(_) => &[Part::Memory],
            Self::Ends { .. } => &[Part::Outcome],
            Self::SkewSecs(_) => &[Part::Clock],
        }
    }

    /// Whether it means a run and so can only strike where one is started.
    fn is_about_a_run(&self) -> bool {
        self.parts().iter().any(|part| match part {
            Part::Queue | Part::Listing | Part::Memory | Part::Outcome => true,
            Part::Connection
            | Part::Execution
            | Part::Answer
            | Part::Delivery
            | Part::Delay
            | Part::Clock => false,
        })
    }
}

/// A fault, and when it strikes.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    /// What goes wrong.
    pub fault: Fault,
    /// At which calls.
    pub on: On,
    /// Only at this pipeline.
    pub pipeline: Option<String>,
    /// So many requests pass first.
    pub skip: u32,
    /// Then it strikes so many times; for ever if absent.
    pub next: Option<u32>,
    /// With this chance, 0 to 1; always if absent.
    pub chance: Option<f64>,
}

impl From<Fault> for FaultRule {
    /// The fault at every `RunPipeline`.
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            on: On::These(vec![Call::Run]),
            pipeline: None,
            skip: 0,
            next: None,
            chance: None,
        }
    }
}

/// Why a rule cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

fn bad<T>(why: impl Into<String>) -> Result<T, FaultError> {
    Err(FaultError(why.into()))
}

impl FaultRule {
    /// The same at these calls.
    #[must_use]
    pub fn on(mut self, calls: &[Call]) -> Self {
        self.on = On::These(calls.to_vec());
        self
    }

    /// The same, so many times.
    #[must_use]
    pub fn next(mut self, times: u32) -> Self {
        self.next = Some(times);
        self
    }

    /// Reads the text form: `lost=reset,on=run,next=2`.
    ///
    /// # Errors
    /// When it names no fault, or an option that the fault does not have, or a value that is none.
    pub fn parse(text: &str) -> Result<Self, FaultError> {
        if text.len() > TEXT_BYTES_MAX {
            return bad(format!("a rule has at most {TEXT_BYTES_MAX} bytes"));
        }
        let mut words = Vec::new();
        for word in text.split(',') {
            let (name, value) = word
                .split_once('=')
                .map_or((word, None), |(name, value)| (name, Some(value)));
            let decoded = value
                .map(|value| percent_decode_str(value).decode_utf8())
                .transpose();
            let value = decoded.map_err(|_| FaultError(format!("{word:?} is not text")))?;
            words.push((
                name.trim().to_owned(),
                value.map(|value| value.trim().to_owned()),
            ));
        }
        Self::from_words(words)
    }

    /// Reads the JSON form: the text form as a string, or an object with the same words:
    /// `{"fault": "lost=reset", "on": ["run"], "next": 2}`.
    ///
    /// # Errors
    /// As `parse`.
    pub fn from_json(value: &Value) -> Result<Self, FaultError> {
        let object = match value {
            Value::String(text) => return Self::parse(text),
            Value::Object(object) => object,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                return bad("a rule is a text or an object with the field fault");
            }
        };
        let Some(Value::String(fault)) = object.get("fault") else {
            return bad("the field fault is missing; it is a text such as \"lost=reset\"");
        };
        if object
            .values()
            .map(|value| value.to_string().len())
            .sum::<usize>()
            > TEXT_BYTES_MAX
        {
            return bad(format!("a rule has at most {TEXT_BYTES_MAX} bytes"));
        }
        let (name, value) = fault
            .split_once('=')
            .map_or((fault.as_str(), None), |(name, value)| (name, Some(value)));
        let mut words = vec![(
            name.trim().to_owned(),
            value.map(|value| value.trim().to_owned()),
        )];
        for (name, value) in object.iter().filter(|(name, _)| *name != "fault") {
            words.push((name.clone(), Some(word(name, value)?)));
        }
        Self::from_words(words)
    }

    /// The JSON form.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        for (at, (name, value)) in self.words().into_iter().enumerate() {
            if at == 0 {
                let fault =
                    value.map_or_else(|| name.to_owned(), |value| format!("{name}={value}"));
                object.insert("fault".to_owned(), fault.into());
            } else {
                object.insert(name.to_owned(), value.unwrap_or_default().into());
            }
        }
        Value::Object(object)
    }

    fn from_words(words: Vec<(String, Option<String>)>) -> Result<Self, FaultError> {
        let mut words = Words::new(words)?;
        let rule = Self {
            fault: words.fault()?,
            on: words.on()?,
            pipeline: words.take("pipeline"),
            skip: words.number("skip")?.unwrap_or(0),
            next: words.number("next")?,
            chance: words.chance()?,
        };
        words.finish()?;
        rule.check()?;
        Ok(rule)
    }

    fn check(&self) -> Result<(), FaultError> {
        let only_run = self.on == On::These(vec![Call::Run]);
        if self.fault.is_about_a_run() && !only_run {
            return bad(format!(
                "{} is about a started run: it goes with on=run only",
                self.words_of_fault().0
            ));
        }
        if matches!(self.fault, Fault::Refuse(_)) && *self != Self::from(self.fault.clone()) {
            return bad("refuse strikes at once and takes no options");
        }
        if self.fault == Fault::ResetConnection && (!only_run || self.pipeline.is_some()) {
            return bad(
                "reset-connection strikes before anything is read: it takes neither on nor pipeline",
            );
        }
        Ok(())
    }

    fn words_of_fault(&self) -> (&'static str, Option<String>) {
        let how = |how: Hangup| match how {
            Hangup::Reset => "reset",
            Hangup::Close => "close",
            Hangup::Stall => "stall",
        };
        match &self.fault {
            Fault::Refuse(wait) => ("refuse", Some(show(*wait))),
            Fault::ResetConnection => ("reset-connection", None),
            Fault::Dropped(hangup) => ("dropped", Some(how(*hangup).to_owned())),
            Fault::Lost(Loss::All(hangup)) => ("lost", Some(how(*hangup).to_owned())),
            Fault::Lost(Loss::Cut) => ("lost", Some("cut".to_owned())),
            Fault::Slow(wait) => ("slow", Some(show(*wait))),
            Fault::Late(wait) => ("late", Some(show(*wait))),
            Fault::Drip { bytes, every } => ("drip", Some(format!("{bytes}/{}", show(*every)))),
            Fault::Answer { canned, .. } => match canned {
                Canned::Status { status, code, .. } => (
                    "status",
                    Some(
                        code.as_ref()
                            .map_or_else(|| status.to_string(), |code| format!("{status}:{code}")),
                    ),
                ),
                Canned::Refusal { code, .. } => ("code", Some(code.clone())),
                Canned::MessageOnly { .. } => ("message-only", None),
                Canned::Empty => ("empty", None),
                Canned::NotJson => ("not-json", None),
                Canned::Truncated => ("truncated", None),
                Canned::NoRunId => ("no-run-id", None),
                Canned::Huge(bytes) => ("huge", Some(bytes.to_string())),
            },
            Fault::Queued(wait) => ("queued", Some(show(*wait))),
            Fault::Unlisted(wait) => ("unlisted", Some(show(*wait))),
            Fault::Forgotten(wait) => ("forgotten", Some(show(*wait))),
            Fault::Ends { status, .. } => ("ends", Some(status.name().to_owned())),
            Fault::SkewSecs(secs) => ("skew", Some(format!("{secs}s"))),
        }
    }

    /// The words of the text form.
    fn words(&self) -> Vec<(&'static str, Option<String>)> {
        let mut words = vec![self.words_of_fault()];
        let mut add =
            |name, value: Option<String>| words.extend(value.map(|value| (name, Some(value))));
        match &self.fault {
            Fault::Answer { canned, started } => {
                let by_default = starts_by_default(canned);
                add(
                    "started",
                    (*started != by_default)
                        .then(|| if *started { "yes" } else { "no" }.to_owned()),
                );
                match canned {
                    Canned::Status {
                        message,
                        retry_after,
                        location,
                        ..
                    } => {
                        add("message", message.clone());
                        add(
                            "retry-after",
                            retry_after.map(|wait| match wait {
                                RetryAfter::Seconds(secs) => secs.to_string(),
                                RetryAfter::Date(secs) => format!("date:{secs}"),
                            }),
                        );
                        add("location", location.clone());
                    }
                    Canned::Refusal { message, shape, .. } => {
                        add("message", message.clone());
                        add(
                            "shape",
                            (*shape == Shape::Nested).then(|| "nested".to_owned()),
                        );
                    }
                    Canned::MessageOnly { message } => add("message", message.clone()),
                    Canned::Empty
                    | Canned::NotJson
                    | Canned::Truncated
                    | Canned::NoRunId
                    | Canned::Huge(_) => {}
                }
            }
            Fault::Ends { takes, .. } => add("takes", takes.map(show)),
            Fault::Refuse(_)
            | Fault::ResetConnection
            | Fault::Dropped(_)
            | Fault::Lost(_)
            | Fault::Slow(_)
            | Fault::Late(_)
            | Fault::Drip { .. }
            | Fault::Queued(_)
            | Fault::Unlisted(_)
            | Fault::Forgotten(_)
            | Fault::SkewSecs(_) => {}
        }
        match &self.on {
            On::Any => add("on", Some("any".to_owned())),
            On::These(calls) if calls.as_slice() == [Call::Run] => {}
            On::These(calls) => add(
                "on",
                Some(
                    calls
                        .iter()
                        .map(|call| call.name())
                        .collect::<Vec<_>>()
                        .join("+"),
                ),
            ),
        }
        add("pipeline", self.pipeline.clone());
        add("skip", (self.skip > 0).then(|| self.skip.to_string()));
        add("next", self.next.map(|times| times.to_string()));
        add("chance", self.chance.map(|chance| chance.to_string()));
        words
    }

    fn is_for(&self, call: Call, pipeline: Option<&str>) -> bool {
        let call_fits = match &self.on {
            On::Any => true,
            On::These(calls) => calls.contains(&call),
        };
        call_fits
            && self
                .pipeline
                .as_deref()
                .is_none_or(|wanted| pipeline == Some(wanted))
    }
}

/// What would end a word of the text form, or be trimmed from it.
const SPECIAL: &AsciiSet = &CONTROLS.add(b',').add(b'%').add(b' ');

impl fmt::Display for FaultRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.words().into_iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(out, "{comma}{name}")?;
            if let Some(value) = value {
                write!(out, "={}", utf8_percent_encode(&value, SPECIAL))?;
            }
        }
        Ok(())
    }
}

impl std::str::FromStr for FaultRule {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        Self::parse(text)
    }
}

/// A value of the JSON form as a word of the text form.
fn word(name: &str, value: &Value) -> Result<String, FaultError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(true) => Ok("yes".to_owned()),
        Value::Bool(false) => Ok("no".to_owned()),
        Value::Array(items) => items
            .iter()
            .map(Value::as_str)
            .collect::<Option<Vec<_>>>()
            .map(|items| items.join("+"))
            .ok_or_else(|| FaultError(format!("{name}: a list of texts is wanted"))),
        Value::Null | Value::Object(_) => bad(format!("{name}: a text or number is wanted")),
    }
}

fn starts_by_default(canned: &Canned) -> bool {
    match canned {
        Canned::Status { .. } | Canned::Refusal { .. } | Canned::MessageOnly { .. } => false,
        Canned::Empty | Canned::NotJson | Canned::Truncated | Canned::NoRunId | Canned::Huge(_) => {
            true
        }
    }
}

/// The words of a rule while they are read: what is left at the end is not known.
struct Words {
    name: String,
    value: Option<String>,
    rest: Vec<(String, Option<String>)>,
}

impl Words {
    fn new(words: Vec<(String, Option<String>)>) -> Result<Self, FaultError> {
        let mut words = words.into_iter();
        match words.next() {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name,
                value,
                rest: words.collect(),
            }),
            _ => bad("a rule begins with a fault, such as lost=reset"),
        }
    }

    fn finish(self) -> Result<(), FaultError> {
        match self.rest.first() {
            Some((name, _)) => bad(format!(
                "{} has no option {name:?}, or has it once only",
                self.name
            )),
            None => Ok(()),
        }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self
            .rest
            .iter()
            .position(|(have, value)| have == name && value.is_some())?;
        self.rest.remove(at).1
    }

    fn number(&mut self, name: &str) -> Result<Option<u32>, FaultError> {
        let text = self.take(name);
        text.map(|text| {
            text.parse()
                .map_err(|_| FaultError(format!("{name}: {text:?} is not a number")))
        })
        .transpose()
    }

    fn chance(&mut self) -> Result<Option<f64>, FaultError> {
        let Some(text) = self.take("chance") else {
            return Ok(None);
        };
        match text.parse::<f64>() {
            Ok(chance) if (0.0..=1.0).contains(&chance) => Ok(Some(chance)),
            _ => bad(format!("chance: {text:?} is not between 0 and 1")),
        }
    }

    fn on(&mut self) -> Result<On, FaultError> {
        let Some(text) = self.take("on") else {
            return Ok(On::These(vec![Call::Run]));
        };
        if text == "any" {
            return Ok(On::Any);
        }
        let call = |name: &str| {
            Call::from_name(name).ok_or_else(|| {
                let names: Vec<&str> = Call::ALL.iter().map(|call| call.name()).collect();
                FaultError(format!(
                    "on: there is no call {name:?}; there are any, {}",
                    names.join(", ")
                ))
            })
        };
        text.split('+')
            .map(call)
            .collect::<Result<Vec<_>, _>>()
            .map(On::These)
    }

    fn started(&mut self, canned: &Canned) -> Result<bool, FaultError> {
        match self.take("started").as_deref() {
            None => Ok(starts_by_default(canned)),
            Some("yes" | "true") => Ok(true),
            Some("no" | "false") => Ok(false),
            Some(other) => bad(format!("started: {other:?} is neither yes nor no")),
        }
    }

    fn value(&self) -> Result<&str, FaultError> {
        match self.value.as_deref() {
            Some(value) if !value.is_empty() => Ok(value),
            _ => bad(format!("{} wants a value: {}=...", self.name, self.name)),
        }
    }

    fn wait(&self) -> Result<Duration, FaultError> {
        duration(self.value()?)
    }

    fn fault(&mut self) -> Result<Fault, FaultError> {
        Ok(match self.name.as_str() {
            "refuse" => Fault::Refuse(self.wait()?),
            "reset-connection" => Fault::ResetConnection,
            "dropped" => Fault::Dropped(hangup(self.value()?)?),
            "lost" if self.value.as_deref() == Some("cut") => Fault::Lost(Loss::Cut),
            "lost" => Fault::Lost(Loss::All(hangup(self.value()?)?)),
            "slow" => Fault::Slow(self.wait()?),
            "late" => Fault::Late(self.wait()?),
            "drip" => drip(self.value()?)?,
            "queued" => Fault::Queued(self.wait()?),
            "unlisted" => Fault::Unlisted(self.wait()?),
            "forgotten" => Fault::Forgotten(self.wait()?),
            "skew" => Fault::SkewSecs(skew(self.value()?)?),
            "ends" => {
                let status = RunStatus::from_name(self.value()?)
                    .filter(|it| !matches!(it, RunStatus::Queued | RunStatus::Running));
                let takes = self.take("takes").map(|text| duration(&text)).transpose()?;
                match status {
                    Some(status) => Fault::Ends { status, takes },
                    None => {
                        return bad(
                            "ends: wants COMPLETED, FAILED, CANCELED, PAUSED, SUSPEND or IGNORED",
                        );
                    }
                }
            }
            _ => {
                let canned = self.canned()?;
                let started = self.started(&canned)?;
                Fault::Answer { canned, started }
            }
        })
    }

    fn canned(&mut self) -> Result<Canned, FaultError> {
        Ok(match self.name.as_str() {
            "status" => {
                let (status, code) = status(self.value()?)?;
                self.with_status(status, code)?
            }
            "throttle" => self.with_status(429, Some("APIGW.0308".to_owned()))?,
            "redirect" => self.with_status(307, None)?,
            "code" => Canned::Refusal {
                code: self.value()?.to_owned(),
                message: self.take("message"),
                shape: match self.take("shape").as_deref() {
                    None | Some("flat") => Shape::Flat,
                    Some("nested") => Shape::Nested,
                    Some(other) => {
                        return bad(format!("shape: {other:?} is neither flat nor nested"));
                    }
                },
            },
            "message-only" => Canned::MessageOnly {
                message: self.take("message"),
            },
            "empty" => Canned::Empty,
            "not-json" => Canned::NotJson,
            "truncated" => Canned::Truncated,
            "no-run-id" => Canned::NoRunId,
            "huge" => match self.value()?.parse() {
                Ok(bytes) => Canned::Huge(bytes),
                Err(_) => return bad("huge: wants a number of bytes"),
            },
            other => return bad(format!("there is no fault {other:?}")),
        })
    }

    fn with_status(&mut self, status: u16, code: Option<String>) -> Result<Canned, FaultError> {
        let retry_after = match self.take("retry-after") {
            None => None,
            Some(text) => {
                let (is_date, number) = text
                    .strip_prefix("date:")
                    .map_or((false, text.as_str()), |rest| (true, rest));
                match number.parse() {
                    Ok(secs) if is_date => Some(RetryAfter::Date(secs)),
                    Ok(secs) => Some(RetryAfter::Seconds(secs)),
                    Err(_) => {
                        return bad(format!(
                            "retry-after: {text:?} is neither a number nor date:NUMBER"
                        ));
                    }
                }
            }
        };
        let location = self
            .take("location")
            .or_else(|| (status == 307).then(|| "/moved".to_owned()));
        if location
            .as_deref()
            .is_some_and(|text| text.bytes().any(|byte| !byte.is_ascii_graphic()))
        {
            return bad("location: only visible ASCII characters fit into a header");
        }
        Ok(Canned::Status {
            status,
            code,
            message: self.take("message"),
            retry_after,
            location,
        })
    }
}

fn hangup(text: &str) -> Result<Hangup, FaultError> {
    match text {
        "reset" => Ok(Hangup::Reset),
        "close" => Ok(Hangup::Close),
        "stall" => Ok(Hangup::Stall),
        other => bad(format!("{other:?} is none of reset, close, stall")),
    }
}

fn status(text: &str) -> Result<(u16, Option<String>), FaultError> {
    let (status, code) = text.split_once(':').map_or((text, None), |(status, code)| {
        (status, Some(code.to_owned()))
    });
    match status.parse::<u16>() {
        Ok(status) if (300..=599).contains(&status) => Ok((status, code)),
        _ => bad(format!(
            "status: {status:?} is not a number from 300 to 599"
        )),
    }
}

fn drip(text: &str) -> Result<Fault, FaultError> {
    let parts = text
        .split_once('/')
        .and_then(|(bytes, every)| Some((bytes.parse::<u32>().ok()?, every)));
    match parts {
        Some((bytes, every)) if bytes > 0 => Ok(Fault::Drip {
            bytes,
            every: duration(every)?,
        }),
        _ => bad("drip: wants bytes and time, such as 10/1s"),
    }
}

fn skew(text: &str) -> Result<i64, FaultError> {
    let (sign, size) = match text.strip_prefix('-') {
        Some(size) => (-1, size),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let secs = i64::try_from(duration(size)?.as_secs()).unwrap_or(i64::MAX);
    Ok(sign * secs)
}

/// Reads `250ms`, `30s`, `5m`, `2h`, `1d`; a number alone is seconds.
fn duration(text: &str) -> Result<Duration, FaultError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            return bad(format!(
                "{text:?} is not a time such as 250ms, 30s, 5m or 2h"
            ));
        }
    };
    match number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(millis))
    {
        Some(millis) if Duration::from_millis(millis) <= WAIT_MAX => {
            Ok(Duration::from_millis(millis))
        }
        Some(_) => bad(format!("{text:?} is more than 30 days")),
        None => bad(format!(
            "{text:?} is not a time such as 250ms, 30s, 5m or 2h"
        )),
    }
}

fn show(wait: Duration) -> String {
    match (wait.as_secs(), wait.subsec_millis()) {
        (secs, 0) => format!("{secs}s"),
        (_, _) => format!("{}ms", wait.as_millis()),
    }
}

/// What the rules make of one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Effect {
    /// The faults that struck.
    pub(super) struck: Vec<Fault>,
    /// The rules they came from, in the text form.
    pub(super) rules: Vec<String>,
}

/// The rules that are set, and how often each has struck.
#[derive(Debug)]
pub(super) struct Faults {
    rules: Vec<Set>,
    dice: Dice,
}

#[derive(Debug)]
struct Set {
    rule: FaultRule,
    skipped: u32,
    struck: u32,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rules: Vec::new(),
            dice: Dice::new(seed, "faults", 0),
        }
    }

    /// Adds a rule; false if there are too many.
    pub(super) fn push(&mut self, rule: FaultRule) -> bool {
        let room = self.rules.len() < RULES_MAX;
        if room {
            self.rules.push(Set {
                rule,
                skipped: 0,
                struck: 0,
            });
        }
        room
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The rules that may still strike, each with how often it has.
    pub(super) fn rules(&self) -> impl Iterator<Item = (&FaultRule, u32)> {
        self.rules.iter().map(|set| (&set.rule, set.struck))
    }

    /// What happens to a request.
    pub(super) fn strike(&mut self, call: Call, pipeline: Option<&str>) -> Effect {
        let mut taken = vec![Part::Connection];
        let mut effect = Effect::default();
        for set in &mut self.rules {
            let parts = set.rule.fault.parts();
            if parts.iter().any(|part| taken.contains(part)) || !set.rule.is_for(call, pipeline) {
                continue;
            }
            if set.strikes(&mut self.dice) {
                taken.extend(parts);
                effect.struck.push(set.rule.fault.clone());
                effect.rules.push(set.rule.to_string());
            }
        }
        self.forget_spent();
        effect
    }

    /// Whether a new connection is reset.
    pub(super) fn strike_connection(&mut self) -> bool {
        let set = self
            .rules
            .iter_mut()
            .filter(|set| set.rule.fault == Fault::ResetConnection);
        let mut reset = false;
        for set in set {
            reset = reset || set.strikes(&mut self.dice);
        }
        self.forget_spent();
        reset
    }

    fn forget_spent(&mut self) {
        self.rules
            .retain(|set| set.rule.next.is_none_or(|times| set.struck < times));
    }
}

impl Set {
    fn strikes(&mut self, dice: &mut Dice) -> bool {
        if self.skipped < self.rule.skip {
            self.skipped += 1;
            return false;
        }
        let strikes = self.rule.next.is_none_or(|times| self.struck < times)
            && self.rule.chance.is_none_or(|chance| dice.chance(chance));
        self.struck = self.struck.saturating_add(u32::from(strikes));
        strikes
    }
}
