//! EMQX over https. Through a port-forward the name on the certificate is never the one we connected to, so it is
//! not compared there; without a CA of the user's the certificate is not judged there either, because the way to
//! the pod is the API server's, and a dashboard's certificate is nearly always of a private CA (`emqx-facts.md`
//! 2.7, 6.3.29). At a URL everything is checked, unless `--emqx-insecure` says otherwise.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::error::Problem;
use crate::seam::Bytes;

/// How a certificate is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Authority and name.
    Full,
    /// Authority only.
    AnyName,
    /// Not at all.
    Anything,
}

/// Makes the connector.
pub(super) fn connector(trust: Trust, ca: Option<&Path>) -> Result<TlsConnector, Problem> {
    let what = "cannot prepare TLS towards EMQX";
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Problem::new(what, error.to_string()))?
        .dangerous();
    let verifier: Arc<dyn ServerCertVerifier> = if trust == Trust::Anything {
        Arc::new(Lenient { inner: None, provider })
    } else {
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(ca)?), provider.clone())
            .build()
            .map_err(|error| Problem::new(what, error.to_string()).hint("give the CA with --emqx-ca FILE"))?;
        if trust == Trust::Full { inner } else { Arc::new(Lenient { inner: Some(inner), provider }) }
    };
    let config = builder.with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, Problem> {
    let mut store = RootCertStore::empty();
    let Some(path) = ca else {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(store);
    };
    let what = format!("cannot use the CA of --emqx-ca {}", path.display());
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| Problem::new(&what, error.to_string()))?;
    let (added, _) = store.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(Problem::new(what, "it holds no certificate").hint("it must be a PEM file"));
    }
    Ok(store)
}

/// Speaks TLS over these bytes.
pub(super) async fn wrap(
    connector: &TlsConnector,
    host: &str,
    bytes: Box<dyn Bytes>,
) -> Result<Box<dyn Bytes>, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare).map_err(|_| format!("{host} is no name for TLS"))?;
    match connector.connect(name, bytes).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => {
            let text = error.to_string();
            Err(if text.contains("UnknownIssuer") {
                "its certificate is signed by an authority that is not known (--emqx-ca FILE, or --emqx-insecure)".to_owned()
            } else if text.contains("not valid for name") {
                "its certificate is for another name (--emqx-insecure skips the check)".to_owned()
            } else if text.contains("InvalidContentType") || text.contains("corrupt message") {
                "it does not speak TLS (http instead of https?)".to_owned()
            } else {
                match text.strip_prefix("invalid peer certificate") {
                    // The rest is for programmers.
                    Some(_) => "its certificate is not accepted (--emqx-insecure skips the check)".to_owned(),
                    None => format!("TLS failed: {text}"),
                }
            })
        }
    }
}

/// Accepts any name, and without an inner verifier anything.
#[derive(Debug)]
struct Lenient {
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The chain is judged before the name: a wrong name is all that is wrong.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
