//! The published quotas, as data.
//!
//! All from the [quotas page of 2018-11-27](https://github.com/mtsmn/IoT/blob/master/reference/quotas.md), which describes
//! the service as it was hosted then; a private platform has its own. Where other pages differ, the quota says so.

/// The plan that a quota belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Plan {
    /// Lite: free.
    Lite,
    /// Standard and Advanced Security; also what Maximo Asset Monitor publishes.
    Standard,
}

/// Who a quota is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// The whole organization.
    Organization,
    /// One application, with all its connections.
    Application,
    /// One connection of an application.
    Connection,
    /// One gateway.
    Gateway,
    /// One device.
    Device,
    /// One subscription of a device.
    DeviceSubscription,
}

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Messages.
    Messages,
    /// Messages or kilobytes, whichever is reached first; the second number is kilobytes.
    MessagesOrKilobytes,
    /// Kilobytes, as the page writes them.
    Kilobytes,
    /// Megabytes.
    Megabytes,
    /// Subscriptions.
    Subscriptions,
    /// Instances of one shared subscription.
    Instances,
    /// API keys, one of which each application needs.
    ApiKeys,
    /// Devices.
    Devices,
    /// Connections.
    Connections,
    /// Calls of the HTTP API.
    Calls,
    /// Hours.
    Hours,
}

/// The time that a quota is counted over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Period {
    /// At any one time.
    AtOnce,
    /// Each second.
    Second,
    /// Each minute.
    Minute,
    /// Each month.
    Month,
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// At most this many.
    AtMost(u64),
    /// At most this many messages, or kilobytes: with small payloads the first counts, with large ones the second.
    AtMostEither {
        /// Messages.
        messages: u64,
        /// Kilobytes.
        kilobytes: u64,
    },
    /// As many as one likes.
    Unlimited,
    /// The page names none.
    NotPublished,
}

/// One published quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// What is limited, in words.
    pub name: &'static str,
    /// Who it is counted for.
    pub scope: Scope,
    /// What is counted.
    pub unit: Unit,
    /// Over which time.
    pub period: Period,
    /// On the Lite plan.
    pub lite: Limit,
    /// On the Standard plan.
    pub standard: Limit,
    /// Where other sources differ, or what the number leaves open.
    pub remark: Option<&'static str>,
}

impl Quota {
    /// The limit on a plan.
    #[must_use]
    pub const fn limit(&self, plan: Plan) -> Limit {
        match plan {
            Plan::Lite => self.lite,
            Plan::Standard => self.standard,
        }
    }
}

/// The page that the quotas come from.
pub const SOURCE: &str = "https://github.com/mtsmn/IoT/blob/master/reference/quotas.md";

const fn quota(name: &'static str, scope: Scope, unit: Unit, period: Period, lite: Limit, standard: Limit) -> Quota {
    Quota { name, scope, unit, period, lite, standard, remark: None }
}

const fn remarked(quota: Quota, remark: &'static str) -> Quota {
    Quota { remark: Some(remark), ..quota }
}

const fn most(number: u64) -> Limit {
    Limit::AtMost(number)
}

const fn either(messages: u64, kilobytes: u64) -> Limit {
    Limit::AtMostEither { messages, kilobytes }
}

/// All quotas that concern MQTT and what it is compared with.
pub const QUOTAS: &[Quota] = {
    use Limit::{NotPublished, Unlimited};
    use Period::{AtOnce, Minute, Month, Second};
    use Scope::{Application, Connection, Device, DeviceSubscription, Gateway, Organization};
    use Unit::{
        ApiKeys, Calls, Connections, Devices, Hours, Instances, Kilobytes, Megabytes, Messages, MessagesOrKilobytes,
        Subscriptions,
    };
    &[
        remarked(
            quota(
                "shared subscriptions of scalable applications",
                Organization,
                Subscriptions,
                AtOnce,
                most(1),
                most(10),
            ),
            "on Lite the page counts scalable applications",
        ),
        quota("instances of one shared subscription", Organization, Instances, AtOnce, NotPublished, most(50)),
        quota("API keys for applications", Organization, ApiKeys, AtOnce, most(500), most(2000)),
        quota("subscriptions of an application", Application, Subscriptions, AtOnce, most(500), most(500)),
        quota("subscriptions of a device", Device, Subscriptions, AtOnce, most(50), most(50)),
        remarked(
            quota(
                "buffered messages of a scalable application, durable",
                Application,
                Messages,
                AtOnce,
                most(50_000),
                most(50_000),
            ),
            "an older page says 5000 for each subscription, the oldest dropped first",
        ),
        remarked(
            quota(
                "buffered messages of a scalable application, not durable",
                Application,
                Messages,
                AtOnce,
                most(50_000),
                most(50_000),
            ),
            "an older page says 5000 for each subscription, the oldest dropped first",
        ),
        quota("buffered messages of a device's subscription", DeviceSubscription, Messages, AtOnce, most(50), most(50)),
        quota(
            "unacknowledged messages to the platform, application",
            Connection,
            Messages,
            AtOnce,
            most(2000),
            most(2000),
        ),
        quota("unacknowledged messages to the platform, gateway", Gateway, Messages, AtOnce, most(1000), most(1000)),
        quota("unacknowledged messages to the platform, device", Device, Messages, AtOnce, most(10), most(10)),
        quota("new device connections", Organization, Connections, Second, most(10), most(300)),
        quota("registered devices", Organization, Devices, AtOnce, most(500), most(1_000_000)),
        remarked(
            quota("connected devices", Organization, Devices, AtOnce, most(500), most(500_000)),
            "another copy prints 500 000 for Lite too",
        ),
        quota("MQTT publications from a device", Device, MessagesOrKilobytes, Second, either(5, 20), either(10, 40)),
        quota(
            "MQTT publications from a gateway",
            Gateway,
            MessagesOrKilobytes,
            Second,
            either(50, 200),
            either(100, 400),
        ),
        quota(
            "MQTT publications from an application",
            Application,
            MessagesOrKilobytes,
            Second,
            either(10, 40),
            either(20, 80),
        ),
        quota("MQTT publications of an organization", Organization, Messages, Second, most(5000), most(6000)),
        quota("MQTT publications to a device", Device, MessagesOrKilobytes, Second, most(1), either(2, 8)),
        quota(
            "MQTT publications to the devices of a gateway",
            Gateway,
            MessagesOrKilobytes,
            Second,
            most(10),
            either(20, 80),
        ),
        quota(
            "MQTT publications to devices from an application",
            Application,
            MessagesOrKilobytes,
            Second,
            most(10),
            either(20, 80),
        ),
        quota("MQTT publications to all devices", Organization, Messages, Second, most(1000), most(12_000)),
        remarked(
            quota("HTTP events from a device, Lite", Device, Messages, Minute, most(30), NotPublished),
            "Standard counts by the second",
        ),
        remarked(
            quota("HTTP events from a device, Standard", Device, Messages, Second, NotPublished, most(1)),
            "Lite counts by the minute",
        ),
        quota("HTTP events from a gateway", Gateway, Messages, Second, most(5), most(10)),
        quota("HTTP events from an application", Application, Messages, Second, most(1), most(2)),
        quota("HTTP events of an organization", Organization, Messages, Second, most(500), most(600)),
        quota("data exchanged", Organization, Megabytes, Month, most(200), Unlimited),
        remarked(
            quota("persistence of messages from devices, default", Organization, Hours, AtOnce, most(24), most(24)),
            "at most 7 days",
        ),
        remarked(
            quota("persistence of messages to devices, default", Organization, Hours, AtOnce, most(48), most(48)),
            "at most 7 days and 50 messages",
        ),
        remarked(
            quota("size of a message", Organization, Kilobytes, AtOnce, most(128), most(128)),
            "131072 bytes; see the limits for what is counted",
        ),
        quota("calls of the HTTP API", Organization, Calls, Second, most(10), most(10)),
    ]
};

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::platform::limits::MAX_PAYLOAD;

    #[test]
    fn quotas_have_names_of_their_own_and_a_limit_on_some_plan() {
        let names: HashSet<_> = QUOTAS.iter().map(|quota| quota.name).collect();
        assert_eq!(names.len(), QUOTAS.len());
        for quota in QUOTAS {
            assert!([Plan::Lite, Plan::Standard].iter().any(|plan| quota.limit(*plan) != Limit::NotPublished));
        }
    }

    #[test]
    fn standard_gives_no_less_than_lite() {
        fn messages(limit: Limit) -> Option<u64> {
            match limit {
                Limit::AtMost(number) | Limit::AtMostEither { messages: number, .. } => Some(number),
                Limit::Unlimited => Some(u64::MAX),
                Limit::NotPublished => None,
            }
        }
        for quota in QUOTAS {
            if let (Some(lite), Some(standard)) = (messages(quota.lite), messages(quota.standard)) {
                assert!(standard >= lite, "{}", quota.name);
            }
        }
    }

    #[test]
    fn a_kilobyte_quota_is_four_kilobytes_for_each_message() {
        // The fair-use engine counts a message as one unit, and one more for each whole 4096 bytes in it.
        for limit in QUOTAS.iter().flat_map(|quota| [quota.lite, quota.standard]) {
            if let Limit::AtMostEither { messages, kilobytes } = limit {
                assert_eq!(kilobytes, messages * 4);
            }
        }
    }

    #[test]
    fn message_size_is_the_payload_limit() {
        let size = QUOTAS.iter().find(|quota| quota.unit == Unit::Kilobytes).unwrap();
        assert_eq!(size.standard, Limit::AtMost(MAX_PAYLOAD as u64 / 1024));
    }
}
