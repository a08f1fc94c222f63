//! The flags of `preview`.

use std::path::PathBuf;

use clap::Args;
use dvs_shared::split_mode::SplitBy;

use crate::cli::augment::AugmentArgs;
use crate::cli::choices::fixed_splits;
use crate::config::cache_request::CacheRequest;

/// Flags of `preview`.
#[derive(Args, Clone, Debug)]
pub struct PreviewArgs {
    /// Picture to write: a contact sheet if it ends in .png, an animation if it ends in .gif
    #[arg(short, long, value_name = "FILE", value_parser = picture)]
    pub output: PathBuf,

    /// Directory of the cache, which has the file name that dvs-prep gives it [default: $DVS_DATA,
    /// else ./DVS128Gesture]
    #[arg(long, value_name = "DIR", conflicts_with = "cache")]
    pub data_dir: Option<PathBuf>,

    /// Frame cache, instead of --data-dir
    #[arg(long, value_name = "FILE")]
    pub cache: Option<PathBuf>,

    /// Frames per sample [default: 16, or as in --cache]
    #[arg(short = 'T', long, value_name = "T")]
    pub frames: Option<u32>,

    /// How samples were split into frames [default: number, or as in --cache]
    #[arg(long, value_parser = fixed_splits(), value_name = "MODE")]
    pub split: Option<SplitBy>,

    /// Number of training samples to show, from as many classes as possible
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub samples: usize,

    /// Number of epochs to show each sample in, beside the original
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub epochs: u32,

    /// Random seed, as in train
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,

    /// Print the results as one JSON object
    #[arg(long)]
    pub json: bool,

    // Last, because its heading applies to all that follow.
    #[command(flatten)]
    pub augment: AugmentArgs,
}

impl PreviewArgs {
    /// The cache that was asked for.
    pub fn cache_request(&self) -> CacheRequest {
        CacheRequest {
            data_dir: self.data_dir.clone(),
            cache: self.cache.clone(),
            frames: self.frames,
            split: self.split,
        }
    }
}

/// Accepts a file name that ends in .png or .gif.
fn picture(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    match ending == "png" || ending == "gif" {
        true => Ok(path),
        false => Err(format!("{text:?} ends neither in .png nor in .gif")),
    }
}
