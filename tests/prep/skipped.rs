//! Caches that lack damaged recordings, as a store hands them out: on another machine, at another time, without the note
//! beside them.

use std::fs;
use std::path::Path;

use dvs_shared::CacheFile;

use crate::support::*;

#[test]
fn a_restored_cache_tells_its_input_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let damaged = with(seven(), "user03_led.aedat", b"rubbish");
    let (input, stored) = (at("input.tar.gz"), at("stored.h5"));
    fs::write(&input, gzip(&tar(&damaged))).unwrap();
    prepare(&input, &stored, &["--skip-damaged"]);
    let whole = CacheFile::open(&stored).unwrap().header;
    assert_eq!(whole.skipped, ["user03_led"]);
    let key = |input: &Path| {
        run(&[
            "key",
            "--skip-damaged",
            "-i",
            text(input),
            "-o",
            text(&stored),
        ])
    };
    let key = String::from_utf8(key(&input).stdout).unwrap();
    assert!(key.trim_end().ends_with(&whole.input_sha256.unwrap()));

    // In another container, of other times, once with what `key` noted and once without any note.
    let again = at("again.tar");
    fs::write(&again, tar(&damaged)).unwrap();
    for noted in [false, true] {
        let restored = at(&format!("restored-{noted}.h5"));
        fs::copy(&stored, &restored).unwrap();
        let args = ["-i", text(&again), "-o", text(&restored), "--skip-damaged"];
        if noted {
            run(&[&["key"], &args[..]].concat());
        }
        for _ in 0..2 {
            let found = run(&args);
            assert!(String::from_utf8_lossy(&found.stdout).contains("already there"));
            assert_eq!(stderr(&found), "");
        }
    }
    // Where the same recordings are whole now, damaged otherwise, or there twice, it is another cache.
    let mut twice = damaged.clone();
    twice.push((
        "user03_led.aedat".to_owned(),
        content(&seven(), "user03_led.aedat").to_vec(),
    ));
    for other in [
        seven(),
        with(damaged.clone(), "user03_led.aedat", b"else"),
        twice,
    ] {
        fs::write(&again, tar(&other)).unwrap();
        let args = ["-i", text(&again), "-o", text(&stored), "--skip-damaged"];
        let message = fail(&args);
        assert!(
            message.contains("already exists with different contents"),
            "{message}"
        );
    }
}

#[test]
fn where_not_everything_can_be_read_the_note_alone_tells() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (input, cache) = (at("input.tar.gz"), at("cache.h5"));
    let archive = gzip(&tar(&seven()));
    fs::write(&input, &archive[..archive.len() / 2]).unwrap();
    prepare(&input, &cache, &["--skip-damaged"]);
    let header = CacheFile::open(&cache).unwrap().header;
    assert!(!header.skipped.is_empty());
    assert_eq!(header.input_sha256, None);
    let again = prepare(&input, &cache, &["--skip-damaged"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("already there"));
    fs::remove_file(at("cache.h5.source.json")).unwrap();
    let message = fail(&["-i", text(&input), "-o", text(&cache), "--skip-damaged"]);
    assert!(
        message.contains("cannot be told, since")
            && message.contains("cache.h5.source.json is missing"),
        "{message}"
    );
}
