//! Mistakes that a daemon could make, planted from outside into one that does not.

use chrono::TimeDelta;
use pipecron::domain::{
    Ask, Attempt, Doubt, EntryState, MarkChange, Plan, Reason, TickId, TickState, Timestamp,
};

/// A planted mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// A lost answer counts as "not started": the tick is sent again at once.
    ResendAtOnce,
    /// The first look that finds nothing is believed.
    BelieveTheFirstAbsence,
    /// What was under way when a daemon died counts as never sent.
    ForgetWhatWasUnderWay,
    /// A second attempt bears another marker than the first.
    RetryWithANewMarker,
    /// Requests leave although the ledger failed to write them down.
    SendBeforeItIsStored,
    /// An answer that tells of a run is not written down.
    LoseAnswers,
    /// The high-water mark is moved past ticks that are not written down.
    MoveTheMarkTooEarly,
    /// A mark that lies ahead of now is obeyed: nothing is opened before.
    NeverPullTheMarkBack,
    /// Due times that were decided are forgotten when the clock goes back.
    ForgetWhatWasDecided,
    /// A caught-up tick is sent without a look whether it ran (a restored backup).
    CatchUpWithoutALook,
    /// Another daemon's attempt is taken over while its lease runs.
    IgnoreTheLease,
    /// What the ledger knows of other entries at the pipeline is ignored.
    OverlapIgnoresTheLedger,
    /// What the service shows of the pipeline is ignored.
    OverlapIgnoresTheService,
    /// Places that are taken are not counted.
    IgnorePlaces,
    /// A tick that cannot be started is dropped without an end.
    NeverGiveUp,
    /// The run of a tick is never looked at again.
    NeverFollow,
    /// Under which instants ticks ran is forgotten when a calendar changes.
    ForgetWhatWasMoved,
    /// What a calendar moves past the mark is forgotten.
    ForgetWhatCrossedTheMark,
    /// Marks of ticks to be skipped are not seen.
    IgnoreMarks,
    /// Pauses are not seen.
    IgnorePauses,
}

impl Mistake {
    pub(crate) const ALL: [Self; 20] = [
        Self::ResendAtOnce,
        Self::BelieveTheFirstAbsence,
        Self::ForgetWhatWasUnderWay,
        Self::RetryWithANewMarker,
        Self::SendBeforeItIsStored,
        Self::LoseAnswers,
        Self::MoveTheMarkTooEarly,
        Self::NeverPullTheMarkBack,
        Self::ForgetWhatWasDecided,
        Self::CatchUpWithoutALook,
        Self::IgnoreTheLease,
        Self::OverlapIgnoresTheLedger,
        Self::OverlapIgnoresTheService,
        Self::IgnorePlaces,
        Self::NeverGiveUp,
        Self::NeverFollow,
        Self::ForgetWhatWasMoved,
        Self::ForgetWhatCrossedTheMark,
        Self::IgnoreMarks,
        Self::IgnorePauses,
    ];

    /// Whether only worlds of calendars can show it.
    pub(crate) fn is_of_calendars(self) -> bool {
        matches!(
            self,
            Self::ForgetWhatWasMoved | Self::ForgetWhatCrossedTheMark | Self::IgnoreMarks
        )
    }

    /// The mistake of that name, in any spelling of its words.
    pub(crate) fn named(name: &str) -> Self {
        let plain = |text: &str| text.replace(['_', '-', ' '], "").to_lowercase();
        Self::ALL
            .into_iter()
            .find(|mistake| plain(&format!("{mistake:?}")) == plain(name))
            .unwrap_or_else(|| panic!("there is no mistake {name}; there are {:?}", Self::ALL))
    }

    /// What the ledger says, spoilt on its way to the decision.
    pub(crate) fn spoil_state(self, now: Timestamp, state: &mut EntryState) {
        match self {
            Self::ForgetWhatWasDecided => state.decided.clear(),
            Self::IgnoreTheLease => {
                for tick in &mut state.open {
                    // Most answers have come by then; those that have not are still under way.
                    if let TickState::Sent { at } = &mut tick.state
                        && now - *at > TimeDelta::seconds(45)
                    {
                        *at = now - TimeDelta::hours(2);
                    }
                }
            }
            Self::OverlapIgnoresTheLedger => state.others.clear(),
            Self::IgnorePlaces => state.taken.clear(),
            Self::ForgetWhatWasMoved => state.recent.clear(),
            Self::IgnoreMarks => state.skips.clear(),
            Self::IgnorePauses => state.pauses.clear(),
            Self::ForgetWhatCrossedTheMark => {
                if let Some(mark) = &mut state.mark {
                    mark.crossed.clear();
                }
            }
            _ => {}
        }
    }

    /// What was decided, spoilt on its way into the ledger.
    pub(crate) fn spoil_plan(self, now: Timestamp, state: &EntryState, plan: &mut Plan) {
        match self {
            Self::ResendAtOnce => each_doubt(plan, |doubt, tick_state, attempt| {
                if !doubt.precaution && attempt.is_some() {
                    *tick_state = TickState::Waiting { not_before: now };
                    return false;
                }
                true
            }),
            Self::ForgetWhatWasUnderWay => each_doubt(plan, |doubt, tick_state, attempt| {
                if !doubt.precaution && doubt.looks == 0 && attempt.is_none() {
                    *tick_state = TickState::Waiting { not_before: now };
                    return false;
                }
                true
            }),
            Self::CatchUpWithoutALook => {
                plan.asks.retain(|ask| {
                    !matches!(ask, Ask::Find { tick, .. } if tick.doubt.is_some_and(|doubt| doubt.precaution))
                });
                plan.wake_at = Some(now + TimeDelta::seconds(1));
                each_doubt(plan, |doubt, tick_state, _| {
                    if doubt.precaution {
                        *tick_state = TickState::Waiting { not_before: now };
                    }
                    !doubt.precaution
                });
            }
            Self::BelieveTheFirstAbsence => each_doubt(plan, |doubt, _, _| {
                doubt.looks = doubt.looks.max(4);
                true
            }),
            Self::LoseAnswers => plan
                .changes
                .retain(|change| !matches!(change.tick.state, TickState::Running { .. })),
            Self::MoveTheMarkTooEarly if plan.mark != MarkChange::Keep => {
                let is_known = |id: &TickId| state.open.iter().any(|tick| tick.id == *id);
                plan.changes.retain(|change| {
                    let waits = matches!(change.tick.state, TickState::Waiting { .. });
                    !waits || is_known(&change.tick.id)
                });
                plan.asks
                    .retain(|ask| !matches!(ask, Ask::Survey(tick) if !is_known(&tick.id)));
                plan.in_turn.retain(|turn| is_known(&turn.tick));
            }
            Self::NeverPullTheMarkBack
                if state.mark.as_ref().is_some_and(|mark| mark.until > now) =>
            {
                let is_old = |id: &TickId| state.open.iter().any(|tick| tick.id == *id);
                plan.mark = MarkChange::Keep;
                plan.changes.retain(|change| is_old(&change.tick.id));
                plan.asks.retain(|ask| match ask {
                    Ask::Start(tick)
                    | Ask::Survey(tick)
                    | Ask::Find { tick, .. }
                    | Ask::Stop { tick, .. } => is_old(&tick.id),
                    Ask::Probe(_) => true,
                });
            }
            Self::NeverGiveUp => plan.changes.retain(|change| {
                !matches!(
                    change.tick.state,
                    TickState::Ended {
                        reason: Reason::TooLate | Reason::GaveUp,
                        ..
                    }
                )
            }),
            Self::NeverFollow => plan.running.clear(),
            _ => {}
        }
    }
}

/// Changes each tick in doubt that is written down; the doubt goes if `keep` says so.
fn each_doubt(
    plan: &mut Plan,
    mut keep: impl FnMut(&mut Doubt, &mut TickState, Option<&Attempt>) -> bool,
) {
    for change in &mut plan.changes {
        let tick = &mut change.tick;
        if !matches!(
            tick.state,
            TickState::Doubtful { .. } | TickState::Waiting { .. }
        ) {
            continue;
        }
        if let Some(mut doubt) = tick.doubt {
            let attempt = change.attempt.as_ref();
            tick.doubt = keep(&mut doubt, &mut tick.state, attempt).then_some(doubt);
        }
    }
}
