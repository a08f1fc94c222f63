//! `dvs-train`; the library of that name has what it does.

use std::process::ExitCode;

// The system's allocator maps every large tensor anew and pays for its pages each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many milliseconds the allocator keeps freed memory before it returns it to the system.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // Never: each training step needs as much as the last.
    // SAFETY: of options the documentation asks nothing but that no other thread sets them at the same time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
    dvs_train::main()
}
