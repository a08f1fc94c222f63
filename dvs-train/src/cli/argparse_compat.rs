//! Accepts two older kinds of command line. The tutorial's work unchanged, such as
//! `-data_dir /data -opt Adam -lr 0.001 -T_max 64 -amp`. So does `eval --checkpoint RUN`, which is
//! now `eval RUN`.
//!
//! Python's argparse takes long flags with one dash. clap reads a word with one dash as several
//! short flags, so the tutorial's flags get a second dash before clap sees them.

use std::ffi::OsString;

/// The tutorial's long flags.
const FLAGS: [&str; 16] = [
    "-device",
    "-epochs",
    "-channels",
    "-data_dir",
    "-data-dir",
    "-out_dir",
    "-out-dir",
    "-resume",
    "-amp",
    "-opt",
    "-lr",
    "-momentum",
    "-lr_scheduler",
    "-step_size",
    "-gamma",
    "-T_max",
];

/// The commands whose run was once named by `--checkpoint`.
const OF_A_RUN: [&str; 3] = ["eval", "predict", "profile"];

/// Rewrites older spellings to those of today, and says how `--checkpoint` is spelt now.
pub fn translate(line: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut line: Vec<OsString> = with_two_dashes(line).collect();
    if let Some(command) = move_run(&mut line) {
        eprintln!("dvs-train: --checkpoint is the old spelling; write dvs-train {command} RUN");
    }
    line
}

/// Moves the run behind the command, if it is named by `--checkpoint`. Returns the command then.
fn move_run(line: &mut Vec<OsString>) -> Option<&'static str> {
    let command = OF_A_RUN
        .into_iter()
        .find(|command| line.get(1).is_some_and(|word| word == command))?;
    let flag = line.iter().position(|word| {
        word.to_str()
            .is_some_and(|word| word == "--checkpoint" || word.starts_with("--checkpoint="))
    })?;
    let run = match line[flag].to_str().and_then(|word| word.split_once('=')) {
        Some((_, run)) => OsString::from(run),
        None if flag + 1 < line.len() => line.remove(flag + 1),
        None => return None,
    };
    line.remove(flag);
    line.insert(2, run);
    Some(command)
}

/// Rewrites the tutorial's flags to this program's form. `-cupy` is left out: it asks for fused
/// neurons, which this program always uses.
fn with_two_dashes(line: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    line.filter(|word| word != "-cupy").map(|word| {
        let Some(text) = word.to_str() else {
            return word;
        };
        let flag = text.split_once('=').map_or(text, |(flag, _)| flag);
        if FLAGS.contains(&flag) {
            format!("-{text}").into()
        } else {
            word
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> String {
        let words = translate(line.split(' ').map(OsString::from));
        let words: Vec<String> = words
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        words.join(" ")
    }

    #[test]
    fn adds_a_second_dash_to_flags_of_the_tutorial() {
        assert_eq!(
            translated(
                "dvs-train -data_dir d -amp -opt Adam -T_max=64 -T 4 -b8 -cupy --lr 0.1 -j 2"
            ),
            "dvs-train --data_dir d --amp --opt Adam --T_max=64 -T 4 -b8 --lr 0.1 -j 2"
        );
    }

    #[test]
    fn checkpoint_flag_becomes_a_positional_argument() {
        for (old, new) in [
            (
                "dvs-train eval --checkpoint r --json",
                "dvs-train eval r --json",
            ),
            (
                "dvs-train predict x --checkpoint=r",
                "dvs-train predict r x",
            ),
            ("dvs-train profile r", "dvs-train profile r"),
            ("dvs-train eval --checkpoint", "dvs-train eval --checkpoint"),
            ("dvs-train --checkpoint r", "dvs-train --checkpoint r"),
        ] {
            assert_eq!(translated(old), new);
        }
    }
}
