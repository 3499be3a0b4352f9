//! This program's Lease of an instance: two processes that move the same clients at the same time would
//! disconnect them twice.

use hyper::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::error::ApiError;
use super::wire::GROUP;
use crate::error::Problem;
use crate::model::Instance;

use crate::model::human::seconds_between;
use crate::model::operation_state::{STATE_LABEL, state_name};
use crate::model::url::encode;
use crate::timing::LEASE_SECONDS;

/// The name of this process for others: user, host and process id.
pub(super) fn holder() -> String {
    format!("{} (process {})", client(), std::process::id())
}

/// The user and host of this process: `user@host`.
pub(super) fn client() -> String {
    #[expect(clippy::disallowed_methods, reason = "k8s reads the environment to name this process to others")]
    let word = |name: &str| std::env::var(name).ok().filter(|word| !word.is_empty());
    let user = word("USER").or_else(|| word("USERNAME")).unwrap_or_else(|| "unknown".to_owned());
    #[expect(clippy::disallowed_methods, reason = "the host's name stands in a file of the kernel")]
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|host| host.trim().to_owned());
    let host =
        host.filter(|host| !host.is_empty()).or_else(|| word("HOSTNAME")).or_else(|| word("COMPUTERNAME"));
    format!("{user}@{}", host.unwrap_or_else(|| "unknown".to_owned()))
}

fn collection(instance: &Instance) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", encode(&instance.id.namespace))
}

fn what(instance: &Instance) -> String {
    format!("cannot take Lease {}/{}", instance.id.namespace, state_name(&instance.id))
}

fn micro(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

pub(super) async fn take(cluster: &Cluster, instance: &Instance) -> Result<Option<String>, Problem> {
    let id = &instance.id;
    let path = format!("{}/{}", collection(instance), encode(&state_name(id)));
    let query = format!("fieldManager={}", encode(&cluster.field_manager));
    for _ in 0..3 {
        let now = cluster.now();
        match cluster.api.get(&path).await {
            Ok(mut lease) => {
                if let Some(other) = held(&lease, now) {
                    return Ok(Some(other));
                }
                let ours = lease["spec"]["holderIdentity"] == holder().as_str();
                lease["spec"]["holderIdentity"] = json!(holder());
                lease["spec"]["leaseDurationSeconds"] = json!(LEASE_SECONDS);
                lease["spec"]["renewTime"] = json!(micro(now));
                if !ours {
                    lease["spec"]["acquireTime"] = json!(micro(now));
                }
                match cluster.api.call(Method::PUT, &format!("{path}?{query}"), Some(&lease)).await {
                    Ok(_) => return Ok(None),
                    // Another process was faster, or the Lease was released: it is read again.
                    Err(ApiError::Refused { code: 404 | 409, .. }) => {}
                    Err(trouble) => {
                        return Err(
                            trouble.problem(what(instance), "verb update on leases.coordination.k8s.io")
                        );
                    }
                }
            }
            Err(trouble) if trouble.is_absent() => {
                let lease = new(instance, now);
                let path = format!("{}?{query}", collection(instance));
                match cluster.api.call(Method::POST, &path, Some(&lease)).await {
                    Ok(_) => return Ok(None),
                    Err(ApiError::Refused { code: 409, .. }) => {}
                    Err(trouble) => {
                        return Err(
                            trouble.problem(what(instance), "verb create on leases.coordination.k8s.io")
                        );
                    }
                }
            }
            Err(trouble) => {
                return Err(trouble.problem(what(instance), "verb get on leases.coordination.k8s.io"));
            }
        }
    }
    Err(Problem::new(what(instance), "other processes change it all the time"))
}

/// Another process that holds the Lease and renewed it in time.
fn held(lease: &Value, now: Timestamp) -> Option<String> {
    let other = lease["spec"]["holderIdentity"].as_str().filter(|other| !other.is_empty())?;
    let renewed: Option<Timestamp> = lease["spec"]["renewTime"].as_str().and_then(|text| text.parse().ok());
    let lasts = lease["spec"]["leaseDurationSeconds"].as_u64().unwrap_or(LEASE_SECONDS);
    let fresh = renewed.is_some_and(|renewed| seconds_between(renewed, now) < lasts);
    (fresh && other != holder()).then(|| other.to_owned())
}

fn new(instance: &Instance, now: Timestamp) -> Value {
    let id = &instance.id;
    let (label, ours) = STATE_LABEL;
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": state_name(id), "namespace": id.namespace, "labels": { label: ours },
            "ownerReferences": [{
                "apiVersion": format!("{GROUP}/{}", instance.api), "kind": id.kind.as_str(), "name": id.name,
                "uid": instance.uid, "controller": false, "blockOwnerDeletion": false,
            }],
        },
        "spec": {
            "holderIdentity": holder(), "leaseDurationSeconds": LEASE_SECONDS, "acquireTime": micro(now),
            "renewTime": micro(now),
        },
    })
}

pub(super) async fn release(cluster: &Cluster, instance: &Instance) -> Result<(), Problem> {
    let path = format!("{}/{}", collection(instance), encode(&state_name(&instance.id)));
    let Ok(mut lease) = cluster.api.get(&path).await else { return Ok(()) };
    if lease["spec"]["holderIdentity"] != holder().as_str() {
        return Ok(());
    }
    lease["spec"]["holderIdentity"] = json!("");
    let query = format!("fieldManager={}", encode(&cluster.field_manager));
    match cluster.api.call(Method::PUT, &format!("{path}?{query}"), Some(&lease)).await {
        // A Lease that was not released expires.
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_of_another_process_counts_until_it_runs_out() {
        let now: Timestamp = "2026-11-27T10:00:00Z".parse().expect("a time");
        let lease = |holder: &str, renewed: &str| json!({"spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed}});
        assert_eq!(held(&lease("other", "2026-11-27T09:59:50.000000Z"), now).as_deref(), Some("other"));
        assert_eq!(held(&lease("other", "2026-11-27T09:59:40.000000Z"), now), None);
        assert_eq!(held(&lease("", "2026-11-27T09:59:59.000000Z"), now), None);
        assert_eq!(held(&lease(&holder(), "2026-11-27T09:59:59.000000Z"), now), None);
    }
}
