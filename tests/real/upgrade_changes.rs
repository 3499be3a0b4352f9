//! The writes of upgrades, on a real API server with the operators' real CRDs: every change passes strict
//! validation, owners are those of the server, and the fields of a guard are removed at the end,
//! regardless of which client created the object.
#![allow(
    clippy::disallowed_methods,
    dead_code,
    unreachable_pub,
    reason = "a failure here is a failed test; the harness offers more"
)]

mod change;
mod refusals;
mod webhook;

use kubectl_emqx::k8s::{Cluster, Connect};
use kubectl_emqx::model::access::KubernetesFlags;
use kubectl_emqx::model::image::Image;
use kubectl_emqx::model::{Instance, World};
use kubectl_emqx::plan::upgrade::target::{UpgradeRequest, UpgradeTarget, Wanted, Way};
use kubectl_emqx::ports::{Kubernetes, RefreshScope, Scope};
use serde_json::{Value, json};
use test_support::control_plane::{ControlPlane, Line, Options};

/// As the admin, or with a user's permissions.
async fn connect(plane: &ControlPlane, user: Option<&str>) -> Cluster {
    let kubeconfig = user.map_or_else(|| plane.admin_kubeconfig(), |user| plane.kubeconfig_for(user));
    let connect =
        Connect::from(KubernetesFlags { kubeconfig: Some(kubeconfig), ..KubernetesFlags::default() });
    Cluster::connect(&connect).await.expect("it connects")
}

/// `kubectl apply` with these options, as a user runs it in a shell.
async fn kubectl_apply(plane: &ControlPlane, manifest: &Value, options: &[&str]) {
    let args: Vec<&str> = ["apply", "-f", "-"].iter().chain(options).copied().collect();
    plane.kubectl_as(&plane.admin_kubeconfig(), &args, Some(&manifest.to_string())).await.ok();
}

/// The instance as the program reads it, and as the server has it.
async fn instance(plane: &ControlPlane, cluster: &Cluster, name: &str) -> (Instance, Value) {
    let scope = Scope {
        namespace: Some(plane.namespace().to_owned()),
        instance: Some((None, name.to_owned())),
        want: RefreshScope { instances: true, states: true, ..RefreshScope::default() },
        ..Scope::default()
    };
    let world = World::of(cluster.read(&scope).await.expect("it is read"));
    let id = world.ids().into_iter().find(|id| id.name == name).expect("it is there");
    let object = cluster.object(&id).await.expect("it can be asked for").expect("it is there");
    (world.instance(&id).expect("it is known").clone(), object)
}

/// The target of an upgrade to this image, with all other values of the object.
fn resolved(instance: &Instance, image: &str, way: Option<Way>) -> UpgradeTarget {
    let ask = UpgradeRequest {
        way,
        ..UpgradeRequest::new(Wanted::Image(Image::parse(image).expect("a reference")))
    };
    UpgradeTarget::of(instance, &ask).expect("the image can be used")
}

fn enterprise(name: &str, block: Option<Value>) -> Value {
    let image = json!({"repository": "emqx/emqx-ee", "version": "4.4.19"});
    let mut manifest = json!({"apiVersion": "apps.emqx.io/v1beta4", "kind": "EmqxEnterprise",
        "metadata": {"name": name}, "spec": {"replicas": 3, "template": {"spec": {"emqxContainer": {"image": image}}}}});
    if let Some(block) = block {
        manifest["spec"]["blueGreenUpdate"] = block;
    }
    manifest
}

fn emqx(version: &str, name: &str) -> Value {
    json!({"apiVersion": format!("apps.emqx.io/{version}"), "kind": "EMQX", "metadata": {"name": name},
        "spec": {"image": "emqx/emqx-enterprise:5.8.6", "coreTemplate": {"spec": {"replicas": 2}}}})
}

/// All steps use one control plane, because its start takes most of the time.
#[tokio::test]
async fn upgrades_and_a_real_api_server() {
    let Some(plane) = ControlPlane::start_or_skip(Options::default()).await else { return };
    plane.install(Line::V22).await;
    change::taken_strictly(&plane, &enterprise("strict-ee", None), "emqx/emqx-ee:4.4.24").await;
    change::taken_strictly(&plane, &emqx("v2beta1", "strict"), "emqx/emqx-enterprise:5.8.7").await;
    change::guarded_and_given_back(&plane).await;
    change::restored_although_another_client_wrote_it_too(&plane).await;
    change::owners_are_those_of_the_server(&plane).await;
    refusals::gates(&plane).await;
    refusals::rights(&plane).await;
    refusals::what_is_wrong_with_the_object(&plane).await;
    webhook::refusals(&plane).await;

    plane.install(Line::V23).await;
    change::taken_strictly(&plane, &emqx("v2", "strict"), "emqx/emqx-enterprise:5.10.0").await;
    plane.install(Line::V30).await;
    change::taken_strictly(&plane, &emqx("v3beta1", "strict"), "emqx/emqx-enterprise:5.10.0").await;
}
