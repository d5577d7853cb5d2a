//! The SDKs' YAML layout. A key that no SDK knows is a mistake, told with its line: a misspelt one that is silently skipped
//! once made scalable applications plain ones.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::raw::{Raw, Setting, Source};
use super::{SettingsError, SettingsProblem};

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    identity: Option<Identity>,
    auth: Option<Auth>,
    options: Option<Options>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Identity {
    org_id: Option<String>,
    app_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Auth {
    key: Option<String>,
    token: Option<String>,
    /// Node.js: authentication by a cookie, which MQTT has not.
    use_ltpa: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    domain: Option<String>,
    log_level: Option<String>,
    api_root: Option<String>,
    mqtt: Option<Mqtt>,
    http: Option<Http>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Mqtt {
    instance_id: Option<String>,
    shared_subscription: Option<String>,
    port: Option<String>,
    transport: Option<String>,
    clean_start: Option<String>,
    session_expiry: Option<String>,
    keep_alive: Option<String>,
    ca_file: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Http {
    verify: Option<String>,
    /// Node.js.
    additional_headers: Option<IgnoredAny>,
}

/// Reads a file into texts.
pub(super) fn raw(text: &str) -> Result<Raw, SettingsError> {
    let file: Option<File> = serde_saphyr::from_str(text)
        .map_err(|error| SettingsError::new(vec![SettingsProblem::Yaml(explain(error.without_snippet()))]))?;
    let file = file.unwrap_or_default();
    let (identity, auth) = (file.identity.unwrap_or_default(), file.auth.unwrap_or_default());
    let options = file.options.unwrap_or_default();
    let (mqtt, http) = (options.mqtt.unwrap_or_default(), options.http.unwrap_or_default());
    let mut raw = Raw::new(Source::Yaml);
    raw.set(Setting::OrgId, identity.org_id);
    raw.set(Setting::AppId, identity.app_id);
    raw.set(Setting::AuthKey, auth.key);
    raw.set(Setting::AuthToken, auth.token);
    raw.set(Setting::Domain, options.domain);
    raw.set(Setting::LogLevel, options.log_level);
    raw.set(Setting::ApiRoot, options.api_root);
    raw.set(Setting::InstanceId, mqtt.instance_id);
    raw.set(Setting::SharedSubscription, mqtt.shared_subscription);
    raw.set(Setting::Port, mqtt.port);
    raw.set(Setting::Transport, mqtt.transport);
    raw.set(Setting::CleanStart, mqtt.clean_start);
    raw.set(Setting::SessionExpiry, mqtt.session_expiry);
    raw.set(Setting::KeepAlive, mqtt.keep_alive);
    raw.set(Setting::CaFile, mqtt.ca_file);
    raw.set(Setting::HttpVerify, http.verify);
    for (unused, name) in [
        (auth.use_ltpa.is_some(), "auth.useLtpa"),
        (http.additional_headers.is_some(), "options.http.additionalHeaders"),
    ] {
        if unused {
            raw.unused.push(name.to_owned());
        }
    }
    Ok(raw)
}

/// Where and what, in words that quote nothing: a token may stand anywhere in a file that is out of shape (G12).
fn explain(error: &serde_saphyr::Error) -> String {
    let what = match error {
        serde_saphyr::Error::SerdeUnknownField { expected, .. } => {
            format!("no SDK has this key; here may stand {}", expected.join(", "))
        }
        serde_saphyr::Error::SerdeInvalidType { .. } | serde_saphyr::Error::Unexpected { .. } => {
            "a value of another kind belongs here, see the example of the SDKs".to_owned()
        }
        _ => "this is not well-formed, or not of the SDKs' layout".to_owned(),
    };
    match error.location() {
        Some(location) => format!("line {}: {what}", location.line()),
        None => what,
    }
}
