//! If a pipe, a socket or a device is in the place of a file, the program neither waits for it nor
//! replaces it.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::*;

fn pipe(at: PathBuf) -> PathBuf {
    let made = Command::new("mkfifo").arg(&at).status().unwrap();
    assert!(made.success());
    at
}

/// Runs the program, which must fail within five seconds, and returns its standard error.
fn refused(args: &[&str]) -> String {
    let run = measured(args);
    let said = stderr(&run.output);
    assert_eq!(run.output.status.code(), Some(1), "{args:?}: {said}");
    assert!(run.seconds < 5.0, "{args:?}: {} s", run.seconds);
    said
}

fn is_pipe(path: &Path) -> bool {
    fs::symlink_metadata(path).unwrap().file_type().is_fifo()
}

#[test]
fn refuses_pipes_sockets_and_devices_as_output() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let input = archive(folder.path(), &dataset());
    let fifo = pipe(at("pipe.h5"));
    let socket = at("socket.h5");
    let _listener = UnixListener::bind(&socket).unwrap();
    let link = at("link.h5");
    std::os::unix::fs::symlink(&fifo, &link).unwrap();
    for (output, kind) in [
        (fifo.as_path(), "a named pipe"),
        (&link, "a named pipe"),
        (&socket, "a socket"),
        (Path::new("/dev/null"), "a device"),
    ] {
        for force in [&[][..], &["--force"]] {
            let args = [&["-i", text(&input), "-o", text(output)], force].concat();
            let said = refused(&args);
            assert!(
                said.contains(&format!("exists and is {kind}"))
                    && said.contains("Choose another --output"),
                "{said}"
            );
        }
        assert!(!fs::metadata(output).unwrap().is_file());
    }
    let names = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 4, "something was left behind");
}

#[test]
fn synth_refuses_a_pipe_as_output() {
    let folder = tempfile::tempdir().unwrap();
    let output = pipe(folder.path().join("a.tar.gz"));
    for force in [&[][..], &["--force"]] {
        let said = refused(&[&["synth", "-o", text(&output)], force].concat());
        assert!(said.contains("exists and is a named pipe"), "{said}");
    }
    assert!(is_pipe(&output));
}

#[test]
fn refuses_a_pipe_as_lock_but_not_as_note() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let input = archive(folder.path(), &dataset());
    let cache = at("cache.h5");
    let lock = pipe(at(".cache.h5.lock"));
    let said = refused(&["-i", text(&input), "-o", text(&cache)]);
    assert!(
        said.contains(text(&lock)) && said.contains("it is a named pipe; remove it"),
        "{said}"
    );
    assert!(is_pipe(&lock));
    fs::remove_file(&lock).unwrap();
    // A note that cannot be read is ignored.
    prepare(&input, &cache, &[]);
    let note = at("cache.h5.source.json");
    fs::remove_file(&note).unwrap();
    pipe(note);
    let found = measured(&["-i", text(&input), "-o", text(&cache)]);
    assert!(found.output.status.success(), "{}", stderr(&found.output));
    assert!(found.seconds < 5.0);
}

#[test]
fn refuses_a_pipe_as_input() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = pipe(folder.path().join("pipe"));
    for command in ["info", "verify"] {
        let said = refused(&[command, text(&fifo)]);
        assert!(said.contains("it is not a regular file"), "{said}");
    }
    for command in ["prepare", "key"] {
        let said = refused(&[command, "-i", text(&fifo)]);
        assert!(
            said.contains("is neither a regular file nor a folder"),
            "{said}"
        );
    }
}
