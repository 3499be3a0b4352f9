//! The sites of durable storage: which nodes hold replicas of its shards.

use hyper::Method;
use serde_json::Value;

use super::http::Lost;
use super::shared::{Failed, Shared};
use crate::error::Problem;
use crate::model::NodeName;

/// The nodes that hold shards. EMQX without durable storage answers 404, as does EMQX 4 and every 5 before 5.7.
pub(super) async fn sites(shared: &Shared) -> Result<Vec<NodeName>, Problem> {
    let failed =
        |failed| Shared::problem("cannot ask EMQX for the sites of durable storage".to_owned(), failed);
    if shared.is_v4().await.map_err(failed)? {
        return Ok(Vec::new());
    }
    let listed = match shared.ask(&Method::GET, "/api/v5/ds/sites", None).await {
        // EMQX 5.4 answers with a page of its dashboard [EMQX-53].
        Err(Failed::Lost(Lost::Useless(_))) => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut found = Vec::new();
    for site in listed.body().as_array().into_iter().flatten().filter_map(Value::as_str) {
        // Names of sites are hexadecimal; other text is not put into a path.
        if listed.status != 200 || !site.chars().all(|letter| letter.is_ascii_alphanumeric()) {
            continue;
        }
        let path = format!("/api/v5/ds/sites/{site}");
        let answer = shared.ask(&Method::GET, &path, None).await.map_err(failed)?;
        found.extend(holder(answer.body()));
    }
    Ok(found)
}

/// The node of a site that holds shards.
fn holder(site: &Value) -> Option<NodeName> {
    let shards = site["shards"].as_array().is_some_and(|shards| !shards.is_empty());
    site["node"].as_str().filter(|_| shards).map(NodeName::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_site_with_shards_names_its_node() {
        let site = json!({"node": "emqx@a", "up": true, "shards": [{"storage": "messages", "id": "0", "status": "up"}]});
        assert_eq!(holder(&site), Some(NodeName::from("emqx@a")));
        assert_eq!(holder(&json!({"node": "emqx@a", "up": true, "shards": []})), None);
        assert_eq!(holder(&json!({"code": "NOT_FOUND"})), None);
    }
}
