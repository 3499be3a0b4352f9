//! The surroundings of a cluster in Kubernetes, as `check` reads them: Services, quotas, and the webhook that
//! converts its objects.

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceView {
    pub name: String,
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    pub kind: String,
    /// Whether it has no address of its own.
    pub headless: bool,
    /// The labels of its pods; empty without a selector.
    pub selector: BTreeMap<String, String>,
    /// Whether it also sends clients to pods that are not ready.
    pub publishes_not_ready: bool,
    /// The seconds for which a client address stays on the same pod (`sessionAffinity: ClientIP`); `None`
    /// without affinity.
    pub affinity_seconds: Option<u64>,
    /// Whether traffic from outside stays on the Kubernetes node where it arrives (`externalTrafficPolicy: Local`).
    pub local: bool,
    /// Annotations for the load balancers of clouds: key and value.
    pub cloud: BTreeMap<String, String>,
}

/// A limit of a ResourceQuota.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaLimit {
    /// The ResourceQuota.
    pub name: String,
    /// `pods`, `requests.cpu` or `requests.memory`.
    pub resource: String,
    /// The limit: pods, thousandths of a core, or bytes.
    pub hard: u64,
    /// The used amount.
    pub used: u64,
}

/// The webhook that converts the objects of a CRD between its versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversion {
    /// `namespace/service`.
    pub service: String,
    /// Ready addresses behind the Service; `None` where they may not be read.
    pub ready: Option<u64>,
    /// The version in which objects are stored: reading and writing them in this one needs no conversion.
    pub stored: Option<String>,
}

/// The surroundings of a cluster. `None` could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The Services of the namespace.
    pub services: Option<Vec<ServiceView>>,
    /// The quotas of the namespace.
    pub quotas: Option<Vec<QuotaLimit>>,
    /// The conversion of the instance's CRD; `Some(None)` where it has none.
    pub conversion: Option<Option<Conversion>>,
    /// The versions of the instance's CRD that are served; empty where the CRD could not be read.
    pub versions: Vec<String>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}
