//! The program: parse the arguments, run one command, print one error.

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match pipecron::cli::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match pipecron::cli::run(cli) {
        Ok(code) => code,
        Err(error) if pipecron::cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            pipecron::cli::print_error(&error);
            ExitCode::FAILURE
        }
    }
}
