//! The flags of a call that selected its cluster.

use std::path::PathBuf;

use crate::cli::Global;
use crate::model::access::{EmqxAccess, KubernetesFlags};
use crate::output::ClusterFlags;

/// The flags that selected the cluster: printed commands repeat them. A token is not among them.
pub(super) fn chosen(global: &Global) -> ClusterFlags {
    let KubernetesFlags {
        namespace,
        context,
        cluster,
        user,
        kubeconfig,
        server,
        token: _,
        impersonate,
        impersonate_groups,
        certificate_authority,
        client_certificate,
        client_key,
        tls_server_name,
        insecure,
        request_timeout: _,
        silent: _,
    } = &global.connect;
    let mut flags = ClusterFlags::new(namespace.as_deref());
    let groups = impersonate_groups.iter().map(|group| ("as-group", Some(group.clone())));
    let file = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let given = [
        ("kubeconfig", file(kubeconfig)),
        ("context", context.clone()),
        ("cluster", cluster.clone()),
        ("user", user.clone()),
        ("server", server.clone()),
        ("certificate-authority", file(certificate_authority)),
        ("client-certificate", file(client_certificate)),
        ("client-key", file(client_key)),
        ("tls-server-name", tls_server_name.clone()),
        ("as", impersonate.clone()),
    ];
    for (flag, value) in given.into_iter().chain(groups) {
        if let Some(value) = value {
            flags.kubernetes(flag, Some(&value));
        }
    }
    if *insecure {
        flags.kubernetes("insecure-skip-tls-verify", None);
    }
    let EmqxAccess { urls, key_file, ca, insecure } = &global.emqx;
    for url in urls {
        flags.emqx("emqx-url", Some(&url.to_string()));
    }
    for (flag, path) in [("api-key-file", key_file), ("emqx-ca", ca)] {
        if let Some(path) = file(path) {
            flags.emqx(flag, Some(&path));
        }
    }
    if *insecure {
        flags.emqx("emqx-insecure", None);
    }
    flags
}
