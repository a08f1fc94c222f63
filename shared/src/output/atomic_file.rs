//! A file that is being made, beside its final name, and what killed runs left of such files.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::lock::OutputLock;
use super::temporary::Temporary;

const SUFFIX: &str = ".unfinished";
/// Random characters between the target's name and the suffix.
const RANDOM: usize = 6;

/// A file that is being made. Dropped before [`AtomicFile::finish`], it leaves nothing.
#[derive(Debug)]
pub struct AtomicFile<'a> {
    target: PathBuf,
    temporary: Temporary,
    // While it is there, whoever clears up after killed runs is kept away.
    _lock: &'a OutputLock,
}

impl<'a> AtomicFile<'a> {
    /// Begins the file `target`, the output that is locked or something beside it.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn create(lock: &'a OutputLock, target: &Path) -> io::Result<Self> {
        let name = target.file_name().unwrap_or_default();
        let (temporary, ()) = Temporary::make(|| {
            let file = builder(&prefix(name))
                // As any new file: the process's umask decides.
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
                .tempfile_in(folder_of(target))?;
            Ok((file.into_temp_path(), ()))
        })?;
        Ok(Self {
            target: target.to_owned(),
            temporary,
            _lock: lock,
        })
    }

    /// Where it lies for now.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the file its name, once everything in it is on the disk: what has the name is whole, whenever the power
    /// fails. What had the name before is replaced, unless `replacing` is false.
    ///
    /// # Errors
    /// Where the file system refuses. Only the last step, noting the name on the disk, can fail with the file in place.
    pub fn finish(self, replacing: bool) -> io::Result<()> {
        let Self {
            target, temporary, ..
        } = self;
        File::open(temporary.path())?.sync_all()?;
        temporary.persist(&target, replacing)?;
        File::open(folder_of(&target))?.sync_all()
    }
}

/// What makes an unfinished file or folder with the [`prefix`] of its target.
pub(crate) fn builder(prefix: &str) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).rand_bytes(RANDOM).suffix(SUFFIX);
    builder
}

/// AtomicFile files of `output` and of the files `beside` it, whether somebody is at work on them or was killed.
///
/// # Errors
/// Where the folder cannot be listed.
pub fn unfinished_of(output: &Path, beside: &[&Path]) -> io::Result<Vec<PathBuf>> {
    let targets: Vec<&OsStr> = [output]
        .iter()
        .chain(beside)
        .filter_map(|target| target.file_name())
        .collect();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder_of(output))? {
        let entry = entry?;
        let name = entry.file_name();
        if targets.iter().any(|t| is_unfinished(&name, t)) && !entry.file_type()?.is_symlink() {
            found.push(output.with_file_name(name));
        }
    }
    Ok(found)
}

/// Removes what killed runs left of the locked output and of files `beside` it, and returns what was removed. Where the
/// lock keeps nobody away, nothing is: it might be somebody's.
///
/// # Errors
/// Where the folder cannot be listed or a file cannot be removed.
pub fn remove_abandoned(lock: &OutputLock, beside: &[&Path]) -> io::Result<Vec<PathBuf>> {
    if lock.not_exclusive().is_some() {
        return Ok(Vec::new());
    }
    let abandoned = unfinished_of(lock.output(), beside)?;
    for path in &abandoned {
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(abandoned)
}

/// The folder a file lies in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

pub(crate) fn prefix(target: &OsStr) -> String {
    format!(".{}.", target.to_string_lossy())
}

/// Whether `name` is that of an unfinished `target`, and not of one whose name only begins alike.
fn is_unfinished(name: &OsStr, target: &OsStr) -> bool {
    let random = name
        .to_str()
        .and_then(|name| name.strip_prefix(&prefix(target)))
        .and_then(|rest| rest.strip_suffix(SUFFIX));
    random.is_some_and(|random| {
        random.len() == RANDOM && random.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_what_is_left_of_this_output_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let kept = [
            "a.h5",
            ".a.h5.lock2",
            ".a.h5.abcdef.unfinished.h5",
            ".a.h5.b.h5.abcdef.unfinished",
            ".a.h5.abc-ef.unfinished",
            ".b.h5.abcdef.unfinished",
        ];
        let left = [
            ".a.h5.abcdef.unfinished",
            ".a.h5.Abc123.unfinished",
            ".a.h5.source.json.ABCDEF.unfinished",
        ];
        for name in kept.iter().chain(&left) {
            File::create(at(name)).unwrap();
        }
        let lock = OutputLock::acquire(&at("a.h5"), || ()).unwrap();
        let mut removed = remove_abandoned(&lock, &[&at("a.h5.source.json")]).unwrap();
        removed.sort_unstable();
        let mut expected = left.map(at);
        expected.sort_unstable();
        assert_eq!(removed, expected);
        assert!(kept.iter().all(|name| at(name).exists()));
    }

    #[test]
    fn without_locks_nothing_is_taken_for_abandoned() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".a.h5.abcdef.unfinished");
        File::create(&file).unwrap();
        let lock = OutputLock::of_nothing(&folder.path().join("a.h5"));
        assert_eq!(remove_abandoned(&lock, &[]).unwrap(), [] as [PathBuf; 0]);
        assert!(file.exists());
    }
}
