//! Why things are as they are: one page a question.

#[doc = include_str!("001-decide-in-the-transaction.md")]
pub mod decide_in_the_transaction {}

#[doc = include_str!("002-the-ledgers-clock.md")]
pub mod the_ledgers_clock {}

#[doc = include_str!("003-the-request-in-the-tick.md")]
pub mod the_request_in_the_tick {}

#[doc = include_str!("004-one-crate.md")]
pub mod one_crate {}

#[doc = include_str!("005-on-time-and-missed.md")]
pub mod on_time_and_missed {}

#[doc = include_str!("006-the-last-look.md")]
pub mod the_last_look {}

#[doc = include_str!("007-standing-of-an-account.md")]
pub mod standing_of_an_account {}

#[doc = include_str!("008-a-ledger-that-is-gone.md")]
pub mod a_ledger_that_is_gone {}

#[doc = include_str!("009-calendars-and-the-mark.md")]
pub mod calendars_and_the_mark {}

#[doc = include_str!("010-telling-people.md")]
pub mod telling_people {}
