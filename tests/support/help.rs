//! What `--help` prints, for the program and for each command that it lists.

use std::process::Command;

/// The name and the text of every page of help.
pub fn pages(program: &str) -> Vec<(String, String)> {
    let whole = page(program, &[]);
    let listed = whole
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    // A description that goes on in the next line is indented further.
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names = names.filter(|name| !name.is_empty() && *name != "help");
    let pages = names.map(|name| (name.to_owned(), page(program, &[name])));
    let pages: Vec<(String, String)> = pages.collect();
    assert!(pages.len() > 5, "{whole}");
    [vec![("program".to_owned(), whole.clone())], pages].concat()
}

fn page(program: &str, command: &[&str]) -> String {
    let output = Command::new(program).args(command).arg("--help").output();
    let output = output.unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}
