//! pipecron starts Huawei Cloud CodeArts Pipeline runs on schedule, each exactly once.

pub mod codearts;
pub mod config;
pub mod domain;
pub mod ledger;
pub mod os;
pub mod sandbox;
