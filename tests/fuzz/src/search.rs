//! The machines that look for runs. An input is responses with form feeds between them; they answer the calls one after
//! the other, from the beginning again when they are used up.

use pipecron::codearts::calls::{Call, Shown};
use pipecron::codearts::looks::{Round, UnderWay};
use pipecron::codearts::search::{CALLS_MAX, Search, Step};
use pipecron::codearts::{HttpResponse, Mask};
use pipecron::domain::sighting::{Find, Look, Sighting};

use super::answer::{RUN, WORDS, pipeline, response};
use super::{Target, now};

/// The target.
pub const TARGET: Target = Target {
    name: "search",
    run: search,
    words: WORDS,
    bytes_max: 4 * 1_024,
};

/// What ends the description of the run that is looked for.
const MARKER: &str = "[pipecron abcdefgh web@2026-11-24T18:00:00Z]";

/// Looks for a run, at runs and at a pipeline. Every look ends within its number of calls, and what is found bears the
/// marker.
fn search(data: &[u8]) {
    let responses: Vec<HttpResponse> = data.split(|&byte| byte == b'\x0c').map(response).collect();
    finds(&responses);
    looks(&responses);
    is_under_way(&responses);
}

/// Answers the call of that number.
fn answer(responses: &[HttpResponse], number: usize, call: &Call) -> Shown {
    call.read(&responses[number % responses.len()], &Mask::none(), now())
}

fn finds(responses: &[HttpResponse]) {
    let mut search = Search::new(Find {
        at: pipeline(),
        marker: MARKER.to_owned(),
        since: now(),
        above: Some(6),
    });
    for number in 0..=CALLS_MAX {
        match search.next() {
            Step::Ask(call) => {
                assert!(call.is_look());
                search.feed(answer(responses, number, &call));
            }
            Step::Done(Sighting::Found(run)) => {
                let description = run
                    .description
                    .as_deref()
                    .expect("what is found was seen in detail");
                return assert!(
                    description.trim_end().ends_with(MARKER),
                    "{description:?} is found"
                );
            }
            Step::Done(_) => return,
        }
    }
    panic!("the search did not end within {CALLS_MAX} calls");
}

fn looks(responses: &[HttpResponse]) {
    let mut other = pipeline();
    other.pipeline_id = "l2".to_owned();
    let wanted = [(pipeline(), RUN), (other, "r2"), (pipeline(), "r3")];
    let mut round = Round::new(
        wanted
            .into_iter()
            .map(|(at, id)| (at, id.to_owned()))
            .collect(),
    );
    let mut number = 0;
    for batch in round.batches() {
        round.take_batch(&batch.runs, answer(responses, number, &batch.call));
        number += 1;
    }
    for (at, call) in round.details() {
        round.take_detail(at, answer(responses, number, &call));
        number += 1;
    }
    let looks = round.finish();
    for (look, id) in looks.iter().zip([RUN, "r2", "r3"]) {
        if let Look::Seen(run) = look {
            assert_eq!(run.run_id, id, "another run than the one asked for");
        }
    }
    assert_eq!(looks.len(), 3);
}

fn is_under_way(responses: &[HttpResponse]) {
    let mut look = UnderWay::new(pipeline());
    for number in 0..=CALLS_MAX {
        match look.next() {
            Step::Ask(call) => look.feed(answer(responses, number, &call)),
            Step::Done(Ok(runs)) => {
                let over = runs
                    .iter()
                    .find(|run| run.status.as_ref().is_some_and(|status| status.is_final()));
                return assert!(over.is_none(), "{over:?} is over");
            }
            Step::Done(Err(_)) => return,
        }
    }
    panic!("the look did not end within {CALLS_MAX} calls");
}
