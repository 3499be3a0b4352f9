//! Whether a source answers.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::fact::Link;

/// The last state of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceHealth {
    /// Whether the source answers.
    pub link: Link,
    /// When the source last answered, by the server's clock; `None` when never.
    pub last_seen: Option<Timestamp>,
}

pub(super) fn record_health<K: Ord>(
    sources: &mut BTreeMap<K, SourceHealth>,
    key: K,
    link: Link,
    at: Timestamp,
) -> bool {
    let source =
        sources.entry(key).or_insert(SourceHealth { link: Link::Absent(String::new()), last_seen: None });
    let different = source.link != link;
    if link == Link::Up {
        source.last_seen = Some(at);
    }
    source.link = link;
    different
}
