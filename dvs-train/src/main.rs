//! The `dvs-train` program; the library of the same name does the work.

use std::env;
use std::path::Path;
use std::process::ExitCode;

// The system's allocator maps new memory for every large tensor, which costs page faults each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// mimalloc's option for the milliseconds before it returns freed memory to the system.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // -1 is never: each training step needs as much memory as the last.
    // SAFETY: the documentation only requires that no other thread sets options at the same time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
    // Vulkan's drivers look there for a display, and print an error each time if it is missing.
    const RUNTIME: &str = "XDG_RUNTIME_DIR";
    if env::var_os(RUNTIME).is_none_or(|folder| !Path::new(&folder).is_dir()) {
        // SAFETY: no other thread runs yet.
        unsafe { env::set_var(RUNTIME, env::temp_dir()) };
    }
    // SAFETY: as above.
    unsafe { dvs_train::use_cuda_packages() };
    dvs_train::main()
}
