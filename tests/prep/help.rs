//! What `--help` prints, word for word. If a change is meant, accept it: `INSTA_UPDATE=always cargo test help`.

use std::process::Command;

const COMMANDS: [&str; 9] = [
    "prepare",
    "synth",
    "key",
    "export",
    "info",
    "verify",
    "view",
    "completions",
    "man",
];

fn help(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dvs-prep"));
    let output = command.args(args).arg("--help").output().unwrap();
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_is_the_one_that_was_agreed_on() {
    insta::assert_snapshot!("program", help(&[]));
    for command in COMMANDS {
        insta::assert_snapshot!(command, help(&[command]));
    }
}
