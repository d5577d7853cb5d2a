//! The settings of the platform's SDKs as a configuration of a worker.

use tidemill_core::platform::PlatformSettings;
use tidemill_core::platform::identity::IdentityError;
use tidemill_core::platform::settings::{CaFile, Sharing};

use crate::config::{Config, IdentityMode, PlatformShape, Secret};

impl Config {
    /// Takes over the settings of an SDK, from [`PlatformSettings::from_env`] or `from_yaml`: who the worker is, where it
    /// connects, its keep-alive and whom it trusts. What the settings leave open stays as it is; the SDK's log level has
    /// no part in it. A given instance becomes [`IdentityConfig::replica`](crate::config::IdentityConfig::replica).
    ///
    /// # Errors
    /// The domain in the settings is none.
    pub fn with_platform(mut self, settings: &PlatformSettings) -> Result<Self, IdentityError> {
        let endpoint = settings.endpoint()?;
        self.identity.mode = IdentityMode::Platform;
        let platform = &mut self.platform;
        platform.org = Some(settings.org.to_string());
        if let Some(app) = &settings.app {
            platform.app = Some(app.to_string());
        }
        if let Some(credentials) = &settings.credentials {
            platform.api_key = Some(credentials.key.to_string());
            platform.token = Some(Secret::new(credentials.token.reveal()));
        }
        platform.clean_session = settings.clean_session();
        platform.shape = match &settings.sharing {
            Sharing::Shared => PlatformShape::Scalable,
            Sharing::Instance(instance) => {
                self.identity.replica = Some(instance.to_string());
                PlatformShape::ScalableInstance
            }
            _ => PlatformShape::Application,
        };
        self.mqtt.url = endpoint.to_string();
        self.mqtt.keep_alive = std::time::Duration::from_secs(settings.keep_alive.into());
        if let Some(CaFile::Path(path)) = &settings.ca_file {
            self.mqtt.tls.ca_file = Some(path.into());
        }
        Ok(self)
    }
}
