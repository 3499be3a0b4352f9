//! Events, in both shapes: the classic one (`lastTimestamp`, `count`) and the newer one (`eventTime`, `series`).

use serde_json::Value;

use super::field::{Head, number, text, time};
use crate::model::ClusterEvent;

pub(super) fn read(object: &Value) -> Result<ClusterEvent, String> {
    let head = Head::read(object).ok_or("it has no name")?;
    // events.k8s.io/v1 renames the fields of the same stored object.
    let about =
        |key: &str| text(object, &["involvedObject", key]).or_else(|| text(object, &["regarding", key]));
    Ok(ClusterEvent {
        namespace: head.namespace,
        name: head.name,
        uid: head.uid,
        about_kind: about("kind").unwrap_or_default(),
        about: about("name").unwrap_or_default(),
        warning: text(object, &["type"]).as_deref() == Some("Warning"),
        reason: text(object, &["reason"]).unwrap_or_default(),
        message: text(object, &["message"]).or_else(|| text(object, &["note"])).unwrap_or_default(),
        count: number(object, &["count"])
            .or_else(|| number(object, &["series", "count"]))
            .or_else(|| number(object, &["deprecatedCount"]))
            .unwrap_or(1)
            .max(1),
        last: time(object, &["series", "lastObservedTime"])
            .or_else(|| time(object, &["lastTimestamp"]))
            .or_else(|| time(object, &["deprecatedLastTimestamp"]))
            .or_else(|| time(object, &["eventTime"]))
            .or_else(|| time(object, &["firstTimestamp"]))
            .or(head.created),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_shapes_of_an_event_have_time_and_count() {
        let classic = json!({"metadata": {"name": "a", "namespace": "mq"}, "involvedObject": {"kind": "Rebalance", "name": "r"},
            "type": "Warning", "reason": "Rebalance", "message": "rebalance failed", "count": 7, "eventTime": null,
            "firstTimestamp": "2026-11-23T08:00:00Z", "lastTimestamp": "2026-11-23T08:01:00Z"});
        let event = read(&classic).expect("it can be read");
        assert_eq!((event.about.as_str(), event.count, event.warning), ("r", 7, true));
        assert_eq!(event.last, "2026-11-23T08:01:00Z".parse().ok());

        let series = json!({"metadata": {"name": "a", "namespace": "mq"}, "involvedObject": {"kind": "Pod", "name": "p"},
            "eventTime": "2026-11-23T08:00:00.000000Z", "lastTimestamp": null,
            "series": {"count": 3, "lastObservedTime": "2026-11-23T08:02:00.5Z"}});
        let event = read(&series).expect("it can be read");
        assert_eq!((event.count, event.last), (3, "2026-11-23T08:02:00.5Z".parse().ok()));

        let single = json!({"metadata": {"name": "a"}, "eventTime": "2026-11-23T08:00:00Z"});
        assert_eq!(read(&single).expect("it can be read").last, "2026-11-23T08:00:00Z".parse().ok());
    }
}
