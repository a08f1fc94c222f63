//! Accepts the tutorial's command line unchanged:
//! `-data_dir /data -opt Adam -lr 0.001 -T_max 64 -amp`.
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

/// Rewrites the tutorial's flags to this program's form. `-cupy` is left out: it asks for fused
/// neurons, which this program always uses.
pub fn translate(line: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
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
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        words.join(" ")
    }

    #[test]
    fn the_tutorials_flags_get_a_second_dash_and_others_stay() {
        assert_eq!(
            translated(
                "dvs-train -data_dir d -amp -opt Adam -T_max=64 -T 4 -b8 -cupy --lr 0.1 -j 2"
            ),
            "dvs-train --data_dir d --amp --opt Adam --T_max=64 -T 4 -b8 --lr 0.1 -j 2"
        );
    }
}
