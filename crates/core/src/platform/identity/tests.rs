//! Identities against the grammar of the reference: forms, lengths, what a CONNECT is answered with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::platform::quickstart::QuickstartError;

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_.-]{1,36}"
}

fn org() -> impl Strategy<Value = String> {
    "[a-z0-9]{6}"
}

fn any_client_id() -> impl Strategy<Value = String> {
    prop_oneof![
        (org(), name()).prop_map(|(org, app)| format!("a:{org}:{app}")),
        (org(), name()).prop_map(|(org, app)| format!("A:{org}:{app}")),
        (org(), name(), name()).prop_map(|(org, app, instance)| format!("A:{org}:{app}:{instance}")),
        (org(), name(), name()).prop_map(|(org, t, i)| format!("d:{org}:{t}:{i}")),
        (org(), name(), name()).prop_map(|(org, t, i)| format!("g:{org}:{t}:{i}")),
    ]
}

/// Text made of the pieces that the grammar is about.
fn any_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec!["a", "A", "d", "g", ":", ":", "abc123", "x.y_z-1", "é", "+", "", "/", "\0"]);
    prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
}

/// The grammar once more, by splitting at every colon.
fn model(text: &str) -> bool {
    let name = |part: &str| {
        (1..=36).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    let org = |part: &str| (1..=36).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        ["a" | "A", o, app] => org(o) && name(app),
        ["A" | "d" | "g", o, one, two] => org(o) && name(one) && name(two),
        _ => false,
    }
}

fn request(client_id: &str) -> ConnectRequest<'_> {
    ConnectRequest {
        client_id,
        clean_session: true,
        keep_alive: 60,
        user: Some("a-abc123-x1y2z3"),
        has_password: true,
        tls: true,
    }
}

fn refusal(client_id: &str) -> (u8, u32) {
    let refusal = check_connect(&request(client_id)).unwrap_err();
    (refusal.connack(), refusal.close_code().number())
}

proptest! {
    #[test]
    fn client_ids_round_trip(text in any_client_id()) {
        let client = ClientId::new(&text).unwrap();
        prop_assert_eq!(client.to_string(), text);
    }

    #[test]
    fn client_ids_are_those_of_the_grammar(text in prop_oneof![any_text(), any_client_id(), "\\PC{0,20}"]) {
        prop_assert_eq!(ClientId::new(&text).is_ok(), model(&text));
        if let Ok(client) = ClientId::new(&text) {
            prop_assert_eq!(client.to_string(), text);
        }
    }

    #[test]
    fn no_text_makes_a_check_panic(text in any::<String>(), clean in any::<bool>(), keep_alive in any::<u16>()) {
        let _ = ApiKey::new(&text);
        let _ = Name::new(&text).map_err(|error| error.to_string());
        let _ = Endpoint::new(&OrgId::quickstart(), &text, Transport::Tcp, None);
        let user = Some(text.as_str());
        let request = ConnectRequest { client_id: &text, clean_session: clean, keep_alive, user, has_password: true, tls: true };
        let _ = check_connect(&request).map_err(|refusal| refusal.to_string());
    }

    #[test]
    fn api_keys_tell_their_organization(org in org(), random in "[A-Za-z0-9-]{1,12}") {
        let text = format!("a-{org}-{random}");
        let key = ApiKey::new(&text).unwrap();
        prop_assert_eq!((key.org().as_str(), key.as_str()), (org.as_str(), text.as_str()));
    }

    #[test]
    fn keep_alive_of_the_form_without_instance_becomes_1_to_3600(requested in any::<u16>()) {
        let shared = ClientId::new("A:abc123:app").unwrap().effective_keep_alive(requested);
        prop_assert!((1..=3600).contains(&shared));
        prop_assert!(shared == requested || shared == 3600);
        for other in ["a:abc123:app", "A:abc123:app:1", "d:abc123:t:i"] {
            prop_assert_eq!(ClientId::new(other).unwrap().effective_keep_alive(requested), requested);
        }
    }
}

#[test]
fn names_have_1_to_36_characters() {
    assert!(Name::new(&"x".repeat(36)).is_ok());
    assert_eq!(Name::new(&"x".repeat(37)).unwrap_err().kind(), IdentityErrorKind::TooLong);
    assert_eq!(Name::new("").unwrap_err().kind(), IdentityErrorKind::Empty);
    assert_eq!(Name::new("a:b").unwrap_err().kind(), IdentityErrorKind::Character(':'));
}

#[test]
fn unmatched_client_ids_get_connack_5_and_bad_parts_get_2() {
    // The cases of the proxy's own test `proxy_test.c`, and one more for each form.
    for unmatched in ["", "a", ":", "a:", "a:quickstart", "a:quickstart:", "d:org:type", "d:org:type:", "x:o:a", "A::a"]
    {
        assert_eq!(refusal(unmatched), (5, 180), "{unmatched}");
    }
    for bad in ["a:abc123:a b", "a:abc123:a:b", "A:abc123:app:i:j", "A:abc123:app:", "d:abc123:t:i:j"] {
        assert_eq!(refusal(bad), (2, 166), "{bad}");
    }
    assert_eq!(refusal(&format!("a:abc123:{}", "x".repeat(37))), (2, 166));
}

#[test]
fn lower_case_a_is_no_scalable_application() {
    let client = |text| ClientId::new(text).unwrap();
    assert_eq!(client("a:abc123:app").class(), Class::Application);
    assert!(!client("a:abc123:app").shares());
    assert!(client("A:abc123:app").shares());
    assert!(ClientId::new("a:abc123:app:1").is_err());
}

#[test]
fn scalable_form_without_instance_needs_a_clean_session() {
    let accepted = check_connect(&request("A:abc123:app")).unwrap();
    assert!(accepted.generates_instance);
    let durable = ConnectRequest { clean_session: false, ..request("A:abc123:app") };
    let refused = check_connect(&durable).unwrap_err();
    assert_eq!(*refused.reason(), RefusalReason::NeedsCleanSession);
    assert_eq!((refused.connack(), refused.close_code().number()), (5, 180));
}

#[test]
fn scalable_form_with_instance_may_keep_its_session() {
    for clean_session in [true, false] {
        let request = ConnectRequest { clean_session, ..request("A:abc123:app:1") };
        let accepted = check_connect(&request).unwrap();
        assert!(!accepted.generates_instance);
        assert!(accepted.client.is_taken_over());
    }
    assert!(!ClientId::new("A:abc123:app").unwrap().is_taken_over());
}

#[test]
fn applications_connect_with_the_api_key_of_their_organization() {
    assert_eq!(check_connect(&request("a:abc123:app")).unwrap().key.unwrap().as_str(), "a-abc123-x1y2z3");
    let other = check_connect(&request("a:zzz999:app")).unwrap_err();
    assert!(matches!(other.reason(), RefusalReason::OtherOrganization(_)));
    assert_eq!(other.connack(), 5);
    for (user, has_password) in
        [(None, true), (Some("a-abc123"), true), (Some("a-abc123-x"), false), (Some("me"), true)]
    {
        let refused = check_connect(&ConnectRequest { user, has_password, ..request("a:abc123:app") }).unwrap_err();
        assert_eq!(*refused.reason(), RefusalReason::Credentials);
    }
}

#[test]
fn devices_and_gateways_connect_with_token_auth() {
    for id in ["d:abc123:t:i", "g:abc123:t:i"] {
        assert!(check_connect(&ConnectRequest { user: Some(TOKEN_AUTH_USER), ..request(id) }).is_ok());
        assert!(check_connect(&request(id)).is_err());
    }
}

#[test]
fn quickstart_needs_no_credentials_and_has_no_scalable_applications() {
    let open = |client_id| ConnectRequest { user: None, has_password: false, tls: false, ..request(client_id) };
    assert_eq!(check_connect(&open("a:quickstart:app")).unwrap().key, None);
    let refused = check_connect(&open("A:quickstart:app")).unwrap_err();
    assert_eq!(*refused.reason(), RefusalReason::Quickstart(QuickstartError::Scalable));
}

#[test]
fn tokens_never_show() {
    let token = Token::new("MP$08VKz!8rXwnR-Q*").unwrap();
    assert_eq!(format!("{token:?}"), "Token(..)");
    assert_eq!(token.reveal(), "MP$08VKz!8rXwnR-Q*");
    assert!(Token::new("").is_err());
    // Given as the key by mistake.
    let error = ApiKey::new(token.reveal()).unwrap_err();
    assert_eq!(error.to_string(), "API key: it is not an API key; it looks like 'a-abc123-x1y2z3'");
    assert!(!format!("{error:?}").contains("MP$"), "{error:?}");
}

#[test]
fn endpoints_are_made_of_organization_and_domain() {
    let at = |org, domain, transport, port| {
        Endpoint::new(&OrgId::new(org).unwrap(), domain, transport, port).map(|endpoint| endpoint.to_string())
    };
    let tcp = Transport::Tcp;
    assert_eq!(
        at("abc123", DEFAULT_DOMAIN, tcp, None).unwrap(),
        "mqtts://abc123.messaging.internetofthings.ibmcloud.com:8883"
    );
    assert_eq!(
        at("abc123", DEFAULT_DOMAIN, Transport::WebSocket, None).unwrap(),
        "wss://abc123.messaging.internetofthings.ibmcloud.com:443"
    );
    assert_eq!(
        at("quickstart", DEFAULT_DOMAIN, tcp, None).unwrap(),
        "mqtt://quickstart.messaging.internetofthings.ibmcloud.com:1883"
    );
    assert_eq!(
        at("abc123", "iot.example.com", tcp, Some(443)).unwrap(),
        "mqtts://abc123.messaging.iot.example.com:443"
    );
    assert_eq!(at("abc123", "iot.example.com", tcp, Some(80)).unwrap(), "mqtt://abc123.messaging.iot.example.com:80");
    for domain in ["", ".", "a..b", "a b", "-a", "a/b", "a:1", "https://a.b"] {
        assert!(at("abc123", domain, tcp, None).is_err(), "{domain}");
    }
}
