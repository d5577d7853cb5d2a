//! Certificates for tests of TLS: an authority made on the spot, and what it signed for a server and for a client, in
//! files that are gone with the value.
//!
//! No two authorities trust each other, so a second one stands for a stranger.

use std::io;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::mosquitto::MosquittoTls;

const AUTHORITY: &str = "ca.pem";
const SERVER: &str = "server";
const CLIENT: &str = "client";

/// An authority, and a certificate of its own for a server and for a client. Dropping it deletes the files.
#[derive(Debug)]
pub struct Certificates {
    directory: TempDir,
}

/// A certificate and its private key: files, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes them; the server's is valid for these names and addresses alone, such as `localhost` and `127.0.0.1`.
    ///
    /// # Errors
    /// When a host is no name that a certificate can have, or the files cannot be written.
    pub fn for_hosts<const N: usize>(hosts: [&str; N]) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = params(Vec::new(), "tests of tidemill")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).map_err(io::Error::other)?;
        std::fs::write(directory.path().join(AUTHORITY), authority.pem())?;
        let issuer = Issuer::new(params, key);
        let server = hosts.iter().map(|host| (*host).to_owned()).collect();
        for (name, hosts, usage) in [
            (SERVER, server, ExtendedKeyUsagePurpose::ServerAuth),
            (CLIENT, Vec::new(), ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            let key = KeyPair::generate().map_err(io::Error::other)?;
            let mut params = self::params(hosts, name)?;
            params.extended_key_usages = vec![usage];
            let files = signed(directory.path(), name);
            std::fs::write(files.cert, params.signed_by(&key, &issuer).map_err(io::Error::other)?.pem())?;
            std::fs::write(files.key, key.serialize_pem())?;
        }
        Ok(Self { directory })
    }

    /// The certificate of the authority, PEM: what to trust.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.directory.path().join(AUTHORITY)
    }

    /// What the server shows.
    #[must_use]
    pub fn server(&self) -> Signed {
        signed(self.directory.path(), SERVER)
    }

    /// What a client shows to a server that asks for it.
    #[must_use]
    pub fn client(&self) -> Signed {
        signed(self.directory.path(), CLIENT)
    }

    /// The TLS listener of a Mosquitto that asks clients for nothing.
    #[must_use]
    pub fn mosquitto(&self) -> MosquittoTls {
        let Signed { cert, key } = self.server();
        MosquittoTls { cert, key, client_ca: None }
    }

    /// The same for one that lets in nobody but [`client`](Self::client).
    #[must_use]
    pub fn mosquitto_asking(&self) -> MosquittoTls {
        MosquittoTls { client_ca: Some(self.ca()), ..self.mosquitto() }
    }
}

fn params(hosts: Vec<String>, name: &str) -> io::Result<CertificateParams> {
    let mut params = CertificateParams::new(hosts).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn signed(directory: &Path, name: &str) -> Signed {
    Signed { cert: directory.join(format!("{name}.pem")), key: directory.join(format!("{name}.key")) }
}
