//! TLS of both clients: ring, and the curve P-521, which ring does not have; and certificates verified as
//! kubectl verifies them: a server's certificate that is itself configured as a root is trusted, whether or
//! not it is a CA.

use std::sync::{Arc, OnceLock};

use p521::ecdsa::signature::hazmat::PrehashVerifier;
use p521::ecdsa::{DerSignature, Signature, VerifyingKey};
use p521::pkcs8::DecodePrivateKey as _;
use ring::digest;
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, PrivateKeyDer, ServerName,
    SignatureVerificationAlgorithm, UnixTime, alg_id,
};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    self, CryptoProvider, KeyProvider, WebPkiSupportedAlgorithms, verify_tls12_signature,
    verify_tls13_signature,
};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::sign::{Signer, SigningKey};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureAlgorithm, SignatureScheme,
};

/// How a server's certificate is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Authority, dates and name.
    Full,
    /// Authority and dates.
    AnyName,
    /// Not at all.
    Anything,
}

/// The cryptography of both clients.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(with_p521())).clone()
}

/// ring's provider, and P-521 for signatures.
fn with_p521() -> CryptoProvider {
    const P521_ALL: [&dyn SignatureVerificationAlgorithm; 3] = [&P521_SHA512, &P521_SHA384, &P521_SHA256];
    const P521_TLS: &[&dyn SignatureVerificationAlgorithm] = &[&P521_SHA512];
    let mut provider = crypto::ring::default_provider();
    let known = provider.signature_verification_algorithms;
    let mut all = known.all.to_vec();
    all.extend(P521_ALL);
    let mut mapping = known.mapping.to_vec();
    mapping.push((SignatureScheme::ECDSA_NISTP521_SHA512, P521_TLS));
    // Once per process: the provider requires lists with a static lifetime.
    provider.signature_verification_algorithms =
        WebPkiSupportedAlgorithms { all: all.leak(), mapping: mapping.leak() };
    provider.key_provider = &Keys;
    provider
}

/// An algorithm of P-521 with one hash.
#[derive(Debug)]
struct P521 {
    signature: AlgorithmIdentifier,
    hash: Hash,
}

#[derive(Clone, Copy, Debug)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

static P521_SHA256: P521 = P521 { signature: alg_id::ECDSA_SHA256, hash: Hash::Sha256 };
static P521_SHA384: P521 = P521 { signature: alg_id::ECDSA_SHA384, hash: Hash::Sha384 };
static P521_SHA512: P521 = P521 { signature: alg_id::ECDSA_SHA512, hash: Hash::Sha512 };

/// The digest as a number of 64 bytes: a shorter one stands for the same number with zeros before it (SEC 1, 4.1.4).
fn padded(hash: Hash, message: &[u8]) -> [u8; 64] {
    let algorithm = match hash {
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    };
    let digest = digest::digest(algorithm, message);
    let mut number = [0; 64];
    number[64 - digest.as_ref().len()..].copy_from_slice(digest.as_ref());
    number
}

impl SignatureVerificationAlgorithm for P521 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify_prehash(&padded(self.hash, message), &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

/// Loads private keys for client certificates: ring's kinds, then P-521.
#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, der: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        match crypto::ring::sign::any_supported_type(&der) {
            Ok(key) => Ok(key),
            Err(error) => {
                let secret = match &der {
                    PrivateKeyDer::Pkcs8(der) => p521::SecretKey::from_pkcs8_der(der.secret_pkcs8_der()).ok(),
                    PrivateKeyDer::Sec1(der) => p521::SecretKey::from_sec1_der(der.secret_sec1_der()).ok(),
                    _ => None,
                };
                let key = secret.map(|secret| p521::ecdsa::SigningKey::from(&secret)).ok_or(error)?;
                Ok(Arc::new(P521Key(Arc::new(key))))
            }
        }
    }
}

/// A private key on P-521.
#[derive(Clone)]
struct P521Key(Arc<p521::ecdsa::SigningKey>);

impl std::fmt::Debug for P521Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("P521Key")
    }
}

impl SigningKey for P521Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ECDSA_NISTP521_SHA512).then(|| Box::new(self.clone()) as _)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for P521Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        use p521::ecdsa::signature::hazmat::PrehashSigner as _;
        let signature: Signature = self
            .0
            .sign_prehash(&padded(Hash::Sha512, message))
            .map_err(|_| Error::General("signing failed".to_owned()))?;
        let der: DerSignature = signature.to_der();
        Ok(der.as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP521_SHA512
    }
}

/// Verifies a server's certificate by these roots. Roots that cannot be parsed are omitted; if none remains,
/// a server's certificate is trusted only if it equals one of them.
pub(crate) fn verifier(trust: Trust, roots: Vec<CertificateDer<'static>>) -> Arc<dyn ServerCertVerifier> {
    let provider = provider();
    if trust == Trust::Anything {
        return Arc::new(Verifier { trust, chain: None, roots: Vec::new(), provider });
    }
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone()).build().ok();
    Arc::new(Verifier { trust, chain, roots, provider })
}

/// Accepts what webpki accepts, and a server's certificate that equals a configured root.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    chain: Option<Arc<WebPkiServerVerifier>>,
    roots: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Go's crypto/x509 trusts a certificate in the pool of roots, even if it is not a CA.
        if self.roots.iter().any(|root| root == end_entity) {
            in_its_dates(end_entity, now)?;
            let parsed = ParsedCertificate::try_from(end_entity)?;
            tokio_rustls::rustls::client::verify_server_name(&parsed, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        match &self.chain {
            Some(chain) => chain.verify_server_cert(end_entity, intermediates, name, ocsp_response, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.trust == Trust::Anything {
            return Ok(ServerCertVerified::assertion());
        }
        match self.judge(end_entity, intermediates, server_name, ocsp_response, now) {
            // The chain and the dates are verified before the name: only the name is wrong here.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.trust == Trust::AnyName => Ok(ServerCertVerified::assertion()),
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

/// Whether now is within a certificate's dates. webpki does not show them.
fn in_its_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (begin, end) = dates(certificate).ok_or(CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < begin {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > end {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// `notBefore` and `notAfter` in seconds since 1970: `Certificate → TBSCertificate → [version], serialNumber, signature,
/// issuer, validity` (RFC 5280, 4.1).
fn dates(certificate: &[u8]) -> Option<(i64, i64)> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xA0;
    let (tag, certificate, _) = element(certificate)?;
    let (inner_tag, mut rest, _) = element(certificate)?;
    if tag != SEQUENCE || inner_tag != SEQUENCE {
        return None;
    }
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (begin_tag, begin, rest) = element(validity)?;
    let (end_tag, end, _) = element(rest)?;
    Some((time(begin_tag, begin)?, time(end_tag, end)?))
}

/// One DER element: its tag, its contents, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7F)).filter(|it| it.0.len() <= 4)?;
        (digits.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

/// `UTCTime` (`YYMMDDhhmmssZ`) or `GeneralizedTime` (`YYYYMMDDhhmmssZ`).
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let text = match tag {
        0x17 if text.len() == 12 => {
            let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
            format!("{century}{text}")
        }
        0x18 if text.len() == 14 => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i8>().ok();
    let year = text.get(..4)?.parse::<i16>().ok()?;
    let civil = jiff::civil::DateTime::new(
        year,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?,
        0,
    );
    Some(civil.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls_pki_types::pem::PemObject as _;

    use super::*;

    fn certificate(name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(format!("{}/tests/data/tls/{name}.crt", env!("CARGO_MANIFEST_DIR")))
            .expect("a certificate")
    }

    fn judged(trust: Trust, root: &str, server: &str, name: &str, seconds: u64) -> Result<(), Error> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let verifier = verifier(trust, vec![certificate(root)]);
        verifier.verify_server_cert(&certificate(server), &[], &name, &[], now).map(|_| ())
    }

    /// Within the dates of the certificates: 2027.
    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_certificate_that_equals_a_root_is_accepted_by_its_name_and_within_its_dates() {
        for (root, server) in
            [("own-ca", "own-ca"), ("leaf", "leaf"), ("p521", "p521"), ("authority", "leaf")]
        {
            assert!(judged(Trust::Full, root, server, "localhost", NOW).is_ok(), "{root} {server}");
            assert!(judged(Trust::Full, root, server, "127.0.0.1", NOW).is_ok(), "{root} {server}");
            let other = judged(Trust::Full, root, server, "example.org", NOW);
            assert!(other.is_err(), "{root} {server}: another name");
            assert!(judged(Trust::AnyName, root, server, "example.org", NOW).is_ok(), "{root} {server}");
            for seconds in [0, 1_700_000_000, 6_000_000_000] {
                for trust in [Trust::Full, Trust::AnyName] {
                    let out = judged(trust, root, server, "localhost", seconds);
                    assert!(out.is_err(), "{root} {server}: out of its dates at {seconds}");
                }
            }
        }
        assert!(judged(Trust::Full, "own-ca", "leaf", "localhost", NOW).is_err(), "another authority");
        assert!(judged(Trust::AnyName, "own-ca", "other-name", "other.example", NOW).is_err());
        assert!(judged(Trust::Anything, "own-ca", "other-name", "x", 0).is_ok());
    }

    #[test]
    fn a_key_on_p521_signs_what_its_certificate_verifies_and_nothing_else() {
        let path = format!("{}/tests/data/tls/p521.key", env!("CARGO_MANIFEST_DIR"));
        let key = PrivateKeyDer::from_pem_file(path).expect("a key");
        let key = provider().key_provider.load_private_key(key).expect("P-521 is known");
        assert!(key.choose_scheme(&[SignatureScheme::ED25519]).is_none());
        let signer = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP521_SHA512]).expect("its scheme");
        let mut signature = signer.sign(b"message").expect("signed");
        let certificate = certificate("p521");
        let parsed = webpki_key(&certificate);
        assert!(P521_SHA512.verify_signature(&parsed, b"message", &signature).is_ok());
        assert!(P521_SHA512.verify_signature(&parsed, b"massage", &signature).is_err());
        assert!(P521_SHA384.verify_signature(&parsed, b"message", &signature).is_err());
        let last = signature.len() - 1;
        signature[last] ^= 1;
        assert!(P521_SHA512.verify_signature(&parsed, b"message", &signature).is_err());
        assert!(P521_SHA512.verify_signature(&parsed, b"message", b"").is_err());
        assert!(P521_SHA512.verify_signature(b"", b"message", &signature).is_err());
    }

    /// The public point within a certificate on P-521: `04`, and two numbers of 66 bytes.
    fn webpki_key(certificate: &[u8]) -> Vec<u8> {
        let mark = [0x03, 0x81, 0x86, 0x00, 0x04];
        let at = certificate.windows(mark.len()).position(|bytes| bytes == mark).expect("a key on P-521");
        certificate[at + 4..at + 4 + 133].to_vec()
    }

    #[test]
    fn every_truncation_of_a_certificate_has_no_dates_and_no_panic() {
        let whole = certificate("leaf");
        let (begin, end) = dates(&whole).expect("dates");
        assert!(begin < 1_800_000_000 && end > 4_000_000_000);
        for length in 0..whole.len() {
            assert_eq!(dates(&whole[..length]), None, "{length}");
            let mut changed = whole.to_vec();
            changed[length] ^= 0x80;
            let _ = dates(&changed);
        }
        assert_eq!(time(0x17, b"491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(0x17, b"500101000000Z"), Some(-631_152_000));
        assert_eq!(time(0x18, b"20261127000000Z"), Some(1_795_737_600));
        for text in [&b"20261127000000"[..], b"20261332000000Z", b"", b"Z", "2026112700000öZ".as_bytes()] {
            assert_eq!((time(0x17, text), time(0x18, text)), (None, None));
        }
    }
}
