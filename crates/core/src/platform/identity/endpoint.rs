//! Where to connect: host, port and transport. A host is always `{org}.messaging.{domain}` unless one is given whole.

use std::fmt;

use super::{IdentityError, IdentityErrorKind, OrgId};

/// The domain of the public service. Maximo IoT and private platforms have their own.
pub const DEFAULT_DOMAIN: &str = "internetofthings.ibmcloud.com";

/// What MQTT runs over. The names are those of the SDKs' option `transport`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// `tcp`.
    #[default]
    Tcp,
    /// `websockets`.
    WebSocket,
}

/// A place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint {
    /// The host name.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// What MQTT runs over; every port serves both.
    pub transport: Transport,
    /// Whether to use TLS, version 1.2 or later. The service switches clear ports off unless an organization asks for
    /// them, and offers no TLS in Quickstart.
    pub tls: bool,
}

impl Endpoint {
    /// The endpoint of an organization.
    ///
    /// Without a port: 8883, for WebSocket 443, in Quickstart 1883. TLS follows the port: 1883 and 80 are clear, all
    /// others use it; set [`tls`](Self::tls) for a private platform with other ports.
    ///
    /// # Errors
    /// [`IdentityErrorKind::NotADomain`].
    pub fn new(org: &OrgId, domain: &str, transport: Transport, port: Option<u16>) -> Result<Self, IdentityError> {
        if !is_domain(domain) {
            return Err(IdentityError::new(IdentityErrorKind::NotADomain, "domain", domain));
        }
        let default_port = match transport {
            _ if org.is_quickstart() => 1883,
            Transport::Tcp => 8883,
            Transport::WebSocket => 443,
        };
        let port = port.unwrap_or(default_port);
        Ok(Self { host: format!("{org}.messaging.{domain}"), port, transport, tls: !matches!(port, 80 | 1883) })
    }
}

/// A URL: `mqtts://`, `mqtt://`, `wss://` or `ws://`, always with the port.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.transport, self.tls) {
            (Transport::Tcp, true) => "mqtts",
            (Transport::Tcp, false) => "mqtt",
            (Transport::WebSocket, true) => "wss",
            (Transport::WebSocket, false) => "ws",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = label.as_bytes();
        label.len() <= 63
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    domain.len() <= 200 && domain.split('.').all(is_label)
}
