//! `version`: the plugin, Kubernetes, the operator line, and the EMQX versions of each cluster.

use super::cluster_view;
use super::{CommandContext, Outcome};
use crate::cli::intent;
use crate::error::Exit;
use crate::plan::results::{ClusterVersion, VersionReport};
use crate::plan::snapshot::snapshot;
use crate::ports::RefreshScope;

/// The versions are those of the custom resources; EMQX itself is asked only where there is none.
pub(crate) async fn run(context: &CommandContext, intent: &intent::Version) -> Outcome {
    let want = RefreshScope { instances: true, ..RefreshScope::default() };
    let world =
        cluster_view::world(context, &cluster_view::wide_scope(context, &intent.filter, want)).await?;
    let now = context.clock.now();
    let ids = world.ids();
    let standalone = ids.iter().any(|id| world.instance(id).is_some_and(|instance| instance.standalone));
    let asked =
        if standalone { cluster_view::load_many(context, &intent.filter, want).await? } else { Vec::new() };
    let clusters = ids
        .into_iter()
        .map(|id| {
            let own = asked.iter().find(|cluster| cluster.id == id);
            let snapshot = snapshot(own.map_or(&world, |cluster| &cluster.world), &id, now);
            ClusterVersion { instance: id, api: snapshot.api, versions: snapshot.versions }
        })
        .collect();
    let version = VersionReport {
        plugin: env!("CARGO_PKG_VERSION").to_owned(),
        kubernetes: world.kubernetes.served.kubernetes.clone(),
        operator: world.kubernetes.served.operator,
        clusters,
    };
    context.printer.version(&version, intent.output);
    Ok(Exit::Reached)
}
