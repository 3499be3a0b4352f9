//! The actions of the operator on the cluster and on EMQX: the other modules decide, this one carries them
//! out.

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Map, Value, json};

use super::events::{EmittedEvent, Events};
use super::observation::{Template, name};
use super::shared::{MANAGER, Shared, to_object};
use crate::rest_orders;

#[derive(Debug)]
pub(super) enum OperatorAction {
    /// Creates a set.
    Create(Value),
    /// Scales a set.
    Scale { set: Value, to: u64 },
    /// Changes the image and the annotations of a set's template.
    Template { set: Value, template: Template },
    /// Annotates a pod.
    Annotate { pod: String, key: &'static str, value: &'static str },
    /// Removes an annotation from a pod.
    Unannotate { pod: String, key: &'static str },
    /// Deletes a pod.
    Delete { pod: String },
    /// Asks EMQX to empty a node; a refusal may be ignored.
    Evacuate { node: String, body: Map<String, Value>, ignore: bool },
    /// Asks EMQX to let a node serve again.
    Stop { node: String },
    /// Reports an event.
    Emit { reason: &'static str, message: String },
}

/// Carries them out one after another; the reason of the first that fails.
pub(super) async fn act(
    shared: &Shared,
    events: &mut Events,
    about: &Value,
    actions: Vec<OperatorAction>,
) -> Result<(), String> {
    for action in actions {
        one(shared, events, about, action).await?;
    }
    Ok(())
}

async fn one(
    shared: &Shared,
    events: &mut Events,
    about: &Value,
    action: OperatorAction,
) -> Result<(), String> {
    let (patch, kind, name) = match action {
        OperatorAction::Create(set) => {
            let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            let api = sets(shared, &set);
            let made = api.create(&params, &to_object(set).map_err(|error| error.to_string())?).await;
            return made.map(drop).map_err(|error| error.to_string());
        }
        OperatorAction::Delete { pod } => {
            let gone = shared.plain("", "Pod", "pods").delete(&pod, &DeleteParams::default()).await;
            return gone.map(drop).map_err(|error| error.to_string());
        }
        OperatorAction::Evacuate { node, body, ignore } => {
            let started = shared.emqx.with(|broker| {
                let order = rest_orders::evacuation_order(&body, broker.api)?;
                broker.start_evacuation(&node, order)
            });
            return match started {
                Err(refusal) if !ignore && !refusal.message().contains("already_started") => {
                    Err(refusal.message())
                }
                _ => Ok(()),
            };
        }
        OperatorAction::Stop { node } => {
            // An evacuation that has ended already is not a failure.
            let _ = shared.emqx.with(|broker| broker.stop_evacuation(&node));
            return Ok(());
        }
        OperatorAction::Emit { reason, message } => {
            let event = EmittedEvent { kind: "Normal", reason, message: &message, by: "emqx-controller" };
            events.emit(shared, about, event).await;
            return Ok(());
        }
        OperatorAction::Scale { set, to } => {
            (json!({ "spec": { "replicas": to } }), kind(&set), name(&set).to_owned())
        }
        OperatorAction::Template { set, template: wanted } => {
            debug_assert!(!wanted.fits(&set), "the set has that template already");
            let mut template = set["spec"]["template"].clone();
            wanted.put(&mut template);
            (json!({ "spec": { "template": template } }), kind(&set), name(&set).to_owned())
        }
        OperatorAction::Annotate { pod, key, value } => {
            (json!({ "metadata": { "annotations": { key: value } } }), ("", "Pod", "pods"), pod)
        }
        OperatorAction::Unannotate { pod, key } => {
            (json!({ "metadata": { "annotations": { key: null } } }), ("", "Pod", "pods"), pod)
        }
    };
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let api = shared.plain(kind.0, kind.1, kind.2);
    let done = api.patch(&name, &params, &Patch::Merge(patch)).await;
    done.map(drop).map_err(|error| error.to_string())
}

fn kind(set: &Value) -> (&'static str, &'static str, &'static str) {
    if set["kind"] == "StatefulSet" {
        ("apps", "StatefulSet", "statefulsets")
    } else {
        ("apps", "ReplicaSet", "replicasets")
    }
}

fn sets(shared: &Shared, set: &Value) -> kube::Api<kube::api::DynamicObject> {
    let (group, kind, plural) = kind(set);
    shared.plain(group, kind, plural)
}
