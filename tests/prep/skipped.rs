//! A cache made with `--skip-damaged` may come from a store, without the note beside it. The
//! program still finds out whether the cache belongs to the input.

use std::fs;
use std::path::Path;

use dvs_shared::CacheFile;

use crate::support::*;

#[test]
fn restored_cache_needs_no_note_to_match_its_input() {
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

    // The input is in another container and has other file times. One round has the note that `key`
    // writes, the other has none.
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
    // If the damaged recording is now whole, has other damage or occurs twice, the cache does not
    // match.
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
fn cache_of_a_truncated_archive_needs_its_note() {
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
