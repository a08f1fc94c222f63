//! `dvs-train compare`: runs grouped by everything but the seed, with statistics over each group.

mod csv;
pub mod curves;
pub mod find;
pub mod groups;
mod json;
pub mod runs;
pub mod table;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use dvs_shared::words::counted;

use self::groups::Group;
use self::runs::{Damaged, Run, Status};
use crate::cli::CompareArgs;
use crate::console::print;
use crate::run_dir::plots::curves::draw_pair;
use crate::run_dir::plots::panels::MOST_LINES;

/// What there is to say about several runs.
#[derive(Debug)]
pub struct Comparison {
    /// The finished runs, in groups; the group with the highest mean accuracy is first.
    pub groups: Vec<Group>,
    /// Runs without a summary.
    pub unfinished: Vec<Run>,
    /// Runs whose files cannot be used.
    pub damaged: Vec<Damaged>,
}

impl Comparison {
    /// Reads all runs in `places`, which are run folders or hold run folders at any depth.
    ///
    /// # Errors
    /// Returns an error if a place is not a folder, or no run is in it.
    pub fn read(places: &[PathBuf]) -> Result<Self> {
        let found = find::runs(places)?;
        let (mut finished, mut unfinished) = (Vec::new(), Vec::new());
        let mut damaged = found.unreadable;
        for folder in found.runs {
            match runs::read(&folder) {
                Status::Finished(run, summary) => finished.push((run, summary)),
                Status::Unfinished(run) => unfinished.push(run),
                Status::Damaged(run) => damaged.push(run),
            }
        }
        damaged.sort_by(|a, b| a.folder.cmp(&b.folder));
        Ok(Self {
            groups: groups::group(finished),
            unfinished,
            damaged,
        })
    }

    /// The number of finished runs.
    pub fn finished(&self) -> usize {
        self.groups.iter().map(|group| group.runs.len()).sum()
    }

    /// The folders of all runs, in the order of their groups.
    pub fn folders(&self) -> Vec<&Path> {
        let finished = self.groups.iter().flat_map(|group| &group.runs);
        let finished = finished.map(|of| &of.run.folder);
        let others = self.unfinished.iter().map(|run| &run.folder);
        let others = others.chain(self.damaged.iter().map(|of| &of.folder));
        finished.chain(others).map(PathBuf::as_path).collect()
    }

    /// The groups that a picture shows, and a remark if these are not all.
    pub fn drawn(&self) -> (&[Group], Option<String>) {
        let number = self.groups.len();
        let remark = format!("the curves show the best {MOST_LINES} of {number} groups");
        match self.groups.get(..MOST_LINES) {
            Some(best) if number > MOST_LINES => (best, Some(remark)),
            _ => (&self.groups, None),
        }
    }
}

/// Compares the runs that `args` name and prints the result.
///
/// # Errors
/// Returns an error if no run is found in a place, or the picture cannot be drawn.
pub fn run(args: &CompareArgs) -> Result<()> {
    let compared = Comparison::read(&args.logs)?;
    if let Some(path) = &args.picture {
        ensure!(
            compared.finished() > 0,
            "{} was not drawn, because none of {} has finished; leave --picture out to see how far they are",
            path.display(),
            counted(
                (compared.unfinished.len() + compared.damaged.len()) as u64,
                "run"
            )
        );
        let (groups, remark) = compared.drawn();
        if let Some(remark) = remark {
            eprintln!("dvs-train: {remark}");
        }
        draw_pair(path, &curves::panels(groups))?;
    }
    if args.json {
        return print(&json::to_json(&compared, args.picture.as_deref())?);
    }
    if args.csv {
        // Standard output holds the table alone.
        eprint!("{}", table::others(&compared));
        return print(&csv::to_csv(&compared.groups));
    }
    let mut text = table::to_text(&compared);
    if let Some(path) = &args.picture {
        text += &format!("curves: {}\n", path.display());
    }
    print(&text)
}
