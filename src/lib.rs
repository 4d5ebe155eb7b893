//! pipecron starts Huawei Cloud CodeArts Pipeline runs on schedule, each exactly once.

pub mod domain;
pub mod os;
