//! The names of operations in events, in JSON and on the command line.

use std::fmt;

use super::name::NodeName;
use super::verdict::Operation;

/// An operation by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationRef {
    /// A Rebalance by its name: `NAME`.
    Rebalance(String),
    /// A rebalance without an object, by its coordinator: `coordinator/NODE`.
    Coordinator(NodeName),
    /// The upgrade of an instance: `upgrade/NAME`.
    Upgrade(String),
    /// The evacuation of a node: `evacuation/NODE`.
    Evacuation(NodeName),
    /// The purge of a node: `purge/NODE`.
    Purge(NodeName),
    /// The drain of Kubernetes nodes, by an instance that has pods on them: `drain/NAME`.
    Drain(String),
    /// The change of the size of an instance: `scale/NAME`.
    Scale(String),
}

impl OperationRef {
    /// What a name means. A name without a known prefix is that of a Rebalance.
    pub(crate) fn of(name: &str) -> Self {
        match name.split_once('/') {
            Some(("coordinator", node)) => Self::Coordinator(NodeName::from(node)),
            Some(("upgrade", instance)) => Self::Upgrade(instance.to_owned()),
            Some(("evacuation", node)) => Self::Evacuation(NodeName::from(node)),
            Some(("purge", node)) => Self::Purge(NodeName::from(node)),
            Some(("drain", instance)) => Self::Drain(instance.to_owned()),
            Some(("scale", instance)) => Self::Scale(instance.to_owned()),
            _ => Self::Rebalance(name.to_owned()),
        }
    }

    /// What a printed resource means: `rebalance.apps.emqx.io/NAME`, or a name.
    pub(crate) fn printed(resource: &str) -> Self {
        Self::of(resource.rsplit_once(".emqx.io/").map_or(resource, |(_, name)| name))
    }

    /// The kind of the operation.
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::Rebalance(_) | Self::Coordinator(_) => Operation::Rebalance,
            Self::Upgrade(_) => Operation::Upgrade,
            Self::Evacuation(_) => Operation::Evacuation,
            Self::Purge(_) => Operation::Purge,
            Self::Drain(_) => Operation::Drain,
            Self::Scale(_) => Operation::Scale,
        }
    }
}

impl fmt::Display for OperationRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rebalance(name) => out.write_str(name),
            Self::Coordinator(node) => write!(out, "coordinator/{node}"),
            Self::Upgrade(instance) => write!(out, "upgrade/{instance}"),
            Self::Evacuation(node) => write!(out, "evacuation/{node}"),
            Self::Purge(node) => write!(out, "purge/{node}"),
            Self::Drain(instance) => write!(out, "drain/{instance}"),
            Self::Scale(instance) => write!(out, "scale/{instance}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for (name, operation) in [
            ("golden", Operation::Rebalance),
            ("coordinator/emqx@core-0.mq", Operation::Rebalance),
            ("upgrade/emqx", Operation::Upgrade),
            ("evacuation/emqx@core-0.mq", Operation::Evacuation),
            ("purge/emqx@core-0.mq", Operation::Purge),
            ("drain/emqx", Operation::Drain),
            ("scale/emqx", Operation::Scale),
        ] {
            let of = OperationRef::of(name);
            assert_eq!((of.to_string().as_str(), of.operation()), (name, operation));
        }
        let printed = OperationRef::printed("rebalance.apps.emqx.io/golden");
        assert_eq!(printed, OperationRef::Rebalance("golden".to_owned()));
    }
}
