//! The request of a tick: made once, when the tick is opened, from the entry's templates. A retry, and a start after a
//! restart, send what was made then.

use super::just_before;
use crate::domain::request::{RunRequest, Variable, VariableValue};
use crate::domain::template::{self, Facts, LastSuccess, Unmade};
use crate::domain::{Entry, Origin, Tick, TickId, Timestamp, description_chars_max};

/// What the texts of a request may say of a tick.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'o> {
    /// The tick's id.
    pub id: &'o TickId,
    /// How it came to be.
    pub origin: Origin,
    /// When it was due.
    pub due: Timestamp,
    /// The due time before that.
    pub previous: Option<Timestamp>,
    /// The entry's newest tick that ended well.
    pub last_success: Option<&'o LastSuccess>,
}

/// The due time of the entry's schedule before `due`, within its window.
pub fn previous_tick(entry: &Entry, due: Timestamp) -> Option<Timestamp> {
    let previous = entry.schedule.as_ref()?.last_until(just_before(due))?;
    let is_outside = entry.not_before.is_some_and(|begin| previous < begin);
    (!is_outside).then_some(previous)
}

/// The entry's request for a tick, with these variables set: a value given by hand is sent as it is.
///
/// # Errors
/// What of it cannot be made.
pub fn request_for(
    entry: &Entry,
    occasion: &Occasion<'_>,
    variables: &[Variable],
) -> Result<RunRequest, Unmade> {
    let mut request = entry.request.clone();
    // What is replaced is not rendered, and what replaces it neither.
    let nothing = VariableValue::Value(String::new());
    for variable in variables {
        request.set_variable(&variable.name, &nothing);
    }
    if let Some(zones) = &entry.templates {
        let facts = Facts {
            entry: entry.name.as_str(),
            labels: &entry.labels,
            zones,
            tick: occasion.id.as_str(),
            origin: occasion.origin.name(),
            due: occasion.due,
            previous: occasion.previous,
            last_success: occasion.last_success,
        };
        request = template::render_request(&request, &facts, description_chars_max(occasion.id))?;
    }
    for variable in variables {
        request.set_variable(&variable.name, &variable.value);
    }
    Ok(request)
}

/// Makes the request of a tick that is opened.
///
/// # Errors
/// Why it cannot be made, for its note.
pub(super) fn make(
    entry: &Entry,
    last_success: Option<&LastSuccess>,
    variables: &[Variable],
    tick: &mut Tick,
) -> Result<(), String> {
    if entry.templates.is_none() && variables.is_empty() {
        return Ok(());
    }
    let occasion = Occasion {
        id: &tick.id,
        origin: tick.origin,
        due: tick.due,
        previous: previous_tick(entry, tick.due),
        last_success,
    };
    match request_for(entry, &occasion, variables) {
        Ok(request) => {
            tick.request = request;
            Ok(())
        }
        Err(unmade) => Err(format!("{unmade}; nothing was sent")),
    }
}
