//! The webhook of operator 2.2 validates writes: its messages, and its outage.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kubectl_emqx::ports::{Kubernetes, ServerDryRun};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::upgrade_changes::{connect, emqx, kubectl_apply};
use test_support::control_plane::{ControlPlane, until};

const REPORTED: &str = "image tag latest is not allowed";

/// Refuses every image with the tag `latest`, over TLS with the control plane's own certificate.
async fn serve(plane: &ControlPlane) -> u16 {
    let file = |name: &str| plane.dir().join("pki").join(name);
    let chain = CertificateDer::pem_file_iter(file("server.crt")).expect("a certificate").flatten().collect();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("they belong together");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.expect("the API server speaks TLS");
                let service = service_fn(review);
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    port
}

async fn review(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let review: Value = serde_json::from_slice(&body).expect("an AdmissionReview");
    let image = review.pointer("/request/object/spec/image").and_then(Value::as_str).unwrap_or_default();
    let mut response = json!({"uid": review["request"]["uid"], "allowed": !image.ends_with(":latest")});
    if image.ends_with(":latest") {
        // The answer of controller-runtime for an error of the validator.
        response["status"] = json!({"code": 403, "reason": "Forbidden", "message": REPORTED});
    }
    let answer =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    Ok(Response::new(Full::new(Bytes::from(answer.to_string()))))
}

async fn register(plane: &ControlPlane, port: u16) {
    let authority = std::fs::read(plane.authority()).expect("an authority");
    let bundle = base64::engine::general_purpose::STANDARD.encode(authority);
    let hook = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "emqx"}, "webhooks": [{"name": "validator.emqx.apps.emqx.io", "sideEffects": "None",
            "failurePolicy": "Fail", "admissionReviewVersions": ["v1"], "timeoutSeconds": 5,
            "clientConfig": {"url": format!("https://127.0.0.1:{port}/validate"), "caBundle": bundle},
            "rules": [{"apiGroups": ["apps.emqx.io"], "apiVersions": ["v2beta1"], "resources": ["emqxes"],
                "operations": ["CREATE", "UPDATE"]}]}]});
    kubectl_apply(plane, &hook, &[]).await;
}

pub async fn refusals(plane: &ControlPlane) {
    kubectl_apply(plane, &emqx("v2beta1", "hooked"), &[]).await;
    let cluster = connect(plane, None).await;
    let change = |image: &str| {
        json!({"apiVersion": "apps.emqx.io/v2beta1", "kind": "EMQX", "metadata": {"name": "hooked",
            "namespace": plane.namespace()}, "spec": {"image": image}})
    };
    let why = async |image: &str| {
        let problem = cluster.apply_instance(&change(image), true, ServerDryRun::Server).await.err();
        problem.map(|problem| (problem.why, problem.hint))
    };
    register(plane, serve(plane).await).await;
    // The API server uses the webhook a moment later.
    until("the webhook's no", Duration::from_secs(30), async || {
        let (reported, hint) = why("emqx/emqx-enterprise:latest").await.ok_or("it was taken")?;
        if reported == format!("the operator's webhook refuses it: {REPORTED}") && hint.is_none() {
            Ok(())
        } else {
            Err(reported)
        }
    })
    .await;
    assert_eq!(why("emqx/emqx-enterprise:5.8.7").await, None, "it refuses that one image only");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    register(plane, port).await;
    until("the webhook's silence", Duration::from_secs(30), async || {
        let (reported, hint) = why("emqx/emqx-enterprise:5.8.7").await.ok_or("it was taken")?;
        let names_webhook =
            reported == "a webhook that the API server must ask does not answer (connection refused)";
        if names_webhook && hint.is_some() { Ok(()) } else { Err(reported) }
    })
    .await;
    plane.kubectl(&["delete", "validatingwebhookconfiguration", "emqx"]).await.ok();
    until("no webhook", Duration::from_secs(30), async || {
        why("emqx/emqx-enterprise:5.8.7").await.map_or(Ok(()), |(reported, _)| Err(reported))
    })
    .await;
}
