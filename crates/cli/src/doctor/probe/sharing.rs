//! Whether two members of a group share what is published, in one version of MQTT.

use std::time::Duration;

use tidemill_testkit::wire::{Version, WireQoS, v5};

use super::Gathered;
use crate::client::Trouble;
use crate::doctor::evidence::Shared;
use crate::doctor::site::Site;

const EVENTS: u32 = 20;

/// What was seen of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::doctor) struct Sharing {
    pub(in crate::doctor) shared: Shared,
    /// The CONNACK says that there are none.
    pub(in crate::doctor) announces_no: bool,
    /// Whether each member got its events in order.
    pub(in crate::doctor) in_order: Option<bool>,
    /// Whether QoS 2 is granted.
    pub(in crate::doctor) qos2: Option<bool>,
}

/// Publishes to a group of two, and to somebody outside it who says when all has been passed on.
pub(in crate::doctor) async fn sharing(site: &Site, version: Version) -> Result<Sharing, Trouble> {
    let topic = site.topic(if version == Version::V5 { "share-5" } else { "share-4" });
    let filter = site.share(&topic);
    let (mut first, mut second) = (site.client(version).await?, site.client(version).await?);
    let said = first.connack.properties.as_ref().and_then(|properties| properties.shared_subscription_available);
    let announces_no = said == Some(0);
    let ends = |shared| Ok(Sharing { shared, announces_no, in_order: None, qos2: None });
    for member in [&mut first, &mut second] {
        // Some brokers close the connection instead of answering.
        match member.join(&filter).await {
            Ok(Ok(())) => {}
            Ok(Err(code)) => return ends(Shared::Refused(format!("SUBACK says {code:?}"))),
            Err(trouble @ Trouble::Closed(_)) => return ends(Shared::Refused(trouble.to_string())),
            Err(trouble) => return Err(trouble),
        }
    }
    let (mut outside, mut publisher) = (site.client(version).await?, site.client(version).await?);
    if let Err(code) = outside.join(&topic).await? {
        return Err(Trouble::Odd(format!("SUBACK refuses {topic} with {code:?}")));
    }
    publisher.publish(&topic, 0..EVENTS).await?;
    let mut control = Gathered::default();
    control.gather(&mut [&mut outside], EVENTS as usize, site.reach.patience).await?;
    let mut group = Gathered::default();
    group.gather(&mut [&mut first, &mut second], EVENTS as usize, site.quiet() * 2).await?;
    // What comes twice comes right behind.
    group.gather(&mut [&mut first, &mut second], usize::MAX, Duration::from_millis(100)).await?;
    let member = |at: usize| group.members.get(at).map_or(0, Vec::len);
    let (came, again) = (group.distinct(), group.again());
    let shared = match came {
        0 => Shared::Silent,
        _ if came == EVENTS as usize && again == 0 => Shared::Works { members: [member(0), member(1)] },
        _ => Shared::Otherwise { came, again },
    };
    let codes = second.subscribe(&[site.share(&site.topic("qos-2"))], WireQoS::ExactlyOnce).await;
    let qos2 = codes.ok().map(|codes| codes == [v5::SubscribeReasonCode::Success(WireQoS::ExactlyOnce)]);
    for client in [first, second, outside, publisher] {
        client.bye().await;
    }
    Ok(Sharing { shared, announces_no, in_order: (came > 0).then(|| group.in_order()), qos2 })
}
