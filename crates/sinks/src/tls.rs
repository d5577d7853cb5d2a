//! TLS for sinks: whom to trust. Verification is always on.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tidemill_core::BoxError;

/// Trusts what the system trusts, or only who is signed by the certificates in this file. Reads files.
///
/// # Errors
/// A [`TlsError`]: the sink is set up wrongly.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let roots = match ca_file {
        Some(path) => from_file(path)?,
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(TlsError { path: None, source: None });
            }
            roots
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|source| TlsError { path: None, source: Some(source.into()) })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn from_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let fail = |source: BoxError| TlsError { path: Some(path.to_owned()), source: Some(source) };
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_file_iter(path).map_err(|source| fail(source.into()))? {
        let cert = cert.map_err(|source| fail(source.into()))?;
        roots.add(cert).map_err(|source| fail(source.into()))?;
    }
    if roots.is_empty() { Err(TlsError { path: Some(path.to_owned()), source: None }) } else { Ok(roots) }
}

/// Nobody can be trusted.
#[derive(Debug)]
pub(crate) struct TlsError {
    path: Option<PathBuf>,
    source: Option<BoxError>,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => {
                write!(f, "{} has no certificates in PEM that can be read: set ca_file to one that has", path.display())
            }
            None => f.write_str("the system trusts no certificates: install ca-certificates, or set ca_file"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
