//! Removes and reports what killed runs left beside an output.

use std::path::Path;

use dvs_shared::output::{OutputLock, remove_abandoned, unfinished_of};

/// Removes what killed runs left of the locked output and of the files `beside` it. A failure to
/// remove a file does not stop the run.
pub fn clear_up(lock: &OutputLock, beside: &[&Path]) {
    let output = lock.output().display();
    if let Some(reason) = lock.not_exclusive() {
        eprintln!(
            "dvs-prep: warning: {output} cannot be locked here ({reason}); make sure that no other run is writing it"
        );
    }
    match remove_abandoned(lock, beside) {
        Ok(removed) => {
            for file in removed {
                eprintln!(
                    "dvs-prep: removed {}, which a run that was killed left behind",
                    file.display()
                );
            }
        }
        Err(error) => eprintln!(
            "dvs-prep: warning: cannot find or remove what killed runs left beside {output}: {error}"
        ),
    }
}

/// Does the same without a lock, if there is something to remove and no other run holds the lock.
pub fn clear_up_unlocked(output: &Path, beside: &[&Path]) {
    let unfinished = unfinished_of(output, beside);
    if (OutputLock::has_file(output) || unfinished.is_ok_and(|files| !files.is_empty()))
        && let Ok(Some(lock)) = OutputLock::try_acquire(output)
    {
        clear_up(&lock, beside);
    }
}
