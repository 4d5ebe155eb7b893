//! What can go wrong, said in a line of text, in JSON, or as a value.
//!
//! A *rule* is a fault and when it strikes: `lost=reset,on=run,next=2`. Faults take different *parts* of an exchange
//! (whether it is carried out, what is answered, how the answer leaves, how the run goes on); for a request each part
//! goes to the first rule that wants it, so that `lost=reset` and `unlisted=2m` together make a run whose answer is
//! lost and that is listed late. A rule that finds one of its parts taken does not strike and is not used up.
//!
#![doc = include_str!("faults.md")]

use std::time::Duration;

use super::call::Call;
use super::dice::Dice;
use super::message::Hangup;
use super::run::RunStatus;

/// The most rules at once.
pub const RULES_MAX: usize = 1_000;

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
    pub(super) fn is_about_a_run(&self) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn set(rules: &[&str]) -> Faults {
        let mut faults = Faults::new(1);
        for rule in rules {
            assert!(faults.push(rule.parse().unwrap()));
        }
        faults
    }

    fn struck(faults: &mut Faults, call: Call) -> String {
        faults.strike(call, Some("p")).rules.join(" ")
    }

    #[test]
    fn a_rule_strikes_where_and_as_often_as_it_says() {
        let mut faults = set(&["lost=reset,on=list+detail,skip=1,next=2"]);
        assert_eq!(struck(&mut faults, Call::Run), "");
        assert_eq!(struck(&mut faults, Call::List), "", "one passes");
        for call in [Call::Detail, Call::List] {
            assert_ne!(struck(&mut faults, call), "");
        }
        assert_eq!(struck(&mut faults, Call::List), "");
        assert_eq!(
            faults.rules().count(),
            0,
            "a rule that is used up is forgotten"
        );
    }

    #[test]
    fn a_rule_for_a_pipeline_leaves_others_alone() {
        let mut faults = set(&["lost=reset,pipeline=q"]);
        assert_eq!(struck(&mut faults, Call::Run), "");
        assert_eq!(faults.strike(Call::Run, Some("q")).rules.len(), 1);
        assert!(faults.strike(Call::Token, None).rules.is_empty());
    }

    #[test]
    fn each_part_goes_to_the_first_that_wants_it() {
        let mut faults = set(&[
            "lost=reset,next=1",
            "lost=close,next=1",
            "unlisted=1m",
            "dropped=stall,next=1",
        ]);
        assert_eq!(
            struck(&mut faults, Call::Run),
            "lost=reset,next=1 unlisted=60s"
        );
        assert_eq!(
            struck(&mut faults, Call::Run),
            "lost=close,next=1 unlisted=60s",
            "it waited for its turn"
        );
        assert_eq!(
            struck(&mut faults, Call::Run),
            "unlisted=60s dropped=stall,next=1"
        );
        assert_eq!(struck(&mut faults, Call::Run), "unlisted=60s");
    }

    #[test]
    fn chance_is_fixed_by_the_seed() {
        let hits = |seed| {
            let mut faults = Faults::new(seed);
            faults.push("empty,chance=0.5".parse().unwrap());
            (0..64)
                .map(|_| struck(&mut faults, Call::Run).is_empty())
                .collect::<Vec<_>>()
        };
        assert_eq!(hits(1), hits(1));
        assert_ne!(hits(1), hits(2));
    }

    #[test]
    fn there_are_only_so_many_rules() {
        let mut faults = Faults::new(1);
        for _ in 0..RULES_MAX {
            assert!(faults.push("empty".parse().unwrap()));
        }
        assert!(!faults.push("empty".parse().unwrap()));
    }
}
