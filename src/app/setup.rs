//! The context of a command: its clients, its clock and its own folder.

use std::io::IsTerminal;
use std::rc::Rc;

use super::log::Held;
use super::{own_folder, standalone};
use crate::cli::Global;
use crate::commands::{self, CommandContext, Interrupt};
use crate::emqx::{EmqxBrokers, KeyFile, check_access};
use crate::error::{Cause, Problem};
use crate::k8s::{Cluster, Connect, Relay};
use crate::model::access::{EmqxAccess, KubernetesFlags};
use crate::output::Printer;
use crate::ports::{Brokers, Clock, Credentials, Kubernetes, RecordingSink, Tunnel};

/// The context of a command.
pub(super) async fn context(
    global: &Global,
    printer: Rc<Printer>,
    tap: Option<Rc<dyn RecordingSink>>,
) -> Result<CommandContext, Problem> {
    context_as(global, printer, tap, crate::model::FIELD_MANAGER).await
}

/// The context of a command that writes with a field manager.
pub(super) async fn context_as(
    global: &Global,
    printer: Rc<Printer>,
    tap: Option<Rc<dyn RecordingSink>>,
    manager: &str,
) -> Result<CommandContext, Problem> {
    connected(global, printer, tap, manager, true).await
}

/// The context of a command that changes Kubernetes objects: an address of EMQX is not sufficient.
pub(super) async fn context_in_kubernetes(
    global: &Global,
    printer: Rc<Printer>,
    tap: Option<Rc<dyn RecordingSink>>,
    manager: &str,
) -> Result<CommandContext, Problem> {
    connected(global, printer, tap, manager, false).await
}

async fn connected(
    global: &Global,
    printer: Rc<Printer>,
    tap: Option<Rc<dyn RecordingSink>>,
    manager: &str,
    standalone: bool,
) -> Result<CommandContext, Problem> {
    let EmqxAccess { urls, ca, insecure, key_file } = &global.emqx;
    let (tap, own) = own_folder::recorded(global, tap);
    for warning in check_access(urls, key_file.as_deref(), ca.as_deref())? {
        printer.notice(&warning);
    }
    // Without --api-key-file EMQX can be queried only with the operator's Secret, which is in Kubernetes.
    let standalone = standalone && !urls.is_empty() && key_file.is_some();
    let cluster = match Cluster::connect(&connect(&global.connect)).await {
        Ok(cluster) => {
            for warning in cluster.warnings() {
                printer.notice(warning);
            }
            let cluster = cluster.with_field_manager(manager);
            Some(match &tap {
                Some(tap) => cluster.with_tap(tap.clone()),
                None => cluster,
            })
        }
        Err(problem) if standalone && !chosen(&global.connect) => {
            if problem.cause != Cause::NoKubeconfig {
                printer.notice(&format!("Kubernetes is not used: {problem}"));
            }
            None
        }
        Err(problem) if !urls.is_empty() && key_file.is_none() => {
            return Err(problem.hint("add --api-key-file FILE: --emqx-url then works without Kubernetes"));
        }
        Err(problem) => return Err(problem),
    };
    let clock: Rc<dyn Clock> = match &cluster {
        Some(cluster) => Rc::new(cluster.clock()),
        None => Rc::new(standalone::Local),
    };
    let credentials: Rc<dyn Credentials> = match (key_file, &cluster) {
        (Some(path), _) => Rc::new(KeyFile::open(path)?),
        (None, Some(cluster)) => Rc::new(cluster.clone()),
        (None, None) => return Err(Problem::usage("--emqx-url needs --api-key-file", "")),
    };
    let mut brokers = match &cluster {
        Some(cluster) if urls.is_empty() => {
            let tunnel: Rc<dyn Tunnel> = Rc::new(cluster.clone().expecting_tunnels());
            EmqxBrokers::through(tunnel, credentials, clock.clone(), ca.clone(), *insecure)
        }
        _ => EmqxBrokers::at(urls.clone(), credentials, clock.clone(), ca.clone(), *insecure),
    };
    if let Some(limit) = global.connect.request_timeout {
        brokers = brokers.with_time_limit(limit);
    }
    if let Some(tap) = &tap {
        brokers = brokers.with_tap(Rc::clone(tap));
    }
    let brokers: Rc<dyn Brokers> = Rc::new(brokers);
    let context = cluster.as_ref().and_then(|cluster| cluster.context().map(str::to_owned));
    let namespace = cluster.as_ref().map(|cluster| cluster.namespace().to_owned()).unwrap_or_default();
    let server = cluster.as_ref().map(|cluster| cluster.server().to_owned());
    let folder = own_folder::folder(global, server.as_deref(), own);
    let kubernetes: Rc<dyn Kubernetes> = match cluster {
        Some(cluster) if !standalone => Rc::new(cluster),
        cluster => Rc::new(standalone::Standalone::new(cluster, brokers.clone(), clock.clone())),
    };
    Ok(CommandContext {
        context,
        server,
        namespace,
        kubernetes,
        brokers,
        clock,
        interactive: std::io::stdin().is_terminal(),
        printer,
        notices: commands::Notices::Printed,
        tap,
        folder,
        interrupt: Rc::new(interrupted),
    })
}

/// Whether a cluster was named on the command line: then it must exist.
fn chosen(flags: &KubernetesFlags) -> bool {
    flags.kubeconfig.is_some()
        || flags.context.is_some()
        || flags.cluster.is_some()
        || flags.user.is_some()
        || flags.server.is_some()
}

pub(super) fn connect(flags: &KubernetesFlags) -> Connect {
    Connect {
        flags: flags.clone(),
        terminal: std::io::stdin().is_terminal(),
        relay: Relay(std::sync::Arc::new(|bytes| {
            // Ignore write errors of stderr: they cannot be reported.
            let _ = std::io::Write::write_all(&mut Held, bytes);
        })),
    }
}

/// Resolves on Ctrl-C, and on SIGTERM and SIGHUP on Unix. The handlers are installed by the call, not by the first wait.
pub(super) fn interrupted() -> Interrupt {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let mut signals: Vec<_> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
        Box::pin(async move {
            if signals.is_empty() {
                return std::future::pending().await;
            }
            futures::future::select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
        })
    }
    #[cfg(not(unix))]
    Box::pin(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
}
