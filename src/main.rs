//! The binary: calls the library and gives its exit code to the system.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_emqx::app::run()
}
