//! Topics and filters on their way through the front: what clients say, and what the broker behind it sees.
//!
//! INVARIANT: behind the front the organization is the second level of every topic, so that one can never reach another.

use tidemill_core::QoS;
use tidemill_core::platform::identity::Class;
use tidemill_core::platform::limits::{self, PublishRequest, SubscribeError};
use tidemill_core::platform::topics::ShareGroup;
use tidemill_core::platform::{ClientId, CloseCode, PlatformFilter, PlatformTopic, Role};

/// `iot-2/rest` as `iot-2/org/rest`.
fn inside(client: &ClientId, topic: &str) -> String {
    let (first, rest) = topic.split_once('/').unwrap_or((topic, ""));
    format!("{first}/{}/{rest}", client.org())
}

/// What a device's own topics begin with behind the front, without organization.
fn own_prefix(client: &ClientId) -> Option<String> {
    let (device_type, device) = client.device().filter(|_| client.class() == Class::Device)?;
    Some(format!("iot-2/type/{device_type}/id/{device}/"))
}

/// Where a publication of a client goes.
pub(super) fn publication(
    client: &ClientId,
    role: Role,
    request: &PublishRequest<'_>,
    max_qos: QoS,
) -> Result<String, CloseCode> {
    let full;
    let request = match own_prefix(client) {
        None => *request,
        Some(prefix) => {
            limits::check_size(request.payload_len, request.topic.len()).map_err(|error| error.close_code())?;
            let rest = request.topic.strip_prefix("iot-2/evt/").ok_or(CloseCode::TopicNotValid)?;
            full = format!("{prefix}evt/{rest}");
            // The limit is on what the device has sent, and was checked.
            PublishRequest { topic: &full, payload_len: 0, ..*request }
        }
    };
    let published = limits::check_publish(client, &request, max_qos).map_err(|error| error.close_code())?;
    let allowed = match client.class() {
        Class::Device | Class::Gateway => matches!(published.topic, PlatformTopic::Event { .. }),
        _ => role.may_publish(&published.topic),
    };
    if allowed { Ok(inside(client, request.topic)) } else { Err(CloseCode::NotAuthorized) }
}

/// What a client that subscribes to a filter subscribes to behind the front.
pub(super) fn filter(client: &ClientId, role: Role, text: &str, max_qos: QoS) -> Result<String, CloseCode> {
    if let Some(prefix) = own_prefix(client) {
        let rest = text.strip_prefix("iot-2/cmd/").ok_or(CloseCode::TopicNotValid)?;
        let full = format!("{prefix}cmd/{rest}");
        return match PlatformFilter::parse(&full) {
            Ok(PlatformFilter::Command { .. }) => Ok(inside(client, &full)),
            Ok(_) => Err(CloseCode::TopicNotValid),
            Err(error) => Err(error.close_code()),
        };
    }
    let granted = limits::check_subscribe(client, text, QoS::AtMostOnce, max_qos)
        .map_err(|error: SubscribeError| error.close_code())?;
    let allowed = match client.class() {
        Class::Gateway => matches!(granted.filter, PlatformFilter::Command { .. }),
        _ => role.may_subscribe(&granted.filter),
    };
    if !allowed {
        return Err(CloseCode::NotAuthorized);
    }
    Ok(match ShareGroup::of(client, &granted.filter) {
        Some(group) => share(&group),
        None => inside(client, text),
    })
}

/// The share in the syntax of MQTT 5. The name that the platform makes for members without an instance stands in for
/// `$SharedSubscription`, which the broker behind the front does not know.
fn share(group: &ShareGroup) -> String {
    let text = group.to_string();
    match text.strip_prefix("$SharedSubscription/") {
        Some(rest) => format!("$share/{rest}"),
        None => text,
    }
}

/// The topic as a client sees it.
pub(super) fn outside(client: &ClientId, topic: &str) -> Option<String> {
    let (first, rest) = topic.split_once('/')?;
    let rest = rest.strip_prefix(client.org().as_str())?.strip_prefix('/')?;
    let plain = format!("{first}/{rest}");
    Some(match own_prefix(client) {
        Some(prefix) => format!("iot-2/{}", plain.strip_prefix(&prefix)?),
        None => plain,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = "iot-2/type/T/id/I/evt/E/fmt/json";

    fn client(text: &str) -> ClientId {
        ClientId::new(text).unwrap()
    }

    fn publish(from: &str, topic: &str) -> Result<String, CloseCode> {
        let request = PublishRequest { topic, payload_len: 3, qos: QoS::AtLeastOnce, retain: false };
        publication(&client(from), Role::Standard, &request, QoS::ExactlyOnce)
    }

    fn subscribe(from: &str, text: &str) -> Result<String, CloseCode> {
        filter(&client(from), Role::Standard, text, QoS::ExactlyOnce)
    }

    #[test]
    fn the_organization_is_put_in_and_taken_out() {
        let inner = publish("a:abc123:app", EVENT).unwrap();
        assert_eq!(inner, "iot-2/abc123/type/T/id/I/evt/E/fmt/json");
        assert_eq!(outside(&client("a:abc123:app"), &inner).unwrap(), EVENT);
        assert_eq!(outside(&client("a:xyz789:app"), &inner), None);
    }

    #[test]
    fn devices_speak_of_themselves_without_saying_so() {
        let inner = publish("d:abc123:T:I", "iot-2/evt/E/fmt/json").unwrap();
        assert_eq!(inner, "iot-2/abc123/type/T/id/I/evt/E/fmt/json");
        assert_eq!(publish("d:abc123:T:I", EVENT), Err(CloseCode::TopicNotValid));
        assert_eq!(subscribe("d:abc123:T:I", "iot-2/cmd/+/fmt/+").unwrap(), "iot-2/abc123/type/T/id/I/cmd/+/fmt/+");
        let command = outside(&client("d:abc123:T:I"), "iot-2/abc123/type/T/id/I/cmd/C/fmt/json");
        assert_eq!(command.unwrap(), "iot-2/cmd/C/fmt/json");
    }

    #[test]
    fn each_filter_of_a_scalable_application_is_a_share_of_its_own() {
        assert_eq!(
            subscribe("A:abc123:app", "iot-2/type/+/id/+/mon").unwrap(),
            "$share/abc123:app:iot-2:type:&:id:&:mon/iot-2/abc123/type/+/id/+/mon"
        );
        assert_eq!(
            subscribe("A:abc123:app:one", "iot-2/type/+/id/+/mon").unwrap(),
            "$share/abc123:app/iot-2/abc123/type/+/id/+/mon"
        );
        assert_eq!(subscribe("a:abc123:app", "iot-2/app/+/mon").unwrap(), "iot-2/abc123/app/+/mon");
    }

    #[test]
    fn what_a_role_may_not_do_is_not_authorized() {
        let request = PublishRequest { topic: EVENT, payload_len: 3, qos: QoS::AtLeastOnce, retain: false };
        let from = client("a:abc123:app");
        let refused = publication(&from, Role::Operations, &request, QoS::ExactlyOnce);
        assert_eq!(refused, Err(CloseCode::NotAuthorized));
        let commands = "iot-2/type/+/id/+/cmd/+/fmt/+";
        assert_eq!(filter(&from, Role::Operations, commands, QoS::ExactlyOnce), Err(CloseCode::NotAuthorized));
    }
}
