//! Names, each with its own type where confusing them would disconnect clients.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        ///
        /// Clones share the text: each map of a cluster with 1000 nodes has the names again.
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name, unchanged.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $type {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $type {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::from)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.pad(&self.0)
            }
        }
    };
}

name! {
    /// An EMQX node: `emqx@emqx-core-0.emqx-headless.mq.svc.cluster.local`, or `emqx@10.0.0.7`.
    NodeName
}

name! {
    /// A pod, within one namespace.
    PodName
}

impl NodeName {
    /// The part after the `@`; the whole name where there is none.
    pub(crate) fn host(&self) -> &str {
        self.0.split_once('@').map_or(self.as_str(), |(_, host)| host)
    }

    /// The address, for a replicant that is named by one. Square brackets around IPv6 are accepted.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host().trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// The namespace in the host name of a pod: `<pod>.<service>.<namespace>.svc…`; `None` for other hosts.
    pub(crate) fn namespace(&self) -> Option<&str> {
        let mut labels = self.host().split('.').skip(2);
        let namespace = labels.next()?;
        (labels.next() == Some("svc")).then_some(namespace)
    }

    /// The first label of the host: a core pod's exact name (so that `-1` is never taken for `-10`).
    pub fn first_label(&self) -> &str {
        self.host().split('.').next().unwrap_or_default()
    }

    /// The short name: the pod's name, or the address.
    pub(crate) fn short(&self) -> &str {
        if self.ip().is_some() { self.host() } else { self.first_label() }
    }
}

/// The three kinds of the operator that run EMQX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum InstanceKind {
    /// `EMQX`: v2beta1, v2, v3beta1.
    #[serde(rename = "EMQX")]
    Emqx,
    /// `EmqxEnterprise` v1beta4.
    EmqxEnterprise,
    /// `EmqxBroker` v1beta4: open source, without rebalance or evacuation.
    EmqxBroker,
}

impl InstanceKind {
    /// All kinds that run EMQX.
    pub(crate) const ALL: [Self; 3] = [Self::Emqx, Self::EmqxEnterprise, Self::EmqxBroker];

    /// The kind as the API writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Emqx => "EMQX",
            Self::EmqxEnterprise => "EmqxEnterprise",
            Self::EmqxBroker => "EmqxBroker",
        }
    }

    /// The plural, as in URLs and RBAC rules.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Emqx => "emqxes",
            Self::EmqxEnterprise => "emqxenterprises",
            Self::EmqxBroker => "emqxbrokers",
        }
    }

    /// The singular: the part before the slash in `emqx/NAME`.
    pub(crate) fn singular(self) -> &'static str {
        match self {
            Self::Emqx => "emqx",
            Self::EmqxEnterprise => "emqxenterprise",
            Self::EmqxBroker => "emqxbroker",
        }
    }

    /// The kind with this name, as it is written before the slash or in `instanceKind`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let bare = text.split('.').next().unwrap_or_default();
        [Self::Emqx, Self::EmqxEnterprise, Self::EmqxBroker]
            .into_iter()
            .find(|kind| bare == kind.singular() || bare == kind.plural())
    }
}

impl fmt::Display for InstanceKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

/// One EMQX cluster: kind, namespace and name of its custom resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId {
    pub kind: InstanceKind,
    /// The namespace; empty (in JSON `null`) without Kubernetes.
    #[serde(default, serialize_with = "empty_as_null", deserialize_with = "null_as_empty")]
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for InstanceId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return write!(out, "{} {}", self.kind, self.name);
        }
        write!(out, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

fn null_as_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

fn empty_as_null<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    if text.is_empty() { serializer.serialize_none() } else { serializer.serialize_str(text) }
}

/// Which version of the operator's API an object was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiVersion {
    /// Operator 2.1, 2.2: EmqxEnterprise, EmqxBroker.
    V1beta4,
    /// Operator 2.2: EMQX.
    V2beta1,
    /// Operator 2.3: EMQX.
    V2,
    /// Operator 3.x: EMQX.
    V3beta1,
}

impl ApiVersion {
    /// The version as the API writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V1beta4 => "v1beta4",
            Self::V2beta1 => "v2beta1",
            Self::V2 => "v2",
            Self::V3beta1 => "v3beta1",
        }
    }

    /// The version with this name, if this program can read it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::V1beta4, Self::V2beta1, Self::V2, Self::V3beta1].into_iter().find(|v| v.as_str() == text)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

/// Which operator line serves the group; known from what the API serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum OperatorLine {
    /// 2.1 and 2.2: EMQX v2beta1, EmqxEnterprise v1beta4.
    #[serde(rename = "2.2")]
    Two2,
    /// 2.3: EMQX v2.
    #[serde(rename = "2.3")]
    Two3,
    /// 3.x: EMQX v3beta1, no Rebalance kind.
    #[serde(rename = "3.x")]
    Three,
    /// The group is not served: no operator.
    #[serde(rename = "none")]
    None,
    /// Could not be asked.
    #[default]
    #[serde(rename = "unknown")]
    Unknown,
}

impl OperatorLine {
    /// As it is written for people and in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Two2 => "2.2",
            Self::Two3 => "2.3",
            Self::Three => "3.x",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for OperatorLine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_found_by_its_exact_first_label() {
        let node = NodeName::from("emqx@emqx-core-1.emqx-headless.mq.svc.cluster.local");
        assert_eq!(node.first_label(), "emqx-core-1");
        assert_eq!(node.ip(), None);
        assert_eq!(node.namespace(), Some("mq"));
        for other in
            ["emqx@10.0.0.7", "emqx@emqx-0.emqx.example.org", "emqx@emqx-0", "emqx@emqx-0.emqx-headless.mq"]
        {
            assert_eq!(NodeName::from(other).namespace(), None, "{other}");
        }
    }

    #[test]
    fn a_replicant_is_found_by_its_parsed_address() {
        assert_eq!(NodeName::from("emqx@10.0.0.7").ip(), "10.0.0.7".parse().ok());
        assert_eq!(NodeName::from("emqx@[fd00::1]").ip(), "fd00:0:0::1".parse().ok());
    }

    #[test]
    fn kinds_are_known_by_singular_plural_and_any_case() {
        assert_eq!(InstanceKind::parse("EMQX"), Some(InstanceKind::Emqx));
        assert_eq!(InstanceKind::parse("emqxenterprises.apps.emqx.io"), Some(InstanceKind::EmqxEnterprise));
        assert_eq!(InstanceKind::parse("pod"), None);
    }
}
