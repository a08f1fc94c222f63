//! Every command has a help page, a manual page and shell completions. Snapshots hold the text of
//! every `--help` page. To accept an intended change, run `INSTA_UPDATE=always cargo test help`.

use std::fs;

use crate::help_pages::pages;
use crate::support::{run, text};

#[test]
fn help_pages_match_their_snapshots() {
    for (name, page) in pages(env!("CARGO_BIN_EXE_dvs-prep")) {
        insta::assert_snapshot!(name, page);
    }
}

#[test]
fn writes_completions_and_manual_pages_for_commands() {
    let commands = [
        "prepare",
        "key",
        "synth",
        "export",
        "info",
        "verify",
        "view",
        "completions",
        "man",
    ];
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = String::from_utf8(run(&["completions", shell]).stdout).unwrap();
        for word in commands.iter().chain(&["each-class", "max-frames"]) {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man/man1");
    let said = String::from_utf8(run(&["man", text(&pages)]).stdout).unwrap();
    let mut expected = vec!["dvs-prep.1".to_owned()];
    expected.extend(commands.map(|command| format!("dvs-prep-{command}.1")));
    for name in &expected {
        let page = fs::read_to_string(pages.join(name)).unwrap();
        assert!(
            page.contains(".TH dvs") && page.contains(".SH OPTIONS"),
            "{name}"
        );
        assert!(said.contains(name.as_str()), "{said}");
    }
    assert_eq!(fs::read_dir(&pages).unwrap().count(), expected.len());
}
