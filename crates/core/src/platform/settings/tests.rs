//! Settings as the SDKs document them, and the mistakes that they let pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::raw::Setting;
use super::*;
use crate::platform::identity::IdentityErrorKind;
use crate::platform::quickstart::QuickstartError;

const AUTH: [(&str, &str); 2] = [("WIOTP_AUTH_KEY", "a-abc123-x1y2z3"), ("WIOTP_AUTH_TOKEN", "s3cret-token")];

fn env(more: &[(&str, &str)]) -> Result<PlatformSettings, SettingsError> {
    PlatformSettings::from_env(AUTH.iter().chain(more).copied())
}

fn client(settings: &PlatformSettings) -> String {
    settings.client_id(&Name::new("generated").unwrap()).to_string()
}

fn problems(more: &[(&str, &str)]) -> Vec<SettingsProblem> {
    env(more).unwrap_err().problems().to_vec()
}

#[test]
fn keys_stand_at_their_own_places() {
    for (place, (key, ..)) in Setting::ALL.iter().enumerate() {
        assert_eq!(*key as usize, place);
    }
}

#[test]
fn defaults_are_those_of_the_sdks() {
    let settings = env(&[]).unwrap();
    assert_eq!(settings.keep_alive, 60);
    assert_eq!(settings.endpoint().unwrap().to_string(), "mqtts://abc123.messaging.internetofthings.ibmcloud.com:8883");
    assert_eq!(client(&settings), "a:abc123:generated");
    assert!(settings.clean_session() && settings.http_verify && settings.warnings.is_empty());
    let quickstart = PlatformSettings::from_env::<&str, &str>([]).unwrap();
    assert_eq!(quickstart, PlatformSettings::default());
    assert!(!quickstart.endpoint().unwrap().tls);
}

#[test]
fn every_variable_is_read() {
    let settings = env(&[
        ("WIOTP_IDENTITY_ORGID", "abc123"),
        ("WIOTP_IDENTITY_APPID", "app"),
        ("WIOTP_OPTIONS_DOMAIN", "iot.example.com"),
        ("WIOTP_OPTIONS_LOGLEVEL", "debug"),
        ("WIOTP_OPTIONS_API_ROOT", "api/platform"),
        ("WIOTP_OPTIONS_MQTT_INSTANCEID", "i-1"),
        ("WIOTP_OPTIONS_MQTT_PORT", "443"),
        ("WIOTP_OPTIONS_MQTT_TRANSPORT", "websockets"),
        ("WIOTP_OPTIONS_MQTT_CLEANSTART", "False"),
        ("WIOTP_OPTIONS_MQTT_SESSIONEXPIRY", "7200"),
        ("WIOTP_OPTIONS_MQTT_KEEPALIVE", "120"),
        ("WIOTP_OPTIONS_MQTT_CAFILE", "_os_"),
        ("WIOTP_OPTIONS_HTTP_VERIFY", "0"),
    ])
    .unwrap();
    assert_eq!(client(&settings), "A:abc123:app:i-1");
    assert_eq!(settings.endpoint().unwrap().to_string(), "wss://abc123.messaging.iot.example.com:443");
    assert_eq!((settings.log_level, settings.ca_file.as_ref()), (LogLevel::Debug, Some(&CaFile::System)));
    assert_eq!((settings.session_expiry, settings.keep_alive, settings.http_verify), (7200, 120, false));
    assert!(!settings.clean_session());
    let expected = [SettingsWarning::CleanStartNegatedByPython, SettingsWarning::SessionExpiryIgnored];
    assert_eq!(settings.warnings, expected);
}

#[test]
fn shared_subscription_makes_the_form_without_instance_and_a_clean_session() {
    let shared = ("WIOTP_OPTIONS_MQTT_SHAREDSUBSCRIPTION", "true");
    let app = ("WIOTP_IDENTITY_APPID", "app");
    let settings = env(&[app, shared, ("WIOTP_OPTIONS_MQTT_CLEANSTART", "false")]).unwrap();
    assert_eq!(client(&settings), "A:abc123:app");
    assert!(settings.clean_session());
    assert_eq!(settings.warnings, [SettingsWarning::CleanStartIgnored]);
    assert_eq!(problems(&[shared]), [SettingsProblem::SharingNeedsApp { setting: "WIOTP_IDENTITY_APPID" }]);
    for seconds in ["0", "3601", "-1", "x"] {
        let found = problems(&[app, shared, ("WIOTP_OPTIONS_MQTT_KEEPALIVE", seconds)]);
        assert!(matches!(found[..], [SettingsProblem::Value { setting: "WIOTP_OPTIONS_MQTT_KEEPALIVE", .. }]));
    }
}

#[test]
fn older_names_of_key_and_token_count_when_the_newer_are_not_there() {
    let old = [("WIOTP_API_KEY", "a-old123-x"), ("WIOTP_API_TOKEN", "t")];
    assert_eq!(PlatformSettings::from_env(old).unwrap().org.as_str(), "old123");
    assert_eq!(env(&old).unwrap().org.as_str(), "abc123");
}

#[test]
fn every_mistake_is_reported_at_once() {
    let found = problems(&[
        ("WIOTP_IDENTITY_APPID", "my app"),
        ("WIOTP_IDENTITY_ORGID", "zzz999"),
        ("WIOTP_OPTIONS_DOMAIN", "https://x"),
        ("WIOTP_OPTIONS_LOGLEVEL", "loud"),
        ("WIOTP_OPTIONS_MQTT_PORT", "0"),
        ("WIOTP_OPTIONS_MQTT_TRANSPORT", "udp"),
        ("WIOTP_OPTIONS_MQTT_CLEANSTART", "maybe"),
    ]);
    assert_eq!(found.len(), 7, "{found:?}");
    assert!(found.iter().any(|problem| matches!(
        problem,
        SettingsProblem::Identity { error, .. } if error.kind() == IdentityErrorKind::OtherOrganization
    )));
}

#[test]
fn contradictions_are_mistakes() {
    let app = ("WIOTP_IDENTITY_APPID", "app");
    let shared = |word| ("WIOTP_OPTIONS_MQTT_SHAREDSUBSCRIPTION", word);
    let found = problems(&[app, ("WIOTP_OPTIONS_MQTT_INSTANCEID", "i"), shared("false")]);
    assert_eq!(found, [SettingsProblem::InstanceWithoutSharing]);
    let half = PlatformSettings::from_env([AUTH[0]]).unwrap_err();
    assert_eq!(half.problems(), [SettingsProblem::HalfCredentials { missing: "WIOTP_AUTH_TOKEN" }]);
    let quickstart = |vars: &[(&str, &str)]| PlatformSettings::from_env(vars.iter().copied()).unwrap_err();
    let found = quickstart(&[app, shared("true")]);
    assert_eq!(found.problems(), [SettingsProblem::Quickstart(QuickstartError::Scalable)]);
    let found = quickstart(&[("WIOTP_OPTIONS_MQTT_PORT", "8883")]);
    assert_eq!(found.problems(), [SettingsProblem::Quickstart(QuickstartError::Tls)]);
    let found = quickstart(&[("WIOTP_AUTH_KEY", "a-quickstart-x1y2z3"), AUTH[1]]);
    assert_eq!(found.problems(), [SettingsProblem::Quickstart(QuickstartError::ApiKey)]);
}

#[test]
fn variables_that_nothing_reads_are_warned_about() {
    let settings =
        env(&[("WIOTP_OPTIONS_MQTT_SHARED", "true"), ("PATH", "/bin"), ("WIOTP_OPTIONS_DOMAIN", "")]).unwrap();
    assert_eq!(settings.warnings, [SettingsWarning::Unused("WIOTP_OPTIONS_MQTT_SHARED".to_owned())]);
    let odd = PlatformSettings::from_env([("WIOTP_AUTH_KEY", "a-abc-x"), AUTH[1]]).unwrap();
    assert_eq!(odd.warnings, [SettingsWarning::OddOrganization]);
}

#[test]
fn secrets_stay_out_of_debug_and_errors() {
    assert!(!format!("{:?}", env(&[]).unwrap()).contains("s3cret"));
    let error = PlatformSettings::from_env([AUTH[1], ("WIOTP_OPTIONS_MQTT_PORT", "x")]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cret"));
    // Key and token in each other's place.
    let swapped = [("WIOTP_AUTH_KEY", AUTH[1].1), ("WIOTP_AUTH_TOKEN", AUTH[0].1)];
    let error = PlatformSettings::from_env(swapped).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(AUTH[1].1), "{error}");
}

proptest! {
    #[test]
    fn no_values_make_the_reader_panic(
        vars in prop::collection::vec((prop::sample::select(&Setting::ALL[..]), "\\PC{0,12}|[0-9]{1,7}|true|A|a-b-c"), 0..9),
    ) {
        let vars = vars.iter().map(|((_, name, _), value)| (*name, value.as_str()));
        match PlatformSettings::from_env(vars) {
            Ok(settings) => prop_assert!(ClientId::new(&client(&settings)).is_ok() && settings.endpoint().is_ok()),
            Err(error) => prop_assert!(!error.problems().is_empty() && !error.to_string().is_empty()),
        }
    }
}

#[cfg(feature = "platform-yaml")]
mod yaml_files {
    use super::*;

    /// The example of the SDKs' documentation, with a valid key.
    const EXAMPLE: &str = "
identity:
  appId: myApp
auth:
  key: a-23gh56-sdsdajhjnee
  token: Ab$76s)asj8_s5
options:
  domain: internetofthings.ibmcloud.com
  logLevel: warning
  mqtt:
    instanceId: myInstance
    port: 8883
    transport: tcp
    cleanStart: false
    sessionExpiry: 3600
    keepAlive: 60
    caFile: /path/to/certificateAuthorityFile.pem
  http:
    verify: true
";

    fn message(text: &str) -> String {
        PlatformSettings::from_yaml(text).unwrap_err().to_string()
    }

    #[test]
    fn the_example_of_the_sdks_is_read() {
        let settings = PlatformSettings::from_yaml(EXAMPLE).unwrap();
        assert_eq!(client(&settings), "A:23gh56:myApp:myInstance");
        assert_eq!(settings.credentials.as_ref().unwrap().token.reveal(), "Ab$76s)asj8_s5");
        assert_eq!(settings.ca_file, Some(CaFile::Path("/path/to/certificateAuthorityFile.pem".to_owned())));
        assert_eq!((settings.port, settings.log_level, settings.http_verify), (Some(8883), LogLevel::Warning, true));
        assert!(!settings.clean_session());
    }

    #[test]
    fn additions_of_the_node_sdk_are_warned_about() {
        let text = "
auth: {key: a-23gh56-x, token: 12345}
identity: {appId: 7}
options:
  apiRoot: api/platform
  mqtt: {sharedSubscription: True, port: ~}
  http: {additionalHeaders: {X-Csrf-Token: abc}}
";
        let settings = PlatformSettings::from_yaml(text).unwrap();
        assert_eq!(client(&settings), "A:23gh56:7");
        assert_eq!(settings.credentials.unwrap().token.reveal(), "12345");
        assert_eq!(settings.warnings, [SettingsWarning::Unused("options.http.additionalHeaders".to_owned())]);
    }

    #[test]
    fn an_empty_file_means_quickstart() {
        for text in ["", "# nothing\n", "{}", "options: ~"] {
            assert_eq!(PlatformSettings::from_yaml(text).unwrap(), PlatformSettings::default(), "{text:?}");
        }
    }

    #[test]
    fn misspelt_keys_are_refused_with_their_line() {
        let text = message("auth:\n  key: a-23gh56-x\n  tokn: s3cret\n");
        assert!(text.contains("line 3") && text.contains("key, token") && !text.contains("s3cret"), "{text}");
        assert!(message("options:\n  mqtt:\n    port: x\n").contains("options.mqtt.port"));
    }

    #[test]
    fn text_of_another_shape_is_refused_without_showing_it() {
        for text in
            ["auth: s3cret", "- s3cret", "auth: {key: [s3cret]}", "auth: {token: s3cret", "auth: &a *s3cret", "s3cret"]
        {
            let error = PlatformSettings::from_yaml(text).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(matches!(error.problems(), [SettingsProblem::Yaml(_)]), "{shown}");
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,40}|([a-z:{}\\[\\]&*!|>#'\"\\n -]){0,40}") {
            let _ = PlatformSettings::from_yaml(&text);
            let _ = PlatformSettings::from_yaml(&format!("auth:\n  token: {text}\n"));
        }
    }
}
