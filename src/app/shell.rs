//! Requests of a shell: names for completion, within a second and without messages of the program; and the
//! shim through which kubectl requests completion.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use super::setup::{connect, context};
use crate::cli::intent::Candidate;
use crate::cli::intent::{Completing, CompletionInstall, Look, Names};
use crate::cli::{Global, SHIM, SHIM_NAME};
use crate::commands::{self, Outcome};
use crate::error::{Exit, Problem};
use crate::k8s::KubeconfigEntry;
use crate::output::{Printer, Terminal};
use crate::timing::COMPLETION_TIMEOUT;
use emqx_sim::Scenario;
use user_files as files;

/// Returns the names that are known when the time limit is reached. They are read in a thread that is not
/// waited for: a login command of the kubeconfig blocks its thread.
pub(super) fn complete(printer: &Printer, global: Global, completing: &Completing) -> Exit {
    let until = Instant::now() + COMPLETION_TIMEOUT;
    let (sender, receiver) = channel();
    if let Some(names) = completing.names {
        let word = completing.word.clone();
        std::thread::spawn(move || {
            // After any error no names are offered.
            let _ = look(&global, names, &word, &sender);
        });
    } else {
        drop(sender);
    }
    let mut found: Vec<Candidate> = Vec::new();
    while let Ok(candidate) = receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
        found.push(candidate);
    }
    printer.print(&completing.answer(found));
    Exit::Reached
}

fn look(global: &Global, names: Names, word: &str, sender: &Sender<Candidate>) -> Result<(), Problem> {
    let send = |candidate: Candidate| sender.send(candidate).unwrap_or_default();
    let known = |entry: KubeconfigEntry| -> Result<(), Problem> {
        connect(&global.connect).names(entry)?.into_iter().for_each(|name| send(Candidate::new(name, "")));
        Ok(())
    };
    match names {
        Names::Contexts => return known(KubeconfigEntry::Context),
        Names::Clusters => return known(KubeconfigEntry::Cluster),
        Names::Users => return known(KubeconfigEntry::User),
        Names::Scenarios => {
            Scenario::names().for_each(|name| send(Candidate::new(name, "")));
            return Ok(());
        }
        // A user who may not list namespaces still gets those of the kubeconfig.
        Names::Namespaces => known(KubeconfigEntry::Namespace)?,
        Names::Instances | Names::Operations | Names::Nodes | Names::Images => {}
    }
    let (silent, ..) = Printer::captured(Look::default(), Terminal::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new("cannot start", error.to_string()))?;
    runtime.block_on(async {
        let context = context(global, Rc::new(silent), None).await?;
        commands::names::find(&context, names, word, &send).await
    })
}

/// Writes the shim beside the program, or into a folder, and prints the remaining steps for kubectl.
pub(super) fn install(
    printer: &Printer,
    install: CompletionInstall,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Outcome {
    let path = environment("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let Some(folder) = install.folder.or_else(|| beside(&on_path)) else {
        return Err(Problem::new("cannot determine where kubectl-emqx is", "").hint(ELSEWHERE));
    };
    let shim = folder.join(SHIM_NAME);
    if shim.is_file() && !install.force && !ours(&shim) {
        return Err(Problem::new(
            format!("cannot write {}", shim.display()),
            "it exists and was not written by kubectl emqx",
        )
        .hint("choose another folder with --dir DIR, or overwrite the file with --force"));
    }
    write(&shim).map_err(|error| {
        Problem::new(format!("cannot write {}", shim.display()), error.to_string()).hint(ELSEWHERE)
    })?;
    printer.line(&shim.display().to_string());
    if !on_path.contains(&folder) {
        printer.notice(&format!(
            "{} is not on the PATH: kubectl will not find it before it is",
            folder.display()
        ));
    }
    printer.next("kubectl completion --help, where kubectl's own completion is not on yet");
    Ok(Exit::Reached)
}

/// The hint where it cannot be written.
const ELSEWHERE: &str =
    "kubectl emqx completion install --dir DIR, with a folder on the PATH that you may write to";

/// The folder in which the program was found on the PATH. The folder of the file itself may be another one:
/// krew links from a folder on the PATH to one that is not.
fn beside(on_path: &[PathBuf]) -> Option<PathBuf> {
    let called = PathBuf::from(std::env::args_os().next()?);
    let folder = called.parent().filter(|folder| !folder.as_os_str().is_empty());
    let found = || on_path.iter().find(|folder| folder.join(&called).is_file()).cloned();
    let own = || std::env::current_exe().ok()?.parent().map(Path::to_path_buf);
    folder.map(Path::to_path_buf).or_else(found).or_else(own)
}

/// Whether a file is a shim of any version of this program: it asks the program for names.
fn ours(shim: &Path) -> bool {
    files::read_text(shim).is_ok_and(|text| text.contains("kubectl-emqx") || text.trim().is_empty())
}

fn write(shim: &Path) -> std::io::Result<()> {
    // A link to another place, and an older shim, are replaced and not written through.
    match std::fs::remove_file(shim) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => std::fs::write(shim, SHIM)?,
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(shim, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
