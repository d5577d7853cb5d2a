//! Byte streams to the broker: TCP, and TLS through rustls with the system's roots or a CA file.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tidemill::BoxStream;
use tidemill::config::MqttConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Opens a stream on which CONNECT can be sent.
///
/// # Errors
/// Why there is none, and what to do.
pub(super) async fn open(mqtt: &MqttConfig) -> Result<BoxStream, String> {
    let address = mqtt.broker().map_err(|problem| format!("{}: {}", problem.why(), problem.fix()))?;
    let stream = TcpStream::connect((address.host.as_str(), address.port))
        .await
        .map_err(|error| format!("connect to {address}: {error}; is the broker running, and is that its port?"))?;
    // Acks of single letters should not wait for each other.
    let _ = stream.set_nodelay(true);
    if !address.transport.is_tls() {
        return Ok(Box::new(stream));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("set up TLS: {error}"))?
        .with_root_certificates(roots(mqtt.tls.ca_file.as_deref())?)
        .with_no_client_auth();
    let name = ServerName::try_from(address.host.clone())
        .map_err(|_| format!("{:?} is no name that a certificate can carry", address.host))?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| {
        format!("TLS to {address}: {error}; check the port, and name the authority that signed its certificate with --ca-file")
    })?;
    Ok(Box::new(stream))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let broken = |error: &dyn std::fmt::Display| format!("read the certificates of {}: {error}", path.display());
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| broken(&error))? {
            let certificate = certificate.map_err(|error| broken(&error))?;
            roots.add(certificate).map_err(|error| broken(&error))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    match roots.is_empty() {
        true => Err("there are no certificates to trust: install ca-certificates, or give --ca-file".to_owned()),
        false => Ok(roots),
    }
}
