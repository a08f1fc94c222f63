//! Snapshots of the text of every `--help` page. To accept an intended change, run
//! `INSTA_UPDATE=always cargo test help`.

use crate::help_pages::pages;

#[test]
fn help_pages_match_their_snapshots() {
    for (name, page) in pages(env!("CARGO_BIN_EXE_dvs-train")) {
        insta::assert_snapshot!(name, page);
    }
}
