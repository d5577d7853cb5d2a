//! TLS through rustls: the system's roots or a CA file, client certificates, verification on unless switched off by name.

use std::fmt;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tidemill_core::BoxError;
use tokio_rustls::TlsConnector;

use super::BoxStream;
use crate::config::TlsConfig;
use crate::session::error::{SessionError, SessionErrorKind};
use crate::session::reason::Advice;

/// Everything that a TLS connection needs, read once.
pub(super) struct Tls {
    connector: TlsConnector,
    server_name: ServerName<'static>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

fn broken(text: String, source: impl Into<BoxError>) -> SessionError {
    SessionError::new(SessionErrorKind::Tls, text).with_source(source).with_advice(Advice::Stop)
}

impl Tls {
    pub(super) fn new(config: &TlsConfig, host: &str) -> Result<Self, SessionError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| broken("set up TLS".to_owned(), error))?;
        let builder = if config.insecure_skip_verify {
            tracing::warn!("`mqtt.tls.insecure_skip_verify` is on: anyone on the way can read and change the traffic");
            builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerification(provider)))
        } else {
            builder.with_root_certificates(roots(config)?)
        };
        let client = match (&config.cert_file, &config.key_file) {
            (Some(cert), Some(key)) => {
                let key_text = format!("read the private key of `mqtt.tls.key_file` {}", key.display());
                let private = PrivateKeyDer::from_pem_file(key).map_err(|error| broken(key_text, error))?;
                builder
                    .with_client_auth_cert(certificates("mqtt.tls.cert_file", cert)?, private)
                    .map_err(|error| broken("the client certificate and key do not fit".to_owned(), error))?
            }
            _ => builder.with_no_client_auth(),
        };
        let name = config.server_name.as_deref().unwrap_or(host);
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|error| broken(format!("{name:?} is not a server name; set `mqtt.tls.server_name`"), error))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(client)), server_name })
    }

    pub(super) async fn connect(&self, stream: BoxStream) -> Result<BoxStream, SessionError> {
        match self.connector.connect(self.server_name.clone(), stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => {
                let text = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                    Some(rustls::Error::InvalidCertificate(reason)) => way_out(reason),
                    _ => "the TLS handshake failed; check that `mqtt.url` names the broker's TLS port",
                };
                Err(SessionError::new(SessionErrorKind::Tls, text).with_source(error))
            }
        }
    }
}

/// What is wrong with the broker's certificate, and what the operator can do.
fn way_out(reason: &CertificateError) -> &'static str {
    use CertificateError as E;
    match reason {
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "the broker's certificate is for another name; correct the host of `mqtt.url` or set `mqtt.tls.server_name`"
        }
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            "the broker's certificate has expired or is not valid yet; renew it, or set the clock of this machine"
        }
        _ => "the broker's certificate is not trusted; set `mqtt.tls.ca_file` to the authority that signed it",
    }
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, SessionError> {
    let text = format!("read the certificates of `{key}` {}", path.display());
    let file = std::fs::File::open(path).map_err(|error| broken(text.clone(), error))?;
    let certificates: Vec<_> = CertificateDer::pem_reader_iter(BufReader::new(file))
        .collect::<Result<_, _>>()
        .map_err(|error| broken(text.clone(), error))?;
    if certificates.is_empty() {
        return Err(broken(text, "the file holds no certificate in PEM form"));
    }
    Ok(certificates)
}

fn roots(config: &TlsConfig) -> Result<RootCertStore, SessionError> {
    let mut roots = RootCertStore::empty();
    match &config.ca_file {
        Some(path) => {
            for certificate in certificates("mqtt.tls.ca_file", path)? {
                roots.add(certificate).map_err(|error| {
                    broken(format!("use a certificate of `mqtt.tls.ca_file` {}", path.display()), error)
                })?;
            }
        }
        None => {
            let native = rustls_native_certs::load_native_certs();
            for error in &native.errors {
                tracing::warn!(error = %error, "a root certificate of the system could not be read");
            }
            roots.add_parsable_certificates(native.certs);
            if roots.is_empty() {
                let text = "the system has no root certificates; install ca-certificates or set `mqtt.tls.ca_file`";
                return Err(SessionError::new(SessionErrorKind::Tls, text).with_advice(Advice::Stop));
            }
        }
    }
    Ok(roots)
}

/// Accepts every certificate: for `insecure_skip_verify` only. Signatures are still checked.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
