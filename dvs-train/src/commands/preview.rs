//! `dvs-train preview`: draws training samples before and after augmentation.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData};
use dvs_shared::output::write_file;
use dvs_shared::view::{
    Animation, Background, Clip, Colours, Scheme, Style, Timing, caption, contact_sheet,
};
use dvs_shared::{CacheFile, ChunkCodec, Frames, Set};
use serde_json::json;

use crate::cli::PreviewArgs;
use crate::config::options::within;
use crate::console::print;
use crate::data::augment::{AugmentConfig, Augmentation, EpochTransforms, alter};

/// How long an animation shows a frame.
const DELAY: Duration = Duration::from_millis(150);

/// The frames of a sample, with a title and a caption each.
struct Shown {
    counts: Vec<u32>,
    title: Vec<String>,
    captions: Vec<Vec<String>>,
}

/// Draws the picture that `args` ask for and prints its path.
///
/// # Errors
/// Returns an error if the cache cannot be used, no augmentation is given, or the file cannot be
/// written.
pub fn run(args: &PreviewArgs) -> Result<()> {
    within("--samples", args.samples, 1..=64)?;
    within("--epochs", args.epochs as usize, 1..=64)?;
    let cache = Arc::new(args.cache_request().open()?);
    let (steps, sensor) = (cache.header.split.frames() as usize, cache.header.sensor);
    let size = [sensor.height as usize, sensor.width as usize];
    let mut augmentation = AugmentConfig::default();
    args.augment.apply(&mut augmentation);
    let augmentation = Augmentation::new(&augmentation, steps, size, &cache.header.label_names)?
        .context(
            "there is no augmentation to show; ask for some, as --flip 0.5 --rotate 10 --shift 8",
        )?;
    let mut shown = Vec::new();
    for sample in choose(&cache, args.samples)? {
        let frames = read(&cache, sample)?;
        shown.push(as_it_is(&cache, sample, &frames, steps));
        for epoch in 0..args.epochs {
            let transforms = augmentation.epoch(args.seed, epoch);
            shown.push(altered(&cache, sample, &frames, &transforms, epoch, size));
        }
    }
    let clips = shown.iter().map(|shown| {
        let (title, captions) = (shown.title.clone(), shown.captions.clone());
        Clip::new(&shown.counts, sensor, title, captions)
    });
    let clips = clips.collect::<Result<Vec<_>, _>>()?;
    let style = Style {
        colours: Colours::new(Background::default(), Scheme::default()),
        scale: None,
    };
    let mut picture = Vec::new();
    let ending = args.output.extension().unwrap_or_default();
    if ending.eq_ignore_ascii_case("gif") {
        Animation::new(&clips, &style)?.write_gif(&mut picture, |_| DELAY)?;
    } else {
        contact_sheet(&clips, &style)?.write_png(&mut picture)?;
    }
    let path = args.output.display();
    write_file(&args.output, &picture).with_context(|| format!("cannot write {path}"))?;
    let samples = clips.len() / (1 + args.epochs as usize);
    print(&match args.json {
        true => {
            let facts = json!({
                "cache": cache.path(),
                "picture": args.output,
                "samples": samples,
                "epochs": args.epochs,
                "augmentation": augmentation.to_string(),
            });
            format!("{facts}\n")
        }
        false => format!(
            "{path}: samples={samples}, epochs={}, {augmentation}\n",
            args.epochs
        ),
    })
}

/// Indices of `number` training samples, from as many classes as possible.
fn choose(cache: &CacheFile, number: usize) -> Result<Vec<usize>> {
    let samples = &cache.set(Set::Train).samples;
    ensure!(
        !samples.is_empty(),
        "{} has no training samples",
        cache.path().display()
    );
    let mut places: Vec<usize> = (0..samples.len()).collect();
    // The first of each class, then the second of each, and so on.
    let mut seen = vec![0_usize; cache.header.label_names.len()];
    places.sort_by_cached_key(|&place| {
        let label = samples[place].label;
        let seen = &mut seen[usize::from(label)];
        *seen += 1;
        (*seen, label)
    });
    places.truncate(number);
    Ok(places)
}

/// Reads the counts `[T, 2, H, W]` of a training sample.
fn read(cache: &CacheFile, sample: usize) -> Result<Vec<u32>> {
    let (mut codec, mut frames) = (ChunkCodec::default(), Frames::default());
    cache.read(Set::Train, sample, &mut codec, &mut frames)?;
    Ok(frames.counts(cache.set(Set::Train).counts).collect())
}

fn as_it_is(cache: &CacheFile, sample: usize, counts: &[u32], steps: usize) -> Shown {
    let of = &cache.set(Set::Train).samples[sample];
    let name = &cache.header.label_names[usize::from(of.label)];
    let all: Vec<u32> = (0..steps as u32).collect();
    Shown {
        captions: captions(counts, &all, steps),
        counts: counts.to_vec(),
        title: vec![of.name.clone(), format!("{} {name}", of.label)],
    }
}

fn altered(
    cache: &CacheFile,
    sample: usize,
    counts: &[u32],
    transforms: &EpochTransforms,
    epoch: u32,
    [height, width]: [usize; 2],
) -> Shown {
    let of = &cache.set(Set::Train).samples[sample];
    let steps = counts.len() / (2 * height * width);
    // The plan treats the sample as the first of a batch.
    let plan = transforms.plan(sample, &[sample], &mut [of.label]);
    let frames: Vec<f32> = counts.iter().map(|&count| count as f32).collect();
    let frames = TensorData::new(frames, [steps, 1, 2, height, width]);
    let frames = alter::<Flex>(Tensor::from_data(frames, &Default::default()), &plan);
    let counts: Vec<u32> = frames.into_data().iter::<u32>().collect();
    let mut title = vec![format!("epoch {epoch}")];
    title.extend(transforms.sample(sample).to_text(of.label));
    Shown {
        captions: captions(&counts, &plan.steps, steps),
        counts,
        title,
    }
}

/// The caption of each frame: its number, the number of frames, and its events.
fn captions(counts: &[u32], kept: &[u32], steps: usize) -> Vec<Vec<String>> {
    let cells = counts.len() / kept.len().max(1);
    let frames = kept.iter().zip(counts.chunks(cells.max(1)));
    let captions = frames.map(|(&step, frame)| {
        let events = frame.iter().map(|&count| u64::from(count)).sum();
        caption(step as usize, steps, events, &Timing::Unknown)
    });
    captions.collect()
}
