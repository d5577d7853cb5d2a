//! Which subscriptions are one share. The client sends the plain filter; the proxy makes the share out of the client ID
//! and the filter (`makeSharedSubcriptionTopic` in `pxmqtt.c`).

use std::fmt;

use super::PlatformFilter;
use crate::platform::{ClientId, Name, OrgId};

/// A share: members with equal groups split the events among them, others get their own copy.
///
/// The group is organization, application and the exact filter, so two filters of one application are two groups, and so
/// are members with and members without an instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ShareGroup {
    /// The organization.
    pub org: OrgId,
    /// The application.
    pub app: Name,
    /// Whether its members have instances (`A:org:app:instance`), so that they may be durable and their events are
    /// kept while all of them are away.
    pub mixed: bool,
    /// What it receives.
    pub filter: PlatformFilter,
}

impl ShareGroup {
    /// The group that a client joins with a subscription; `None` for clients that do not share.
    #[must_use]
    pub fn of(client: &ClientId, filter: &PlatformFilter) -> Option<Self> {
        let app = client.app().filter(|_| client.shares())?;
        let (org, mixed) = (client.org().clone(), client.instance().is_some());
        Some(Self { org, app: app.clone(), mixed, filter: filter.clone() })
    }
}

/// What the broker behind the proxy sees. Clients never send this.
impl fmt::Display for ShareGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { org, app, mixed, filter } = self;
        let filter = filter.to_string();
        // Every filter of the platform starts with the level `iot-2`; the organization follows it.
        let (first, rest) = filter.split_once('/').unwrap_or((&filter, ""));
        if *mixed {
            return write!(f, "$share/{org}:{app}/{first}/{org}/{rest}");
        }
        let name = filter.replace('/', ":").replace('+', "&");
        write!(f, "$SharedSubscription/{org}:{app}:{name}/{first}/{org}/{rest}")
    }
}
