//! The key for EMQX's API, from the Secret that the operator keeps for itself ([OP-68]). Read when it
//! is needed, kept in memory, never tapped and never logged.

use base64::Engine;

use super::cluster::Cluster;
use crate::error::Problem;
use crate::model::InstanceId;
use crate::model::url::encode;
use crate::ports::{ApiKey, BoxedFuture, Credentials};

const OTHER_WAY: &str = "or give EMQX's address and a key of your own: --emqx-url URL --api-key-file FILE";

impl Credentials for Cluster {
    fn key<'a>(&'a self, instance: &'a InstanceId, v4: bool) -> BoxedFuture<'a, ApiKey> {
        Box::pin(async move {
            let (suffix, field) = if v4 {
                ("bootstrap-user", "bootstrap_user")
            } else {
                ("bootstrap-api-key", "bootstrap_api_key")
            };
            let name = format!("{}-{suffix}", instance.name);
            let place = format!("{}/{name}", instance.namespace);
            let what = format!("cannot read the key for EMQX's API from Secret {place}");
            let path =
                format!("/api/v1/namespaces/{}/secrets/{}", encode(&instance.namespace), encode(&name));
            let secret = self.api.get(&path).await.map_err(|trouble| {
                if trouble.is_absent() {
                    return Problem::new(&what, "it does not exist").hint(format!(
                        "is the operator running? kubectl get secret -n {}; {OTHER_WAY}",
                        instance.namespace
                    ));
                }
                let problem = trouble.problem(&what, "");
                if trouble.is_forbidden() {
                    return problem.hint(format!(
                        "this needs verb get on secrets in namespace {}; {OTHER_WAY}",
                        instance.namespace
                    ));
                }
                problem
            })?;
            let unusable = |why: &str| Problem::new(&what, why).hint(OTHER_WAY);
            let data =
                secret["data"][field].as_str().ok_or_else(|| unusable(&format!("it has no key {field}")))?;
            let text = base64::engine::general_purpose::STANDARD
                .decode(data)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| unusable(&format!("its {field} is not text")))?;
            pick(&text, v4)
                .ok_or_else(|| unusable(&format!("its {field} holds no line of the form key:secret")))
        })
    }
}

/// The operator's own line, by its name, else the last line: users' lines come first. Split at the first
/// colon; on v5 a role and scopes may follow the secret in further columns.
fn pick(text: &str, v4: bool) -> Option<ApiKey> {
    let own = if v4 { "emqx_operator_controller:" } else { "emqx-operator-controller:" };
    let lines = || text.lines().map(str::trim).filter(|line| line.contains(':'));
    let line = lines().rfind(|line| line.starts_with(own)).or_else(|| lines().next_back())?;
    let (key, rest) = line.split_once(':')?;
    let secret = if v4 { rest } else { rest.split(':').next().unwrap_or(rest) };
    (!key.is_empty() && !secret.is_empty()).then(|| ApiKey { key: key.to_owned(), secret: secret.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_own_line_is_picked() {
        for (text, v4, expected) in [
            ("emqx-operator-controller:s3cret", false, Some(("emqx-operator-controller", "s3cret"))),
            ("mine:abc:viewer\nemqx-operator-controller:s", false, Some(("emqx-operator-controller", "s"))),
            (
                "emqx-operator-controller:s:administrator\nlate:x",
                false,
                Some(("emqx-operator-controller", "s")),
            ),
            ("a:b\nkey:secret:administrator:ns\n", false, Some(("key", "secret"))),
            ("admin:p:w", true, Some(("admin", "p:w"))),
            ("nothing here", false, None),
            (":x", false, None),
        ] {
            let picked = pick(text, v4);
            let picked = picked.as_ref().map(|key| (key.key.as_str(), key.secret.as_str()));
            assert_eq!(picked, expected, "{text}");
        }
    }
}
