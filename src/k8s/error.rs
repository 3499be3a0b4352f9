//! Errors of the API server as sentences, with a command for the user.

mod refusals;

use std::error::Error as StdError;
use std::io::ErrorKind;

use super::login::LoginError;
use crate::error::{Cause, Exit, Problem};
use refusals::{
    OPERATOR_WEBHOOK, admission_policy, bounded, denied, ends, foreign_sentence, owned_sentence,
    typed_sentence, webhook_name, webhook_sentence,
};

pub(super) use refusals::{message, owners};

/// The kinds of errors of a connection that was closed.
const CLOSED: [ErrorKind; 4] = [
    ErrorKind::ConnectionReset,
    ErrorKind::ConnectionAborted,
    ErrorKind::BrokenPipe,
    ErrorKind::UnexpectedEof,
];

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ApiError {
    /// The API server refused the request.
    Refused {
        /// The HTTP status.
        code: u16,
        /// The CamelCase reason (`Forbidden`, `AlreadyExists`, `Expired`).
        reason: String,
        /// The server's sentence.
        message: String,
    },
    /// Other managers own fields that an apply writes: each manager with its field.
    Owned(Vec<(String, String)>),
    /// The API server limits the request rate (429).
    Busy {
        /// The pause in seconds.
        seconds: u64,
        /// The server's sentence.
        message: String,
    },
    /// The API server could not be reached; a sentence that names the server.
    Lost(String),
    /// The API server was reached, and one side does not accept the other's certificate; a sentence that names the server.
    Untrusted(String),
    /// Authentication failed: certificates, exec plugins, tokens; a sentence.
    Identity(String),
    /// The answer cannot be read.
    Nonsense(String),
}

impl ApiError {
    /// From an error of the client.
    pub(super) fn of(server: &str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused {
                code: status.code,
                reason: status.reason.clone(),
                message: status.message.clone(),
            },
            kube::Error::Auth(error) => Self::Identity(auth_sentence(error)),
            kube::Error::RustlsTls(_) | kube::Error::InferKubeconfig(_) => Self::Identity(format!(
                "the certificates of the kubeconfig cannot be used: {}",
                first_line(&innermost(error))
            )),
            kube::Error::UpgradeConnection(error) => {
                Self::Lost(format!("the API server at {server} does not forward ports: {error}"))
            }
            other => Self::of_error(server, other),
        }
    }

    /// From any error: searches the chain of causes for one that the user can act on.
    pub(super) fn of_error(server: &str, error: &(dyn StdError + 'static)) -> Self {
        let mut causes = Vec::new();
        let mut kinds = Vec::new();
        let mut next = Some(error);
        while let Some(cause) = next {
            if let Some(error) = cause.downcast_ref::<LoginError>() {
                return Self::Identity(error.why.clone());
            }
            if let Some(error) = cause.downcast_ref::<kube::client::AuthError>() {
                return Self::Identity(auth_sentence(error));
            }
            kinds.extend(cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind));
            causes.push(cause.to_string());
            next = cause.source();
        }
        let all = causes.join(": ");
        let is = |wanted: &[ErrorKind]| kinds.iter().any(|kind| wanted.contains(kind));
        let untrusted = certificate_sentence(&all);
        let is_untrusted = untrusted.is_some() || all.contains("certificate");
        let why = untrusted.unwrap_or_else(|| {
            if is(&[ErrorKind::ConnectionRefused]) || all.contains("onnection refused") {
                "connection refused".to_owned()
            } else if all.contains("InvalidContentType") {
                "it does not speak TLS (http instead of https?)".to_owned()
            } else if is(&[ErrorKind::TimedOut]) || all.contains("deadline has elapsed") {
                "no answer in time".to_owned()
            } else if all.contains("failed to lookup address") || all.contains("dns error") {
                "its name cannot be resolved".to_owned()
            } else if all.contains("keep-alive timed out") {
                "the connection is dead: a ping was not answered".to_owned()
            } else if is(&CLOSED)
                || ["connection closed", "incomplete message", "http2 error"]
                    .iter()
                    .any(|it| all.contains(it))
            {
                "the connection was closed".to_owned()
            } else {
                causes.last().cloned().unwrap_or_default()
            }
        });
        let text = format!("the API server at {server} does not answer: {why}");
        if is_untrusted { Self::Untrusted(text) } else { Self::Lost(text) }
    }

    /// Whether the API server is unreachable or rejects the credentials: every other request fails, too.
    pub(super) fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::Lost(_) | Self::Untrusted(_) | Self::Identity(_) | Self::Refused { code: 401, .. }
        )
    }

    /// Whether the object or resource does not exist.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// Whether a permission is missing.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused { code: 403, .. })
    }

    /// Whether the sent object is invalid: unknown fields, values that are not allowed.
    pub(super) fn is_invalid(&self) -> bool {
        matches!(self, Self::Refused { code, message, .. }
            if matches!(code, 400 | 422) || typed_sentence(message).is_some())
    }

    /// Whether the version of a list or watch is too old to resume.
    pub(super) fn is_expired(&self) -> bool {
        matches!(self, Self::Refused { code: 410, .. })
            || matches!(self, Self::Refused { reason, .. } if reason == "Expired" || reason == "Gone")
    }

    /// The reason as a sentence.
    pub(super) fn why(&self) -> String {
        match self {
            Self::Refused { code: 401, .. } => {
                "the API server does not accept these credentials (401)".to_owned()
            }
            Self::Refused { code, message, .. } if message.is_empty() => {
                format!("the API server answered {code}")
            }
            Self::Refused { code, message, .. } => webhook_sentence(message)
                .or_else(|| typed_sentence(message))
                .or_else(|| foreign_sentence(*code, message))
                .unwrap_or_else(|| match code {
                    500.. => format!("the API server answered {code}: {}", bounded(message)),
                    _ => bounded(message),
                }),
            Self::Owned(owners) => owned_sentence(owners),
            Self::Busy { message, .. } => format!("the API server is too busy: {message}"),
            Self::Lost(text) | Self::Untrusted(text) | Self::Identity(text) | Self::Nonsense(text) => {
                text.clone()
            }
        }
    }

    /// Whether a policy of the cluster refused, for which an object that the operator accepts is not valid.
    pub(super) fn is_policy(&self) -> bool {
        matches!(self, Self::Refused { message, .. }
            if denied(message) && (admission_policy(message).is_some() || webhook_name(message) != OPERATOR_WEBHOOK))
    }

    /// The problem of an attempt to do `what`; `needs` is the verb and the resource that allow it.
    pub(super) fn problem(&self, what: impl Into<String>, needs: &str) -> Problem {
        let problem = Problem::new(what, self.why()).cause(match self {
            Self::Lost(_) | Self::Untrusted(_) => Cause::Away,
            Self::Refused { code: 403, message, .. }
                if !denied(message) && !message.contains("exceeded quota") && !ends(message) =>
            {
                Cause::Forbidden
            }
            _ => Cause::Other,
        });
        match self {
            Self::Refused { message, .. } if denied(message) => problem,
            Self::Refused { code: 500.., message, .. } if message.contains(" webhook ") => problem.hint(
                "nothing is stored while it is away: kubectl get pods -A -l control-plane=controller-manager",
            ),
            Self::Busy { .. } | Self::Refused { code: 500.., .. } => {
                problem.hint("try again in a moment; how it is: kubectl get --raw '/readyz?verbose'")
            }
            Self::Owned(_) => problem.exit(Exit::Refused).cause(Cause::Refused).hint(
                "change it where it is kept (kubectl emqx upgrade generate), or take it over with --force-conflicts",
            ),
            Self::Refused { code: 401, .. } | Self::Identity(_) => {
                problem.hint("kubectl auth whoami; log in again, or choose another --context or --user")
            }
            Self::Refused { code: 403, message, .. } if ends(message) => {
                problem.hint("the namespace is being deleted: kubectl get namespaces")
            }
            Self::Refused { code: 403, message, .. } if message.contains("exceeded quota") => {
                problem.hint("the namespace's quota is used up: kubectl describe quota -n NAMESPACE")
            }
            Self::Refused { code: 300..=399, .. } | Self::Nonsense(_) => problem
                .hint("kubectl cluster-info; is that the address of an API server, or is a proxy in between?"),
            Self::Refused { code: 403, message, .. } if message.contains(" cannot impersonate") => {
                problem.hint("--as and --as-group need verb impersonate on users and groups")
            }
            Self::Refused { code: 403, .. } if !needs.is_empty() => {
                problem.hint(format!("this needs {needs}; see: kubectl auth can-i --list"))
            }
            Self::Untrusted(_) => problem.hint(
                "check the cluster's certificate-authority in the kubeconfig, or --tls-server-name, or \
                 --insecure-skip-tls-verify",
            ),
            Self::Lost(_) => {
                problem.hint("kubectl cluster-info; is it the right --context, and is the network up?")
            }
            Self::Refused { message, .. } if message.starts_with("unable to parse") => {
                problem.hint("as in -l app=emqx or -l 'tier in (a, b)'")
            }
            Self::Refused { message, .. } if message.contains("field label not supported") => {
                problem.hint("--field-selector takes metadata.name and metadata.namespace")
            }
            Self::Refused { .. } => problem,
        }
    }
}

fn certificate_sentence(all: &str) -> Option<String> {
    if !all.contains("certificate") && !all.contains("UnknownIssuer") && !all.contains("TLS") {
        return None;
    }
    // A bad signature means a CA with the same name and another key: every kubeadm names its CA `kubernetes`.
    let why = if all.contains("UnknownIssuer") || all.contains("BadSignature") {
        "is signed by an authority that is not known"
    } else if all.contains("not valid for name") || all.contains("NotValidForName") {
        "is for another name"
    } else if all.contains("certificate expired") || all.contains("Expired") {
        "has expired"
    } else if all.contains("not valid yet") || all.contains("NotValidYet") {
        "is not valid yet"
    } else if all.contains("invalid peer certificate") {
        "is not accepted"
    } else if all.contains("CertificateRequired") || all.contains("CertificateUnknown") {
        return Some("it does not accept our client certificate".to_owned());
    } else {
        return None;
    };
    Some(format!("its certificate {why}"))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The message of the last cause: the others repeat it with a prefix.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut here = error;
    while let Some(next) = here.source() {
        here = next;
    }
    here.to_string()
}

fn auth_sentence(error: &kube::client::AuthError) -> String {
    use kube::client::AuthError as E;
    match error {
        E::AuthExecParse(_) | E::ExecPluginFailed | E::AuthExec(_) => {
            format!(
                "the login command of the kubeconfig gave no credentials: {}",
                first_line(&error.to_string())
            )
        }
        other => format!("the credentials of the kubeconfig cannot be used: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_is_named_with_its_server_and_a_hint() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let trouble = ApiError::of_error("https://127.0.0.1:6443", &io);
        assert_eq!(
            trouble.why(),
            "the API server at https://127.0.0.1:6443 does not answer: connection refused"
        );
        assert!(trouble.is_fatal());
        assert!(trouble.problem("cannot list EMQX", "").hint.is_some());
    }

    #[test]
    fn a_broken_connection_is_reported_without_os_error_numbers() {
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(ApiError::of_error("s", &io).why().ends_with("does not answer: the connection was closed"));
    }

    #[test]
    fn a_refusal_quotes_the_server_and_names_what_it_needs() {
        let trouble = ApiError::Refused {
            code: 403,
            reason: "Forbidden".to_owned(),
            message: "pods is forbidden: User \"eve\" cannot list resource \"pods\"".to_owned(),
        };
        let problem = trouble.problem("cannot list pods", "verb list on pods");
        assert!(problem.why.contains("eve"));
        assert!(problem.hint.expect("a hint").contains("verb list on pods"));
        assert!(trouble.is_forbidden() && !trouble.is_fatal());
    }

    #[test]
    fn a_selector_that_the_server_does_not_take_is_shown_as_it_should_be() {
        for (message, flag) in [
            ("unable to parse requirement: found '', expected: '('", "-l"),
            ("field label not supported: spec.x", "--field-selector"),
        ] {
            let message = message.to_owned();
            let trouble = ApiError::Refused { code: 400, reason: "BadRequest".to_owned(), message };
            let hint = trouble.problem("cannot list emqxes", "verb list on emqxes").hint;
            assert!(hint.as_ref().is_some_and(|hint| hint.contains(flag)), "{hint:?}");
        }
    }

    #[test]
    fn a_webhooks_refusal_is_quoted_and_is_not_a_missing_permission() {
        let refused = |code, message: &str| ApiError::Refused {
            code,
            reason: String::new(),
            message: message.to_owned(),
        };
        let no = "admission webhook \"validator.apps.emqx.io\" denied the request: image tag latest is not allowed";
        let problem = refused(403, no).problem("cannot change EMQX mq/emqx", "verb patch on emqxes");
        assert_eq!(problem.why, "the operator's webhook refuses it: image tag latest is not allowed");
        assert_eq!((problem.cause, problem.hint), (Cause::Other, None));
        let silent = refused(403, "admission webhook \"v.io\" denied the request without explanation");
        assert_eq!(silent.why(), "the webhook v.io refuses it: it gives no reason");
        let policy = refused(
            400,
            "admission webhook \"validate.kyverno.svc-fail\" denied the request: \n\nresource r was blocked due to the \
             following policies \n\nowner:\n  check: 'label owner is required'\n",
        );
        assert!(
            policy
                .why()
                .starts_with("Kyverno's policy (webhook validate.kyverno.svc-fail) refuses it: resource r")
        );

        assert!(policy.is_policy() && !refused(403, no).is_policy());
        for code in [403, 422] {
            let frozen = refused(
                code,
                "rebalances.apps.emqx.io \"x\" is forbidden: ValidatingAdmissionPolicy 'no-weekend' with binding 'all' denied \
                 request: changes are frozen",
            );
            let problem =
                frozen.problem("cannot create Rebalance mq/x", "verb create on rebalances.apps.emqx.io");
            let why = "the ValidatingAdmissionPolicy no-weekend refuses it: changes are frozen";
            assert_eq!((problem.why.as_str(), problem.cause, problem.hint), (why, Cause::Other, None));
            assert!(frozen.is_policy());
        }
        let ending = refused(
            403,
            "rebalances.apps.emqx.io \"x\" is forbidden: unable to create new content in namespace mq because it is being \
             terminated",
        );
        let problem =
            ending.problem("cannot create Rebalance mq/x", "verb create on rebalances.apps.emqx.io");
        assert!(
            problem.cause == Cause::Other && problem.hint.is_some_and(|hint| hint.contains("being deleted"))
        );

        let away = "Internal error occurred: failed calling webhook \"v.io\": failed to call webhook: Post \
                    \"https://w.svc:443/validate?timeout=10s\": dial tcp 10.0.0.1:443: connect: connection refused";
        let problem = refused(500, away).problem("cannot change EMQX mq/emqx", "");
        assert!(problem.why.ends_with("does not answer (connection refused)"), "{problem}");
        assert!(problem.hint.is_some());
    }

    #[test]
    fn fields_of_others_are_named_with_their_managers() {
        let cause = |manager: &str, field: &str| {
            serde_json::json!({"reason": "FieldManagerConflict", "field": field,
                "message": format!("conflict with {manager:?} using apps.emqx.io/v2beta1 at 2026-11-24T00:00:00Z")})
        };
        let status = serde_json::json!({"reason": "Conflict", "details": {"causes": [cause("argocd-controller", ".spec.image"),
            cause("argocd-controller", ".spec.updateStrategy.type"), cause("flux", ".spec.image")]}});
        let problem = ApiError::Owned(owners(&status)).problem("cannot change EMQX mq/emqx", "");
        assert_eq!(
            problem.why,
            "spec.image, spec.updateStrategy.type belong to argocd-controller; spec.image belongs to flux"
        );
        assert_eq!(problem.exit, Exit::Refused);
        assert!(problem.hint.is_some_and(|hint| hint.contains("--force-conflicts")));
        assert_eq!(owners(&serde_json::json!({"reason": "Conflict", "message": "changed"})), []);
    }

    #[test]
    fn certificates_are_explained() {
        for (text, expected) in [
            (
                "invalid peer certificate: UnknownIssuer",
                "its certificate is signed by an authority that is not known",
            ),
            (
                "invalid peer certificate: BadSignature",
                "its certificate is signed by an authority that is not known",
            ),
            (
                "invalid peer certificate: certificate not valid for name \"x\"",
                "its certificate is for another name",
            ),
            (
                "invalid peer certificate: certificate expired: verification time",
                "its certificate has expired",
            ),
        ] {
            let why = ApiError::of_error("s", &std::io::Error::other(text)).why();
            assert!(why.ends_with(expected), "{why}");
        }
    }
}
