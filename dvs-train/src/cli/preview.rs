//! The flags of `preview`.

use std::path::PathBuf;

use clap::Args;

use crate::config::train_args::Split;
use crate::data::augment::AugmentArgs;

/// Flags of `preview`.
#[derive(Args, Clone, Debug)]
pub struct PreviewArgs {
    /// The picture: a contact sheet where it ends in .png, an animation where in .gif
    #[arg(short, long, value_name = "FILE", value_parser = picture)]
    pub output: PathBuf,

    /// Directory with the cache, under the name dvs-prep gives it [default: $DVS_DATA, else ./DVS128Gesture]
    #[arg(long, value_name = "DIR", conflicts_with = "cache")]
    pub data_dir: Option<PathBuf>,

    /// The frame cache itself, instead of --data-dir
    #[arg(long, value_name = "FILE")]
    pub cache: Option<PathBuf>,

    /// Frames a sample [default: 16, or what --cache holds]
    #[arg(short = 'T', long, value_name = "T")]
    pub frames: Option<u32>,

    /// How samples were divided into frames [default: number, or what --cache holds]
    #[arg(long, value_enum, value_name = "MODE")]
    pub split: Option<Split>,

    /// Training samples to show, of as many classes as there are
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub samples: usize,

    /// Epochs to show each in, beside what it was
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub epochs: u32,

    /// Seed of the run
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,

    // Last, because its heading holds for all that follow.
    #[command(flatten)]
    pub augment: AugmentArgs,
}

/// A file whose ending says what picture it is.
fn picture(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    match ending == "png" || ending == "gif" {
        true => Ok(path),
        false => Err(format!("{text:?} ends neither in .png nor in .gif")),
    }
}
