//! `cargo fuzz run --fuzz-dir tests/fuzz words`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| (pipecron_fuzz::words::TARGET.run)(data));
