//! Snapshots of the error messages that a user reads. To accept an intended change, run
//! `INSTA_UPDATE=always cargo test messages`.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::text;

/// Runs commands in one folder and keeps what they print to standard error.
struct Transcript<'a> {
    folder: &'a Path,
    text: String,
}

impl Transcript<'_> {
    /// Runs a command line that must fail.
    fn failing(&mut self, line: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dvs-train"));
        let command = command.args(line.split(' ')).current_dir(self.folder);
        let output = command.env_remove("DVS_DATA").output().unwrap();
        let status = output.status.code().unwrap();
        assert!([1, 2].contains(&status), "{line} ends with {status}");
        writeln!(
            self.text,
            "$ dvs-train {line}\n{}[{status}]\n",
            text(&output.stderr)
        )
        .unwrap();
    }
}

/// Compares the errors of commands with a snapshot. The commands run in a folder with a small cache
/// and a checkpoint of three epochs.
fn transcript(name: &str, record: impl FnOnce(&mut Transcript<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    for (from, to) in [
        ("commit_18365cc/cache.h5", "cache.h5"),
        ("commit_18365cc/options.safetensors", "run.safetensors"),
        (
            "commit_18365cc/options.exported.safetensors",
            "exported.safetensors",
        ),
        ("spikingjelly_checkpoint.pth", "peer.pth"),
    ] {
        fs::copy(data.join(from), folder.path().join(to)).unwrap();
    }
    let mut transcript = Transcript {
        folder: folder.path(),
        text: String::new(),
    };
    record(&mut transcript);
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!(name, transcript.text);
    });
}

#[test]
fn option_errors_match_their_snapshot() {
    transcript("options", |t| {
        for wrong in [
            "-T 2000",
            "-T 8",
            "-b 0",
            "-b 100",
            "-j 0",
            "--epochs 0",
            "--epochs soon",
            "--channels 0",
            "--hidden 0",
            "--lr 0",
            "--momentum 1",
            "--step-size 0",
            "--gamma 2",
            "--t-max 0",
            "--tau 1",
            "--v-reset 2",
            "--neuron if --tau 3",
            "--alpha 0",
            "--surrogate step",
            "--split duration",
            "--amp",
            "--device tpu",
            "--flip 2",
            "--rotate 90",
            "--shift 200",
            "--drop-events 1",
            "--keep-frames 9",
            "--validation users:9",
            "--validation some",
            "--frames-in tape",
            "--cahnnels 4",
        ] {
            t.failing(&format!("--cache cache.h5 --device cpu {wrong}"));
        }
        t.failing("--cache cache.h5 --data-dir .");
    });
}

#[test]
fn cache_errors_match_their_snapshot() {
    transcript("caches", |t| {
        t.failing("--device cpu --cache none.h5");
        t.failing("--device cpu --data-dir nowhere");
        t.failing("--device cpu --data-dir . -T 8 --split time");
        t.failing("--device cpu --cache run.safetensors");
        let bytes = fs::read(t.folder.join("cache.h5")).unwrap();
        fs::write(t.folder.join("cut.h5"), &bytes[..bytes.len() / 2]).unwrap();
        t.failing("--device cpu --cache cut.h5");
        t.failing("eval run.safetensors --device cpu --cache cut.h5");
    });
}

#[test]
fn checkpoint_errors_match_their_snapshot() {
    transcript("checkpoints", |t| {
        t.failing("eval none");
        t.failing("eval .");
        t.failing("eval cache.h5 --device cpu");
        t.failing("eval exported.safetensors --device cpu");
        let bytes = fs::read(t.folder.join("run.safetensors")).unwrap();
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        fs::write(t.folder.join("flipped"), flipped).unwrap();
        t.failing("eval flipped --device cpu");
        fs::write(t.folder.join("cut"), &bytes[..bytes.len() / 2]).unwrap();
        t.failing("eval cut --device cpu");
        t.failing("--resume run.safetensors --epochs 3");
        t.failing("--resume run.safetensors --channels 8 --opt Adam");
        t.failing("--resume run.safetensors --epochs 4 -b 100");
        t.failing("report .");
        t.failing("report none");
        t.failing("predict run.safetensors cache.h5 --device cpu --sample user09_led_0");
        t.failing("predict run.safetensors none.aedat --device cpu");
        t.failing("predict run.safetensors run.safetensors --device cpu");
        t.failing("predict run.safetensors cache.h5 --device cpu --start-us 0");
    });
}

#[test]
fn import_and_export_errors_match_their_snapshot() {
    transcript("other_programs", |t| {
        t.failing("import run.safetensors -o new.safetensors");
        t.failing("import none.pth -o new.safetensors");
        let bytes = fs::read(t.folder.join("peer.pth")).unwrap();
        fs::write(t.folder.join("cut.pth"), &bytes[..bytes.len() / 2]).unwrap();
        t.failing("import cut.pth -o new.safetensors");
        t.failing("import peer.pth -o run.safetensors");
        t.failing("import peer.pth -o new.safetensors --neuron plif");
        t.failing("import peer.pth -o new.safetensors --sensor 4000x100");
        t.failing("import peer.pth -o new.safetensors --sensor 160x160");
        t.failing("export run.safetensors --to pytorch -o cache.h5");
        t.failing("export run.safetensors --to onnx -o new.onnx");
        t.failing("export run.safetensors --to safetensors --names tutorial -o new.safetensors");
        t.failing("export run.safetensors --to nir --dt 0 -o new.nir");
        t.failing("preview --cache cache.h5 -o new.png");
        t.failing("preview --cache cache.h5 -o new.jpg --flip 0.5");
        t.failing("preview --cache cache.h5 -o new.png --flip 0.5 --samples 0");
    });
}
