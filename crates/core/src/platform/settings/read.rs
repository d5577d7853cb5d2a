//! From texts to settings: reads every key, collects every mistake, and warns of what will surprise.

use super::raw::{Raw, Setting};
use super::{
    CaFile, Credentials, LogLevel, PlatformSettings, SettingsError, SettingsProblem, SettingsWarning, Sharing,
};
use crate::platform::identity::{IdentityError, IdentityErrorKind, Transport};
use crate::platform::quickstart::{self, QuickstartError};
use crate::platform::{ApiKey, Name, OrgId, Token};

pub(super) fn settings(raw: Raw) -> Result<PlatformSettings, SettingsError> {
    let mut reader = Reader { raw, problems: Vec::new() };
    let settings = reader.settings();
    if reader.problems.is_empty() { Ok(settings) } else { Err(SettingsError::new(reader.problems)) }
}

struct Reader {
    raw: Raw,
    problems: Vec<SettingsProblem>,
}

impl Reader {
    fn settings(&mut self) -> PlatformSettings {
        let default = PlatformSettings::default();
        let credentials = self.credentials();
        let mut settings = PlatformSettings {
            org: credentials.as_ref().map_or(default.org, |credentials| credentials.key.org().clone()),
            app: self.identity(Setting::AppId, |text| Name::of("application", text)),
            sharing: self.sharing(),
            domain: self.raw.get(Setting::Domain).map_or(default.domain, str::to_owned),
            log_level: self.word(Setting::LogLevel, "error, warning, info or debug", log_level).unwrap_or_default(),
            transport: self.word(Setting::Transport, "tcp or websockets", transport).unwrap_or_default(),
            port: self
                .word(Setting::Port, "a port from 1 to 65535", |text| text.parse().ok().filter(|port| *port != 0)),
            ca_file: self.raw.get(Setting::CaFile).map(|text| match text {
                "_os_" => CaFile::System,
                path => CaFile::Path(path.to_owned()),
            }),
            clean_start: self.flag(Setting::CleanStart),
            session_expiry: self.number(Setting::SessionExpiry).unwrap_or(default.session_expiry),
            keep_alive: self.keep_alive().unwrap_or(default.keep_alive),
            http_verify: self.flag(Setting::HttpVerify).unwrap_or(default.http_verify),
            api_root: self.raw.get(Setting::ApiRoot).map(str::to_owned),
            credentials,
            warnings: Vec::new(),
        };
        self.check_org(&settings);
        self.check_whole(&settings);
        settings.warnings = self.warnings(&settings);
        settings
    }

    fn credentials(&mut self) -> Option<Credentials> {
        let key = self.identity(Setting::AuthKey, ApiKey::new);
        let token = self.identity(Setting::AuthToken, Token::new);
        for (one, other) in [(Setting::AuthKey, Setting::AuthToken), (Setting::AuthToken, Setting::AuthKey)] {
            if self.raw.get(one).is_some() && self.raw.get(other).is_none() {
                self.problems.push(SettingsProblem::HalfCredentials { missing: self.raw.name(other) });
            }
        }
        Some(Credentials { key: key?, token: token? })
    }

    fn sharing(&mut self) -> Sharing {
        let shared = self.flag(Setting::SharedSubscription);
        let instance = self.identity(Setting::InstanceId, |text| Name::of("instance", text));
        if instance.is_some() && shared == Some(false) {
            self.problems.push(SettingsProblem::InstanceWithoutSharing);
        }
        match instance {
            Some(instance) => Sharing::Instance(instance),
            None if shared == Some(true) => Sharing::Shared,
            None => Sharing::None,
        }
    }

    fn keep_alive(&mut self) -> Option<u16> {
        // Asking a scalable application for no more than the documented limit is right by documentation and source.
        let shares = self.raw.get(Setting::InstanceId).is_some()
            || self.raw.get(Setting::SharedSubscription).and_then(flag).unwrap_or_default();
        let limit = if shares { 1..=crate::platform::identity::MAX_KEEP_ALIVE } else { 0..=u16::MAX };
        let takes = if shares { "1 to 3600 seconds, the limit of scalable applications" } else { "0 to 65535 seconds" };
        self.word(Setting::KeepAlive, takes, |text| text.parse().ok().filter(|seconds| limit.contains(seconds)))
    }

    fn check_org(&mut self, settings: &PlatformSettings) {
        let Some(org) = self.identity(Setting::OrgId, OrgId::new) else { return };
        let problem = |setting, kind| SettingsProblem::Identity {
            setting,
            error: IdentityError::new(kind, "organization", org.as_str()),
        };
        // Without credentials only Quickstart can be meant.
        if settings.org != org && (settings.credentials.is_some() || self.raw.get(Setting::AuthKey).is_none()) {
            let setting = self.raw.name(Setting::OrgId);
            self.problems.push(problem(setting, IdentityErrorKind::OtherOrganization));
        }
    }

    fn check_whole(&mut self, settings: &PlatformSettings) {
        if settings.sharing != Sharing::None && self.raw.get(Setting::AppId).is_none() {
            self.problems.push(SettingsProblem::SharingNeedsApp { setting: self.raw.name(Setting::AppId) });
        }
        let endpoint = settings.endpoint();
        if let Err(error) = &endpoint {
            let setting = self.raw.name(Setting::Domain);
            self.problems.push(SettingsProblem::Identity { setting, error: error.clone() });
        }
        if settings.credentials.is_some() && settings.org.is_quickstart() {
            self.problems.push(SettingsProblem::Quickstart(QuickstartError::ApiKey));
        }
        // Broken credentials are a mistake of their own, not a wish for Quickstart.
        let no_credentials = self.raw.get(Setting::AuthKey).is_none() && self.raw.get(Setting::AuthToken).is_none();
        if no_credentials && settings.org.is_quickstart() {
            let generated = Name::new("generated");
            let client = generated.map(|app| settings.client_id(&app));
            let tls = endpoint.is_ok_and(|endpoint| endpoint.tls);
            if let Some(Err(error)) = client.ok().map(|client| quickstart::check_connect(&client, tls)) {
                self.problems.push(SettingsProblem::Quickstart(error));
            }
        }
    }

    fn warnings(&self, settings: &PlatformSettings) -> Vec<SettingsWarning> {
        let mut warnings: Vec<_> = self.raw.unused.iter().cloned().map(SettingsWarning::Unused).collect();
        match (&settings.sharing, settings.clean_start) {
            (Sharing::Shared, Some(false)) => warnings.push(SettingsWarning::CleanStartIgnored),
            (Sharing::Instance(_), Some(_)) => warnings.push(SettingsWarning::CleanStartNegatedByPython),
            _ => {}
        }
        if self.raw.get(Setting::SessionExpiry).is_some() {
            warnings.push(SettingsWarning::SessionExpiryIgnored);
        }
        if !settings.org.is_quickstart() && !settings.org.has_issued_length() {
            warnings.push(SettingsWarning::OddOrganization);
        }
        warnings
    }

    fn identity<T>(&mut self, key: Setting, read: impl FnOnce(&str) -> Result<T, IdentityError>) -> Option<T> {
        match read(self.raw.get(key)?) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.push(SettingsProblem::Identity { setting: self.raw.name(key), error });
                None
            }
        }
    }

    fn word<T>(&mut self, key: Setting, takes: &'static str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let value = read(self.raw.get(key)?);
        if value.is_none() {
            self.problems.push(SettingsProblem::Value { setting: self.raw.name(key), takes });
        }
        value
    }

    fn number(&mut self, key: Setting) -> Option<u32> {
        self.word(key, "a number of seconds", |text| text.parse().ok())
    }

    fn flag(&mut self, key: Setting) -> Option<bool> {
        self.word(key, "true or false", flag)
    }
}

/// The SDKs take every word that they do not know for false; here it is a mistake.
fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn log_level(text: &str) -> Option<LogLevel> {
    match text {
        "error" => Some(LogLevel::Error),
        "warning" => Some(LogLevel::Warning),
        "info" => Some(LogLevel::Info),
        "debug" => Some(LogLevel::Debug),
        _ => None,
    }
}

fn transport(text: &str) -> Option<Transport> {
    match text {
        "tcp" => Some(Transport::Tcp),
        "websockets" => Some(Transport::WebSocket),
        _ => None,
    }
}
