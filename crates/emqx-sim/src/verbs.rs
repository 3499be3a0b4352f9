//! The verbs of the Kubernetes API on the store: get, list, create, update, patch, delete, with generations,
//! finalizers, dry runs and the status subresource.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use serde_json::{Value, json};

use super::lease;
use super::managed::{self, Who};
use super::patch::{self, Kind};
use super::resources::{GROUP, Resource};
use super::schema::{FieldValidation, Schemas};
use super::selector::Selector;
use super::status::Failure;
use super::store::{Key, Locked, Store};
use super::workloads;

/// One request for one resource, parsed and permitted.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) resource: usize,
    pub(super) version: String,
    /// `None` is all namespaces (or none).
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) sub: String,
    pub(super) dry_run: bool,
    pub(super) fields: FieldValidation,
    /// The field manager, and whether an apply takes over fields of others.
    pub(super) manager: String,
    pub(super) force: bool,
    pub(super) limit: usize,
    pub(super) from: String,
    pub(super) selector: Selector,
}

/// An answer with its warnings.
pub(super) type Done = Result<(u16, Value, Vec<String>), Failure>;

/// An object in one API version: only `apiVersion` changes, and fields that the version does not know are
/// removed.
pub(super) fn present(resource: &Resource, version: &str, object: &Value) -> Value {
    let mut shown = object.clone();
    if resource.group == GROUP {
        shown["apiVersion"] = json!(format!("{GROUP}/{version}"));
        if resource.plural == "rebalances"
            && version == "v1beta4"
            && let Some(spec) = shown["spec"].as_object_mut()
        {
            spec.remove("instanceKind");
        }
    }
    shown
}

/// The API's verbs over a store.
#[derive(Clone)]
pub(super) struct Verbs {
    pub(super) store: Store,
    pub(super) schemas: Arc<Schemas>,
    /// Whether the operator's process is alive: while it is, it renews its Lease.
    pub(super) operator_alive: Arc<AtomicBool>,
}

impl Verbs {
    fn described(&self, call: &Call) -> Resource {
        *self.store.registry.get(call.resource)
    }

    fn key(call: &Call) -> Key {
        let namespace = call.namespace.clone().unwrap_or_default();
        Key { resource: call.resource, namespace, name: call.name.clone() }
    }

    /// The writer of a call, as `managedFields` names it.
    fn who<'c>(call: &'c Call, kind: Kind, api_version: &'c str, now: &'c str) -> Who<'c> {
        let operation = if kind == Kind::Apply { "Apply" } else { "Update" };
        Who { manager: &call.manager, operation, api_version, sub: &call.sub, now }
    }

    fn shown(&self, call: &Call, object: &Value) -> Value {
        present(&self.described(call), &call.version, object)
    }

    /// Renews the operator's Lease before it is read.
    fn renew(&self, call: &Call) {
        if self.described(call).plural == "leases" && self.operator_alive.load(Ordering::SeqCst) {
            lease::renew(&self.store, &mut self.store.lock());
        }
    }

    pub(super) fn get(&self, call: &Call) -> Done {
        self.renew(call);
        let found = self.store.lock().get(&Self::key(call));
        let object = found.ok_or_else(|| Failure::not_found(&self.described(call), &call.name))?;
        Ok((200, self.shown(call, &object), Vec::new()))
    }

    pub(super) fn list(&self, call: &Call) -> Done {
        let resource = self.described(call);
        let after = continue_after(&call.from)?;
        self.renew(call);
        let locked = self.store.lock();
        let version = locked.version();
        let found = locked.list(call.resource, call.namespace.as_deref());
        drop(locked);
        let mut rest = found
            .into_iter()
            .filter(|(key, object)| {
                after.as_ref().is_none_or(|after| (&key.namespace, &key.name) > (&after.0, &after.1))
                    && call.selector.matches(object)
            })
            .peekable();
        let mut items = Vec::new();
        let mut last = None;
        while let Some((key, object)) = rest.next_if(|_| call.limit == 0 || items.len() < call.limit) {
            let mut item = self.shown(call, &object);
            if resource.group != GROUP
                && let Some(item) = item.as_object_mut()
            {
                item.remove("apiVersion");
                item.remove("kind");
            }
            items.push(item);
            last = Some(key);
        }
        let mut metadata = json!({ "resourceVersion": version.to_string() });
        if rest.peek().is_some()
            && let Some(last) = last
        {
            let token = format!("{}\n{}", last.namespace, last.name);
            metadata["continue"] = json!(base64::engine::general_purpose::STANDARD.encode(token));
            metadata["remainingItemCount"] = json!(rest.count());
        }
        let api_version = if resource.group.is_empty() {
            call.version.clone()
        } else {
            format!("{}/{}", resource.group, call.version)
        };
        let list = json!({
            "apiVersion": api_version, "kind": format!("{}List", resource.kind), "metadata": metadata, "items": items,
        });
        Ok((200, list, Vec::new()))
    }

    /// Converts an object of any version to the stored one and validates it.
    fn admit(&self, call: &Call, object: &mut Value) -> Result<Vec<String>, Failure> {
        let resource = self.described(call);
        let warnings = self.schemas.admit(&resource, &call.version, object, call.fields)?;
        if resource.group == GROUP {
            object["apiVersion"] = json!(format!("{GROUP}/{}", resource.versions[0]));
            if resource.plural == "rebalances" && call.version == "v1beta4" && object["spec"].is_object() {
                // The conversion of 2.2 writes EMQX whatever the user wrote: the trap of the manuals.
                object["spec"]["instanceKind"] = json!("EMQX");
            }
        }
        Ok(warnings)
    }

    pub(super) fn create(&self, call: &Call, object: Value) -> Done {
        self.make(call, object, Kind::Merge)
    }

    fn make(&self, call: &Call, mut object: Value, kind: Kind) -> Done {
        let resource = self.described(call);
        let wanted = if resource.group.is_empty() {
            call.version.clone()
        } else {
            format!("{}/{}", resource.group, call.version)
        };
        if !object.is_object() || !object["metadata"].is_object() {
            return Err(Failure::bad_request("the object provided is unrecognized (must be of type Object)"));
        }
        if object["kind"] != resource.kind || object["apiVersion"] != wanted.as_str() {
            let (version, kind) = (&object["apiVersion"], &object["kind"]);
            return Err(Failure::bad_request(format!(
                "the API version in the data ({version}, Kind={kind}) does not match the expected API version ({wanted}, Kind={})",
                resource.kind
            )));
        }
        let namespace = call.namespace.clone().unwrap_or_default();
        if object["metadata"]["namespace"].as_str().is_some_and(|own| !own.is_empty() && own != namespace) {
            return Err(Failure::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        if resource.namespaced {
            object["metadata"]["namespace"] = json!(namespace);
        }
        if resource.status
            && let Some(map) = object.as_object_mut()
        {
            map.remove("status");
        }
        let sent = object.clone();
        let warnings = self.admit(call, &mut object)?;
        let mut locked = self.store.lock();
        let name = match (object["metadata"]["name"].as_str(), object["metadata"]["generateName"].as_str()) {
            (Some(name), _) if !name.is_empty() => name.to_owned(),
            (_, Some(stem)) if !stem.is_empty() => {
                format!("{stem}{}", super::names::suffix(locked.version()))
            }
            _ => {
                let cause = (
                    "FieldValueRequired",
                    "metadata.name".to_owned(),
                    "Required value: name or generateName is required".to_owned(),
                );
                return Err(Failure::invalid(&resource, "", &[cause]));
            }
        };
        if !is_name(&name) {
            let text = format!(
                "Invalid value: \"{name}\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
            );
            let cause = ("FieldValueInvalid", "metadata.name".to_owned(), text);
            return Err(Failure::invalid(&resource, &name, &[cause]));
        }
        object["metadata"]["name"] = json!(name);
        let key = Key { resource: call.resource, namespace: namespace.clone(), name: name.clone() };
        if locked.get(&key).is_some() {
            return Err(Failure::exists(&resource, &name));
        }
        if let (true, Some(spaces)) = (resource.namespaced, self.store.registry.index("namespaces")) {
            let home = Key { resource: spaces, namespace: String::new(), name: namespace.clone() };
            if locked.get(&home).is_none() {
                return Err(Failure::not_found(self.store.registry.get(spaces), &namespace));
            }
        }
        copy_annotations(&resource, &mut object);
        self.schemas.webhook(&resource, None, &object)?;
        let uid = locked.new_uid();
        let now = locked.now();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.retain(|key, value| {
                !value.is_null()
                    && !["resourceVersion", "managedFields", "deletionTimestamp", "selfLink"]
                        .contains(&key.as_str())
            });
            metadata.insert("uid".to_owned(), json!(uid));
            metadata.insert("creationTimestamp".to_owned(), json!(now));
            if resource.status {
                metadata.insert("generation".to_owned(), json!(1));
            }
        }
        if kind == Kind::Apply {
            // The applier owns only the fields that it sent; the rest are defaults.
            let mut own = sent;
            managed::created(&mut own, &Self::who(call, kind, &wanted, &now));
            object["metadata"]["managedFields"] = own["metadata"]["managedFields"].take();
        } else {
            managed::created(&mut object, &Self::who(call, kind, &wanted, &now));
        }
        let stored = if call.dry_run { Arc::new(object) } else { locked.put(key, object) };
        drop(locked);
        Ok((201, self.shown(call, &stored), warnings))
    }

    pub(super) fn update(&self, call: &Call, object: Value) -> Done {
        let mut locked = self.store.lock();
        let Some(old) = locked.get(&Self::key(call)) else {
            return Err(Failure::not_found(&self.described(call), &call.name));
        };
        self.replace(call, &mut locked, &old, object, Kind::Merge)
    }

    pub(super) fn patch(&self, call: &Call, kind: Kind, change: &Value) -> Done {
        if call.sub == "scale" {
            let object = Call { sub: String::new(), ..call.clone() };
            let replicas = json!({ "spec": { "replicas": change["spec"]["replicas"] } });
            let (code, set, warnings) = self.patch(&object, kind, &replicas)?;
            let scale = json!({
                "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": { "name": call.name },
                "spec": { "replicas": set["spec"]["replicas"] },
            });
            return Ok((code, scale, warnings));
        }
        let resource = self.described(call);
        let mut locked = self.store.lock();
        let Some(old) = locked.get(&Self::key(call)) else {
            drop(locked);
            if kind == Kind::Apply && call.sub.is_empty() {
                return self.make(call, change.clone(), kind);
            }
            return Err(Failure::not_found(&resource, &call.name));
        };
        let shown = self.shown(call, &old);
        let patched = if kind == Kind::Apply {
            let (version, now) = (text(&shown["apiVersion"]), locked.now());
            let who = Self::who(call, kind, &version, &now);
            managed::applied(&shown, change, &who, call.force)
                .map_err(|conflicts| Failure::field_conflicts(&conflicts))?
        } else {
            patch::patch(kind, &shown, change).map_err(Failure::bad_request)?
        };
        self.replace(call, &mut locked, &old, patched, kind)
    }

    /// Writes a new state of an object; fields that this endpoint may not change stay.
    fn replace(
        &self,
        call: &Call,
        locked: &mut Locked<'_>,
        old: &Arc<Value>,
        mut object: Value,
        kind: Kind,
    ) -> Done {
        let resource = self.described(call);
        if !object.is_object() {
            return Err(Failure::bad_request("the object provided is unrecognized (must be of type Object)"));
        }
        let sent = &object["metadata"];
        let stale = |field: &str| {
            sent[field].as_str().is_some_and(|value| !value.is_empty() && old["metadata"][field] != value)
        };
        if stale("resourceVersion") || stale("uid") {
            return Err(Failure::conflict(&resource, &call.name));
        }
        // An apply has recorded the owners already.
        let owners = (kind == Kind::Apply).then(|| object["metadata"]["managedFields"].take());
        let mut next = (**old).clone();
        let mut warnings = Vec::new();
        if call.sub == "status" {
            object["metadata"] = old["metadata"].clone();
            object["spec"] = self.shown(call, old)["spec"].clone();
            self.admit(call, &mut object)?;
            next["status"] = object["status"].take();
        } else {
            warnings = self.admit(call, &mut object)?;
            object["apiVersion"] = old["apiVersion"].clone();
            object["kind"] = old["kind"].clone();
            let kept = &old["metadata"];
            let metadata = &mut object["metadata"];
            for field in [
                "name",
                "namespace",
                "uid",
                "creationTimestamp",
                "generation",
                "resourceVersion",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "generateName",
            ] {
                if kept[field].is_null() {
                    if let Some(metadata) = metadata.as_object_mut() {
                        metadata.remove(field);
                    }
                } else {
                    metadata[field] = kept[field].clone();
                }
            }
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.remove("managedFields");
                if !kept["managedFields"].is_null() {
                    metadata.insert("managedFields".to_owned(), kept["managedFields"].clone());
                }
                metadata.retain(|_, value| {
                    !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty())
                });
            }
            if resource.status {
                match old.get("status") {
                    Some(status) => object["status"] = status.clone(),
                    None => drop(object.as_object_mut().and_then(|map| map.remove("status"))),
                }
            }
            copy_annotations(&resource, &mut object);
            self.schemas.webhook(&resource, Some(old), &object)?;
            if resource.status && object["spec"] != old["spec"] {
                let generation = old["metadata"]["generation"].as_u64().unwrap_or(1);
                object["metadata"]["generation"] = json!(generation + 1);
            }
            next = object;
        }
        if next["status"].is_null()
            && let Some(map) = next.as_object_mut()
        {
            map.remove("status");
        }
        let (version, now) = (text(&self.shown(call, old)["apiVersion"]), locked.now());
        let same = next == **old;
        if let Some(owners) = owners {
            next["metadata"]["managedFields"] = owners;
        } else if !same {
            managed::updated(old, &mut next, &Self::who(call, kind, &version, &now));
        }
        if call.dry_run || next == **old {
            return Ok((200, self.shown(call, &next), warnings));
        }
        let key = Self::key(call);
        let terminating = !next["metadata"]["deletionTimestamp"].is_null();
        let held = next["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        let stored = if terminating && !held {
            // The last finalizer was removed. As on the real server, DELETED shows the state before, with the
            // finalizer.
            locked.remove(&key).unwrap_or_else(|| Arc::new(next))
        } else {
            locked.put(key, next)
        };
        Ok((200, self.shown(call, &stored), warnings))
    }

    pub(super) fn delete(&self, call: &Call, options: &Value) -> Done {
        let resource = self.described(call);
        let key = Self::key(call);
        let mut locked = self.store.lock();
        let Some(old) = locked.get(&key) else {
            return Err(Failure::not_found(&resource, &call.name));
        };
        for field in ["uid", "resourceVersion"] {
            let wanted = &options["preconditions"][field];
            if !wanted.is_null() && *wanted != old["metadata"][field] {
                return Err(Failure::conflict(&resource, &call.name));
            }
        }
        let dry_run = call.dry_run || options["dryRun"].as_array().is_some_and(|list| !list.is_empty());
        let success = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {
                "name": call.name, "group": resource.group, "kind": resource.plural, "uid": old["metadata"]["uid"],
            },
        });
        // A pod has a grace period; the kubelet removes it.
        let lifecycles = resource.plural == "pods" && options["gracePeriodSeconds"] != 0;
        if lifecycles && !dry_run {
            workloads::mark(&mut locked, &key, &old);
            let marked = locked.get(&key).unwrap_or(old);
            return Ok((200, self.shown(call, &marked), Vec::new()));
        }
        if old["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
            if !dry_run {
                locked.remove(&key);
            }
            return Ok((200, success, Vec::new()));
        }
        if !old["metadata"]["deletionTimestamp"].is_null() || dry_run {
            return Ok((200, self.shown(call, &old), Vec::new()));
        }
        let mut terminating = (*old).clone();
        terminating["metadata"]["deletionTimestamp"] = json!(locked.now());
        terminating["metadata"]["deletionGracePeriodSeconds"] = json!(0);
        let generation = old["metadata"]["generation"].as_u64().unwrap_or(1);
        terminating["metadata"]["generation"] = json!(generation + 1);
        let stored = locked.put(key, terminating);
        Ok((200, self.shown(call, &stored), Vec::new()))
    }

    /// The eviction of a pod: as a delete, if PodDisruptionBudgets allow it.
    pub(super) fn evict(&self, call: &Call, eviction: &Value) -> Done {
        let resource = self.described(call);
        let mut locked = self.store.lock();
        let key = Self::key(call);
        let pod = locked.get(&key).ok_or_else(|| Failure::not_found(&resource, &call.name))?;
        let wanted = &eviction["deleteOptions"]["preconditions"]["uid"];
        if let Some(wanted) = wanted.as_str().filter(|wanted| pod["metadata"]["uid"] != **wanted) {
            let has = pod["metadata"]["uid"].as_str().unwrap_or_default();
            return Err(Failure::other_uid(&resource, &call.name, wanted, has));
        }
        super::budgets::allows(&locked, &self.store.registry, &key, &pod)?;
        let dry_run =
            call.dry_run || eviction["deleteOptions"]["dryRun"].as_array().is_some_and(|it| !it.is_empty());
        if !dry_run {
            workloads::mark(&mut locked, &key, &pod);
        }
        let success = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" });
        Ok((201, success, Vec::new()))
    }

    pub(super) fn delete_all(&self, call: &Call, options: &Value) -> Done {
        let found = self.store.lock().list(call.resource, call.namespace.as_deref());
        for (key, object) in found {
            if call.selector.matches(&object) {
                let one = Call { name: key.name, namespace: Some(key.namespace), ..call.clone() };
                self.delete(&one, options)?;
            }
        }
        Ok((
            200,
            json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" }),
            Vec::new(),
        ))
    }
}

/// The effect of the mutating webhook of operator 2.2 on a v1beta4 object (`defaultLabelsAndAnnotations`):
/// every annotation except kubectl's own is copied into the pod template and into the Service, and is never
/// removed there.
fn copy_annotations(resource: &Resource, object: &mut Value) {
    if resource.group != GROUP || resource.versions[0] != "v1beta4" {
        return;
    }
    let annotations = object["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    for (key, value) in annotations {
        if key != "kubectl.kubernetes.io/last-applied-configuration" {
            for template in ["template", "serviceTemplate"] {
                object["spec"][template]["metadata"]["annotations"][&key] = value.clone();
            }
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn continue_after(token: &str) -> Result<Option<(String, String)>, Failure> {
    if token.is_empty() {
        return Ok(None);
    }
    base64::engine::general_purpose::STANDARD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.split_once('\n').map(|(space, name)| (space.to_owned(), name.to_owned())))
        .map(Some)
        .ok_or_else(|| Failure::bad_request("continue key is not valid"))
}

fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (1..=253).contains(&bytes.len())
        && bytes.iter().all(|&byte| letter(byte) || byte == b'-' || byte == b'.')
        && bytes.first().copied().is_some_and(letter)
        && bytes.last().copied().is_some_and(letter)
}
