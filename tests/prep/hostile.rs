//! These archives and folders were made to do harm. Whatever they claim, memory and time stay
//! bounded, and the program writes nothing outside its output folder. It gives a correct result or
//! an error.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::*;

/// The limit in MiB of the program's peak memory for any input.
const BOUND: u64 = 400;

/// Runs the program on `input`. Expects an error within `seconds` that contains all of `said`, and
/// that nothing is left behind.
fn refused(input: &Path, said: &[&str], seconds: f64) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("cache.h5");
    let run = measured(&["-i", text(input), "-o", text(&output)]);
    let message = stderr(&run.output);
    assert_eq!(run.output.status.code(), Some(1), "{message}");
    for part in said {
        assert!(
            message.contains(part),
            "{part:?} is not in {}",
            &message[..message.len().min(2000)]
        );
    }
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "something was left behind");
    assert_within_limits(&run, seconds);
}

fn assert_within_limits(run: &Measured, seconds: f64) {
    println!(
        "{:.2} s, {} MiB: {}",
        run.seconds,
        run.peak,
        stderr(&run.output).lines().next().unwrap_or("done")
    );
    assert!(run.peak <= BOUND, "{} MiB, beyond {BOUND}", run.peak);
    assert!(
        run.seconds <= seconds,
        "{} s, beyond {seconds}",
        run.seconds
    );
}

/// Seconds for a refusal before anything large is read. It takes a third of a second, and more on a busy
/// machine.
const AT_ONCE: f64 = 10.0;

fn header(name: &str, kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header
}

/// Writes a `.tar.gz` of the dataset. Its first entry holds `size` zeros.
fn bomb(path: &Path, name: &str, kind: tar::EntryType, size: u64) {
    let mut gz = GzEncoder::new(fs::File::create(path).unwrap(), Compression::fast());
    gz.write_all(header(name, kind, size).as_bytes()).unwrap();
    io::copy(&mut io::repeat(0).take(size.next_multiple_of(512)), &mut gz).unwrap();
    gz.write_all(&tar(&dataset())).unwrap();
    gz.finish().unwrap();
}

#[test]
fn refuses_impossible_entry_sizes_before_reading() {
    let folder = tempfile::tempdir().unwrap();
    for size in [1 << 62, u64::MAX - 600, 1 << 41] {
        let entry = header("DvsGesture/user01_led.aedat", tar::EntryType::Regular, size);
        let bytes = [entry.as_bytes().as_slice(), &tar(&dataset())].concat();
        let (plain, packed) = (folder.path().join("x.tar"), folder.path().join("x.tar.gz"));
        fs::write(&plain, &bytes).unwrap();
        fs::write(&packed, gzip(&bytes)).unwrap();
        refused(&plain, &["cannot read"], AT_ONCE);
        refused(&packed, &["cannot read"], AT_ONCE);
    }
    let entry = header(
        "DvsGesture/user01_led.aedat",
        tar::EntryType::Regular,
        1 << 30,
    );
    let plain = folder.path().join("x.tar");
    fs::write(
        &plain,
        [entry.as_bytes().as_slice(), &tar(&dataset())].concat(),
    )
    .unwrap();
    refused(
        &plain,
        &["unexpected end of file: the entry at byte 512 has 1073741824 bytes"],
        AT_ONCE,
    );
}

#[test]
fn refuses_entries_that_inflate_a_thousandfold() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    let big = 600 << 20;
    bomb(
        &path,
        "DvsGesture/user01_led_labels.csv",
        tar::EntryType::Regular,
        big,
    );
    refused(
        &path,
        &["user01_led_labels.csv has 629145600 bytes, beyond the limit"],
        20.0,
    );
    bomb(
        &path,
        "DvsGesture/user01_led.aedat",
        tar::EntryType::Regular,
        big,
    );
    refused(
        &path,
        &["user01_led.aedat has 629145600 bytes, beyond the limit"],
        20.0,
    );
    bomb(&path, "././@LongLink", tar::EntryType::GNULongName, big);
    refused(
        &path,
        &["corrupt tar header: 629145600 bytes say how the next entry is called"],
        AT_ONCE,
    );
    bomb(&path, "pax", tar::EntryType::XHeader, big);
    refused(&path, &["corrupt tar header: 629145600 bytes"], AT_ONCE);

    let path = folder.path().join("x.zip");
    let mut writer = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for (name, content) in dataset() {
        writer.start_file(name.as_str(), options).unwrap();
        let zeros = if name.ends_with("led.aedat") { big } else { 0 };
        writer.write_all(&content).unwrap();
        io::copy(&mut io::repeat(0).take(zeros), &mut writer).unwrap();
    }
    writer.finish().unwrap();
    refused(
        &path,
        &["user01_led.aedat has", "beyond the limit"],
        AT_ONCE,
    );
}

#[test]
fn refuses_zip_members_with_a_false_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.zip");
    let size = content(&dataset(), "user01_led.aedat").len() as u32;
    for claimed in [size - 28, size + 28, 10] {
        let mut bytes = zip(&dataset());
        // The local header and the directory both give the length.
        let places: Vec<usize> = (0..bytes.len() - 4)
            .filter(|&at| bytes[at..at + 4] == size.to_le_bytes())
            .collect();
        assert!(places.len() >= 4);
        for at in places {
            bytes[at..at + 4].copy_from_slice(&claimed.to_le_bytes());
        }
        fs::write(&path, &bytes).unwrap();
        refused(
            &path,
            &[
                "user01_led.aedat cannot be read",
                "user02_lab.aedat cannot be read",
            ],
            AT_ONCE,
        );
    }
}

#[test]
fn a_million_entries_take_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    for (name, of_dataset) in [
        ("r%.aedat", true),
        ("r%_labels.csv", true),
        ("r%.jpg", false),
    ] {
        let mut gz = GzEncoder::new(fs::File::create(&path).unwrap(), Compression::fast());
        for i in 0..1_000_000 {
            // The program refuses more than 131,072 files of the dataset, so 200,000 are enough.
            if i < 200_000 || !of_dataset {
                let name = name.replace('%', &(i % 200_000).to_string());
                gz.write_all(header(&name, tar::EntryType::Regular, 0).as_bytes())
                    .unwrap();
            }
        }
        gz.write_all(&tar(&dataset())).unwrap();
        gz.finish().unwrap();
        if of_dataset {
            refused(&path, &["holds more than 131072 recordings"], 10.0);
        } else {
            let output = folder.path().join("cache.h5");
            let run = measured(&["-i", text(&path), "-o", text(&output)]);
            assert!(run.output.status.success(), "{}", stderr(&run.output));
            assert_within_limits(&run, 20.0);
        }
    }
    // This .zip is only a directory of many entries without content. It claims 65,535 entries.
    let path = folder.path().join("x.zip");
    for (length, said) in [
        (9u16, "is missing"),
        (200, "its directory is not found within"),
    ] {
        let mut bytes = Vec::new();
        for i in 0..1_000_000u32 / u32::from((length / 16).max(2)) {
            bytes.extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0");
            bytes.extend([0; 12]);
            bytes.extend(length.to_le_bytes());
            bytes.extend([0; 16]);
            bytes.extend(format!("{i:0>0$}", usize::from(length)).bytes());
        }
        let directory = bytes.len() as u32;
        bytes.splice(..0, *b"PK\x03\x04");
        bytes.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff");
        bytes.extend(directory.to_le_bytes());
        bytes.extend(4u32.to_le_bytes());
        bytes.extend([0; 2]);
        fs::write(&path, &bytes).unwrap();
        refused(&path, &[said], AT_ONCE);
    }
}

#[test]
fn archive_links_devices_and_paths_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    use tar::EntryType::{Block, Char, Directory, Fifo, Link, Symlink};
    for kind in [Link, Symlink, Char, Block, Directory, Fifo] {
        let mut link = header("DvsGesture/user01_led.aedat", kind, 0);
        link.set_link_name("/etc/passwd").unwrap();
        link.set_cksum();
        let files = without(dataset(), "user01_led.aedat");
        fs::write(&path, [link.as_bytes().as_slice(), &tar(&files)].concat()).unwrap();
        refused(&path, &["user01_led.aedat is missing"], AT_ONCE);
    }
    // The program uses only file names and never writes to the paths of an archive. The last path
    // is longer than a tar header has room for.
    let deep = "d/".repeat(5000);
    for prefix in ["../../../../tmp/", "/etc/", &deep] {
        let mut bytes = Vec::new();
        for (name, content) in dataset() {
            let long = format!("{prefix}{name}\0").into_bytes();
            let kind = tar::EntryType::GNULongName;
            bytes.extend(header("././@LongLink", kind, long.len() as u64).as_bytes());
            bytes.extend(&long);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
            bytes.extend(header("short", tar::EntryType::Regular, content.len() as u64).as_bytes());
            bytes.extend(&content);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        fs::write(&path, &bytes).unwrap();
        let output = folder.path().join("cache.h5");
        prepare(&path, &output, &["--force"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}

#[test]
fn deeply_nested_archives_are_not_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar.gz");
    let mut bytes = gzip(&tar(&dataset()));
    for _ in 0..20 {
        bytes = gzip(&tar(&vec![("DvsGesture.tar.gz".to_owned(), bytes)]));
    }
    fs::write(&path, &bytes).unwrap();
    refused(&path, &["trials_to_train.txt is missing"], AT_ONCE);
    fs::write(
        &path,
        zip(&[
            ("a.tar.gz".to_owned(), bytes.clone()),
            ("b.tgz".to_owned(), bytes),
        ]),
    )
    .unwrap();
    refused(
        &path,
        &["it holds 2 archives, none of them DvsGesture.tar.gz: a.tar.gz, b.tgz"],
        AT_ONCE,
    );
}

#[test]
fn refuses_pipes_devices_and_circular_links_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.tar");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    refused(&pipe, &["is neither a regular file nor a folder"], AT_ONCE);
    refused(
        Path::new("/dev/zero"),
        &["is neither a regular file nor a folder"],
        AT_ONCE,
    );
    for command in ["info", "verify"] {
        let run = measured(&[command, text(&pipe)]);
        assert!(stderr(&run.output).contains("is not a frame cache: it is not a regular file"));
        assert_within_limits(&run, AT_ONCE);
    }
    let extracted = folder.path().join("DvsGesture");
    fs::create_dir(&extracted).unwrap();
    for (name, content) in dataset() {
        fs::write(extracted.join(name), content).unwrap();
    }
    fs::remove_file(extracted.join("user01_led.aedat")).unwrap();
    fs::remove_file(extracted.join("user02_lab.aedat")).unwrap();
    fs::rename(&pipe, extracted.join("user01_led.aedat")).unwrap();
    symlink("user02_lab.aedat", extracted.join("user02_lab.aedat")).unwrap();
    symlink(".", extracted.join("DvsGesture")).unwrap();
    refused(
        &extracted,
        &["user01_led.aedat is missing", "user02_lab.aedat is missing"],
        AT_ONCE,
    );
}

/// A recording of 190 MiB. Each packet holds one event, and the times go up and down.
fn one_event_packets() -> Vec<u8> {
    let n = (190 << 20) / 36;
    let mut bytes = END_HEADER.to_vec();
    bytes.reserve(n * 36);
    for mut event in events(n as u64, 0, 1) {
        event.t ^= 0x3ff;
        bytes.extend(packet(&[event]));
    }
    bytes
}

#[test]
fn the_worst_recording_takes_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let labels: String = (1..=11)
        .map(|class| format!("{class},0,9999999\n"))
        .collect();
    let labels = format!("class,startTime_usec,endTime_usec\n{labels}");
    let files = with(dataset(), "user01_led.aedat", &one_event_packets());
    let files = with(files, "user01_led_labels.csv", labels.as_bytes());
    let path = folder.path().join("x.tar");
    fs::write(&path, tar(&files)).unwrap();
    drop(files);
    for split in [
        &["--split", "time"][..],
        &["--split", "number"],
        &["--duration", "1ms"],
    ] {
        let output = folder.path().join("cache.h5");
        let args = [&["-i", text(&path), "-o", text(&output), "--force"], split].concat();
        let run = measured(&args);
        assert!(run.output.status.success(), "{}", stderr(&run.output));
        assert_within_limits(&run, 60.0);
    }
}

#[test]
fn the_worst_archive_takes_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    // All events are in one cell, so counts take four bytes. As many recordings as possible wait
    // for their labels. Then come recordings of the largest possible size, in several frames.
    let mut one_cell = events(100_000, 0, 0);
    one_cell
        .iter_mut()
        .for_each(|e| (e.x, e.y, e.polarity) = (3, 4, true));
    let one_cell = packet(&one_cell);
    let recording =
        |mib: usize| [END_HEADER, &one_cell.repeat((mib << 20) / one_cell.len())].concat();
    let labels = b"class,startTime_usec,endTime_usec\n1,0,9\n2,0,9\n".to_vec();
    let small: Vec<String> = (0..15).map(|i| format!("user{i:02}_led")).collect();
    let large: Vec<String> = (15..18).map(|i| format!("user{i:02}_led")).collect();
    let recording_of = |name: &String, mib| (format!("{name}.aedat"), recording(mib));
    let labels_of = |name: &String| (format!("{name}_labels.csv"), labels.clone());
    let list = |names: &[String]| names.join(".aedat\n").into_bytes();
    let path = folder.path().join("x.tar");
    let mut file = io::BufWriter::new(fs::File::create(&path).unwrap());
    let mut add = |member: (String, Vec<u8>)| {
        let bytes = tar(&vec![member]);
        file.write_all(&bytes[..bytes.len() - 1024]).unwrap();
    };
    add((
        "trials_to_train.txt".to_owned(),
        list(&[small.as_slice(), &large[1..]].concat()),
    ));
    add(("trials_to_test.txt".to_owned(), list(&large[..1])));
    small.iter().for_each(|name| add(recording_of(name, 5)));
    for name in &large {
        add(labels_of(name));
        add(recording_of(name, 190));
    }
    small.iter().for_each(|name| add(labels_of(name)));
    file.write_all(&[0; 1024]).unwrap();
    drop(file);
    for frames in ["16", "180", "1024"] {
        let output = folder.path().join("cache.h5");
        let run = measured(&[
            "-i",
            text(&path),
            "-o",
            text(&output),
            "--force",
            "-T",
            frames,
        ]);
        let said = stderr(&run.output);
        assert_eq!(run.output.status.success(), frames != "1024", "{said}");
        assert!(
            frames != "1024" || said.contains("its 1024 frames take"),
            "{said}"
        );
        assert_within_limits(&run, 60.0);
    }
}

#[test]
fn refuses_oversized_lists_and_invalid_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let refused_with = |name: &str, content: &[u8], said: &[&str]| {
        fs::write(&path, tar(&with(dataset(), name, content))).unwrap();
        refused(&path, said, AT_ONCE);
    };
    let rows = "1,0,9\n".repeat(5000);
    let labels = format!("class,startTime_usec,endTime_usec\n{rows}");
    refused_with(
        "user01_led_labels.csv",
        labels.as_bytes(),
        &["user01_led_labels.csv: line 4098 is beyond the limit of 4096 rows"],
    );
    let long = format!("user01_led.aedat\n{}.aedat\n", "x".repeat(121));
    refused_with(
        "trials_to_train.txt",
        long.as_bytes(),
        &["line 2 is not the name of a recording: it has 121 bytes"],
    );
    refused_with(
        "trials_to_train.txt",
        b"user01_led\x1b[2J.aedat\n",
        &["line 1 is not the name of a recording"],
    );
    refused_with(
        "trials_to_train.txt",
        &vec![b'\n'; 2 << 20],
        &["has 2097152 bytes, beyond the limit of 1048576"],
    );
    let many: String = (0..100_000).map(|i| format!("r{i}\n")).collect();
    refused_with(
        "trials_to_test.txt",
        many.as_bytes(),
        &["100000 problems", "and 99000 more"],
    );
}
