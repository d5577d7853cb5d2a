//! The settings as texts, whichever source they come from, with the name that the source has for each.

/// Where settings come from, and so what they are called in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Env,
    #[cfg(feature = "platform-yaml")]
    Yaml,
}

/// One setting: its place in [`Raw`] and its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    OrgId,
    AppId,
    AuthKey,
    AuthToken,
    Domain,
    LogLevel,
    ApiRoot,
    InstanceId,
    SharedSubscription,
    Port,
    Transport,
    CleanStart,
    SessionExpiry,
    KeepAlive,
    CaFile,
    HttpVerify,
}

impl Setting {
    pub(super) const ALL: [(Self, &str, &str); 16] = [
        (Self::OrgId, "WIOTP_IDENTITY_ORGID", "identity.orgId"),
        (Self::AppId, "WIOTP_IDENTITY_APPID", "identity.appId"),
        (Self::AuthKey, "WIOTP_AUTH_KEY", "auth.key"),
        (Self::AuthToken, "WIOTP_AUTH_TOKEN", "auth.token"),
        (Self::Domain, "WIOTP_OPTIONS_DOMAIN", "options.domain"),
        (Self::LogLevel, "WIOTP_OPTIONS_LOGLEVEL", "options.logLevel"),
        (Self::ApiRoot, "WIOTP_OPTIONS_API_ROOT", "options.apiRoot"),
        (Self::InstanceId, "WIOTP_OPTIONS_MQTT_INSTANCEID", "options.mqtt.instanceId"),
        (Self::SharedSubscription, "WIOTP_OPTIONS_MQTT_SHAREDSUBSCRIPTION", "options.mqtt.sharedSubscription"),
        (Self::Port, "WIOTP_OPTIONS_MQTT_PORT", "options.mqtt.port"),
        (Self::Transport, "WIOTP_OPTIONS_MQTT_TRANSPORT", "options.mqtt.transport"),
        (Self::CleanStart, "WIOTP_OPTIONS_MQTT_CLEANSTART", "options.mqtt.cleanStart"),
        (Self::SessionExpiry, "WIOTP_OPTIONS_MQTT_SESSIONEXPIRY", "options.mqtt.sessionExpiry"),
        (Self::KeepAlive, "WIOTP_OPTIONS_MQTT_KEEPALIVE", "options.mqtt.keepAlive"),
        (Self::CaFile, "WIOTP_OPTIONS_MQTT_CAFILE", "options.mqtt.caFile"),
        (Self::HttpVerify, "WIOTP_OPTIONS_HTTP_VERIFY", "options.http.verify"),
    ];
}

/// Texts by key.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    source: Source,
    texts: [Option<String>; Setting::ALL.len()],
    /// Settings that the source has and nothing reads.
    pub(super) unused: Vec<String>,
}

impl Raw {
    pub(super) fn new(source: Source) -> Self {
        Self { source, texts: Default::default(), unused: Vec::new() }
    }

    pub(super) fn from_env<K: AsRef<str>, V: AsRef<str>>(vars: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut raw = Self::new(Source::Env);
        let (mut old_key, mut old_token) = (None, None);
        for (name, value) in vars {
            let (name, value) = (name.as_ref(), value.as_ref());
            if value.is_empty() || !name.starts_with("WIOTP_") {
                continue;
            }
            match name {
                "WIOTP_API_KEY" => old_key = Some(value.to_owned()),
                "WIOTP_API_TOKEN" => old_token = Some(value.to_owned()),
                _ => match Setting::ALL.iter().find(|(_, env, _)| *env == name) {
                    Some((key, ..)) => raw.set(*key, Some(value.to_owned())),
                    None => raw.unused.push(name.to_owned()),
                },
            }
        }
        // As in the SDKs: the older pair counts only when neither of the newer is there.
        if raw.get(Setting::AuthKey).is_none() && raw.get(Setting::AuthToken).is_none() {
            raw.set(Setting::AuthKey, old_key);
            raw.set(Setting::AuthToken, old_token);
        }
        raw.unused.sort();
        raw
    }

    pub(super) fn set(&mut self, key: Setting, text: Option<String>) {
        self.texts[key as usize] = text.filter(|text| !text.is_empty());
    }

    pub(super) fn get(&self, key: Setting) -> Option<&str> {
        self.texts[key as usize].as_deref()
    }

    /// What the source calls a setting.
    pub(super) fn name(&self, key: Setting) -> &'static str {
        let (_, env, _yaml) = Setting::ALL[key as usize];
        match self.source {
            Source::Env => env,
            #[cfg(feature = "platform-yaml")]
            Source::Yaml => _yaml,
        }
    }
}
