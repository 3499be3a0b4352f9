//! Users who may read only a part. What they may is what `plugin-manifest/rbac.yaml` ships, less something.

use futures::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::program::{Program, notices, refused};

/// The rules that are shipped, all roles together.
fn shipped() -> Vec<Value> {
    let text = include_str!("../../plugin-manifest/rbac.yaml");
    let roles = serde_yaml::Deserializer::from_str(text).map(|one| Value::deserialize(one).expect("YAML"));
    roles.flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default()).collect()
}

/// The shipped rules without these resources, or one `verb resource` less.
fn without(gone: &[&str]) -> Value {
    let mut rules = shipped();
    for rule in &mut rules {
        let resources = rule["resources"].as_array().cloned().unwrap_or_default();
        let verbs = rule["verbs"].as_array().cloned().unwrap_or_default();
        let verbs: Vec<Value> = verbs
            .into_iter()
            .filter(|verb| {
                let one = |resource: &Value| {
                    format!("{} {}", verb.as_str().unwrap_or(""), resource.as_str().unwrap_or(""))
                };
                !resources.iter().any(|resource| gone.contains(&one(resource).as_str()))
            })
            .collect();
        let kept = |it: &Value| it.as_str().is_some_and(|name| !gone.contains(&name));
        rule["resources"] = resources.into_iter().filter(kept).collect();
        rule["verbs"] = verbs.into();
    }
    rules.retain(|rule| rule["resources"] != json!([]) && rule["verbs"] != json!([]));
    json!(rules)
}

/// The program as a user who may in this namespace what is shipped, less something.
pub async fn user<'a>(plane: &'a ControlPlane, name: &str, namespace: &str, gone: &[&str]) -> Program<'a> {
    let kubeconfig = plane.kubeconfig_for(name);
    plane.grant(name, Some(namespace), without(gone)).await;
    Program::of(plane, &kubeconfig, namespace)
}

pub async fn poorer(plane: &ControlPlane) {
    let rights: [(&str, &[&str]); 9] = [
        ("getter", &["create pods/portforward"]),
        ("creator", &["get pods/portforward"]),
        ("whole", &[]),
        ("keyless", &["secrets"]),
        ("tunnelless", &["pods/portforward"]),
        ("podless", &["pods"]),
        ("endless", &["endpointslices"]),
        ("viewer", &["create rebalances"]),
        ("eventless", &["events"]),
    ];
    let users = join_all(rights.map(|(name, gone)| user(plane, name, plane.namespace(), gone))).await;
    let [getter, creator, whole, keyless, tunnelless, podless, endless, viewer, eventless] = &users[..]
    else {
        unreachable!()
    };

    // What is shipped is enough for everything.
    let out = whole.run(&["status", "-o", "json"]).await;
    assert_eq!(notices(&out), Vec::<String>::new());
    let status: Value = serde_json::from_str(&out.ok()).expect("JSON");
    for (source, state) in status["sources"].as_object().expect("sources") {
        assert_eq!(state["state"], "ok", "{source} of {status}");
    }

    // Without the key: the operator's counts, and what is missing is named once.
    let status = poor(keyless, "cannot get resource \"secrets\"").await;
    assert_eq!(
        (&status["sources"]["emqx"]["state"], &status["nodes"][0]["source"]),
        (&json!("forbidden"), &json!("kubernetes"))
    );
    assert_eq!(status["totals"]["nodes"], 4, "{status}");
    // The API server wants both verbs, and does not always say so itself.
    for user in [tunnelless, getter, creator] {
        let status = poor(user, "(needs verbs get and create on pods/portforward)").await;
        assert_eq!(status["sources"]["emqx"]["state"], "forbidden", "{status}");
    }
    let status = poor(podless, "cannot list resource \"pods\"").await;
    assert_eq!(status["sources"]["pods"]["state"], "forbidden", "{status}");
    assert_eq!(status["totals"]["connections"], 300, "{status}");
    let status = poor(endless, "cannot list resource \"endpointslices\"").await;
    assert_eq!(status["sources"]["endpoints"]["state"], "forbidden", "{status}");
    assert!(status["nodes"][0]["serving"].is_null(), "unknown is null: {status}");
    let status = poor(eventless, "cannot list resource \"events\"").await;
    assert_eq!(status["totals"]["connections"], 300, "{status}");

    // Who may not create is told so before anything is done, and still gets a plan.
    let args = ["rebalance", "apply", "--yes", "--abs-conn-threshold=1", "--abs-sess-threshold=1"];
    let out = viewer.run(&args).await;
    refused(&out, 6, &["you may not create a Rebalance in namespace mq", "create rebalances.apps.emqx.io"]);
    let out = viewer.run(&["rebalance", "plan", "--abs-conn-threshold=1", "-o", "json"]).await;
    let plan: Value = serde_json::from_str(&out.stdout).expect("JSON");
    assert_eq!((out.code, &plan["decision"]), (Some(6), &json!("refused")), "{plan}");
    assert!(plan["findings"].as_array().is_some_and(|it| it.iter().any(|it| it["id"] == "no-permission")));

    // Nothing at all.
    let stranger = Program::of(plane, &plane.kubeconfig_for("stranger"), plane.namespace());
    let out = stranger.run(&["status"]).await;
    refused(&out, 1, &[r#"User "stranger" cannot list"#, "emqxes.apps.emqx.io", "hint:"]);
    let out = stranger.run(&["status", "emqx"]).await;
    refused(&out, 1, &["emqxes.apps.emqx.io"]);
}

/// `status` works all the same, and says once what is missing.
async fn poor(program: &Program<'_>, needs: &str) -> Value {
    let out = program.run(&["status", "-o", "json"]).await;
    let told = notices(&out).iter().filter(|line| line.contains(needs)).count();
    assert_eq!(told, 1, "{needs}: {}", out.stderr);
    serde_json::from_str(&out.ok()).expect("JSON")
}
