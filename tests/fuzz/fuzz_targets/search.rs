//! `cargo fuzz run --fuzz-dir tests/fuzz search`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (pipecron_fuzz::search::TARGET.run)(data));
