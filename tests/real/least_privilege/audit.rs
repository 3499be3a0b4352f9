//! The requests to the API server, from its own audit log, which it writes between the lines of its other
//! log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use test_support::control_plane::{ControlPlane, Options, until};

/// A control plane that logs the user and the resource of each request.
pub fn options() -> Options {
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/control_plane/audit.yaml");
    let args = [format!("--audit-policy-file={policy}"), "--audit-log-path=-".to_owned()];
    Options { api_server_args: args.to_vec(), ..Options::default() }
}

/// The requests of one user: `verb resource`, and whether they were allowed. Discovery, and reviews of the
/// user's own permissions, which every authenticated user may request, are excluded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub allowed: BTreeSet<String>,
    pub refused: BTreeSet<String>,
    /// The objects that were read or listed by name: `resource/name`.
    pub names: BTreeSet<String>,
    /// Lists and watches without a selector, which include objects of other applications.
    pub whole: BTreeSet<String>,
}

/// A namespace may have thousands of these that are not EMQX's: requests for them use a selector.
const CROWDED: [&str; 5] = ["pods", "statefulsets", "replicasets", "endpointslices", "events"];

const FORWARD: &str = "get pods/portforward";

/// All requests so far, by user.
pub async fn read(plane: &ControlPlane) -> BTreeMap<String, Asked> {
    until("the audit log", Duration::from_mins(1), async || {
        let text =
            std::fs::read_to_string(plane.dir().join("kube-apiserver.log")).map_err(|e| e.to_string())?;
        // The last line may be incomplete.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().filter(|line| line.starts_with("{\"kind\":\"Event\""));
        let events: Vec<Value> = lines
            .map(|line| serde_json::from_str(line).map_err(|e| format!("{e}: {line}")))
            .collect::<Result<_, _>>()?;
        gathered(&events)
    })
    .await
}

/// Fails while a request has no answer yet.
fn gathered(events: &[Value]) -> Result<BTreeMap<String, Asked>, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let answered: BTreeMap<&str, (u64, &Value)> = events
        .iter()
        .filter_map(|event| {
            let code = event["responseStatus"]["code"].as_u64()?;
            // The impersonated name is known only after the request was authenticated.
            let who = event.get("impersonatedUser").unwrap_or(&event["user"]);
            Some((event["auditID"].as_str()?, (code, who)))
        })
        .collect();
    let mut found: BTreeMap<String, Asked> = BTreeMap::new();
    for event in events.iter().filter(|event| event["stage"] == "RequestReceived") {
        let about = &event["objectRef"];
        let (resource, verb) = (text(&about["resource"]), text(&event["verb"]));
        if resource.is_empty() || resource == "selfsubjectaccessreviews" {
            continue;
        }
        let Some((code, who)) = answered.get(event["auditID"].as_str().unwrap_or_default()) else {
            return Err(format!("no answer to {event}"));
        };
        let subresource = about["subresource"].as_str().map_or_else(String::new, |it| format!("/{it}"));
        let asked = found.entry(text(&who["username"])).or_default();
        if let Some(name) = about["name"].as_str() {
            asked.names.insert(format!("{resource}/{name}"));
        }
        let uri = text(&event["requestURI"]);
        let narrowed = uri.contains("labelSelector=") || uri.contains("fieldSelector=");
        if CROWDED.contains(&resource.as_str()) && matches!(verb.as_str(), "list" | "watch") && !narrowed {
            asked.whole.insert(uri);
        }
        let right = format!("{verb} {resource}{subresource}");
        let set = if *code == 403 { &mut asked.refused } else { &mut asked.allowed };
        if right == FORWARD {
            // Over a WebSocket it is a GET, for which `create` is reviewed as well, without a line of its
            // own.
            set.insert(right.replace("get", "create"));
        }
        set.insert(right);
    }
    Ok(found)
}
