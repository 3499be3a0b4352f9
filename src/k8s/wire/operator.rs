//! The operator's own names in objects.

/// The API group of the operator.
pub const GROUP: &str = "apps.emqx.io";

/// The label with an instance's name, on everything that the operator creates ([OP-67]).
pub(crate) const INSTANCE_LABEL: &str = "apps.emqx.io/instance";

/// The label that the operator puts on everything that it creates.
pub(crate) const MANAGED_LABEL: &str = "apps.emqx.io/managed-by=emqx-operator";
