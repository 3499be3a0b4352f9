//! The operator's Lease.

use serde_json::Value;

use super::field::{Head, list, number, text, time};
use crate::model::lease::{OPERATOR_LEASE, OperatorLease};

/// Kubernetes' own default of `leaseDurationSeconds`.
const USUAL_SECONDS: u64 = 15;

/// Reads a Lease; `None` for any but the operator's.
pub(super) fn read(object: &Value) -> Option<OperatorLease> {
    let head = Head::read(object).filter(|head| head.name == OPERATOR_LEASE)?;
    // `renewTime` is by the clock of the operator's Kubernetes node; the times of the managers are by the API
    // server's clock.
    let written = list(object, &["metadata", "managedFields"]).filter_map(|it| time(it, &["time"])).max();
    Some(OperatorLease {
        namespace: head.namespace,
        name: head.name,
        uid: head.uid,
        holder: text(object, &["spec", "holderIdentity"]),
        renewed: written.or_else(|| time(object, &["spec", "renewTime"])),
        seconds: number(object, &["spec", "leaseDurationSeconds"]).unwrap_or(USUAL_SECONDS),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_age_of_a_lease_is_by_the_api_server_and_else_by_the_operator() {
        let mut object = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {
            "name": "19fd6fcc.emqx.io", "namespace": "emqx-operator-system", "uid": "u",
            "managedFields": [{"manager": "manager", "operation": "Update", "time": "2026-11-27T10:00:00Z"}]},
            "spec": {"holderIdentity": "pod_1", "leaseDurationSeconds": 30, "renewTime": "2026-11-27T09:57:00.000000Z"}});
        let lease = read(&object).expect("the operator's");
        assert_eq!(lease.renewed, "2026-11-27T10:00:00Z".parse().ok(), "a clock that is 3 minutes behind");
        assert_eq!((lease.holder.as_deref(), lease.seconds), (Some("pod_1"), 30));
        object["metadata"]["managedFields"] = json!(null);
        object["spec"]["holderIdentity"] = json!("");
        let lease = read(&object).expect("the operator's");
        assert_eq!(lease.renewed, "2026-11-27T09:57:00Z".parse().ok());
        assert_eq!(lease.holder, None, "it was given back");
        object["metadata"]["name"] = json!("kube-scheduler");
        assert_eq!(read(&object), None);
    }
}
