//! The servers of a control plane: start, stop, restart.

use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use kube::api::ListParams;

use super::http_get;
use super::process::Process;
use super::wait::{try_until, until};
use super::{ControlPlane, LIMIT, Ports};
use crate::go_modules::{manifest_dir, tail};

impl ControlPlane {
    pub(super) fn start_process(
        &self,
        name: &'static str,
        program: &Path,
        args: &[String],
    ) -> Result<(), String> {
        let log = self.dir.join(format!("{name}.log"));
        let process = Process::start(name, &self.binaries.helper, log, program, args)?;
        self.processes().push(process);
        Ok(())
    }

    pub(super) fn processes(&self) -> std::sync::MutexGuard<'_, Vec<Process>> {
        // Processes must be ended even after a test panicked with this lock.
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stop_process(&self, name: &str) {
        let mut processes = self.processes();
        if let Some(at) = processes.iter().position(|p| p.name == name) {
            drop(processes.remove(at));
        }
    }

    pub(super) fn check_processes(&self) -> Result<(), String> {
        self.processes().iter_mut().try_for_each(Process::running)
    }

    pub(super) fn start_etcd(&self) -> Result<(), String> {
        let Ports { etcd, etcd_peer, .. } = self.ports;
        self.start_process(
            "etcd",
            &self.binaries.etcd,
            &flags(&[
                ("name", "default"),
                ("data-dir", &self.path("etcd")),
                ("listen-client-urls", &format!("http://127.0.0.1:{etcd}")),
                ("advertise-client-urls", &format!("http://127.0.0.1:{etcd}")),
                ("listen-peer-urls", &format!("http://127.0.0.1:{etcd_peer}")),
                ("initial-advertise-peer-urls", &format!("http://127.0.0.1:{etcd_peer}")),
                ("initial-cluster", &format!("default=http://127.0.0.1:{etcd_peer}")),
                // The data is temporary: no need to wait for the disk.
                ("unsafe-no-fsync", "true"),
                // A single member can elect itself without delay.
                ("heartbeat-interval", "10"),
                ("election-timeout", "100"),
                ("log-level", "warn"),
            ]),
        )
    }

    pub(super) fn start_api_server(&self) -> Result<(), String> {
        let mut args = flags(&[
            ("etcd-servers", &format!("http://127.0.0.1:{}", self.ports.etcd)),
            ("bind-address", "127.0.0.1"),
            // Without this it exits on a machine without a default route.
            ("advertise-address", "127.0.0.1"),
            ("secure-port", &self.ports.api_server.to_string()),
            ("tls-cert-file", &self.path("pki/server.crt")),
            ("tls-private-key-file", &self.path("pki/server.key")),
            ("client-ca-file", &self.path("pki/ca.crt")),
            // By default it resolves the node's name first, and the nodes are simulated.
            ("kubelet-preferred-address-types", "InternalIP"),
            ("kubelet-client-certificate", &self.path("pki/admin.crt")),
            ("kubelet-client-key", &self.path("pki/admin.key")),
            ("service-account-key-file", &self.path("pki/service-account.key")),
            ("service-account-signing-key-file", &self.path("pki/service-account.key")),
            ("service-account-issuer", "https://kubernetes.default.svc"),
            ("service-cluster-ip-range", "10.96.0.0/16"),
            ("authorization-mode", "RBAC"),
            // No controller creates service accounts here, so pods have none.
            ("disable-admission-plugins", "ServiceAccount"),
            ("endpoint-reconciler-type", "none"),
            ("allow-privileged", "true"),
            ("profiling", "false"),
        ]);
        args.extend(self.options.api_server_args.iter().cloned());
        self.start_process("kube-apiserver", &self.binaries.api_server, &args)
    }

    pub(super) async fn api_server_ready(&self) -> Result<(), String> {
        let client = self.admin_client().await;
        try_until("kube-apiserver", LIMIT, async || {
            self.check_processes()?;
            let request = kube::core::Request::new("/readyz")
                .list(&ListParams::default())
                .map_err(|e| e.to_string())?;
            client.request_text(request).await.map(drop).map_err(|e| e.to_string())
        })
        .await
    }

    pub(super) fn start_controller_manager(&self) -> Result<(), String> {
        self.start_process(
            "kube-controller-manager",
            &self.binaries.controller_manager,
            &flags(&[
                ("kubeconfig", &self.path("admin.kubeconfig")),
                ("controllers", &self.options.controllers.join(",")),
                ("leader-elect", "false"),
                ("use-service-account-credentials", "false"),
                // No test sends requests to it, and one port fewer cannot collide.
                ("secure-port", "0"),
                ("kube-api-qps", "500"),
                ("kube-api-burst", "1000"),
            ]),
        )
    }

    pub(super) fn start_kubelet(&self) -> Result<(), String> {
        let port = self.ports.kubelet.to_string();
        // After a restart kwok forgets which pod addresses it assigned: each run has its own range.
        let run = self.kubelets.fetch_add(1, Ordering::Relaxed) % 100;
        self.start_process(
            "kwok",
            &self.binaries.kwok,
            &flags(&[
                ("kubeconfig", &self.path("admin.kubeconfig")),
                ("config", &manifest_dir().join("tests/control_plane/kwok.yaml").to_string_lossy()),
                ("manage-all-nodes", "true"),
                // All nodes have the same address and port, so that the API server finds this kubelet for each.
                ("node-ip", "127.0.0.1"),
                ("node-port", &port),
                ("server-address", &format!("127.0.0.1:{port}")),
                ("tls-cert-file", &self.path("pki/server.crt")),
                ("tls-private-key-file", &self.path("pki/server.key")),
                ("cidr", &format!("10.{}.0.1/16", 100 + run)),
                // No controller here watches the leases of nodes.
                ("node-lease-duration-seconds", "0"),
                ("enable-crds", "PortForward"),
            ]),
        )
    }

    /// Ends the API server at once, as a crash would.
    pub fn stop_api_server(&self) {
        self.stop_process("kube-apiserver");
    }

    /// Starts it again on the same port and with the same data, and waits until it answers.
    pub async fn start_api_server_again(&self) {
        self.start_api_server().unwrap();
        self.api_server_ready().await.unwrap();
    }

    /// Ends the simulated kubelet: every open port-forward ends, and pods stay as they are.
    pub fn stop_kubelet(&self) {
        self.stop_process("kwok");
    }

    /// Starts the simulated kubelet again with the same forwards. Waits until it answers.
    pub async fn start_kubelet_again(&self) {
        self.start_kubelet().unwrap();
        until("kwok", LIMIT, async || {
            self.check_processes()?;
            http_get(self.ports.kubelet, "/healthz").await.map(drop).map_err(|e| e.to_string())
        })
        .await;
    }

    /// Ends the controllers: sets and endpoints stay as they are.
    pub fn stop_controllers(&self) {
        self.stop_process("kube-controller-manager");
    }

    pub fn start_controllers_again(&self) {
        self.start_controller_manager().unwrap();
    }

    /// The last lines of a server's log: `etcd`, `kube-apiserver`, `kube-controller-manager`, `kwok`.
    pub fn log(&self, server: &str) -> String {
        tail(&self.dir.join(format!("{server}.log")), 200)
    }
}

pub(super) fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}
