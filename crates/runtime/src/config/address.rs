//! Address of the broker, taken from `mqtt.url`. No error here repeats a part of the URL that could be a secret.

use std::fmt;

use url::{Host, Url};

use super::ConfigProblem;

const EXAMPLE: &str = "write it as in mqtts://broker.example:8883";

/// What carries MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// `mqtt://`, port 1883.
    Tcp,
    /// `mqtts://`, port 8883.
    Tls,
    /// `ws://`, port 80.
    WebSocket,
    /// `wss://`, port 443.
    SecureWebSocket,
}

impl Transport {
    /// The scheme in a URL.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::WebSocket => "ws",
            Self::SecureWebSocket => "wss",
        }
    }

    /// The port where the URL names none.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Tcp => 1883,
            Self::Tls => 8883,
            Self::WebSocket => 80,
            Self::SecureWebSocket => 443,
        }
    }

    /// Whether it is encrypted.
    #[must_use]
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::SecureWebSocket)
    }

    /// Whether it is a WebSocket.
    #[must_use]
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::WebSocket | Self::SecureWebSocket)
    }

    fn from_scheme(scheme: &str) -> Option<Self> {
        [Self::Tcp, Self::Tls, Self::WebSocket, Self::SecureWebSocket].into_iter().find(|t| t.scheme() == scheme)
    }
}

/// Where the broker is. `Display` writes it as a URL, which holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BrokerAddress {
    /// What carries MQTT.
    pub transport: Transport,
    /// Host name or IP address, without the brackets of IPv6.
    pub host: String,
    /// TCP port, never 0.
    pub port: u16,
    /// Path of the WebSocket, starting with `/`; empty for the other transports.
    pub path: String,
}

impl BrokerAddress {
    /// The first server of a Server Reference: `host` or `host:port`, several parted by spaces `[MQTT-4.11]`.
    pub(crate) fn from_reference(transport: Transport, reference: &str) -> Option<Self> {
        let first = reference.split_whitespace().next()?;
        parse("server reference", &format!("{}://{first}", transport.scheme())).ok()
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transport, host, port, path } = self;
        if host.contains(':') {
            write!(f, "{}://[{host}]:{port}{path}", transport.scheme())
        } else {
            write!(f, "{}://{host}:{port}{path}", transport.scheme())
        }
    }
}

/// Takes a URL apart.
pub(super) fn parse(key: &str, text: &str) -> Result<BrokerAddress, ConfigProblem> {
    let problem = |why: &str, fix: &str| Err(ConfigProblem::new(key, why, fix));
    let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    if authority.contains('@') {
        return problem("it holds a user name or a password", "move them to mqtt.username and mqtt.password_file");
    }
    let Some((scheme, _)) = text.split_once("://") else {
        return match text {
            "" => problem("it is empty", EXAMPLE),
            _ => problem("it has no scheme", "write mqtt://, mqtts://, ws:// or wss:// in front"),
        };
    };
    let scheme = scheme.to_ascii_lowercase();
    let Some(transport) = Transport::from_scheme(&scheme) else {
        let fix = match scheme.as_str() {
            "tcp" | "mqtt5" => "write mqtt://",
            "ssl" | "tls" | "mqtt+ssl" | "mqtt+tls" => "write mqtts://",
            "http" => "write ws://",
            "https" => "write wss://",
            _ => "write mqtt://, mqtts://, ws:// or wss://",
        };
        return problem("its scheme is unknown", fix);
    };
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return problem(&format!("it is no URL, {error}"), EXAMPLE),
    };
    if text.contains(char::is_whitespace) || text.contains('\\') {
        // The parser would drop or replace them in silence.
        return problem("it contains a space or a backslash", "remove it");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return problem("it has a part behind '?' or '#', which would appear in logs", "remove that part");
    }
    let path = if transport.is_websocket() { url.path() } else { url.path().trim_start_matches('/') };
    if !transport.is_websocket() && !path.is_empty() {
        return problem("it has a path", "end it after the host and the port; only ws:// and wss:// have a path");
    }
    let host = match url.host() {
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_string(),
        Some(Host::Domain(name)) if is_host(name) => name.to_owned(),
        _ => return problem("it has no valid host", EXAMPLE),
    };
    match url.port().unwrap_or(transport.default_port()) {
        0 => problem("port 0 does not exist", EXAMPLE),
        port => Ok(BrokerAddress { transport, host, port, path: path.to_owned() }),
    }
}

/// Whether a text is a host name or an IP address.
pub(super) fn is_host(name: &str) -> bool {
    // The parser decodes percent signs, and the broker's name has none.
    !name.is_empty() && !name.contains('%') && Host::parse(name).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(url: &str) -> Result<BrokerAddress, ConfigProblem> {
        super::parse("mqtt.url", url)
    }

    #[test]
    fn a_url_names_transport_host_port_and_path() {
        for (url, shown, path) in [
            ("mqtt://broker", "mqtt://broker:1883", ""),
            ("MQTTS://broker.example/", "mqtts://broker.example:8883", ""),
            ("mqtt://10.0.0.1:2883", "mqtt://10.0.0.1:2883", ""),
            ("mqtt://[::1]", "mqtt://[::1]:1883", ""),
            ("ws://broker/mqtt", "ws://broker:80/mqtt", "/mqtt"),
            ("wss://broker:8084", "wss://broker:8084/", "/"),
        ] {
            let address = parse(url).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.path, path);
            assert_eq!(parse(&address.to_string()).unwrap(), address, "what is shown can be read again");
        }
    }

    #[test]
    fn the_brackets_of_ipv6_are_no_part_of_the_host() {
        assert_eq!(parse("mqtts://[2001:db8::7]:1").unwrap().host, "2001:db8::7");
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_with_the_way_out() {
        for (url, why, fix) in [
            ("", "empty", "mqtts://broker.example:8883"),
            ("localhost:1883", "no scheme", "in front"),
            ("tcp://broker", "scheme", "mqtt://"),
            ("ssl://broker", "scheme", "mqtts://"),
            ("gopher://broker", "scheme", "ws://"),
            ("mqtt://", "host", "broker.example"),
            ("mqtt://:1883", "", "broker.example"),
            ("mqtt://bro%20ker", "host", "broker.example"),
            ("mqtt://broker:99999", "port", "broker.example"),
            ("mqtt://broker:0", "port 0", "broker.example"),
            ("mqtt://bro ker", "", ""),
            ("mqtt://broker/some/path", "path", "only ws://"),
            ("wss://broker/mqtt?token=abc", "'?'", "remove"),
            ("wss://broker/mqtt#x", "'#'", "remove"),
        ] {
            let problem = parse(url).unwrap_err();
            assert_eq!(problem.key(), "mqtt.url");
            assert!(problem.why().contains(why), "{url}: {problem}");
            assert!(problem.fix().contains(fix), "{url}: {problem}");
        }
    }

    #[test]
    fn a_server_reference_is_a_host_with_or_without_a_port() {
        let read = |text| BrokerAddress::from_reference(Transport::Tls, text).map(|address| address.to_string());
        assert_eq!(read("other.example").as_deref(), Some("mqtts://other.example:8883"));
        assert_eq!(read(" other.example:9999 third.example ").as_deref(), Some("mqtts://other.example:9999"));
        assert_eq!(read("[2001:db8::7]:1").as_deref(), Some("mqtts://[2001:db8::7]:1"));
        for text in ["", "http://other", "a b:x", "me:secret@host", "other/path"] {
            assert!(
                !read(text).is_some_and(|address| address.contains("secret") || address.contains("path")),
                "{text}"
            );
        }
        assert_eq!(read(""), None);
    }

    #[test]
    fn credentials_in_a_url_are_refused_and_never_repeated() {
        for url in [
            "mqtt://me:hunter2@broker",
            "mqtt://hunter2@broker:1883",
            "hunter2:x@broker",
            "tcp://me:hunter2@broker",
            "wss://me:hunter2@broker/mqtt",
            "mqtt://me:hunter2@",
            "wss://broker/?token=hunter2",
        ] {
            let problem = parse(url).unwrap_err();
            assert!(!problem.to_string().contains("hunter2"), "{problem}");
        }
    }
}
