//! Finds run folders. A run folder is a folder with settings in it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::runs::Damaged;
use crate::run_dir::run_folder::SETTINGS;

/// The run folders in some places.
#[derive(Debug, Default)]
pub struct Found {
    /// Folders of runs, sorted by path; each run is there once, however many links lead to it.
    pub runs: Vec<PathBuf>,
    /// Folders that may hold runs and cannot be listed.
    pub unreadable: Vec<Damaged>,
}

impl Found {
    /// Whether there is one run and nothing else.
    pub fn is_one(&self) -> bool {
        self.runs.len() == 1 && self.unreadable.is_empty()
    }
}

/// Finds the runs in each of `places`.
///
/// # Errors
/// Returns an error if a place is not a folder, or no run is in it.
pub fn runs(places: &[PathBuf]) -> Result<Found> {
    let mut found = Found::default();
    let mut known = HashSet::new();
    for place in places {
        let shown = place.display();
        ensure!(
            place.is_dir(),
            "{shown} is not a folder; name a run's folder, or a folder with runs in it"
        );
        let in_place = search(place);
        ensure!(
            !in_place.runs.is_empty() || !in_place.unreadable.is_empty(),
            "no run is in {shown}: no folder there has a {SETTINGS}; name a run's folder, or a folder with runs in it"
        );
        let mut new = |folder: &Path| known.insert(real(folder));
        let runs = in_place.runs.into_iter().filter(|folder| new(folder));
        found.runs.extend(runs);
        let unreadable = in_place.unreadable.into_iter();
        found
            .unreadable
            .extend(unreadable.filter(|damaged| new(&damaged.folder)));
    }
    found.runs.sort();
    Ok(found)
}

/// Whether `folder` is a run's, in whatever state.
pub fn is_run(folder: &Path) -> bool {
    // Also if it is a link that leads nowhere, or a folder: such a run is damaged.
    folder.join(SETTINGS).symlink_metadata().is_ok()
}

/// Finds the runs in `place` at any depth.
fn search(place: &Path) -> Found {
    let mut found = Found::default();
    // Links may lead back to a folder that was searched already.
    let mut searched = HashSet::new();
    let mut open = vec![place.to_owned()];
    while let Some(folder) = open.pop() {
        if !searched.insert(real(&folder)) {
            continue;
        }
        if is_run(&folder) {
            found.runs.push(folder.clone());
        }
        match folders_in(&folder) {
            Ok(inner) => open.extend(inner),
            Err(error) => found.unreadable.push(Damaged {
                reason: format!("cannot read the folder {}: {error}", folder.display()),
                folder,
            }),
        }
    }
    found
}

/// The folders in `folder`, in the order in which a stack takes them: links are first, so that a
/// run is found at its own place and not through a link. Hidden folders are left out, because they
/// hold settings of other programs.
fn folders_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut inner = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let path = entry.path();
        if !hidden && path.is_dir() {
            inner.push((!entry.file_type()?.is_symlink(), path));
        }
    }
    inner.sort_by(|(own, path), (other_own, other)| (own, other).cmp(&(other_own, path)));
    Ok(inner.into_iter().map(|(_, path)| path).collect())
}

/// The path without links; `path` itself if it has none.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::symlink;

    use super::*;

    fn make(root: &Path, folder: &str) {
        fs::create_dir_all(root.join(folder)).unwrap();
        fs::write(root.join(folder).join(SETTINGS), "{}").unwrap();
    }

    fn names(root: &Path, places: &[&str]) -> Vec<String> {
        let places: Vec<PathBuf> = places.iter().map(|place| root.join(place)).collect();
        let found = runs(&places).unwrap().runs;
        let names = found.iter().map(|run| run.strip_prefix(root).unwrap());
        names.map(|run| run.display().to_string()).collect()
    }

    #[test]
    fn finds_runs_at_any_depth_once_and_in_order() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for run in ["logs/b", "logs/a", "logs/deep/er/c", "logs/a/inner"] {
            make(root, run);
        }
        make(root, "logs/.vscode");
        // A link to a run, whose name comes first, and one that leads in a circle.
        symlink(root.join("logs/b"), root.join("logs/0")).unwrap();
        symlink(root.join("logs"), root.join("logs/deep/back")).unwrap();
        let all = ["logs/a", "logs/a/inner", "logs/b", "logs/deep/er/c"];
        assert_eq!(names(root, &["logs"]), all);
        assert_eq!(names(root, &["logs/deep/er/c", "logs", "logs/a"]), all);
        assert_eq!(names(root, &["logs/b"]), ["logs/b"]);
    }

    #[test]
    fn settings_that_are_no_file_are_still_a_run() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("a").join(SETTINGS)).unwrap();
        fs::create_dir(root.join("b")).unwrap();
        symlink("nowhere", root.join("b").join(SETTINGS)).unwrap();
        assert_eq!(names(root, &["."]), ["a", "b"]);
    }

    #[test]
    fn a_place_without_runs_is_an_error_that_names_it() {
        let root = tempfile::tempdir().unwrap();
        make(root.path(), "run");
        fs::create_dir(root.path().join("empty")).unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        for (place, reason) in [
            ("empty", "empty: no folder there has a settings.json"),
            ("file", "file is not a folder"),
            ("none", "none is not a folder"),
        ] {
            let places = ["run", place].map(|name| root.path().join(name));
            let error = runs(&places).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
