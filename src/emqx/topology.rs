//! Which core each replicant is connected to.

use std::collections::BTreeMap;

use hyper::Method;

use super::http::Lost;
use super::shared::{Failed, Shared};
use super::wire;
use crate::error::Problem;
use crate::model::NodeName;

/// Each replicant with its core; `None` where this EMQX does not report it: EMQX 4, and EMQX 5 without this path.
pub(super) async fn replicants(shared: &Shared) -> Result<Option<BTreeMap<NodeName, NodeName>>, Problem> {
    let failed = |failed| {
        Shared::problem("cannot ask EMQX which core each replicant is connected to".to_owned(), failed)
    };
    if shared.is_v4().await.map_err(failed)? {
        return Ok(None);
    }
    let answer = match shared.ask(&Method::GET, "/api/v5/cluster/topology", None).await {
        // EMQX answers with a page of its dashboard for a path that it does not know [EMQX-53].
        Err(Failed::Lost(Lost::Useless(_))) => return Ok(None),
        other => other.map_err(failed)?,
    };
    Ok((answer.status == 200).then(|| wire::topology(answer.body()).into_iter().collect()))
}
