//! The Kubernetes objects of a scenario at its beginning, in the shapes of the recordings: the instance with its status,
//! services, secrets, sets, pods, endpoints. The same objects can be created on a real API server.

use std::time::Duration;

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::clock::rfc3339;
use super::emqx::Emqx;
use super::instance::{self, NodeView, RoleView, View};
use super::managed::{self, Who};
use super::patch;
use super::resources::GROUP;
use super::scenario::{Api, Line, Member, Owner, Role, Scenario};

/// The condition of a pod that the operators of 2.x keep.
pub(super) const GATE: &str = "apps.emqx.io/on-serving";
const OPERATOR_NAMESPACE: &str = "emqx-operator-system";
/// The age of all objects.
const AGE: Duration = Duration::from_secs(5120);

/// A uid derived from a text: the same in each run.
fn uid(text: &str) -> String {
    let mut high: u64 = 0xcbf2_9ce4_8422_2325;
    let mut low: u64 = 0x9ae1_6a3b_2f90_404f;
    for byte in text.bytes() {
        high = (high ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        low = (low.rotate_left(5) ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

/// The creation time of all objects.
fn born_before(now: Timestamp) -> Timestamp {
    now.checked_sub(SignedDuration::try_from(AGE).unwrap_or_default()).unwrap_or(now)
}

/// How long a pod takes to start, here as later in the run.
const BOOT: SignedDuration = SignedDuration::from_secs(2);

struct Maker<'a> {
    scenario: &'a Scenario,
    born: String,
    /// When the containers of its pods were ready.
    started: String,
}

/// All objects, those first that others point to. On a real API server the namespace may exist already, the sets make
/// their pods themselves, and the part that serves pods there gives them their addresses.
pub fn objects(scenario: &Scenario, emqx: &Emqx) -> Vec<Value> {
    let now = emqx.clock().now();
    let born = born_before(now);
    let started = born.checked_add(BOOT).unwrap_or(born);
    let maker = Maker { scenario, born: rfc3339(born), started: rfc3339(started) };
    let members = scenario.members();
    let mut objects: Vec<Value> = ["default", "kube-system", scenario.namespace.as_str(), OPERATOR_NAMESPACE]
        .iter()
        .map(|name| maker.namespace(name))
        .collect();
    objects.push(maker.operator());
    objects.push(maker.instance(&members, emqx, now));
    objects.extend(maker.secrets(emqx));
    objects.extend(maker.services());
    for role in [Role::Core, Role::Replicant] {
        let of_role: Vec<&Member> = members.iter().filter(|member| member.role == role).collect();
        if !of_role.is_empty() {
            objects.push(maker.set(role, &of_role));
        }
    }
    objects.extend(members.iter().map(|member| maker.pod(member)));
    objects.extend(maker.slices(&members));
    objects
}

/// The Kubernetes nodes. Not on a real API server, which has its own.
pub(super) fn machines(scenario: &Scenario, emqx: &Emqx) -> Vec<Value> {
    let now = emqx.clock().now();
    let born = rfc3339(born_before(now));
    let machine = |number: u32| {
        let name = format!("sim-{number}");
        let amounts =
            json!({ "cpu": "64", "memory": "256Gi", "pods": scenario.pods_per_machine().to_string() });
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": name, "uid": uid(&format!("node/{name}")), "creationTimestamp": born,
                "labels": { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" },
            },
            "spec": {},
            "status": {
                "capacity": amounts, "allocatable": amounts,
                "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": born }],
                "nodeInfo": { "kubeletVersion": "v1.33.0" },
            },
        })
    };
    (0..scenario.kubernetes_nodes).map(machine).collect()
}

impl Maker<'_> {
    fn metadata(&self, kind: &str, name: &str) -> Value {
        json!({
            "name": name, "namespace": self.scenario.namespace, "uid": self.uid(kind, name),
            "creationTimestamp": self.born, "labels": self.labels(None),
        })
    }

    fn uid(&self, kind: &str, name: &str) -> String {
        uid(&format!("{kind}/{}/{name}", self.scenario.namespace))
    }

    fn labels(&self, role: Option<Role>) -> Value {
        let mut labels = json!({
            "apps.emqx.io/instance": self.scenario.instance, "apps.emqx.io/managed-by": "emqx-operator",
        });
        if let Some(role) = role.filter(|_| self.scenario.api != Api::V1beta4) {
            labels["apps.emqx.io/db-role"] = json!(role.name());
            if !(self.scenario.api == Api::V3beta1 && role == Role::Core) {
                labels["apps.emqx.io/pod-template-hash"] = json!(self.scenario.revision(role));
            }
        }
        labels
    }

    fn owner(&self, api_version: &str, kind: &str, name: &str) -> Value {
        json!([{
            "apiVersion": api_version, "kind": kind, "name": name, "uid": self.uid(kind, name), "controller": true,
            "blockOwnerDeletion": true,
        }])
    }

    fn instance_owner(&self) -> Value {
        let api = self.scenario.api;
        self.owner(&format!("{GROUP}/{}", api.name()), api.kind(), &self.scenario.instance)
    }

    fn namespace(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Namespace", "status": { "phase": "Active" },
            "metadata": {
                "name": name, "uid": uid(name), "creationTimestamp": self.born,
                "labels": { "kubernetes.io/metadata.name": name },
            },
        })
    }

    fn operator(&self) -> Value {
        let version = match self.scenario.api.line() {
            Line::V2_2 => "2.2.29",
            Line::V2_3 => "2.3.2",
            Line::V3 => "3.0.0",
        };
        let name = "emqx-operator-controller-manager";
        let alive = i32::from(self.scenario.operator_alive);
        let labels = json!({
            "app.kubernetes.io/name": "emqx-operator", "app.kubernetes.io/version": version,
            "control-plane": "controller-manager",
        });
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": name, "namespace": OPERATOR_NAMESPACE, "uid": uid(name), "creationTimestamp": self.born,
                "generation": 1, "labels": labels,
            },
            "spec": {
                "replicas": alive, "selector": { "matchLabels": { "control-plane": "controller-manager" } },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": { "containers": [{ "name": "manager", "image": format!("emqx/emqx-operator-controller:{version}") }] },
                },
            },
            "status": {
                "observedGeneration": 1, "replicas": alive, "readyReplicas": alive, "updatedReplicas": alive,
                "availableReplicas": alive,
            },
        })
    }

    /// The image reference of EMQX.
    fn image(&self) -> String {
        let repository =
            if self.scenario.api == Api::V1beta4 { "emqx/emqx-ee" } else { "emqx/emqx-enterprise" };
        // A hostile version is reported by EMQX only; the image has another one.
        let version: String = self
            .scenario
            .version
            .chars()
            .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '.')
            .collect();
        format!("{repository}:{version}")
    }

    fn instance(&self, members: &[Member], emqx: &Emqx, now: Timestamp) -> Value {
        let scenario = self.scenario;
        let count = |role| members.iter().filter(|member| member.role == role).count() as u64;
        let (cores, replicants) = (count(Role::Core), count(Role::Replicant));
        let image = self.image();
        let version = image.split(':').next_back().unwrap_or_default();
        let spec = match scenario.api {
            Api::V1beta4 => json!({
                "replicas": cores, "clusterDomain": "cluster.local",
                "template": { "spec": { "emqxContainer": {
                    "image": { "repository": "emqx/emqx-ee", "version": version, "pullPolicy": "IfNotPresent" },
                    "emqxConfig": {
                        "name": scenario.instance, "cluster.discovery": "dns", "cluster.dns.type": "srv",
                        "cluster.dns.app": scenario.instance,
                        "cluster.dns.name": format!("{}-headless.{}.svc.cluster.local", scenario.instance, scenario.namespace),
                    },
                } } },
            }),
            api => {
                let mut spec = json!({
                    "image": image, "clusterDomain": "cluster.local", "revisionHistoryLimit": 3,
                    "coreTemplate": { "spec": { "replicas": cores } },
                });
                if replicants > 0 {
                    spec["replicantTemplate"] = json!({ "spec": { "replicas": replicants } });
                }
                if api == Api::V3beta1 {
                    spec["updateStrategy"] = json!({ "type": "RollingUpdate" });
                    spec["config"] = json!({ "roots": {} });
                } else {
                    spec["config"] = json!({ "mode": "Merge" });
                    spec["updateStrategy"] = json!({
                        "type": "Recreate", "initialDelaySeconds": 10,
                        "evacuationStrategy": { "connEvictRate": 1000, "sessEvictRate": 1000, "waitTakeover": 10 },
                    });
                }
                spec
            }
        };
        let mut spec = spec;
        patch::merge(&mut spec, &scenario.spec);
        let mut metadata = self.metadata(scenario.api.kind(), &scenario.instance);
        metadata["generation"] = json!(1);
        if scenario.api != Api::V1beta4
            && let Some(metadata) = metadata.as_object_mut()
        {
            metadata.remove("labels");
        }
        patch::merge(&mut metadata, &scenario.metadata);
        let version = format!("{GROUP}/{}", scenario.api.name());
        let mut object = json!({
            "apiVersion": version, "kind": scenario.api.kind(), "metadata": metadata, "spec": spec,
            "status": self.first_status(members, emqx, now),
        });
        let Owner { manager, operation } = &scenario.owner;
        let who = Who { manager, operation, api_version: &version, sub: "", now: &self.born };
        managed::created(&mut object, &who);
        managed::created(&mut object, &Who { manager: "manager", operation: "Update", sub: "status", ..who });
        object
    }

    /// The status of an instance that has been ready since its creation.
    fn first_status(&self, members: &[Member], emqx: &Emqx, now: Timestamp) -> Value {
        let set = |role| {
            let replicas = members.iter().filter(|member| member.role == role).count() as u64;
            let revision = self.scenario.revision(role);
            let revision = if self.scenario.api == Api::V1beta4 {
                format!("{}-{revision}", self.scenario.set(role))
            } else {
                revision.to_owned()
            };
            RoleView::steady(revision, replicas)
        };
        let nodes = emqx.with(|broker| {
            members
                .iter()
                .zip(&broker.nodes)
                .map(|(member, node)| {
                    let set = self.uid(Self::set_kind(member.role), &self.scenario.set(member.role));
                    NodeView::of(node, member.pod.clone(), (self.uid("Pod", &member.pod), set))
                })
                .collect()
        });
        let replicants = set(Role::Replicant);
        let born = born_before(now);
        let view = View {
            api: self.scenario.api,
            generation: 1,
            nodes,
            cores: set(Role::Core),
            replicants: (replicants.replicas > 0).then_some(replicants),
            evacuations: Vec::new(),
            in_cluster: 1,
            blue_green: None,
            renewed: None,
            now: born,
        };
        // The number of passes is that of the stages of the longest state machine.
        (0..7).fold(Value::Null, |status, _| instance::status(&view, &status))
    }

    fn secrets(&self, emqx: &Emqx) -> Vec<Value> {
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let key = emqx.key();
        let (name, field) = if self.scenario.api == Api::V1beta4 {
            ("bootstrap-user", "bootstrap_user")
        } else {
            ("bootstrap-api-key", "bootstrap_api_key")
        };
        let secret = |suffix: &str, field: &str, text: &str| {
            let mut metadata = self.metadata("Secret", &format!("{}-{suffix}", self.scenario.instance));
            metadata["ownerReferences"] = self.instance_owner();
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata,
                "data": { field: encode(text) },
            })
        };
        vec![
            // No newline at the end, as the operators write it.
            secret(name, field, &format!("{}:{}", key.key, key.secret)),
            secret("node-cookie", "node_cookie", "bmV2ZXItZ3Vlc3MtdGhpcw"),
        ]
    }

    /// Service name → ports.
    fn service_ports(&self) -> Vec<(String, Vec<(&'static str, u16)>)> {
        let listeners =
            vec![("tcp-default", 1883), ("ssl-default", 8883), ("ws-default", 8083), ("wss-default", 8084)];
        let name = |suffix: &str| format!("{}-{suffix}", self.scenario.instance);
        if self.scenario.api == Api::V1beta4 {
            return vec![
                (name("headless"), vec![("http-management-8081", 8081)]),
                (
                    self.scenario.instance.clone(),
                    vec![("http-management-8081", 8081), ("http-dashboard-18083", 18083)],
                ),
            ];
        }
        vec![
            (name("headless"), vec![("erlang-dist", 4370), ("gen-rpc", 5369)]),
            (name("dashboard"), vec![("dashboard", 18083)]),
            (name("listeners"), listeners),
        ]
    }

    fn services(&self) -> Vec<Value> {
        self.service_ports()
            .into_iter()
            .map(|(name, ports)| {
                let headless = name.ends_with("-headless");
                let ports: Vec<Value> = ports
                    .iter()
                    .map(|(name, port)| json!({ "name": name, "port": port, "protocol": "TCP", "targetPort": port }))
                    .collect();
                // Whatever the revision: in an upgrade the pods of both sets are selected, and their gates decide.
                let mut selector = self.labels(self.endpoint_role(&name));
                if let Some(labels) = selector.as_object_mut() {
                    labels.remove("apps.emqx.io/pod-template-hash");
                }
                let mut metadata = self.metadata("Service", &name);
                metadata["ownerReferences"] = self.instance_owner();
                json!({
                    "apiVersion": "v1", "kind": "Service", "metadata": metadata,
                    "spec": {
                        "type": "ClusterIP", "clusterIP": if headless { "None" } else { "10.96.0.17" },
                        "publishNotReadyAddresses": headless, "ports": ports, "selector": selector,
                    },
                })
            })
            .collect()
    }

    /// The role of the pods of a service: replicants if there are any.
    fn endpoint_role(&self, service: &str) -> Option<Role> {
        let replicants = self.scenario.nodes.iter().any(|group| group.role == Role::Replicant);
        match self.scenario.api {
            Api::V1beta4 => None,
            _ if service.ends_with("-listeners") && replicants => Some(Role::Replicant),
            _ => Some(Role::Core),
        }
    }

    fn set_kind(role: Role) -> &'static str {
        if role == Role::Core { "StatefulSet" } else { "ReplicaSet" }
    }

    fn set(&self, role: Role, members: &[&Member]) -> Value {
        let name = self.scenario.set(role);
        let kind = Self::set_kind(role);
        let labels = self.labels(Some(role));
        let replicas = members.len();
        let mut metadata = self.metadata(kind, &name);
        metadata["labels"] = labels.clone();
        metadata["generation"] = json!(1);
        metadata["ownerReferences"] = self.instance_owner();
        let mut spec = json!({
            "replicas": replicas, "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": self.pod_spec() },
        });
        let mut status = json!({
            "observedGeneration": 1, "replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
        });
        if role == Role::Core {
            spec["serviceName"] = json!(format!("{}-headless", self.scenario.instance));
            spec["podManagementPolicy"] = json!("Parallel");
            spec["updateStrategy"] = if self.scenario.api == Api::V3beta1 {
                json!({ "type": "OnDelete" })
            } else {
                json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } })
            };
            let revision = format!("{name}-{}", self.scenario.revision(role));
            status["currentReplicas"] = json!(replicas);
            status["updatedReplicas"] = json!(replicas);
            status["currentRevision"] = json!(revision);
            status["updateRevision"] = json!(revision);
            status["collisionCount"] = json!(0);
        } else {
            status["fullyLabeledReplicas"] = json!(replicas);
        }
        json!({ "apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec, "status": status })
    }

    /// The fields that all pods have in common.
    fn pod_spec(&self) -> Value {
        let api = self.scenario.api;
        let port = |name: &str, port: u16| json!({ "name": name, "containerPort": port, "protocol": "TCP" });
        let ports = if api == Api::V1beta4 {
            vec![port("management", 8081), port("dashboard", 18083)]
        } else {
            vec![port("dashboard", 18083)]
        };
        let (path, initial, failures) = if api == Api::V3beta1 {
            ("/api/v5/load_rebalance/availability_check", 0, 1)
        } else {
            ("/status", 10, 12)
        };
        let mut container = json!({ "name": "emqx", "image": self.image(), "ports": ports });
        if api != Api::V1beta4 {
            container["readinessProbe"] = json!({
                "httpGet": { "path": path, "port": "dashboard", "scheme": "HTTP" }, "initialDelaySeconds": initial,
                "timeoutSeconds": 1, "periodSeconds": 5, "successThreshold": 1, "failureThreshold": failures,
            });
        }
        let mut spec = json!({ "terminationGracePeriodSeconds": 30, "containers": [container] });
        if api != Api::V3beta1 {
            spec["readinessGates"] = json!([{ "conditionType": GATE }]);
        }
        spec
    }

    fn pod(&self, member: &Member) -> Value {
        let set = self.scenario.set(member.role);
        let mut labels = self.labels(Some(member.role));
        if member.role == Role::Core {
            labels["apps.kubernetes.io/pod-index"] = json!(member.ordinal.to_string());
            labels["controller-revision-hash"] =
                json!(format!("{set}-{}", self.scenario.revision(member.role)));
            labels["statefulset.kubernetes.io/pod-name"] = json!(member.pod);
        }
        let mut metadata = self.metadata("Pod", &member.pod);
        metadata["labels"] = labels;
        metadata["generateName"] = json!(format!("{set}-"));
        metadata["generation"] = json!(1);
        metadata["ownerReferences"] = self.owner("apps/v1", Self::set_kind(member.role), &set);
        let mut spec = self.pod_spec();
        spec["nodeName"] = json!(self.scenario.machine(member.number));
        if member.role == Role::Core {
            spec["hostname"] = json!(member.pod);
            spec["subdomain"] = json!(format!("{}-headless", self.scenario.instance));
        }
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": self.pod_status(member),
        })
    }

    fn pod_status(&self, member: &Member) -> Value {
        let up = if member.stopped { "False" } else { "True" };
        let condition = |kind: &str, status: &str| json!({ "type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": self.born });
        let mut conditions = vec![condition("Initialized", "True")];
        if self.scenario.api != Api::V3beta1 {
            conditions.push(condition(GATE, up));
        }
        conditions.extend([
            condition("PodScheduled", "True"),
            json!({ "type": "ContainersReady", "status": up, "lastProbeTime": null, "lastTransitionTime": self.started }),
            condition("Ready", up),
        ]);
        let state = if member.stopped {
            json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container" } })
        } else {
            json!({ "running": { "startedAt": self.born } })
        };
        json!({
            "phase": "Running", "conditions": conditions, "hostIP": "10.0.0.1", "podIP": member.ip,
            "podIPs": [{ "ip": member.ip }], "startTime": self.born, "qosClass": "BestEffort",
            "containerStatuses": [{
                "name": "emqx", "state": state, "lastState": {}, "ready": !member.stopped, "started": !member.stopped,
                "restartCount": 0, "image": self.image(), "imageID": "sim",
            }],
        })
    }

    /// EndpointSlices of every service that has any; at most a hundred endpoints each, as Kubernetes makes them.
    fn slices(&self, members: &[Member]) -> Vec<Value> {
        let mut slices = Vec::new();
        for (service, ports) in self.service_ports() {
            if self.scenario.api == Api::V1beta4 && !service.ends_with("-headless") {
                continue;
            }
            let headless = service.ends_with("-headless");
            let role = self.endpoint_role(&service);
            let behind: Vec<&Member> =
                members.iter().filter(|member| role.is_none_or(|role| member.role == role)).collect();
            for (place, chunk) in behind.chunks(super::endpoints::FULL).enumerate() {
                slices.push(self.slice(&service, headless, &ports, place, chunk));
            }
        }
        slices
    }

    fn slice(
        &self,
        service: &str,
        headless: bool,
        ports: &[(&str, u16)],
        place: usize,
        chunk: &[&Member],
    ) -> Value {
        let seed =
            service.bytes().fold(place as u64 * 7919, |sum, byte| sum * 31 % 1_000_003 + u64::from(byte));
        let mut metadata =
            self.metadata("EndpointSlice", &format!("{service}-{}", super::names::suffix(seed)));
        metadata["generateName"] = json!(format!("{service}-"));
        metadata["generation"] = json!(1);
        metadata["ownerReferences"] = self.owner("v1", "Service", service);
        metadata["labels"]["endpointslice.kubernetes.io/managed-by"] =
            json!("endpointslice-controller.k8s.io");
        metadata["labels"]["kubernetes.io/service-name"] = json!(service);
        if headless {
            metadata["labels"]["service.kubernetes.io/headless"] = json!("");
        }
        let endpoints: Vec<Value> =
            chunk.iter().map(|member| super::endpoints::endpoint(&self.pod(member), headless)).collect();
        let ports: Vec<Value> = ports
            .iter()
            .map(|(name, port)| json!({ "name": name, "port": port, "protocol": "TCP" }))
            .collect();
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4",
            "endpoints": endpoints, "ports": ports,
        })
    }
}
