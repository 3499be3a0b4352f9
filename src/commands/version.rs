//! `version`: the plugin, Kubernetes, the operator line, and the EMQX versions of each cluster.

use super::cluster_view;
use super::{CommandContext, Outcome};
use crate::cli::intent;
use crate::error::Exit;
use crate::plan::results::{ClusterVersion, VersionReport};
use crate::plan::snapshot::snapshot;
use crate::ports::RefreshScope;

/// Asks the API server only: the versions are those of the custom resources.
pub async fn run(context: &CommandContext, intent: &intent::Version) -> Outcome {
    let want = RefreshScope { instances: true, ..RefreshScope::default() };
    let world =
        cluster_view::world(context, &cluster_view::wide_scope(context, &intent.filter, want)).await?;
    let now = context.clock.now();
    let clusters = world
        .ids()
        .into_iter()
        .map(|id| {
            let snapshot = snapshot(&world, &id, now);
            ClusterVersion { instance: id, api: snapshot.api, versions: snapshot.versions }
        })
        .collect();
    let version = VersionReport {
        plugin: env!("CARGO_PKG_VERSION").to_owned(),
        kubernetes: world.served.kubernetes.clone(),
        operator: world.served.operator,
        clusters,
    };
    context.printer.version(&version, intent.output);
    Ok(Exit::Reached)
}
