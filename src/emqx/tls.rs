//! EMQX over https. Through a port-forward the name on the certificate never matches the address, so the name
//! is not verified there. Without a CA of the user the certificate is not verified there either, because the
//! API server provides the way to the pod, and the certificate of a dashboard is nearly always of a private
//! CA ([OP-78]). At a URL everything is verified, unless `--emqx-insecure` is given.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

use crate::error::Problem;
use crate::ports::Bytes;
use crate::tls;
pub(super) use crate::tls::Trust;
use user_files as files;

/// Makes the connector.
pub(super) fn connector(trust: Trust, ca: Option<&Path>) -> Result<TlsConnector, Problem> {
    let what = "cannot prepare TLS towards EMQX";
    let config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Problem::new(what, error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(tls::verifier(trust, roots(trust, ca)?))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(trust: Trust, ca: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let Some(path) = ca else {
        if trust == Trust::Anything {
            return Ok(Vec::new());
        }
        return Ok(rustls_native_certs::load_native_certs().certs);
    };
    let what = format!("cannot use the CA of --emqx-ca {}", path.display());
    let hint = "it must be a PEM file with one or more certificates";
    let text = files::read_text(path).map_err(|error| Problem::new(&what, error.to_string()).hint(hint))?;
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Problem::new(&what, error.to_string()).hint(hint))?;
    if certificates.is_empty() {
        return Err(Problem::new(what, "it holds no certificate").hint(hint));
    }
    Ok(certificates)
}

/// Starts TLS on this stream.
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
                    // The other details are for programmers.
                    Some(_) => "its certificate is not accepted (--emqx-insecure skips the check)".to_owned(),
                    None => format!("TLS failed: {text}"),
                }
            })
        }
    }
}
