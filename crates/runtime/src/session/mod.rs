//! The session: how an instance speaks MQTT. One task owns the socket, over rumqttc's packet codec.
//!
//! ```text
//! connection   connect, run a session, back off, connect again          (over all sessions)
//!  ├ transport   TCP, TLS, WebSocket
//!  ├ handshake   CONNECT, CONNACK
//!  └ running     read -> decode -> link -> ... -> link -> window -> PUBACKs  (one session)
//!     ├ wire       buffered bytes    ├ codec     packets (properties of PUBLISH: properties)
//!     ├ window     ack order         ├ outgoing  publications
//!     ├ link       the hand-off to the dispatcher
//!     ├ subscriptions, aliases, keep_alive, leaving   one concern of the session each
//!     └ manifest   what the broker may hold for the next process (over all sessions, in a file)
//! ```

mod aliases;
mod backoff;
mod canary;
mod codec;
mod connection;
mod done;
mod error;
mod handshake;
mod keep_alive;
mod leaving;
mod linger;
pub(crate) mod link;
mod manifest;
mod outgoing;
mod parting;
mod properties;
mod publisher;
mod reason;
mod running;
mod settings;
mod stand_in;
mod status;
mod subscriptions;
pub(crate) mod transport;
mod unreleased;
mod window;
mod wire;

pub(crate) use backoff::Backoff;
pub(crate) use canary::{Verdict, send_canary};
pub(crate) use connection::Connection;
pub(crate) use handshake::{ConnectOptions, Will};
pub(crate) use manifest::{Manifest, Place};
pub(crate) use outgoing::Outgoing;
pub(crate) use parting::{Parting, PartingCell};
pub(crate) use settings::Settings;
pub(crate) use stand_in::StandIn;
pub(crate) use status::Status;
pub(crate) use window::AckWindow;

pub use done::{Settled, Started};
pub use error::{SessionError, SessionErrorKind};
pub use outgoing::{PublishError, Receipt};
pub(crate) use publisher::Handing;
pub use publisher::Publisher;
pub use reason::{Advice, Reason};
pub use status::Phase;
