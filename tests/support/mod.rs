//! The tests of the whole program dvs-prep use this module to run the program, to find the fixtures
//! and to build archives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use dvs_shared::Event;
use dvs_shared::aedat;

pub const END_HEADER: &[u8] =
    b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n";

/// The path of a file in `tests/data`.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/data")
        .join(name)
}

/// A command that runs the program with `args`.
pub fn dvs_prep<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dvs-prep"));
    command.args(args).env_remove("DVS_DATA");
    command
}

/// Runs the program and expects exit status 0.
pub fn run(args: &[&str]) -> Output {
    let output = dvs_prep(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    output
}

/// Runs the program, expects exit status 1, and returns its standard error.
pub fn fail(args: &[&str]) -> String {
    let output = dvs_prep(args).output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(1),
        "{args:?}: {}",
        stderr(&output)
    );
    stderr(&output)
}

/// The result of a run, with its memory and its duration.
pub struct Measured {
    pub output: Output,
    /// The peak of resident memory in MiB.
    pub peak: u64,
    pub seconds: f64,
}

/// Runs the program and measures its memory. Kills it after a minute, because no test needs that
/// long.
pub fn measured(args: &[&str]) -> Measured {
    let start = Instant::now();
    let mut command = dvs_prep(args);
    // The output goes to files, because a full pipe would stop the program.
    let mut captured = [(); 2].map(|()| tempfile::tempfile().unwrap());
    let [out, err] = captured
        .each_ref()
        .map(|f| Stdio::from(f.try_clone().unwrap()));
    let mut child = command.stdout(out).stderr(err).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        // The kernel keeps the peak, so only the last reading before the end counts.
        let seen = fs::read_to_string(&status).unwrap_or_default();
        let line = seen.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        peak = line.map_or(peak, |l| l.trim().trim_end_matches(" kB").parse().unwrap());
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let seconds = start.elapsed().as_secs_f64();
    let [stdout, stderr] = captured.each_mut().map(|file| {
        let mut text = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut text).unwrap();
        text
    });
    Measured {
        seconds,
        output: Output {
            status: child.wait().unwrap(),
            stdout,
            stderr,
        },
        peak: peak / 1024,
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Prepares `input` into `output` with further `args`.
pub fn prepare(input: &Path, output: &Path, args: &[&str]) -> Output {
    let mut all = vec!["-i", text(input), "-o", text(output)];
    all.extend(args);
    run(&all)
}

/// A packet of polarity events. Its overflow counter is that of the first event.
pub fn packet(events: &[Event]) -> Vec<u8> {
    let overflow = events.first().map_or(0, |e| (e.t >> 31) as u32);
    let body: Vec<u8> = events.iter().flat_map(|&e| aedat::encode(e)).collect();
    packet_of(
        aedat::POLARITY_EVENT,
        8,
        overflow,
        events.len() as u32,
        events.len() as u32,
        &body,
    )
}

/// A packet with these fields in its header. All of its `number` events are valid.
pub fn packet_of(
    kind: u16,
    size: u32,
    overflow: u32,
    capacity: u32,
    number: u32,
    body: &[u8],
) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(kind.to_le_bytes());
    packet.extend(0u16.to_le_bytes());
    for field in [size, 4, overflow, capacity, number, number] {
        packet.extend(field.to_le_bytes());
    }
    packet.extend(body);
    packet
}

/// A recording of `events`, in packets of 100.
pub fn recording(events: &[Event]) -> Vec<u8> {
    let mut bytes = END_HEADER.to_vec();
    for events in events.chunks(100) {
        bytes.extend(packet(events));
    }
    bytes
}

/// `n` valid events, spread over the sensor. The first is at `start` us, and they are `step` us
/// apart.
pub fn events(n: u64, start: i64, step: i64) -> Vec<Event> {
    (0..n)
        .map(|i| Event {
            t: start + i as i64 * step,
            x: (i * 7 % 128) as u16,
            y: (i * 13 % 128) as u16,
            polarity: i % 3 == 0,
            valid: true,
        })
        .collect()
}

/// The files of a dataset: names and contents.
pub type Files = Vec<(String, Vec<u8>)>;

/// A small whole dataset: one recording for training and one for testing, each with two samples.
pub fn dataset() -> Files {
    let labels = b"class,startTime_usec,endTime_usec\n3,1000,2000\n11,2000,3000\n".to_vec();
    let bytes = recording(&events(2500, 900, 1));
    vec![
        (
            "trials_to_train.txt".to_owned(),
            b"user01_led.aedat\n".to_vec(),
        ),
        (
            "trials_to_test.txt".to_owned(),
            b"user02_lab.aedat\n\n".to_vec(),
        ),
        ("user01_led.aedat".to_owned(), bytes.clone()),
        ("user01_led_labels.csv".to_owned(), labels.clone()),
        ("user02_lab.aedat".to_owned(), bytes),
        ("user02_lab_labels.csv".to_owned(), labels),
    ]
}

/// A dataset of five training recordings and two test recordings, each with two samples. The trial
/// lists come first.
pub fn seven() -> Files {
    let names: Vec<String> = (1..=7).map(|i| format!("user{i:02}_led")).collect();
    let list = |names: &[String]| {
        let lines: Vec<String> = names.iter().map(|n| format!("{n}.aedat\n")).collect();
        lines.concat().into_bytes()
    };
    let mut files = vec![
        ("trials_to_train.txt".to_owned(), list(&names[..5])),
        ("trials_to_test.txt".to_owned(), list(&names[5..])),
    ];
    for (i, name) in (0..).zip(&names) {
        let labels = b"class,startTime_usec,endTime_usec\n3,1000,2000\n11,2000,3000\n";
        files.push((
            format!("{name}.aedat"),
            recording(&events(2500, 900 + i, 1)),
        ));
        files.push((format!("{name}_labels.csv"), labels.to_vec()));
    }
    files
}

/// Replaces the content of one file.
pub fn with(mut files: Files, name: &str, content: &[u8]) -> Files {
    files.iter_mut().find(|(n, _)| n == name).unwrap().1 = content.to_vec();
    files
}

/// Leaves one file out.
pub fn without(mut files: Files, name: &str) -> Files {
    files.retain(|(n, _)| n != name);
    files
}

/// The content of one file.
pub fn content<'a>(files: &'a Files, name: &str) -> &'a [u8] {
    &files.iter().find(|(n, _)| n == name).unwrap().1
}

pub fn tar(files: &Files) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(
                &mut header,
                format!("DvsGesture/{name}"),
                content.as_slice(),
            )
            .unwrap();
    }
    builder.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in files {
        writer
            .start_file(name.as_str(), zip::write::SimpleFileOptions::default())
            .unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Writes `files` as `DvsGesture.tar.gz` into `folder` and returns its path.
pub fn archive(folder: &Path, files: &Files) -> PathBuf {
    let path = folder.join("DvsGesture.tar.gz");
    fs::write(&path, gzip(&tar(files))).unwrap();
    path
}

/// The files of a `.tar.gz`.
pub fn unpack(path: &Path) -> Files {
    let mut archive =
        tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(path).unwrap()));
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry
                .path()
                .unwrap()
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (name, content)
        })
        .collect()
}
