//! Holds the modules to the order in which `lib.rs` declares them: each may use itself and those before it.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// The source files under `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false => found.push(path),
        }
    }
    found
}

/// The modules that a source names after `crate::`, unless the line is a comment.
fn used(source: &str) -> impl Iterator<Item = &str> {
    let code = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1))
        .filter_map(|rest| {
            rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
        })
}

#[test]
fn each_module_uses_only_those_declared_before_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let declared = fs::read_to_string(root.join("lib.rs")).unwrap();
    let order: Vec<&str> = declared
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
        .filter_map(|name| name.strip_suffix(';'))
        .collect();
    let place = |module: &str| order.iter().position(|&name| name == module);
    let mut turned = Vec::new();
    let mut arrows = 0;
    for path in sources(&root) {
        let within = path.strip_prefix(&root).unwrap();
        let first = within.iter().next().unwrap().to_str().unwrap();
        let Some(own) = place(first.trim_end_matches(".rs")) else {
            continue; // A root, or a part of the program rather than of its library.
        };
        // Tests may drive a module through those that use it.
        if within.ends_with("tests.rs") || within.iter().any(|part| part == "tests") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let code = source.split("#[cfg(test)]\nmod tests").next().unwrap();
        for used in used(code) {
            match place(used) {
                Some(other) if other > own => {
                    turned.push(format!("{} uses {used}", within.display()));
                }
                Some(other) if other < own => arrows += 1,
                // An item of the crate's root comes from a module that the line does not name.
                None if used.starts_with(char::is_uppercase) => {
                    turned.push(format!("{} uses crate::{used}", within.display()));
                }
                _ => {}
            }
        }
    }
    assert!(turned.is_empty(), "{turned:#?}");
    assert!(arrows > 20, "only {arrows} uses were found");
}
