//! The binary: calls the library and gives its exit code to the system.

use std::process::ExitCode;

/// musl's own allocator returns large blocks to the kernel at once: docs/performance.md.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    kubectl_emqx::app::run()
}
