//! The operator's Lease, as controller-runtime's leader election writes it: renewed every 2 s while the process is alive. It
//! is written when it is read, so that a renewal triggers no watch and takes no resource version.

use serde_json::json;

use super::clock::rfc3339;
use super::store::{Locked, Store};

/// The `LeaderElectionID` of every operator line.
const NAME: &str = "19fd6fcc.emqx.io";
/// The operator's namespace.
const NAMESPACE: &str = "emqx-operator-system";

/// Renews the Lease now. A cluster in which no operator ever ran has none.
pub(super) fn renew(store: &Store, locked: &mut Locked<'_>) {
    let at = rfc3339(store.clock.now());
    locked.found(json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": NAME, "namespace": NAMESPACE, "uid": "19fd6fcc-0000-4000-8000-000000000000", "creationTimestamp": at,
            "managedFields": [{
                "manager": "manager", "operation": "Update", "apiVersion": "coordination.k8s.io/v1", "time": at,
                "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:renewTime": {} } },
            }],
        },
        "spec": {
            "holderIdentity": "emqx-operator-controller-manager_0", "leaseDurationSeconds": 15, "acquireTime": at,
            "renewTime": at, "leaseTransitions": 0,
        },
    }));
}
