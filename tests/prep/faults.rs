//! A disk may be full, a permission may be missing, or a file or folder may change while the
//! program runs. Each fault gives an error that names the file and the reason, and leaves nothing
//! behind.

#![cfg(unix)]

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::running::*;
use crate::support::*;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dvs-prep");

fn failed_with(output: &Output, parts: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}

#[test]
fn file_size_limit_gives_an_error_and_no_cache() {
    let input = data("DvsGesture-mini.tar.gz");
    // The limits count blocks of 512 or 1024 bytes. They reach from nothing to nearly the whole
    // cache.
    for limit in [0, 1, 3, 20, 100, 200] {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("cache.h5");
        let run = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -f {limit}; exec \"$0\" \"$@\""))
            .args([PROGRAM, "-T", "32", "-i", text(&input), "-o", text(&output)])
            .output()
            .unwrap();
        failed_with(&run, &["of the cache", text(&output), "File too large"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{limit}");
    }
}

#[test]
fn full_disk_gives_an_error_and_no_cache() {
    let folder = tempfile::tempdir().unwrap();
    // The test mounts its own file system, which disappears when the shell that mounted it ends.
    let on_small_disk = |size: &str, args: &[&str]| {
        let script = "mount -t tmpfs -o size=\"$1\" none \"$2\" || exit 77
            disk=$2; shift 2
            \"$@\"; code=$?
            ls -A \"$disk\"
            exit $code";
        Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh", size])
            .arg(folder.path())
            .args(args)
            .output()
    };
    match on_small_disk("1m", &["true"]) {
        Ok(done) if done.status.success() => {}
        Ok(done) => return report_skipped("full disks", &stderr(&done)),
        Err(error) => return report_skipped("full disks", &format!("unshare: {error}")),
    }
    let output = folder.path().join("cache.h5");
    let output = text(&output);
    let input = large_archive();
    let args = [PROGRAM, "-i", text(&input), "-o", output];
    // The first disk is too small for the recordings that wait for their labels. The second is too
    // small for the cache.
    for (size, memory, said) in [
        ("8m", "--memory=128", "the spill file"),
        ("1m", "--memory=384", "of the cache"),
    ] {
        let run = on_small_disk(size, &[&args[..], &[memory]].concat()).unwrap();
        failed_with(&run, &[said, "No space left on device"]);
        assert_eq!(
            String::from_utf8_lossy(&run.stdout),
            "",
            "something is left"
        );
    }
}

/// A command that runs a copy of the program without root's permissions. The copy is in `folder`,
/// which everyone may enter.
fn without_privileges(folder: &Path, args: &[&str]) -> Command {
    let copy = folder.join("dvs-prep");
    if !copy.exists() {
        fs::copy(PROGRAM, &copy).unwrap();
    }
    let mut command = Command::new(copy);
    command.args(args);
    if fs::metadata(folder).unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    }
    command
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn reports_missing_permissions() {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    let input = archive(folder.path(), &dataset());
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    let output = closed.join("cache.h5");
    let args = ["-i", text(&input), "-o", text(&output)];
    let run = || without_privileges(folder.path(), &args).output().unwrap();

    set_mode(&closed, 0o555);
    failed_with(
        &run(),
        &["no cache can be made", text(&output), "Permission denied"],
    );
    assert_eq!(fs::read_dir(&closed).unwrap().count(), 0);

    // The program can use an existing cache without the permission to write beside it.
    set_mode(&closed, 0o755);
    prepare(&input, &output, &[]);
    fs::remove_file(closed.join("cache.h5.source.json")).unwrap();
    set_mode(&closed, 0o555);
    let found = run();
    assert!(found.status.success(), "{}", stderr(&found));
    assert!(String::from_utf8_lossy(&found.stdout).contains("already there"));
    set_mode(&output, 0o000);
    failed_with(&run(), &["cannot read", text(&output), "Permission denied"]);
    set_mode(&closed, 0o755);
    fs::remove_file(&output).unwrap();

    set_mode(&input, 0o000);
    failed_with(&run(), &["cannot read", text(&input), "Permission denied"]);
}

#[test]
fn lock_file_of_another_user_does_not_block() {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o777);
    let input = archive(folder.path(), &dataset());
    let output = folder.path().join("cache.h5");
    let lock = folder.path().join(".cache.h5.lock");
    File::create(&lock).unwrap();
    set_mode(&lock, 0o444);
    let args = ["-i", text(&input), "-o", text(&output)];
    let run = without_privileges(folder.path(), &args).output().unwrap();
    assert!(run.status.success(), "{}", stderr(&run));
    assert_eq!(hidden(folder.path()), [""; 0]);
}

#[test]
fn reports_an_output_folder_that_disappears() {
    let input = large_archive();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    fs::create_dir(&target).unwrap();
    let output = target.join("cache.h5");
    let mut run = Running::start(&mut dvs_prep(["-i", text(&input), "-o", text(&output)]));
    until_begun(&target);
    run.signal(Signal::STOP);
    fs::remove_dir_all(&target).unwrap();
    run.signal(Signal::CONT);
    assert_eq!(run.end().code(), Some(1));
    let said = run.stderr();
    assert!(
        said.contains(text(&output)) && said.contains("No such file"),
        "{said}"
    );
    assert!(!target.exists());
}

/// Starts a run, which looks at its input and then waits for the lock. Makes `change` and lets the
/// run continue. Returns its exit status and its standard error.
fn run_with_changing_input(input: &Path, change: impl FnOnce()) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("cache.h5");
    let lock = File::create(folder.path().join(".cache.h5.lock")).unwrap();
    lock.lock().unwrap();
    let mut run = Running::start(&mut dvs_prep(["-i", text(input), "-o", text(&output)]));
    until("it waited", || run.stderr().contains("waiting for it"));
    change();
    drop(lock);
    let code = run.end().code();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    (code, run.stderr())
}

#[test]
fn makes_no_cache_if_the_input_changes() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let same = fs::read(&input).unwrap();
    let times =
        fs::FileTimes::new().set_modified(fs::metadata(&input).unwrap().modified().unwrap());
    let append = |bytes: &[u8]| {
        let mut file = File::options().append(true).open(&input).unwrap();
        file.write_all(bytes).unwrap();
    };
    let replace = || {
        let other = folder.path().join("other");
        fs::write(&other, &same).unwrap();
        File::options()
            .write(true)
            .open(&other)
            .unwrap()
            .set_times(times)
            .unwrap();
        fs::rename(&other, &input).unwrap();
    };
    let changes: [(&dyn Fn(), &str); 4] = [
        // The other file has the same size and time. Only its inode differs.
        (&replace, "another file has taken the place of"),
        (&|| append(b"rubbish"), "bytes and has"),
        (
            &|| fs::write(&input, [&same[..same.len() - 5], b"12345"].concat()).unwrap(),
            "bytes and has",
        ),
        (
            &|| fs::remove_file(&input).unwrap(),
            "cannot be found any more",
        ),
    ];
    for (change, how) in changes {
        let (code, said) = run_with_changing_input(&input, change);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("changed while it was read") && said.contains(how),
            "{said}"
        );
        assert!(said.contains("no cache was made"), "{said}");
    }
    fs::write(&input, &same).unwrap();
    let (_, said) = run_with_changing_input(&input, || {
        let mut rubbish = same.clone();
        rubbish[same.len() / 2] ^= 1;
        fs::write(&input, rubbish).unwrap();
    });
    assert!(said.contains("was written to"), "{said}");
}

#[test]
fn makes_no_cache_if_the_input_folder_changes() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in dataset() {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    let changes: [(&dyn Fn(), &str); 2] = [
        (
            &|| fs::write(at("user07_led.aedat"), b"").unwrap(),
            "has been added",
        ),
        (
            &|| fs::remove_file(at("user01_led.aedat")).unwrap(),
            "user01_led.aedat is gone",
        ),
    ];
    for (change, how) in changes {
        let (code, said) = run_with_changing_input(folder.path(), change);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(how), "{said}");
    }
}
