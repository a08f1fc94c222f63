//! The CUDA path on a machine without a GPU, with the stand-in of `tests/cuda`: NVIDIA's own
//! compiler compiles every kernel, and launches are counted or run on the CPU.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Place, SMALL, only_entry, rows, run, text};

/// Most launches of a training step, without the conversion of frames from bytes.
const LAUNCHES: u64 = 80;
/// Most uploads of a training step.
const UPLOADS: u64 = 10;
/// Values of all convolutions' outputs, for 16 steps, 16 samples and 128 channels.
const OUTPUTS: u64 = 16 * 16 * 128 * (128 * 128 + 64 * 64 + 32 * 32 + 16 * 16 + 8 * 8);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cuda")
}

/// Prints that a test is skipped, or panics if $DVS_REQUIRE_CUDA is 1.
fn skip(reason: &str) {
    let required = env::var_os("DVS_REQUIRE_CUDA").is_some_and(|value| value == "1");
    assert!(!required, "{reason}");
    // The test harness would hide a line from eprintln.
    let _ = writeln!(io::stderr(), "SKIPPED: a test of the CUDA path: {reason}");
}

/// Returns whether the stand-in for this version of CUDA is installed. If not, [`skip`]s the test.
pub fn installed(version: &str) -> bool {
    let toolkit = folder().join("../../.tools/cuda").join(version);
    let there = toolkit.join("lib").is_dir();
    if !there {
        let toolkit = toolkit.display();
        skip(&format!(
            "{toolkit} is missing; tests/cuda/stand-in --install --cuda {version} installs it"
        ));
    }
    there
}

/// The command of dvs-train on the stand-in. `with` are options of the stand-in, `variables` its
/// variables.
pub fn command(with: &[&str], variables: &[(&str, &str)], args: &[&str]) -> Command {
    let mut command = Command::new(folder().join("stand-in"));
    command
        .args(with)
        .arg(env!("CARGO_BIN_EXE_dvs-train"))
        .args(args)
        .envs(variables.iter().copied())
        .env_remove("RUST_BACKTRACE");
    command
}

/// Runs dvs-train on the stand-in, as [`command`].
fn output(with: &[&str], variables: &[(&str, &str)], args: &[&str]) -> Output {
    command(with, variables, args).output().unwrap()
}

/// Runs dvs-train with executed kernels and expects exit status 0.
fn execute(args: &[&str]) -> String {
    // New memory holds what is not a number, so that a value nobody wrote shows in the results.
    let output = output(&["--execute"], &[("STAND_IN_POISON", "1")], args);
    let error = text(&output.stderr);
    assert!(output.status.success(), "{args:?}: {error}");
    text(&output.stdout)
}

/// Returns the JSON that a script of `tests/cuda` prints.
fn script(name: &str, args: &[&str]) -> Value {
    let output = Command::new("python3")
        .arg(folder().join(name))
        .args(args)
        .arg("--json")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Compiles and counts three steps of the full network, without running them. `options` are those of
/// `bench`. Returns the folder of the stand-in's logs and what `bench` printed.
fn full_size(place: &TempDir, capability: &str, options: &[&str]) -> (String, Value) {
    let work = place
        .path()
        .join(format!("{capability}{}", options.concat()));
    let work = work.to_str().unwrap().to_owned();
    let with = ["--work", &work, "--cc", capability];
    let size = ["-T", "16", "-b", "16", "--channels", "128"];
    let steps = ["--steps", "2", "--warmup", "1", "--json"];
    let bench = ["bench", "--device", "cuda:0"];
    let output = output(&with, &[], &[&bench[..], &size, &steps, options].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    (work, serde_json::from_slice(&output.stdout).unwrap())
}

/// Returns the bytes of the arrays that kernels take whose names start with `name`.
fn kernel_bytes(step: &Value, name: &str) -> u64 {
    let kernels = step["bytes_by_kernel"].as_object().unwrap();
    let named = kernels
        .iter()
        .filter(|(kernel, _)| kernel.starts_with(name));
    named.map(|(_, bytes)| bytes.as_u64().unwrap()).sum()
}

#[test]
fn full_size_step_launches_uploads_and_allocates_little() {
    if !installed("13.0") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    // With PLIF, each of the seven layers of neurons launches one more kernel, and so do the norm of
    // the gradients and Adam, because each of the seven weights has one value, and cannot be read four at a time.
    for (options, more, last_kernel) in [
        (&[][..], 0, "adam_kernel"),
        (&["--amp", "bf16"], 0, "adam_kernel"),
        (&["--amp", "f16"], 0, "adam_kernel"),
        (&["--neuron", "plif"], 9, "adam_kernel_n_1"),
    ] {
        let amp = options.first() == Some(&"--amp");
        let (work, said) = full_size(&place, "90", options);
        let log = format!("{work}/cuda.log");
        let steps = script("steps.py", &[&log, "--end-kernel", last_kernel]);
        let (first, last) = (&steps[0], steps.as_array().unwrap().last().unwrap());
        let memory = first["most_memory"].as_u64().unwrap();
        let outputs = OUTPUTS * if amp { 2 } else { 4 };
        assert!(memory <= outputs * 3 / 2, "{options:?}: {memory} bytes");
        let estimated = said["train_estimated_bytes"].as_u64().unwrap();
        assert!(
            (memory * 9 / 10..=memory).contains(&estimated),
            "{options:?}: {estimated} bytes for {memory}"
        );
        let count = |name: &str| last[name].as_u64().unwrap();
        assert!(count("launches") <= LAUNCHES + more, "{options:?}: {last}");
        assert!(count("uploads") <= UPLOADS, "{options:?}: {last}");
        assert_eq!(count("modules"), 0, "kernels are compiled once: {last}");
        assert_eq!(count("allocations"), 0, "memory is used again: {last}");
        let moved: u64 = ["deviations", "forward", "sums", "input_gradient"]
            .map(|kernel| kernel_bytes(last, &format!("{kernel}_kernel_f_")))
            .iter()
            .sum();
        assert!(moved >= outputs * 4, "{options:?}: {moved} bytes");
        // The block reads its currents four times. It writes and reads the pooled spikes and reads
        // their gradients, each of which is a quarter of the currents, and the gradient of the currents takes their
        // place.
        let necessary = outputs * 4 + outputs / 4 * 3;
        assert!(
            moved <= necessary * 115 / 100,
            "{options:?}: {moved} of {necessary}"
        );
        // `bench` waits for each step.
        let waits = count("waits") + count("downloads");
        assert!(waits <= 2, "{options:?}: {last}");
    }
}

#[test]
fn estimate_of_memory_holds_for_more_steps_than_the_fused_kernels_support() {
    if !installed("13.0") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    for (name, amp) in [("f32", &[][..]), ("bf16", &["--amp", "bf16"])] {
        let work = place.path().join(name).to_str().unwrap().to_owned();
        let size = ["-T", "33", "-b", "2", "--channels", "32"];
        let bench = ["bench", "--device", "cuda:0", "--steps", "1", "--json"];
        let ran = output(&["--work", &work], &[], &[&bench[..], &size, amp].concat());
        assert!(ran.status.success(), "{}", text(&ran.stderr));
        let said: Value = serde_json::from_slice(&ran.stdout).unwrap();
        let log = format!("{work}/cuda.log");
        let steps = script("steps.py", &[&log, "--end-kernel", "adam_kernel"]);
        let memory = steps[0]["most_memory"].as_u64().unwrap();
        let estimated = said["train_estimated_bytes"].as_u64().unwrap();
        assert!(
            (memory * 9 / 10..=memory).contains(&estimated),
            "{name}: {estimated} bytes for {memory}"
        );
    }
}

#[test]
fn kernels_compile_for_every_gpu_and_spill_no_registers() {
    if !installed("13.0") {
        return;
    }
    let ours = "forward|backward|sums|gradient|deviations|statistics|adam|squares|total|rate|spread|loss|drop|cast_kernel|product_kernel|convolve|parts";
    let place = tempfile::tempdir().unwrap();
    for (capability, amp) in [
        ("75", Some("f16")),
        ("80", Some("bf16")),
        ("86", Some("bf16")),
        ("89", None),
        ("90", Some("bf16")),
        ("100", Some("f16")),
    ] {
        let amp: Vec<_> = amp.iter().flat_map(|&amp| ["--amp", amp]).collect();
        let (work, _) = full_size(&place, capability, &amp);
        let kernels = script("ptxas.py", &[&format!("{work}/ptx"), "--kernel", ours]);
        let kernels = kernels.as_array().unwrap();
        assert!(kernels.len() > 15, "{kernels:?}");
        for kernel in kernels {
            // A division of 32-bit numbers may call a subroutine, before which a register is saved.
            let name = kernel["kernel"].as_str().unwrap();
            let allowed = if name.starts_with("adam_kernel") {
                8
            } else {
                0
            };
            let spilled = kernel["spill_stores"].as_u64().unwrap();
            assert!(spilled <= allowed, "{capability}: {kernel}");
        }
    }
}

/// Returns the loss and the confusion matrix of an evaluation.
fn evaluated(json: &str) -> [Value; 2] {
    let said: Value = serde_json::from_str(json).unwrap();
    [said["loss"].clone(), said["confusion"].clone()]
}

#[test]
fn executed_training_evaluates_and_predicts_like_the_cpu() {
    if !installed("13.0") {
        return;
    }
    let place = Place::new();
    let cache = place.cache();
    for (name, amp) in [
        ("f32", &[][..]),
        ("bf16", &["--amp", "bf16"]),
        ("f16", &["--amp", "f16"]),
    ] {
        let out = place.at(name);
        let common = ["--cache", &cache, "--out-dir", &out, "--epochs", "1"];
        execute(&[&SMALL[..], &common, &["--device", "cuda:0"], amp].concat());
        let run_folder = only_entry(Path::new(&out));
        assert_eq!(rows(&run_folder).len(), 2);
        let run_folder = run_folder.to_str().unwrap();
        let eval = ["eval", run_folder, "--json", "--device"];
        let here = run(&[&eval[..], &["cpu"]].concat());
        let there = execute(&[&eval[..], &["cuda:0"]].concat());
        assert_eq!(evaluated(&here), evaluated(&there), "{name}");
        let predict = [
            "predict", run_folder, &cache, "--set", "test", "--sample", "0",
        ];
        let predict = [&predict[..], &["--json", "--device"]].concat();
        let here = run(&[&predict[..], &["cpu"]].concat());
        assert_eq!(here, execute(&[&predict[..], &["cuda:0"]].concat()));
    }
}

#[test]
fn older_versions_of_cuda_evaluate_like_the_cpu() {
    let versions = ["12.4", "12.8"]
        .into_iter()
        .filter(|version| installed(version));
    let place = Place::new();
    let folder = place.train("cpu", &["--epochs", "1"]);
    let (folder, cache) = (folder.to_str().unwrap(), place.cache());
    let eval = ["eval", folder, "--cache", &cache, "--json", "--device"];
    let here = run(&[&eval[..], &["cpu"]].concat());
    for version in versions {
        let with = ["--execute", "--cuda", version];
        let there = output(&with, &[], &[&eval[..], &["cuda:0"]].concat());
        assert!(there.status.success(), "{}", text(&there.stderr));
        assert_eq!(
            evaluated(&here),
            evaluated(&text(&there.stdout)),
            "{version}"
        );
    }
}

#[test]
fn says_in_one_line_what_cuda_lacks() {
    if !installed("13.0") || !installed("12.4") {
        return;
    }
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 9] = [
        (
            &["--no-driver"],
            &[],
            "libcuda.so.1 cannot be loaded; install NVIDIA's driver (in a container, start it with the GPU)",
        ),
        (
            &[],
            &[("STAND_IN_INIT", "999")],
            "the driver finds no GPU that it can use; see what nvidia-smi says: NVIDIA's driver answers CUDA_ERROR_UNKNOWN",
        ),
        (
            &[],
            &[("STAND_IN_DEVICES", "0")],
            "the driver sees no GPU; see nvidia-smi, and whether $CUDA_VISIBLE_DEVICES hides it",
        ),
        (
            &[],
            &[("STAND_IN_INIT", "803")],
            "libcuda.so.1 is not of the version of the kernel's driver; reboot after an update of the driver",
        ),
        (
            &["--no-nvrtc"],
            &[],
            "CUDA's compiler libnvrtc.so is not found; pip install 'dvs-train[cuda]' brings it, and so does the CUDA toolkit",
        ),
        (
            &["--no-headers"],
            &[],
            "include/cuda_runtime.h does not exist",
        ),
        (
            &[],
            &[("STAND_IN_DRIVER", "12040")],
            "NVIDIA's driver supports CUDA 12.4, and CUDA's compiler NVRTC is of CUDA 13.0; install a newer driver, or the CUDA toolkit 12.4 or an older one",
        ),
        (
            &["--cuda", "12.4", "--cc", "100"],
            &[],
            "CUDA's compiler NVRTC 12.4 does not compile for this GPU, whose compute capability is 10.0; install a CUDA toolkit that does",
        ),
        (
            &["--execute"],
            &[("STAND_IN_FULL_AT", "0")],
            "its memory is full (",
        ),
    ];
    for (with, variables, expected) in cases {
        let output = output(
            with,
            variables,
            &["bench", "--device", "cuda:0", "--steps", "1"],
        );
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{expected}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(
            error.starts_with("dvs-train: --device cuda:0 cannot be used: "),
            "{error}"
        );
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn full_memory_and_a_failing_kernel_end_a_run() {
    if !installed("13.0") {
        return;
    }
    let place = Place::new();
    let (cache, out) = (place.cache(), place.at("logs"));
    let common = [
        "--cache",
        &cache,
        "--out-dir",
        &out,
        "--epochs",
        "1",
        "--channels",
        "32",
    ];
    let line = [&SMALL[..], &common, &["--device", "cuda:0"]].concat();
    let remedy = "dvs-train: out of memory on cuda:0; try a smaller batch, as with --batch-size 2 and --test-batch-size, \
        a smaller network, --recompute, or --frames-in memory if the frames are on the device: ";
    for (mebibytes, reason) in [
        ("20", "not enough memory: a training step needs about "),
        ("40", "cuda:0 failed: can't allocate buffer of size: "),
    ] {
        let full = output(&["--execute"], &[("STAND_IN_FULL_AT", mebibytes)], &line);
        let error = text(&full.stderr);
        assert_eq!(full.status.code(), Some(1), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.starts_with(&format!("{remedy}{reason}")), "{error}");
    }
    let broken = output(&["--execute"], &[("STAND_IN_BREAK", "120,700")], &line);
    let error = text(&broken.stderr);
    assert_eq!(broken.status.code(), Some(1), "{error}");
    assert!(
        error.contains("dvs-train: cuda:0 failed: DriverError(CUDA_ERROR_ILLEGAL_ADDRESS"),
        "{error}"
    );
}

/// Returns how many kernels NVRTC compiled.
fn compiled(work: &str) -> usize {
    let log = fs::read_to_string(format!("{work}/nvrtc.log")).unwrap_or_default();
    log.lines()
        .filter(|line| !line.contains("failed=1"))
        .count()
}

#[test]
fn kernels_are_kept_for_the_next_start_and_a_damaged_file_is_not_trusted() {
    if !installed("13.0") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let work = place.path().to_str().unwrap();
    // The stand-in makes programs keep their caches there.
    let kernels = place.path().join("cache/dvs-train/kernels");
    for old in 0..9 {
        fs::create_dir_all(kernels.join(format!("old{old}"))).unwrap();
    }
    let small = [
        "-T",
        "2",
        "-b",
        "2",
        "--channels",
        "8",
        "--device",
        "cuda:0",
    ];
    let go = |command: &[&str]| {
        let args = [command, &small].concat();
        let output = output(&["--work", work], &[], &args);
        let error = text(&output.stderr);
        assert!(output.status.success(), "{args:?}: {error}");
        (compiled(work), text(&output.stdout))
    };
    let (first, said) = go(&["devices", "--prepare"]);
    assert!(first > 20, "{first} kernels");
    assert!(
        said.starts_with(
            "cuda:0 is prepared for T=2, batches of 2 and the network {c8k3s1-BN-LIF-MPk2s2}*5-DP-"
        ),
        "{said}"
    );
    let mut names: Vec<_> = fs::read_dir(&kernels)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 8, "{names:?}");
    assert!(
        names.iter().any(|name| name.starts_with("sm90-nvrtc13.0-")),
        "{names:?}"
    );
    let bench = ["bench", "--steps", "1", "--warmup", "0"];
    let (second, _) = go(&bench);
    assert_eq!(second, 0);
    let ours = names.iter().find(|name| name.starts_with("sm90")).unwrap();
    let mut damaged = 0;
    for file in files(&kernels.join(ours)) {
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        damaged += 1;
    }
    assert!(damaged > 0);
    let (third, _) = go(&bench);
    assert!(third > 0 && third < first, "{third} of {first} kernels");
}

/// Returns all files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn prepare_refuses_values_out_of_range_before_it_compiles() {
    if !installed("13.0") {
        return;
    }
    let prepare = ["devices", "--prepare", "--device", "cuda:0", "-T", "0"];
    let refused = output(&[], &[], &prepare);
    assert_eq!(refused.status.code(), Some(1));
    let error = text(&refused.stderr);
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with("dvs-train: -T"), "{error}");
}

#[test]
fn nvidias_packages_in_a_python_environment_are_a_toolkit() {
    if !installed("13.0") || !installed("12.4") {
        return;
    }
    for usual in ["/usr/local/cuda", "/opt/cuda", "/usr/bin/nvcc"] {
        if Path::new(usual).exists() {
            skip(&format!("{usual} would be found first"));
            return;
        }
    }
    let tools = folder().join("../../.tools/cuda").canonicalize().unwrap();
    for (version, place_of_toolkit) in [
        ("13.0", "lib/python3.11/site-packages/nvidia/cu13"),
        ("12.4", "caches/dvs-train/cuda-"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir_all(at("bin")).unwrap();
        fs::create_dir_all(at("lib/python3.11/site-packages")).unwrap();
        let packages = tools.join(version).join("site/nvidia");
        symlink(packages, at("lib/python3.11/site-packages/nvidia")).unwrap();
        let program = at("bin/dvs-train");
        let built = env!("CARGO_BIN_EXE_dvs-train");
        fs::hard_link(built, &program)
            .or_else(|_| fs::copy(built, &program).map(drop))
            .unwrap();
        let go = |args: &[&str]| {
            let output = Command::new(&program)
                .args(args)
                .env_remove("CUDA_PATH")
                .env_remove("VIRTUAL_ENV")
                .env_remove("CONDA_PREFIX")
                .env("XDG_CACHE_HOME", at("caches"))
                // Only a driver, and no compiler.
                .env("LD_LIBRARY_PATH", tools.join("stand-in/driver"))
                .env("STAND_IN_CC", "90")
                .env("STAND_IN_SCALAR", "4")
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            text(&output.stdout)
        };
        let devices: Value = serde_json::from_str(&go(&["devices", "--json"])).unwrap();
        let toolkit = &devices["cuda_toolkit"];
        assert_eq!(toolkit["nvrtc"], version, "{devices}");
        let found = toolkit["folder"].as_str().unwrap();
        let expected = at(place_of_toolkit);
        assert!(found.starts_with(expected.to_str().unwrap()), "{found}");
        // Compiles and launches all kernels of a step.
        let bench = [
            "bench",
            "--device",
            "cuda:0",
            "-T",
            "1",
            "-b",
            "1",
            "--channels",
            "8",
        ];
        go(&[&bench[..], &["--steps", "1", "--amp", "bf16"]].concat());
    }
}
