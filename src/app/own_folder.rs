//! The user's own state folder, for every command.

use std::path::PathBuf;
use std::rc::Rc;

use jiff::Timestamp;
use serde_json::Value;

use super::log::Held;
use crate::cli::Global;
use crate::model::{InstanceId, NodeName};
use crate::ports::RecordingSink;
use crate::ports::history::StateFolder;
use crate::replay::Recorder;
use crate::state_folder::{Folder, OwnRecording};

/// Records to two places.
struct Both(Rc<dyn RecordingSink>, Rc<dyn RecordingSink>);

impl RecordingSink for Both {
    fn records(&self) -> bool {
        self.0.records() || self.1.records()
    }

    fn kubernetes(&self, at: Timestamp, event: &str, object: &Value) {
        self.0.kubernetes(at, event, object);
        self.1.kubernetes(at, event, object);
    }

    fn emqx(&self, at: Timestamp, instance: &InstanceId, path: &str, status: u16, body: &Value) {
        self.0.emqx(at, instance, path, status, body);
        self.1.emqx(at, instance, path, status, body);
    }

    fn started(&self, at: Timestamp, instance: &InstanceId, coordinator: &NodeName, request: &Value) {
        self.0.started(at, instance, coordinator, request);
        self.1.started(at, instance, coordinator, request);
    }

    fn ends(&self, at: Timestamp) {
        self.0.ends(at);
        self.1.ends(at);
    }
}

/// Also records the read data in the state folder, where the command starts an operation.
pub(super) fn recorded(
    global: &Global,
    tap: Option<Rc<dyn RecordingSink>>,
) -> (Option<Rc<dyn RecordingSink>>, Option<OwnRecording>) {
    if !global.records || global.folder.is_none() {
        return (tap, None);
    }
    let own = OwnRecording::default();
    let place = own.clone();
    let ends = move |why: &str| {
        // Before an operation is followed no recording can be incomplete.
        if place.is_kept() {
            let text = format!("notice: the recording in your state folder ends here: {why}\n");
            // Ignore write errors of stderr: they cannot be reported.
            let _ = std::io::Write::write_all(&mut Held, text.as_bytes());
        }
    };
    let recorder: Rc<dyn RecordingSink> =
        Rc::new(Recorder::to(Box::new(own.clone())).on_failure(Box::new(ends)));
    let tap = match tap {
        Some(tap) => Rc::new(Both(tap, recorder)) as Rc<dyn RecordingSink>,
        None => recorder,
    };
    (Some(tap), Some(own))
}

/// The user's own state folder, for operations of the present cluster.
pub(super) fn folder(
    global: &Global,
    server: Option<&str>,
    own: Option<OwnRecording>,
) -> Option<Rc<dyn StateFolder>> {
    let path: PathBuf = global.folder.clone()?;
    let emqx = || global.emqx.urls.first().map(ToString::to_string);
    let cluster = server.map(without_secrets).or_else(emqx);
    Some(Rc::new(Folder::new(path, cluster, own)))
}

/// An address without a name and a password, and with a hash of its path: the path may be a secret, and it
/// distinguishes clusters behind one proxy.
fn without_secrets(server: &str) -> String {
    let Some((scheme, rest)) = server.split_once("://") else { return server.to_owned() };
    let (place, path) = rest.split_once('/').map_or((rest, ""), |(place, path)| (place, path));
    let host = place.rsplit('@').next().unwrap_or(place);
    if path.trim_matches('/').is_empty() {
        return format!("{scheme}://{host}");
    }
    let hash = ring::digest::digest(&ring::digest::SHA256, path.as_bytes());
    let word = hash.as_ref().iter().take(4).fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    format!("{scheme}://{host}#{word:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_named_without_credentials() {
        assert_eq!(without_secrets("https://ann:secret@10.0.0.1:6443/"), "https://10.0.0.1:6443");
        let one = without_secrets("https://10.0.0.1:6443/k8s/one");
        assert!(one.starts_with("https://10.0.0.1:6443#") && !one.contains("one"), "{one}");
        assert_ne!(one, without_secrets("https://10.0.0.1:6443/k8s/two"));
        assert_eq!(without_secrets("10.0.0.1"), "10.0.0.1");
    }
}
