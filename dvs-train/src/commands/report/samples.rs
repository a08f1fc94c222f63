//! Pictures of samples for the page.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dvs_shared::view::{
    Animation, Background, Clip, Colours, Scheme, Style, Timing, caption, contact_sheet,
};
use dvs_shared::{CacheFile, ChunkCodec, Frames, Set};

use crate::config::settings::Settings;

/// How long a frame is shown.
const DELAY: Duration = Duration::from_millis(150);
/// Maximum number of samples shown.
const MOST_SAMPLES: usize = 16;
/// Maximum frames in a row of the contact sheet.
const IN_ROW: usize = 8;

/// Pictures of samples of the test set, one per class, up to the maximum.
#[derive(Debug)]
pub struct Pictures {
    /// An animation as a data URL.
    pub animation: String,
    /// A contact sheet of some of the frames, as a data URL.
    pub sheet: String,
    /// Names of the samples.
    pub names: Vec<String>,
}

/// Draws samples of `cache`, or else of the cache that the run was trained on.
///
/// # Errors
/// Returns an error if the cache is missing, or does not match the run.
pub fn pictures(settings: &Settings, cache: Option<&Path>) -> Result<Pictures> {
    let path = cache.or(settings.config.data.cache.as_deref());
    let path = path.context("the run's settings name no cache; name it with --cache")?;
    ensure!(
        path.is_file(),
        "there is no cache {}; name it with --cache",
        path.display()
    );
    let cache = CacheFile::open(path)?;
    ensure!(
        cache.header.source_sha256 == settings.source_sha256,
        "{} was made from other data than the run was trained on",
        path.display()
    );
    let (samples, sensor) = (&cache.set(Set::Test).samples, cache.header.sensor);
    let first = |label| samples.iter().position(|of| usize::from(of.label) == label);
    let names = &cache.header.label_names;
    // Browsers would struggle with a page of many more.
    let places = (0..names.len()).filter_map(first).take(MOST_SAMPLES);
    let places: Vec<usize> = places.collect();
    ensure!(!places.is_empty(), "{} has no test samples", path.display());
    let (mut codec, mut frames) = (ChunkCodec::default(), Frames::default());
    let mut read = |&place: &usize| -> Result<Vec<u32>> {
        cache.read(Set::Test, place, &mut codec, &mut frames)?;
        Ok(frames.counts(cache.set(Set::Test).counts).collect())
    };
    let counts = places.iter().map(&mut read).collect::<Result<Vec<_>>>()?;
    let style = Style {
        colours: Colours::new(Background::default(), Scheme::default()),
        scale: None,
    };
    let cells = sensor.frame_cells();
    // The animation shows every frame, the sheet evenly chosen ones.
    let clip = |counts, at: usize, kept: &[usize], steps| {
        let of = &samples[places[at]];
        let name = &names[usize::from(of.label)];
        let captions = kept
            .iter()
            .map(|&step| caption(step, steps, 0, &Timing::Unknown));
        // A small tile has room for the frame number only.
        let captions = captions.map(|parts| parts.into_iter().take(1).collect());
        let title = vec![format!("{} {name}", of.label), of.name.clone()];
        Clip::<u32>::new(counts, sensor, title, captions.collect())
    };
    let clips = counts.iter().enumerate().map(|(at, counts)| {
        let steps = counts.len() / cells.max(1);
        clip(counts, at, &(0..steps).collect::<Vec<_>>(), steps)
    });
    let clips = clips.collect::<Result<Vec<_>, _>>()?;
    let mut gif = Vec::new();
    Animation::new(&clips, &style)?.write_gif(&mut gif, |_| DELAY)?;

    let some: Vec<(Vec<usize>, usize, Vec<u32>)> = counts
        .iter()
        .map(|counts| {
            let steps = counts.len() / cells.max(1);
            let kept = steps.min(IN_ROW);
            let kept: Vec<usize> = (0..kept).map(|i| i * steps / kept).collect();
            let frames = kept
                .iter()
                .flat_map(|&step| &counts[step * cells..][..cells]);
            let frames = frames.copied().collect();
            (kept, steps, frames)
        })
        .collect();
    let clips = some.iter().enumerate();
    let clips = clips.map(|(at, (kept, steps, frames))| clip(frames, at, kept, *steps));
    let clips = clips.collect::<Result<Vec<_>, _>>()?;
    let mut png = Vec::new();
    contact_sheet(&clips, &style)?.write_png(&mut png)?;
    let url = |kind, bytes: &[u8]| format!("data:image/{kind};base64,{}", STANDARD.encode(bytes));
    Ok(Pictures {
        animation: url("gif", &gif),
        sheet: url("png", &png),
        names: places
            .iter()
            .map(|&place| samples[place].name.clone())
            .collect(),
    })
}
