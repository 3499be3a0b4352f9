//! This program's ConfigMap of an instance.

use serde_json::Value;

use super::field::{Head, list, text};
use super::operator::GROUP;
use crate::model::drain::{DRAIN_KEY, DrainState};
use crate::model::history::{HISTORY_KEY, stored};
use crate::model::operation_state::{GUARD_KEY, STATE_LABEL, state_name};
use crate::model::scale::{SCALE_KEY, ScaleState};
use crate::model::{GuardState, InstanceId, InstanceKind, OperationState};

/// Reads a ConfigMap of this program: it has the label, the name, and an owner of EMQX's kinds. `None` for
/// any other.
pub(super) fn read(object: &Value) -> Option<OperationState> {
    let head = Head::read(object)?;
    let (label, ours) = STATE_LABEL;
    if super::field::label(object, label).as_deref() != Some(ours) {
        return None;
    }
    let owner = list(object, &["metadata", "ownerReferences"])
        .find(|owner| text(owner, &["apiVersion"]).is_some_and(|api| api.starts_with(GROUP)))?;
    let kind = InstanceKind::parse(&text(owner, &["kind"])?)?;
    let instance = InstanceId { kind, namespace: head.namespace, name: text(owner, &["name"])? };
    if state_name(&instance) != head.name {
        return None;
    }
    let guard = text(object, &["data", GUARD_KEY]).and_then(|text| GuardState::parse(&text));
    let drain = text(object, &["data", DRAIN_KEY]).and_then(|text| DrainState::parse(&text));
    let scale = text(object, &["data", SCALE_KEY]).and_then(|text| ScaleState::parse(&text));
    let history = text(object, &["data", HISTORY_KEY]).map(|text| stored(&text)).unwrap_or_default();
    // The ConfigMap of an instance holds the entries of that instance only.
    let history = history.into_iter().filter(|entry| entry.instance == instance).collect();
    let owner = text(owner, &["uid"])?;
    Some(OperationState {
        instance,
        owner,
        uid: head.uid,
        version: head.resource_version,
        guard,
        drain,
        scale,
        history,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_our_own_config_map_of_an_instance_is_read() {
        let mut object = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "kubectl-emqx-emqxenterprise-ee",
            "namespace": "mq", "uid": "u", "labels": {"app.kubernetes.io/managed-by": "kubectl-emqx"},
            "ownerReferences": [{"apiVersion": "apps.emqx.io/v1beta4", "kind": "EmqxEnterprise", "name": "ee", "uid": "o"}]},
            "data": {"guard.json": "{\"version\":1,\"hold\":{\"ownDelaySeconds\":5,\"manner\":\"oneByOne\"}}",
                "history.json": "[]"}});
        let state = read(&object).expect("it is ours");
        let hold = state.guard.and_then(|guard| guard.hold).expect("it is held");
        assert_eq!((state.owner.as_str(), hold.own_delay_seconds), ("o", Some(5)));
        object["data"]["guard.json"] = json!("{\"version\":2}");
        assert_eq!(read(&object).expect("it is ours").guard, None, "another form is not guessed at");
        object["metadata"]["name"] = json!("kubectl-emqx-emqx-ee");
        assert_eq!(read(&object), None);
        assert_eq!(read(&json!({"metadata": {"name": "kube-root-ca.crt"}})), None);
    }
}
