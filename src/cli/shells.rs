//! The requests of shells and kubectl to this program: four scripts and a shim, which are small because the
//! program has all the logic.

use super::intent::Shell;

/// The name under which kubectl looks for the completion of `kubectl emqx`
/// (kubernetes/kubectl `pkg/cmd/plugin/plugin_completion.go`).
pub const SHIM_NAME: &str = if cfg!(windows) { "kubectl_complete-emqx.cmd" } else { "kubectl_complete-emqx" };

/// The program of that name.
pub const SHIM: &str = if cfg!(windows) {
    "@kubectl-emqx __complete %*\r\n"
} else {
    include_str!("../../plugin-manifest/kubectl_complete-emqx")
};

/// The script of a shell.
pub fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("shells/kubectl-emqx.bash"),
        Shell::Zsh => include_str!("shells/kubectl-emqx.zsh"),
        Shell::Fish => include_str!("shells/kubectl-emqx.fish"),
        Shell::Powershell => include_str!("shells/kubectl-emqx.ps1"),
    }
}
