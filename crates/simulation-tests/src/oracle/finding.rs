//! What the oracle found.

/// A wrong behaviour of the product.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The kind of fault, the same for every seed that finds it.
    pub rule: String,
    /// The output with its time, and the truth.
    pub what: String,
}

pub(super) fn find(found: &mut Vec<Finding>, rule: impl Into<String>, what: impl Into<String>) {
    found.push(Finding { rule: rule.into(), what: what.into() });
}
