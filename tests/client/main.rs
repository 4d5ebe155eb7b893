//! The client against servers of our own on the loopback: what it sends, how often, and what it makes of every fault.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod credentials;
mod faults;
mod frozen;
mod hold;
mod pipelines;
mod rate;
mod routes;
mod secrets;
mod stub;
