//! Quickstart, the sandbox without accounts: what it does not offer, each as an error with its sentence.
//!
//! From the applications page, section "Quickstart restrictions". Editions before December 2017 forbade `+` in the device
//! *type*; the current text and the proxy's rules (`quickstart2` in `topicrule.c`) forbid it in the device *ID*, and that
//! is what stands here.

use std::fmt;

use super::identity::Class;
use super::topics::Slot;
use super::{ClientId, PlatformFilter, PlatformTopic};

/// Something that Quickstart does not offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QuickstartError {
    /// Publishing commands.
    PublishCommand,
    /// Subscribing to commands.
    SubscribeCommand,
    /// `+` for the device ID.
    AnyDevice,
    /// `+` for the application.
    AnyApp,
    /// MQTT over TLS.
    Tls,
    /// Client IDs with `A`.
    Scalable,
    /// Clients that are neither application nor device: the sandbox has no rules for gateways.
    Gateway,
    /// States, errors and rules: the sandbox has events and monitoring only.
    OtherTopic,
    /// API keys: the sandbox knows no accounts, so what was meant is another organization.
    ApiKey,
}

impl fmt::Display for QuickstartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PublishCommand => "quickstart does not support publishing commands; use an organization of your own",
            Self::SubscribeCommand => {
                "quickstart does not support subscribing to commands; use an organization of your own"
            }
            Self::AnyDevice => "quickstart does not support '+' for the device ID; name the device",
            Self::AnyApp => "quickstart does not support '+' for the application; name the application",
            Self::Tls => "quickstart does not support MQTT over TLS; connect to port 1883 without it",
            Self::Scalable => "quickstart does not support scalable applications; connect as 'a:quickstart:app'",
            Self::Gateway => "quickstart does not support gateways; connect as a device or an application",
            Self::ApiKey => {
                "quickstart knows no API keys and no tokens; leave them out, or name the organization of the key"
            }
            Self::OtherTopic => "quickstart has only events and monitoring; use an organization of your own",
        })
    }
}

impl std::error::Error for QuickstartError {}

/// Whether such a client may connect.
///
/// # Errors
/// [`QuickstartError::Scalable`], [`QuickstartError::Gateway`] or [`QuickstartError::Tls`].
pub fn check_connect(client: &ClientId, tls: bool) -> Result<(), QuickstartError> {
    match client.class() {
        Class::ScalableApplication => Err(QuickstartError::Scalable),
        Class::Gateway => Err(QuickstartError::Gateway),
        Class::Application | Class::Device if tls => Err(QuickstartError::Tls),
        Class::Application | Class::Device => Ok(()),
    }
}

/// Whether an application may publish to a topic. It may publish events.
///
/// # Errors
/// [`QuickstartError::PublishCommand`] or [`QuickstartError::OtherTopic`].
pub fn check_publish(topic: &PlatformTopic) -> Result<(), QuickstartError> {
    match topic {
        PlatformTopic::Event { .. } => Ok(()),
        PlatformTopic::Command { .. } => Err(QuickstartError::PublishCommand),
        _ => Err(QuickstartError::OtherTopic),
    }
}

/// Whether an application may subscribe to a filter.
///
/// # Errors
/// [`QuickstartError::SubscribeCommand`], [`QuickstartError::AnyDevice`], [`QuickstartError::AnyApp`] or
/// [`QuickstartError::OtherTopic`].
pub fn check_subscribe(filter: &PlatformFilter) -> Result<(), QuickstartError> {
    match filter {
        PlatformFilter::Event { device: Slot::Any, .. } | PlatformFilter::DeviceMonitor { device: Slot::Any, .. } => {
            Err(QuickstartError::AnyDevice)
        }
        PlatformFilter::Event { .. } | PlatformFilter::DeviceMonitor { .. } => Ok(()),
        PlatformFilter::AppMonitor { app: Slot::Any } => Err(QuickstartError::AnyApp),
        PlatformFilter::AppMonitor { .. } => Ok(()),
        PlatformFilter::Command { .. } => Err(QuickstartError::SubscribeCommand),
        _ => Err(QuickstartError::OtherTopic),
    }
}
