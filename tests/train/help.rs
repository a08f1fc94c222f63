//! What `--help` prints, word for word. If a change is meant, accept it: `INSTA_UPDATE=always cargo test help`.

use crate::help_pages::pages;

#[test]
fn help_is_the_one_that_was_agreed_on() {
    for (name, page) in pages(env!("CARGO_BIN_EXE_dvs-train")) {
        insta::assert_snapshot!(name, page);
    }
}
