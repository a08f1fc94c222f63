//! What `--help` prints, word for word. If a change is meant, accept it: `INSTA_UPDATE=always cargo test help`.

use std::process::Command;

const COMMANDS: [&str; 12] = [
    "train",
    "eval",
    "predict",
    "profile",
    "preview",
    "report",
    "import",
    "export",
    "bench",
    "devices",
    "completions",
    "man",
];

fn help(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dvs-train"));
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
