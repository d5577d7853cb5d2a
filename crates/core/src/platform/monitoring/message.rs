//! The monitoring message, in all shapes that occur.

use std::fmt;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::{CloseCode, time};
use crate::platform::ClientId;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// A client connected. Sent retained.
    Connect,
    /// A client disconnected. Retained for devices; for applications and in Quickstart the retained message is cleared.
    Disconnect,
    /// A client tried to connect and failed. Not retained.
    FailedConnect,
    /// In the platform's source, not in its documentation.
    Active,
    /// In the platform's source, not in its documentation.
    Info,
    /// In the platform's source, not in its documentation.
    Unknown,
    /// Any other word.
    Other(Box<str>),
}

impl Action {
    fn read(text: &str) -> Self {
        match text {
            "Connect" => Self::Connect,
            "Disconnect" => Self::Disconnect,
            "FailedConnect" => Self::FailedConnect,
            "Active" => Self::Active,
            "Info" => Self::Info,
            "Unknown" => Self::Unknown,
            other => Self::Other(other.into()),
        }
    }

    /// The word in the field `Action`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Connect => "Connect",
            Self::Disconnect => "Disconnect",
            Self::FailedConnect => "FailedConnect",
            Self::Active => "Active",
            Self::Info => "Info",
            Self::Unknown => "Unknown",
            Self::Other(word) => word,
        }
    }
}

/// What the client spoke, as the field `Protocol` says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Protocol(Box<str>);

impl Protocol {
    /// Takes the word as it is, e.g. `mqtt4`, `mqtt4-ws`, `mqtt-tcp`, `http`.
    #[must_use]
    pub fn new(word: &str) -> Self {
        Self(word.into())
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The version of MQTT by its number on the wire: 3 is 3.1, 4 is 3.1.1, 5 is 5.0. `None` when the word does not tell.
    ///
    /// Both `mqtt5-ws`, which the source produces, and `mqttv5-ws`, which the documentation prints, are read.
    #[must_use]
    pub fn mqtt_version(&self) -> Option<u8> {
        let rest = self.0.strip_prefix("mqtt")?;
        let rest = rest.strip_prefix('v').unwrap_or(rest);
        match rest.strip_suffix("-ws").unwrap_or(rest) {
            "3" => Some(3),
            "4" => Some(4),
            "5" => Some(5),
            _ => None,
        }
    }

    /// Whether it ran over WebSocket.
    #[must_use]
    pub fn is_web_socket(&self) -> bool {
        self.0.ends_with("-ws")
    }
}

/// A monitoring message.
///
/// Only [`action`](Self::action) is always there: which other fields come depends on the action, the protocol and the
/// age of the service. The documented fields are in the applications page, section "Monitoring messages"; `Durable` and
/// `NewSession` are in the proxy's `monitor.c` alone.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MonitorMessage {
    /// What happened.
    pub action: Action,
    /// When it was sent, to the millisecond.
    pub time: Option<SystemTime>,
    /// The client's address as the server saw it.
    pub client_addr: Option<String>,
    /// The client ID. Left out when it was empty, as can be after a failed connect.
    pub client_id: Option<String>,
    /// The server's port.
    pub port: Option<u16>,
    /// Whether the connection used TLS.
    pub secure: Option<bool>,
    /// What the client spoke.
    pub protocol: Option<Protocol>,
    /// The user name. Left out when it was `use-token-auth`, except by the service of 2014.
    pub user: Option<String>,
    /// The common name of the client's certificate: `Certname` in the documentation, `CertName` in the source.
    pub cert_name: Option<String>,
    /// When the connection began. In a disconnect always of the connection that ended.
    pub connect_time: Option<SystemTime>,
    /// Why the connection was closed; see [`close_code`](Self::close_code).
    pub close_code: Option<CloseCode>,
    /// The reason in words, which vary for the same code.
    pub reason: Option<String>,
    /// Bytes from client to server.
    pub read_bytes: Option<u64>,
    /// Messages from client to server.
    pub read_msg: Option<u64>,
    /// Bytes from server to client.
    pub write_bytes: Option<u64>,
    /// Messages from server to client.
    pub write_msg: Option<u64>,
    /// Undocumented, and not to be relied on: the server's source fills it from *clean session*, which is the opposite.
    pub durable: Option<bool>,
    /// Undocumented: the durable session is new.
    pub new_session: Option<bool>,
    /// Fields with other names, and known ones with a value of an unexpected type, as they came.
    pub unknown: Map<String, Value>,
}

/// A payload that is no monitoring message.
#[derive(Debug)]
#[non_exhaustive]
pub enum MonitorError {
    /// It is not JSON.
    Json(serde_json::Error),
    /// It is JSON, but no object.
    NotAnObject,
    /// It has no field `Action` with text.
    NoAction,
}

impl fmt::Display for MonitorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json(_) => "the payload of the monitoring message is not JSON",
            Self::NotAnObject => "the payload of the monitoring message is not a JSON object",
            Self::NoAction => "the monitoring message has no field 'Action' with text",
        })
    }
}

impl std::error::Error for MonitorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::NotAnObject | Self::NoAction => None,
        }
    }
}

impl MonitorMessage {
    /// A message with this action and nothing else.
    #[must_use]
    pub fn new(action: Action) -> Self {
        Self {
            action,
            time: None,
            client_addr: None,
            client_id: None,
            port: None,
            secure: None,
            protocol: None,
            user: None,
            cert_name: None,
            connect_time: None,
            close_code: None,
            reason: None,
            read_bytes: None,
            read_msg: None,
            write_bytes: None,
            write_msg: None,
            durable: None,
            new_session: None,
            unknown: Map::new(),
        }
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// A [`MonitorError`] when it is no JSON object with an action.
    pub fn parse(payload: &[u8]) -> Result<Self, MonitorError> {
        let value: Value = serde_json::from_slice(payload).map_err(MonitorError::Json)?;
        let Value::Object(mut fields) = value else { return Err(MonitorError::NotAnObject) };
        let action = take(&mut fields, "Action", text).ok_or(MonitorError::NoAction)?;
        let fields = &mut fields;
        let number = |value: &Value| value.as_u64();
        Ok(Self {
            action: Action::read(&action),
            time: take(fields, "Time", moment),
            client_addr: take(fields, "ClientAddr", text),
            client_id: take(fields, "ClientID", text),
            port: take(fields, "Port", |value| u16::try_from(value.as_u64()?).ok()),
            secure: take(fields, "Secure", Value::as_bool),
            protocol: take(fields, "Protocol", |value| value.as_str().map(Protocol::new)),
            user: take(fields, "User", text),
            cert_name: take(fields, "CertName", text).or_else(|| take(fields, "Certname", text)),
            connect_time: take(fields, "ConnectTime", moment),
            close_code: take(fields, "CloseCode", |value| {
                u32::try_from(value.as_u64()?).ok().map(CloseCode::from_number)
            }),
            reason: take(fields, "Reason", text),
            read_bytes: take(fields, "ReadBytes", number),
            read_msg: take(fields, "ReadMsg", number),
            write_bytes: take(fields, "WriteBytes", number),
            write_msg: take(fields, "WriteMsg", number),
            durable: take(fields, "Durable", Value::as_bool),
            new_session: take(fields, "NewSession", Value::as_bool),
            unknown: std::mem::take(fields),
        })
    }

    /// The closing code, which is 0 when the message has none.
    #[must_use]
    pub fn close_code(&self) -> CloseCode {
        self.close_code.unwrap_or(CloseCode::Normal)
    }

    /// The client, when its ID has one of the platform's forms.
    #[must_use]
    pub fn client(&self) -> Option<ClientId> {
        ClientId::new(self.client_id.as_deref()?).ok()
    }

    /// The message as the platform writes it: the source's spelling `CertName`, times in UTC with milliseconds.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut fields = self.unknown.clone();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
        };
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let moment = |moment: Option<SystemTime>| moment.map(time::format).map(Value::from);
        put("Action", Some(self.action.as_str().into()));
        put("Time", moment(self.time));
        put("ClientAddr", text(&self.client_addr));
        put("ClientID", text(&self.client_id));
        put("Port", self.port.map(Value::from));
        put("Secure", self.secure.map(Value::from));
        put("Protocol", self.protocol.as_ref().map(|protocol| protocol.as_str().into()));
        put("User", text(&self.user));
        put("CertName", text(&self.cert_name));
        put("ConnectTime", moment(self.connect_time));
        put("CloseCode", self.close_code.map(|code| code.number().into()));
        put("Reason", text(&self.reason));
        put("ReadBytes", self.read_bytes.map(Value::from));
        put("ReadMsg", self.read_msg.map(Value::from));
        put("WriteBytes", self.write_bytes.map(Value::from));
        put("WriteMsg", self.write_msg.map(Value::from));
        put("Durable", self.durable.map(Value::from));
        put("NewSession", self.new_session.map(Value::from));
        Value::Object(fields).to_string().into_bytes()
    }
}

/// Takes a field out if it can be read; otherwise it stays among the unknown ones.
fn take<T>(fields: &mut Map<String, Value>, name: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
    let value = read(fields.get(name)?)?;
    fields.remove(name);
    Some(value)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn moment(value: &Value) -> Option<SystemTime> {
    time::parse(value.as_str()?)
}
