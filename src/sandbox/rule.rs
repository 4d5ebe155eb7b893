//! Rules as people write them: a line of text, and the same words in JSON.

use std::fmt;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

use super::call::Call;
use super::faults::{Canned, Fault, FaultRule, Loss, On, RetryAfter, Shape};
use super::message::Hangup;
use super::run::RunStatus;
use crate::config::nearest;

/// Longest wait that a rule may ask for.
const WAIT_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longest text of a rule, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;

/// What a rule can begin with, in the order of the manual.
pub(super) const FAULT_NAMES: [&str; 22] = [
    "refuse",
    "reset-connection",
    "dropped",
    "lost",
    "slow",
    "late",
    "drip",
    "status",
    "throttle",
    "redirect",
    "code",
    "message-only",
    "empty",
    "not-json",
    "truncated",
    "no-run-id",
    "huge",
    "queued",
    "unlisted",
    "forgotten",
    "ends",
    "skew",
];
/// What may follow, of every fault and of single ones.
const OPTION_NAMES: [&str; 11] = [
    "on",
    "pipeline",
    "skip",
    "next",
    "chance",
    "message",
    "retry-after",
    "location",
    "shape",
    "started",
    "takes",
];

/// ` (did you mean NAME?)`, if a name is like the text.
fn meant(text: &str, names: &[&str]) -> String {
    nearest(text, names.iter().copied())
        .map_or_else(String::new, |near| format!(" (did you mean {near}?)"))
}

/// Why a rule cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

fn bad<T>(why: impl Into<String>) -> Result<T, FaultError> {
    Err(FaultError(why.into()))
}

impl FaultRule {
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
                let changed = (*started != starts_by_default(canned)).then_some(*started);
                add(
                    "started",
                    changed.map(|started| if started { "yes" } else { "no" }.to_owned()),
                );
                words.extend(options(canned));
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
        let names = |calls: &[Call]| {
            calls
                .iter()
                .map(|call| call.name())
                .collect::<Vec<_>>()
                .join("+")
        };
        let on = match &self.on {
            On::Any => Some("any".to_owned()),
            On::These(calls) => (calls.as_slice() != [Call::Run]).then(|| names(calls)),
        };
        let of_all = [
            ("on", on),
            ("pipeline", self.pipeline.clone()),
            ("skip", (self.skip > 0).then(|| self.skip.to_string())),
            ("next", self.next.map(|times| times.to_string())),
            ("chance", self.chance.map(|chance| chance.to_string())),
        ];
        words.extend(of_all.into_iter().filter(|(_, value)| value.is_some()));
        words
    }
}

/// The options of an answer that are set.
fn options(canned: &Canned) -> Vec<(&'static str, Option<String>)> {
    let options = match canned {
        Canned::Status {
            message,
            retry_after,
            location,
            ..
        } => {
            let retry_after = retry_after.map(|wait| match wait {
                RetryAfter::Seconds(secs) => secs.to_string(),
                RetryAfter::Date(secs) => format!("date:{secs}"),
            });
            vec![
                ("message", message.clone()),
                ("retry-after", retry_after),
                ("location", location.clone()),
            ]
        }
        Canned::Refusal { message, shape, .. } => vec![
            ("message", message.clone()),
            (
                "shape",
                (*shape == Shape::Nested).then(|| "nested".to_owned()),
            ),
        ],
        Canned::MessageOnly { message } => vec![("message", message.clone())],
        Canned::Empty | Canned::NotJson | Canned::Truncated | Canned::NoRunId | Canned::Huge(_) => {
            Vec::new()
        }
    };
    options
        .into_iter()
        .filter(|(_, value)| value.is_some())
        .collect()
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
            Some((name, _)) => {
                let near = match OPTION_NAMES.contains(&name.as_str()) {
                    true => String::new(),
                    false => meant(name, &OPTION_NAMES),
                };
                bad(format!(
                    "{} has no option {name:?}, or has it once only{near}",
                    self.name
                ))
            }
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
                    "on: there is no call {name:?}{}; there are any, {}",
                    meant(name, &names),
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
            "dropped" => match hangup(self.value()?) {
                Ok(hangup) => Fault::Dropped(hangup),
                Err(error) => return bad(format!("dropped: {error}")),
            },
            "lost" if self.value.as_deref() == Some("cut") => Fault::Lost(Loss::Cut),
            "lost" => match hangup(self.value()?) {
                Ok(hangup) => Fault::Lost(Loss::All(hangup)),
                Err(error) => return bad(format!("lost: {error}, cut")),
            },
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
            other => {
                return bad(format!(
                    "there is no fault {other:?}{}; there are {}",
                    meant(other, &FAULT_NAMES),
                    FAULT_NAMES.join(", ")
                ));
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_as_it_is_written() {
        for text in [
            "refuse=30s",
            "reset-connection",
            "reset-connection,skip=1,next=2",
            "dropped=reset",
            "dropped=stall,on=any",
            "lost=reset,next=1",
            "lost=close,chance=0.25",
            "lost=stall",
            "lost=cut,on=list+detail",
            "slow=250ms,on=token",
            "late=120s",
            "drip=10/1s,on=detail",
            "status=503:APIG.0613,on=token+projects",
            "status=504:APIGW.0201,started=yes",
            "status=429:APIGW.0308,retry-after=7",
            "status=429:APIGW.0308,retry-after=date:7",
            "status=307,location=http://127.0.0.1:1/",
            "status=500:COCT.0070003,message=too%20many%2C%20too%20fast",
            "status=408",
            "code=DEVCP.00014031",
            "code=DEVPIPE.00011104,message=busy,shape=nested",
            "message-only,message=no",
            "empty",
            "empty,started=no",
            "not-json",
            "truncated",
            "no-run-id",
            "huge=100000000",
            "queued=600s",
            "unlisted=120s,pipeline=e5460d1d403146a1935c2d4b68ef506c",
            "forgotten=0s",
            "ends=FAILED",
            "ends=PAUSED,takes=5s",
            "skew=-90s,on=any",
        ] {
            let rule = FaultRule::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(rule.to_string(), text);
            assert_eq!(
                FaultRule::from_json(&rule.to_json()),
                Ok(rule.clone()),
                "{text}"
            );
            assert_eq!(
                FaultRule::from_json(&Value::String(text.to_owned())),
                Ok(rule),
                "{text}"
            );
        }
    }

    #[test]
    fn short_forms_are_understood() {
        for (short, long) in [
            ("throttle", "status=429:APIGW.0308"),
            ("redirect", "status=307,location=/moved"),
            ("late=2m", "late=120s"),
            ("skew=1d", "skew=86400s"),
            ("slow=3", "slow=3s"),
            ("lost=reset, on=run", "lost=reset"),
            ("status=503, message = a%20b", "status=503,message=a%20b"),
        ] {
            assert_eq!(FaultRule::parse(short).unwrap().to_string(), long);
        }
        let json = serde_json::json!({"fault": "lost=reset", "on": ["list", "detail"], "next": 2, "chance": 0.5});
        assert_eq!(
            FaultRule::from_json(&json).unwrap().to_string(),
            "lost=reset,on=list+detail,next=2,chance=0.5"
        );
        let json = serde_json::json!({"fault": "empty", "started": false});
        assert_eq!(
            FaultRule::from_json(&json).unwrap().to_string(),
            "empty,started=no"
        );
    }

    #[test]
    fn a_rule_that_cannot_be_says_why() {
        for (text, why) in [
            ("", "begins with a fault"),
            (",on=run", "begins with a fault"),
            (
                "lose=reset",
                "there is no fault \"lose\" (did you mean lost?); there are",
            ),
            ("quit", "there are refuse, reset-connection, dropped"),
            ("lost", "lost wants a value"),
            (
                "lost=later",
                "lost: \"later\" is none of reset, close, stall, cut",
            ),
            ("dropped=cut", "none of reset, close, stall"),
            ("slow=soon", "not a time"),
            ("slow=1w", "not a time"),
            ("slow=-1s", "not a time"),
            ("slow=99999999999999999999s", "not a time"),
            ("slow=31d", "more than 30 days"),
            ("drip=0/1s", "drip: wants bytes and time"),
            ("drip=1", "drip: wants bytes and time"),
            ("status=200", "not a number from 300 to 599"),
            ("status=abc", "not a number from 300 to 599"),
            (
                "throttle,retry-after=soon",
                "neither a number nor date:NUMBER",
            ),
            ("redirect,location=a%0d%0aX: y", "only visible ASCII"),
            ("code", "code wants a value"),
            ("code=A,shape=round", "neither flat nor nested"),
            ("huge=big", "a number of bytes"),
            ("empty,started=maybe", "neither yes nor no"),
            ("ends=RUNNING", "ends: wants"),
            ("ends=DONE", "ends: wants"),
            ("lost=reset,on=starts", "there is no call \"starts\""),
            ("lost=reset,on=lists", "did you mean list?"),
            ("lost=reset,next=-1", "next: \"-1\" is not a number"),
            ("lost=reset,chance=2", "not between 0 and 1"),
            ("lost=reset,chance=NaN", "not between 0 and 1"),
            (
                "lost=reset,nxt=1",
                "no option \"nxt\", or has it once only (did you mean next?)",
            ),
            (
                "lost=reset,next=1,next=2",
                "has no option \"next\", or has it once only",
            ),
            ("lost=reset,next", "no option \"next\""),
            ("lost=reset,message=x", "no option \"message\""),
            ("unlisted=1m,on=list", "goes with on=run only"),
            ("refuse=1m,next=1", "takes no options"),
            ("reset-connection,on=list", "takes neither on nor pipeline"),
            ("status=500,message=%ff", "is not text"),
        ] {
            let error = FaultRule::parse(text)
                .map(|rule| rule.to_string())
                .unwrap_err()
                .to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(FaultRule::parse(&"x".repeat(5_000)).is_err());
        for json in [
            serde_json::json!(7),
            serde_json::json!({}),
            serde_json::json!({"fault": "empty", "on": {}}),
        ] {
            assert!(FaultRule::from_json(&json).is_err(), "{json}");
        }
    }
}
