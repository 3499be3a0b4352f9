//! What the operators write into an instance's status, each version in its own shape and with its own omissions
//! (zeros vanish, names differ, conditions are removed or kept as False). Pure: a view in, a status out.

mod parts;
mod v1beta4;
mod v2;
mod v2beta1;
mod v3beta1;
mod view;

use serde_json::Value;

pub(crate) use parts::{evacuations, holds};
pub(crate) use view::{NodeView, RoleView, SetView, View};

use super::scenario::Api;

/// The status after one pass of the operator, given the one before.
pub(super) fn status(view: &View, before: &Value) -> Value {
    match view.api {
        Api::V1beta4 => v1beta4::status(view, before),
        Api::V2beta1 => v2beta1::status(view, before),
        Api::V2 => v2::status(view, before),
        Api::V3beta1 => v3beta1::status(view, before),
    }
}

/// Whether the Rebalance controller regards the instance as ready.
pub(super) fn is_ready(api: Api, status: &Value) -> bool {
    holds(status, if api == Api::V1beta4 { "Running" } else { "Ready" })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::scenario::Role;
    use super::*;

    /// A role with one set, not all of it ready.
    fn steady(replicas: u64, ready: u64) -> RoleView {
        let mut role = RoleView::steady("r".to_owned(), replicas);
        role.update.ready = ready;
        role
    }

    fn view(api: Api, ready: u64) -> View {
        let node = NodeView {
            name: "emqx@a".to_owned(),
            role: Role::Core,
            running: true,
            version: "5.8.6".to_owned(),
            connections: 0,
            sessions: 40,
            pod: "a".to_owned(),
            pod_uid: "u".to_owned(),
            controller_uid: "c".to_owned(),
        };
        View {
            api,
            generation: 1,
            nodes: vec![node],
            cores: steady(1, ready),
            replicants: None,
            evacuations: Vec::new(),
            in_cluster: 1,
            blue_green: None,
            renewed: None,
            now: Timestamp::UNIX_EPOCH,
        }
    }

    fn types(status: &Value) -> Vec<(&str, &str)> {
        let conditions = status["conditions"].as_array();
        conditions
            .into_iter()
            .flatten()
            .map(|one| (one["type"].as_str().unwrap_or_default(), one["status"].as_str().unwrap_or_default()))
            .collect()
    }

    #[test]
    fn each_version_names_sessions_and_clients_its_own_way_and_drops_zeros() {
        let of = |api| status(&view(api, 1), &Value::Null);
        assert_eq!(of(Api::V1beta4)["emqxNodes"][0]["connections"], 40);
        let old = of(Api::V2beta1);
        assert_eq!(old["coreNodes"][0]["connections"], 40);
        assert_eq!(old["coreNodes"][0]["live_connections"], Value::Null);
        let new = of(Api::V2);
        assert_eq!(new["coreNodes"][0]["sessions"], 40);
        assert_eq!(new["coreNodes"][0]["connections"], Value::Null);
        assert_eq!(of(Api::V3beta1)["coreNodes"][0]["connections"], 0);
    }

    #[test]
    fn v2beta1_goes_stage_by_stage_and_falls_back_to_the_first() {
        let mut now = Value::Null;
        for _ in 0..6 {
            now = status(&view(Api::V2beta1, 1), &now);
        }
        let all = ["Ready", "Available", "CoreNodesReady", "CoreNodesProgressing"];
        assert_eq!(types(&now).iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), all);
        assert!(is_ready(Api::V2beta1, &now));
        let lost = status(&view(Api::V2beta1, 0), &now);
        assert_eq!(types(&lost), [("CoreNodesProgressing", "True")]);
        assert!(!is_ready(Api::V2beta1, &lost));
    }

    #[test]
    fn v2_keeps_what_it_lost_as_false_with_the_true_ones_first() {
        let mut seen = view(Api::V2, 1);
        seen.replicants = Some(steady(4, 4));
        let fine = status(&seen, &Value::Null);
        assert_eq!(types(&fine)[0], ("Ready", "True"));
        seen.replicants = Some(steady(4, 1));
        let lost = status(&seen, &fine);
        assert_eq!(
            types(&lost),
            [
                ("ReplicantNodesProgressing", "True"),
                ("CoreNodesReady", "True"),
                ("CoreNodesProgressing", "True"),
                ("Ready", "False"),
                ("Available", "False"),
                ("ReplicantNodesReady", "False"),
                ("Initialized", "True"),
            ]
        );
    }
}
