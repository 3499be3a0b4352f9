//! Users, kubeconfigs, clients, and programs that are run with them.

use std::fs::{self};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use super::process::{Output, run_blocking};
use super::wait::until;
use super::{Binaries, ControlPlane, LIMIT, MANAGER};

impl ControlPlane {
    pub(super) fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }

    pub(super) fn helper(&self, args: &[&str]) -> Result<(), String> {
        let mut command = Command::new(&self.binaries.helper);
        command.args(args);
        let out = run_blocking(command, None, LIMIT);
        if out.code == Some(0) { Ok(()) } else { Err(out.stderr) }
    }

    pub(super) fn write_kubeconfig(&self, user: &str, cert: &str) -> PathBuf {
        // Every reader of a kubeconfig accepts JSON as YAML.
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "test", "cluster": {
                "server": self.url(),
                "certificate-authority": self.path("pki/ca.crt"),
            }}],
            "users": [{ "name": user, "user": {
                "client-certificate": self.path(&format!("pki/{cert}.crt")),
                "client-key": self.path(&format!("pki/{cert}.key")),
            }}],
            "contexts": [{ "name": "test", "context": {
                "cluster": "test", "user": user, "namespace": self.options.namespace,
            }}],
            "current-context": "test",
        });
        let file = self.dir.join(format!("{cert}.kubeconfig"));
        fs::write(&file, config.to_string()).expect("the run's folder can be written");
        file
    }

    /// `https://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api_server)
    }

    /// The folder of this run, for any further files of a test; removed at the end.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The addresses of its servers: the API server, etcd, the simulated kubelet.
    pub fn addresses(&self) -> [SocketAddr; 3] {
        [self.ports.api_server, self.ports.etcd, self.ports.kubelet].map(|p| (Ipv4Addr::LOCALHOST, p).into())
    }

    /// The namespace of the kubeconfigs.
    pub fn namespace(&self) -> &str {
        &self.options.namespace
    }

    /// The programs that it runs.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// The kubeconfig of a user with all permissions.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.dir.join("admin.kubeconfig")
    }

    /// A kubeconfig with a certificate for `user`, who has no permission until `grant`.
    pub fn kubeconfig_for(&self, user: &str) -> PathBuf {
        self.kubeconfig_in(user, &[])
    }

    /// The same for a member of these groups.
    pub fn kubeconfig_in(&self, user: &str, groups: &[&str]) -> PathBuf {
        assert!(
            !user.is_empty() && user.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
            "the user's name is also a file's: letters, digits, dashes"
        );
        let (pki, cert) = (self.path("pki"), format!("user-{user}"));
        let args = [&["client", pki.as_str(), cert.as_str(), user], groups].concat();
        self.helper(&args).expect("a certificate can be made");
        self.write_kubeconfig(user, &cert)
    }

    /// A kubeconfig whose certificate for `user` has expired.
    pub fn kubeconfig_expired(&self, user: &str) -> PathBuf {
        let cert = format!("expired-{user}");
        self.helper(&["expired", &self.path("pki"), &cert, user]).expect("a certificate can be made");
        self.write_kubeconfig(user, &cert)
    }

    /// A certificate authority that this control plane does not trust.
    pub fn foreign_authority(&self) -> PathBuf {
        self.helper(&["certs", &self.path("foreign")]).expect("an authority can be made");
        self.dir.join("foreign/ca.crt")
    }

    /// Its own certificate authority.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("pki/ca.crt")
    }

    /// Grants `rules` (a list of RBAC rules) to `user`, in one namespace or in the whole cluster, and waits
    /// until the API server applies them. Replaces the user's earlier rules there, which may still apply for
    /// a moment.
    pub async fn grant(&self, user: &str, namespace: Option<&str>, rules: Value) {
        let client = self.admin_client().await;
        let name = format!("test-{user}");
        let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": { "name": name }, "rules": rules,
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{kind}Binding"),
            "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
        });
        let params = PatchParams::apply(MANAGER).force();
        let (role, binding) = (Patch::Apply(&role), Patch::Apply(&binding));
        if let Some(namespace) = namespace {
            let roles = Api::<Role>::namespaced(client.clone(), namespace);
            roles.patch(&name, &params, &role).await.expect("the role is accepted");
            let bindings = Api::<RoleBinding>::namespaced(client.clone(), namespace);
            bindings.patch(&name, &params, &binding).await.expect("the binding is accepted");
        } else {
            let roles = Api::<ClusterRole>::all(client.clone());
            roles.patch(&name, &params, &role).await.expect("the role is accepted");
            let bindings = Api::<ClusterRoleBinding>::all(client.clone());
            bindings.patch(&name, &params, &binding).await.expect("the binding is accepted");
        }
        let reviews = Api::<SubjectAccessReview>::all(client);
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(String::from)).collect()
        };
        for rule in rules.as_array().into_iter().flatten() {
            for (verb, resource) in texts(&rule["verbs"])
                .iter()
                .flat_map(|verb| texts(&rule["resources"]).into_iter().map(move |resource| (verb, resource)))
            {
                // `pods/status` is a resource and its subresource.
                let (resource, subresource) = resource.split_once('/').unwrap_or((&resource, ""));
                let question = json!({ "spec": { "user": user, "resourceAttributes": {
                    "namespace": namespace, "verb": verb, "group": rule["apiGroups"][0],
                    "resource": resource, "subresource": subresource, "name": rule["resourceNames"][0],
                }}});
                let question = serde_json::from_value(question).expect("a review");
                until(&format!("leave for {user} to {verb} {resource}"), LIMIT, async || {
                    match reviews.create(&PostParams::default(), &question).await {
                        Ok(answer) if answer.status.as_ref().is_some_and(|s| s.allowed) => Ok(()),
                        Ok(answer) => Err(format!("{:?}", answer.status)),
                        Err(e) => Err(e.to_string()),
                    }
                })
                .await;
            }
        }
    }

    /// A client with all permissions. It belongs to the runtime in which it was created.
    pub async fn admin_client(&self) -> Client {
        self.client(&self.admin_kubeconfig()).await
    }

    /// A client with the permissions of a kubeconfig.
    pub async fn client(&self, kubeconfig: &Path) -> Client {
        let config = Kubeconfig::read_from(kubeconfig).expect("our own kubeconfig can be read");
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
            .await
            .expect("our own kubeconfig is valid");
        Client::try_from(config).expect("our own kubeconfig makes a client")
    }

    /// A command that uses this cluster through `KUBECONFIG`, and no settings of the user.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.command_as(program, &self.admin_kubeconfig())
    }

    /// The same with the permissions of a kubeconfig.
    pub fn command_as(&self, program: impl AsRef<std::ffi::OsStr>, kubeconfig: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", kubeconfig)
            // kubectl caches what an address serves, and the next run may get the same port.
            .env("KUBECACHEDIR", self.dir.join("kubectl-cache"))
            .env("KUBERC", "off")
            .env("HOME", self.dir.join("home"))
            .env_remove("XDG_STATE_HOME");
        for proxy in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"] {
            command.env_remove(proxy);
        }
        command
    }

    /// Runs a command off the runtime's thread, so that servers in this test keep answering.
    pub async fn run(&self, command: Command, input: Option<&str>) -> Output {
        let input = input.map(|text| text.as_bytes().to_vec());
        tokio::task::spawn_blocking(move || run_blocking(command, input.as_deref(), LIMIT))
            .await
            .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
    }

    /// `kubectl ARGS` as the admin.
    pub async fn kubectl(&self, args: &[&str]) -> Output {
        self.kubectl_as(&self.admin_kubeconfig(), args, None).await
    }

    /// `kubectl ARGS` with the permissions of a kubeconfig, and with text on standard input.
    pub async fn kubectl_as(&self, kubeconfig: &Path, args: &[&str], input: Option<&str>) -> Output {
        let mut command = self.command_as(&self.binaries.kubectl, kubeconfig);
        command.args(args);
        self.run(command, input).await
    }
}
