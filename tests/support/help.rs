//! Reads the `--help` of a program and of each command that it lists.

use std::process::Command;

/// Returns the name and the text of each help page.
pub fn pages(program: &str) -> Vec<(String, String)> {
    let whole = page(program, &[]);
    let listed = whole
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    // The second line of a description has a deeper indent, so its name is empty.
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
