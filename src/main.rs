//! The program: parse the arguments, run one command, print one error.

fn main() {}
