//! What the program says of itself: the help of every command, held as text that a person has read.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::process::Command;

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pipecron"))
        .args(arguments)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_help_of_every_command_reads_well() {
    insta::assert_snapshot!("help", help(&[]));
    for command in [
        "daemon", "check", "next", "trigger", "history", "show", "sandbox",
    ] {
        insta::assert_snapshot!(format!("help-{command}"), help(&[command]));
    }
}

#[test]
fn every_flag_that_a_service_needs_has_a_variable_and_the_readme_names_the_commands() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let daemon = help(&["daemon"]);
    for name in [
        "CONFIG",
        "LEDGER",
        "CONTROL",
        "LOG_FORMAT",
        "LOG_DIR",
        "KEEP_LOGS",
        "LOG",
        "SANDBOX",
        "STRICT",
        "KEEP_HISTORY",
        "GRACE",
    ] {
        assert!(
            daemon.contains(&format!("PIPECRON_{name}")),
            "PIPECRON_{name} is not in the help of daemon"
        );
    }
    for command in [
        "daemon", "check", "next", "trigger", "history", "show", "sandbox",
    ] {
        assert!(
            readme.contains(command),
            "the README does not mention {command}"
        );
    }
    assert!(
        readme.contains("cargo run --release -- daemon --sandbox --config schedules.example.yaml")
    );
}

#[test]
fn arguments_that_are_not_understood_exit_with_two() {
    for arguments in [
        &["nxt"][..],
        &["next", "--at", "tomorrow"],
        &["daemon", "--grace", "soon"],
        &["history", "--reason", "x"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_pipecron"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}
