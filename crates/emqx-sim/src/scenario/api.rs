//! The API version of the custom resources, the release line of the operator, and the roles of nodes.

use serde::Deserialize;

/// The API version of the custom resources; it determines the operator line and EMQX's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// `EmqxEnterprise` of operator 2.2, EMQX 4.4.
    V1beta4,
    /// EMQX of operator 2.2.
    V2beta1,
    /// EMQX of operator 2.3.
    V2,
    /// EMQX of operator 3.x; no Rebalance.
    V3beta1,
}

impl Api {
    /// As in `apiVersion`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1beta4 => "v1beta4",
            Self::V2beta1 => "v2beta1",
            Self::V2 => "v2",
            Self::V3beta1 => "v3beta1",
        }
    }

    /// The line of the operator that manages it.
    pub fn line(self) -> Line {
        match self {
            Self::V1beta4 | Self::V2beta1 => Line::V2_2,
            Self::V2 => Line::V2_3,
            Self::V3beta1 => Line::V3,
        }
    }

    /// The port of EMQX's REST API on a pod.
    pub fn port(self) -> u16 {
        if self == Self::V1beta4 { 8081 } else { 18083 }
    }

    /// The instance's kind.
    pub fn kind(self) -> &'static str {
        if self == Self::V1beta4 { "EmqxEnterprise" } else { "EMQX" }
    }

    /// The plural of the instance's kind.
    pub fn plural(self) -> &'static str {
        if self == Self::V1beta4 { "emqxenterprises" } else { "emqxes" }
    }
}

/// The operator's release line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// 2.2.x
    V2_2,
    /// 2.3.x
    V2_3,
    /// 3.x
    V3,
}

/// The role of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Keeps the data.
    Core,
    /// Only serves clients.
    Replicant,
}

impl Role {
    /// EMQX's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Replicant => "replicant",
        }
    }
}
