//! One suite for every ledger, and what only the SQLite one has to show.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends"
)]

mod memory;
mod process;
mod sqlite;
mod suite;
mod world;

use pipecron::ledger::{Ledger, MemoryLedger, SqliteLedger};

/// Runs every test of the suite against one ledger, made by `$make` for each test; `$keep` lives as long as the test.
macro_rules! against {
    ($ledger:ident, $make:expr, [$($test:ident),* $(,)?]) => {
        mod $ledger {
            $(
                #[tokio::test(start_paused = true)]
                async fn $test() {
                    let (ledger, _keep) = $make;
                    crate::suite::$test(ledger).await;
                }
            )*
        }
    };
}

/// Adding a test here adds it for every ledger; a new ledger is one more line.
macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        against!(in_memory, crate::memory_ledger(), [$($test),*]);
        against!(in_sqlite, crate::sqlite_ledger(), [$($test),*]);
    };
}

suite![
    plans_come_back_in_the_order_of_the_entries,
    the_time_of_a_decision_is_the_ledgers,
    no_entries_are_no_decision,
    an_entry_named_twice_sees_what_was_decided_first,
    a_decision_sees_what_was_stored,
    open_ticks_are_in_the_order_of_their_due_times_not_of_their_ids,
    due_times_after_the_mark_or_now_are_known_as_decided,
    a_mark_is_set_kept_moved_and_cleared,
    nothing_of_a_call_is_stored_when_one_decision_is_refused,
    what_is_taken_back_leaves_the_row_as_it_was,
    a_tick_is_opened_once,
    an_attempt_is_sent_once_even_at_the_same_instant,
    sixteen_deciders_open_a_tick_once,
    a_decision_about_one_entry_cannot_touch_another,
    what_ended_stays_ended,
    an_attempt_can_only_be_answered,
    one_plan_may_answer_an_attempt_and_send_the_next,
    a_decision_that_panics_is_an_error_and_spoils_nothing,
    an_unreadable_multiplier_is_refused,
    every_answer_comes_back,
    a_run_and_its_outcome_are_kept,
    a_row_stands_for_missed_ticks,
    marks_for_skips_are_kept_told_and_taken_back,
    pauses_are_kept_told_and_lifted,
    of_the_pauses_that_are_over_the_last_are_kept,
    what_people_did_is_kept_newest_first_and_the_oldest_is_forgotten,
    what_was_decided_lately_is_told_where_ticks_may_move,
    a_row_for_missed_ticks_takes_the_place_of_none,
    requests_come_back_as_they_were_and_hold_no_secret,
    long_notes_and_messages_are_cut,
    the_history_is_filtered_and_newest_first,
    the_newest_ticks_of_many_entries_are_given_in_short,
    what_changed_is_told_once_in_the_order_of_the_last_changes,
    what_is_forgotten_never_takes_the_numbers_of_changes_with_it,
    memos_are_kept_by_key,
    the_history_is_read_page_by_page,
    a_story_tells_everything_about_a_tick,
    pruning_forgets_what_ended_long_ago_and_nothing_else,
    pruning_works_through_any_number,
    the_last_good_configuration_is_kept_by_key,
    old_configurations_are_forgotten_but_not_the_newest_nor_those_in_use,
    the_last_success_is_the_newest_by_due_time_and_outlives_its_row,
    the_newest_due_time_is_that_of_a_scheduled_row,
    entries_with_open_ticks_are_known,
    the_id_is_eight_letters,
    any_tick_comes_back_the_same,
];

fn memory_ledger() -> (impl Ledger, ()) {
    (MemoryLedger::new(world::clock()), ())
}

fn sqlite_ledger() -> (impl Ledger, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    (
        SqliteLedger::open(&path, world::clock()).unwrap(),
        directory,
    )
}
