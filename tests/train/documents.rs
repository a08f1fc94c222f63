//! The READMEs agree with the programs: their commands run, and the options and the fields that
//! they name exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::help_pages::pages;
use crate::support::{Place, dvs_prep, output, prepare, text};

const README: &str = "README.md";
const PREP_README: &str = "dvs-prep/README.md";
const TRAIN_README: &str = "dvs-train/README.md";
const CLUSTER_README: &str = "scripts/cluster/README.md";

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap()
}

/// Returns the command lines of both programs in a document's shell blocks, without comments.
fn commands(document: &str) -> Vec<String> {
    let mut language = None;
    let mut found = Vec::new();
    for line in read(document).lines() {
        match line.strip_prefix("```") {
            Some(_) if language.is_some() => language = None,
            Some(name) => language = Some(name.to_owned()),
            None => {
                let command = match language.as_deref() {
                    Some("console") => line.strip_prefix("$ "),
                    Some("sh") => Some(line),
                    _ => None,
                };
                let command = command.map(|c| c.split("  #").next().unwrap_or(c).trim());
                found.extend(command.filter(|c| c.starts_with("dvs-")).map(str::to_owned));
            }
        }
    }
    found
}

/// A temporary folder with the files that the READMEs assume: the dataset, one recording beside it,
/// a folder of recordings, and a checkpoint of SpikingJelly.
struct ReadmeFolder {
    place: Place,
    /// The folder of both programs, for `PATH`.
    programs: PathBuf,
}

impl ReadmeFolder {
    fn new() -> Self {
        let place = Place::new();
        let at = |name: &str| place.at(name);
        let archive = at("DvsGesture.tar.gz");
        // The READMEs name some of these users and lights.
        let size =
            "--users 12 --test-users 2 --lights lab,led --event-rate 1000 --gesture-seconds 0.3";
        let synth: Vec<&str> = ["synth", "-o", &archive]
            .into_iter()
            .chain(size.split(' '))
            .collect();
        prepare(&synth);
        fs::create_dir(at("DVS128Gesture")).unwrap();
        fs::copy(&archive, at("DVS128Gesture/DvsGesture.tar.gz")).unwrap();
        fs::create_dir(at("recordings")).unwrap();
        let unpacked = Command::new("tar")
            .args([
                "-xzf",
                &archive,
                "-C",
                &at("recordings"),
                "--strip-components=1",
            ])
            .status();
        assert!(unpacked.unwrap().success());
        for name in ["user02_led.aedat", "user02_led_labels.csv"] {
            fs::copy(at("recordings").as_str().to_owned() + "/" + name, at(name)).unwrap();
        }
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
        fs::copy(
            data.join("spikingjelly_checkpoint.pth"),
            at("checkpoint_max.pth"),
        )
        .unwrap();
        let programs = dvs_prep().parent().unwrap().to_owned();
        Self { place, programs }
    }

    /// Runs a command line in the folder and expects exit status 0.
    fn run(&self, line: &str) -> String {
        let path = format!(
            "{}:{}",
            self.programs.display(),
            std::env::var("PATH").unwrap()
        );
        let output = Command::new("sh")
            .args(["-c", line])
            .current_dir(self.place.at(""))
            .env("PATH", path)
            .env("HOME", self.place.at(""))
            .env_remove("DVS_DATA")
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}\n{}", text(&output.stderr));
        text(&output.stdout)
    }
}

/// Replaces the placeholders in a README's command, and shortens training.
fn filled_in(line: &str) -> String {
    let cache = "DVS128Gesture/frames_number_16_split_by_number.h5";
    let line = line.replace("CACHE", cache);
    // The printed commands train the whole network, which takes too long.
    match line.starts_with("dvs-train -T 16") {
        true => format!("{line} --epochs 1 --channels 2 --device cpu"),
        false => line,
    }
}

#[test]
fn readme_commands_run_as_printed() {
    let folder = ReadmeFolder::new();
    folder.run("mkdir -p .local/share/bash-completion/completions");
    // Some commands need the cache of 4 frames that scripts/demo makes.
    folder.run("dvs-prep -T 4");
    let mut ran = 0;
    for document in [README, PREP_README, TRAIN_README, CLUSTER_README] {
        for line in commands(document) {
            folder.run(&filled_in(&line));
            ran += 1;
        }
    }
    assert!(ran > 15, "only {ran} commands were found");
    for made in ["arm.png", "x.gif", "x.png", "augmented.png", "gesture.nir"] {
        assert!(Path::new(&folder.place.at(made)).is_file(), "{made}");
    }
}

#[test]
fn readme_options_exist() {
    let own = |program: &Path| -> BTreeSet<String> {
        let pages = pages(program.to_str().unwrap());
        pages.iter().flat_map(|(_, page)| options(page)).collect()
    };
    let train = own(Path::new(env!("CARGO_BIN_EXE_dvs-train")));
    let prep = own(&dvs_prep());
    // These are options of cargo, the scripts and other programs.
    let foreign = [
        "--locked",
        "--installed",
        "--path",
        "--logdir",
        "--low",
        "--label_signal_noise",
        "--batch",
        "--dvs640",
        "--no-python",
        "--nproc-per-node",
        "--signal",
    ];
    for (document, known) in [
        (README, &prep | &train),
        (PREP_README, &prep | &train),
        (TRAIN_README, &train | &prep),
        (CLUSTER_README, train),
    ] {
        let named = options(&read(document));
        assert!(named.len() > 1, "{document}");
        let unknown: Vec<&String> = named
            .iter()
            .filter(|option| !known.contains(*option) && !foreign.contains(&option.as_str()))
            .collect();
        assert!(unknown.is_empty(), "{document} names {unknown:?}");
    }
}

/// Returns the long options in a text.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c)));
    words
        .filter(|word| word.starts_with("--"))
        .map(|word| word.trim_end_matches(['-', '_']).to_owned())
        .filter(|word| word.len() > 2)
        .collect()
}

#[test]
fn readme_names_every_part_of_the_settings_file() {
    let place = Place::new();
    let folder = place.train("logs", &["--epochs", "1"]);
    let settings = fs::read_to_string(folder.join("settings.json")).unwrap();
    let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
    let readme = read(TRAIN_README);
    for part in settings["config"].as_object().unwrap().keys() {
        assert!(readme.contains(&format!("`{part}`")), "{part}");
    }
}

/// Returns the JSON fields that the README's table lists for a command: the words in backquotes
/// outside parentheses.
fn fields(command: &str) -> BTreeSet<String> {
    let readme = read(TRAIN_README);
    let row = readme
        .lines()
        .find_map(|line| line.strip_prefix(&format!("| `{command} --json` | ")))
        .unwrap_or_else(|| panic!("the README has no row for {command}"));
    let mut depth = 0;
    let outside: String = row
        .chars()
        .filter(|c| {
            depth += i32::from(*c == '(') - i32::from(*c == ')');
            depth == 0
        })
        .collect();
    outside
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn json_output_has_the_fields_that_the_readme_lists() {
    let place = Place::new();
    let run = place.train("logs", &["--epochs", "1"]);
    let run = run.to_str().unwrap();
    let cache = place.cache();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    let pth = data.join("spikingjelly_checkpoint.pth");
    let (new, nir, png) = (place.at("new"), place.at("new.nir"), place.at("new.png"));
    let commands: [&[&str]; 7] = [
        &["eval", run],
        &["predict", run, &cache, "--sample", "0"],
        &["preview", "--cache", &cache, "-o", &png, "--flip", "0.5"],
        &["report", run],
        &["import", pth.to_str().unwrap(), "-o", &new],
        &["export", &new, "--to", "nir", "-o", &nir],
        &[
            "bench",
            "-T",
            "1",
            "-b",
            "1",
            "--channels",
            "1",
            "--steps",
            "1",
            "--device",
            "cpu",
        ],
    ];
    for command in commands {
        let printed = output(&[command, &["--json"]].concat());
        assert!(
            printed.status.success(),
            "{command:?}: {}",
            text(&printed.stderr)
        );
        let object: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
        let object: BTreeSet<String> = object.as_object().unwrap().keys().cloned().collect();
        let mut expected = fields(command[0]);
        // Only networks of PLIF neurons have this field, and this test trains another one.
        expected.remove("tau");
        assert_eq!(object, expected, "{command:?}");
    }
    let printed = output(&["train", "--resume", run, "--epochs", "2", "--json"]);
    let columns = fs::read_to_string(format!("{run}/metrics.csv")).unwrap();
    let columns: BTreeSet<&str> = columns.lines().next().unwrap().split(',').collect();
    let cluster = read(CLUSTER_README);
    let lines = text(&printed.stdout);
    assert_eq!(lines.lines().count(), 2, "{}", text(&printed.stderr));
    for line in lines.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        for field in object.as_object().unwrap().keys() {
            let listed = cluster.contains(&format!("`{field}`"));
            assert!(listed || columns.contains(field.as_str()), "{field}");
        }
    }
    let printed = output(&["devices", "--json"]);
    let list: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    let mut members: BTreeSet<String> = list.as_object().unwrap().keys().cloned().collect();
    members.extend(list["devices"][0].as_object().unwrap().keys().cloned());
    assert_eq!(members, fields("devices"));
    assert_eq!(list["devices"][0]["name"], "cpu");
}
