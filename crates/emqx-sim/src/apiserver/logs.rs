//! `pods/log`: what EMQX prints when it starts, with the virtual time of its container.

use std::collections::BTreeMap;

use super::{Body, Bytes, Failure, Place, Response, Server, Value};

impl Server {
    /// The log of the pod's only container; a container that does not run has none, as on a real kubelet.
    pub(super) fn log(&self, place: &Place<'_>, query: &BTreeMap<String, String>) -> Response<Body> {
        let pod = match self.verbs.get(&self.pod_call(place)) {
            Ok((_, pod, _)) => pod,
            Err(failure) => return self.failed(&failure),
        };
        let wanted = query.get("container").map(String::as_str);
        let name = pod["spec"]["containers"][0]["name"].as_str().unwrap_or("emqx");
        if let Some(other) = wanted.filter(|wanted| *wanted != name) {
            let text = format!("container {other} is not valid for pod {}", place.name);
            return self.failed(&Failure::bad_request(text));
        }
        let state = &pod["status"]["containerStatuses"][0]["state"];
        let Some(started) = state["running"]["startedAt"].as_str() else {
            let reason = state["waiting"]["reason"].as_str().unwrap_or("ContainerCreating");
            let text =
                format!("container \"{name}\" in pod \"{}\" is waiting to start: {reason}", place.name);
            return self.failed(&Failure::bad_request(text));
        };
        let lines = lines(&pod, started);
        let tail = query.get("tailLines").and_then(|text| text.parse().ok()).unwrap_or(lines.len());
        let mut text = lines[lines.len().saturating_sub(tail)..].join("\n");
        text.push('\n');
        self.plain(200, "text/plain", Bytes::from(text))
    }
}

fn lines(pod: &Value, started: &str) -> Vec<String> {
    let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
    let version = image.rsplit_once(':').map_or("5", |(_, tag)| tag);
    let listeners = [("ssl", 8883), ("tcp", 1883), ("ws", 8083), ("wss", 8084)];
    let mut lines: Vec<String> = listeners
        .iter()
        .map(|(kind, port)| format!("Listener {kind}:default on 0.0.0.0:{port} started."))
        .collect();
    lines.push("Listener http:dashboard on :18083 started.".to_owned());
    lines.push(format!("EMQX Enterprise {version} is running now!"));
    lines.push(format!(
        "{started} [info] msg: node_is_up, pod: {}",
        pod["metadata"]["name"].as_str().unwrap_or("?")
    ));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_log_names_the_version_of_the_image() {
        let pod = json!({"metadata": {"name": "emqx-core-0"},
            "spec": {"containers": [{"name": "emqx", "image": "emqx/emqx-enterprise:5.8.6"}]}});
        let lines = lines(&pod, "2026-11-23T10:00:00Z");
        assert!(lines.iter().any(|line| line == "EMQX Enterprise 5.8.6 is running now!"), "{lines:?}");
        assert!(lines.last().is_some_and(|line| line.contains("emqx-core-0")), "{lines:?}");
    }
}
