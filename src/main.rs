//! The program: parse the arguments, run one command, print one error.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match pipecron::cli::run(pipecron::cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) if pipecron::cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // The one error of the program; a closed stderr leaves only the exit code to tell of it.
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("error: {error:#}\n"),
            );
            ExitCode::FAILURE
        }
    }
}
