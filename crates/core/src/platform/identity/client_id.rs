//! Client IDs: `a:org:app`, `A:org:app`, `A:org:app:instance`, `d:org:type:device`, `g:org:type:device`.
//!
//! Reading follows the proxy (`matchClientClass` in `pxmqtt.c`): every part must be there, and the last one takes all that
//! is left, colons included, which its alphabet then refuses. So each text has one form at most.

use std::fmt;
use std::str::FromStr;

use super::{IdentityError, IdentityErrorKind, Name, OrgId};

/// What a client is, by the letter that its ID starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// `a`: one application, one connection.
    Application,
    /// `A`: an application whose connections share its subscriptions.
    ScalableApplication,
    /// `d`: a device.
    Device,
    /// `g`: a gateway, which speaks for devices.
    Gateway,
}

impl Class {
    /// The letter in client IDs.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Application => 'a',
            Self::ScalableApplication => 'A',
            Self::Device => 'd',
            Self::Gateway => 'g',
        }
    }

    fn from_letter(letter: &str) -> Option<Self> {
        match letter {
            "a" => Some(Self::Application),
            "A" => Some(Self::ScalableApplication),
            "d" => Some(Self::Device),
            "g" => Some(Self::Gateway),
            _ => None,
        }
    }
}

/// A valid client ID of the platform.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientId {
    /// `a:org:app`. A second connection with the same ID closes the first (288).
    Application {
        /// The organization.
        org: OrgId,
        /// The application.
        app: Name,
    },
    /// `A:org:app`: a scalable application whose subscriptions are not durable. All members connect with this one ID,
    /// and the proxy appends a generated instance to each, so members never close each other's connection.
    Scalable {
        /// The organization.
        org: OrgId,
        /// The application: it names the group.
        app: Name,
    },
    /// `A:org:app:instance`: one member of a scalable application with mixed durability. A second connection with the
    /// same instance closes the first (288).
    ScalableInstance {
        /// The organization.
        org: OrgId,
        /// The application: it names the group.
        app: Name,
        /// The member.
        instance: Name,
    },
    /// `d:org:type:device`.
    Device {
        /// The organization.
        org: OrgId,
        /// The device's type.
        device_type: Name,
        /// The device.
        device: Name,
    },
    /// `g:org:type:device`.
    Gateway {
        /// The organization.
        org: OrgId,
        /// The gateway's type.
        device_type: Name,
        /// The gateway.
        device: Name,
    },
}

impl ClientId {
    /// Reads a client ID.
    ///
    /// # Errors
    /// [`IdentityErrorKind::NoForm`] when no form fits (the proxy answers CONNACK 5), the kinds of [`Name::new`] and
    /// [`OrgId::new`] when a part is wrong (CONNACK 2).
    pub fn new(text: &str) -> Result<Self, IdentityError> {
        let no_form = || IdentityError::new(IdentityErrorKind::NoForm, "client ID", text);
        let (letter, rest) = text.split_once(':').ok_or_else(no_form)?;
        let class = Class::from_letter(letter).ok_or_else(no_form)?;
        let (org, rest) = rest.split_once(':').ok_or_else(no_form)?;
        let parts = match (class, rest.split_once(':')) {
            (Class::Application, _) => (rest, None),
            (Class::ScalableApplication, Some((app, instance))) if !app.is_empty() && !instance.is_empty() => {
                (app, Some(instance))
            }
            (Class::ScalableApplication, _) => (rest, None),
            (Class::Device | Class::Gateway, Some((device_type, device))) => (device_type, Some(device)),
            (Class::Device | Class::Gateway, None) => return Err(no_form()),
        };
        if org.is_empty() || parts.0.is_empty() || parts.1.is_some_and(str::is_empty) {
            return Err(no_form());
        }
        let org = OrgId::new(org)?;
        Ok(match (class, parts) {
            (Class::Application, (app, _)) => Self::Application { org, app: Name::of("application", app)? },
            (Class::ScalableApplication, (app, None)) => Self::Scalable { org, app: Name::of("application", app)? },
            (Class::ScalableApplication, (app, Some(instance))) => Self::ScalableInstance {
                org,
                app: Name::of("application", app)?,
                instance: Name::of("instance", instance)?,
            },
            (Class::Device, (device_type, device)) => Self::Device {
                org,
                device_type: Name::of("device type", device_type)?,
                device: Name::of("device", device.unwrap_or_default())?,
            },
            (Class::Gateway, (device_type, device)) => Self::Gateway {
                org,
                device_type: Name::of("device type", device_type)?,
                device: Name::of("device", device.unwrap_or_default())?,
            },
        })
    }

    /// What the client is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Application { .. } => Class::Application,
            Self::Scalable { .. } | Self::ScalableInstance { .. } => Class::ScalableApplication,
            Self::Device { .. } => Class::Device,
            Self::Gateway { .. } => Class::Gateway,
        }
    }

    /// The organization.
    #[must_use]
    pub fn org(&self) -> &OrgId {
        match self {
            Self::Application { org, .. }
            | Self::Scalable { org, .. }
            | Self::ScalableInstance { org, .. }
            | Self::Device { org, .. }
            | Self::Gateway { org, .. } => org,
        }
    }

    /// The application; `None` for devices and gateways.
    #[must_use]
    pub fn app(&self) -> Option<&Name> {
        match self {
            Self::Application { app, .. } | Self::Scalable { app, .. } | Self::ScalableInstance { app, .. } => {
                Some(app)
            }
            Self::Device { .. } | Self::Gateway { .. } => None,
        }
    }

    /// The instance of `A:org:app:instance`.
    #[must_use]
    pub fn instance(&self) -> Option<&Name> {
        match self {
            Self::ScalableInstance { instance, .. } => Some(instance),
            _ => None,
        }
    }

    /// Device type and device of a device or gateway.
    #[must_use]
    pub fn device(&self) -> Option<(&Name, &Name)> {
        match self {
            Self::Device { device_type, device, .. } | Self::Gateway { device_type, device, .. } => {
                Some((device_type, device))
            }
            _ => None,
        }
    }

    /// Whether the client's subscriptions are shared with other members of its application.
    #[must_use]
    pub fn shares(&self) -> bool {
        self.class() == Class::ScalableApplication
    }

    /// Whether the session must be clean.
    ///
    /// True for `A:org:app` alone. The applications page says the opposite, that clean session *must be false* for this
    /// form; the proxy refuses exactly that with CONNACK 5 (`doConnect` in `pxmqtt.c`), and the Java SDK forces a clean
    /// session in its shared mode. The source is followed.
    #[must_use]
    pub fn needs_clean_session(&self) -> bool {
        matches!(self, Self::Scalable { .. })
    }

    /// Whether a second connection with this client ID closes the first with 288.
    #[must_use]
    pub fn is_taken_over(&self) -> bool {
        !matches!(self, Self::Scalable { .. })
    }

    /// The keep alive, in seconds, that the platform goes by when a client asks for `requested`.
    ///
    /// `0` and more than 3600 become 3600 for `A:org:app`. The documentation says this of all clients with `A`; the
    /// proxy does it in the form without instance only (`pxmqtt.c`), and leaves the value of all others alone.
    #[must_use]
    pub fn effective_keep_alive(&self, requested: u16) -> u16 {
        match self {
            Self::Scalable { .. } if requested == 0 || requested > MAX_KEEP_ALIVE => MAX_KEEP_ALIVE,
            _ => requested,
        }
    }
}

/// The longest keep alive of a scalable application, in seconds.
pub(in crate::platform) const MAX_KEEP_ALIVE: u16 = 3600;

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = self.class().letter();
        match self {
            Self::Application { org, app } | Self::Scalable { org, app } => write!(f, "{letter}:{org}:{app}"),
            Self::ScalableInstance { org, app: first, instance: second }
            | Self::Device { org, device_type: first, device: second }
            | Self::Gateway { org, device_type: first, device: second } => write!(f, "{letter}:{org}:{first}:{second}"),
        }
    }
}

impl FromStr for ClientId {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::new(text)
    }
}
