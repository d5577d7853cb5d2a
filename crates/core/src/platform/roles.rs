//! Roles of API keys: who may publish and subscribe to what, as the service's page on roles lists it
//! (`reference/app_roles_access.md`, 2018).

use super::{PlatformFilter, PlatformTopic};

/// The role of an API key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Standard application: events and commands, both ways.
    #[default]
    Standard,
    /// Operations application: receives events, sends commands.
    Operations,
    /// Backend trusted application: events and commands, both ways.
    BackendTrusted,
    /// Data processor application: receives events, sends commands.
    DataProcessor,
    /// Visualization application: receives events.
    Visualization,
    /// Device application: what a device does, which is to send events and to receive commands.
    Device,
}

impl Role {
    /// Whether such a key may publish events.
    #[must_use]
    pub const fn may_publish_events(self) -> bool {
        matches!(self, Self::Standard | Self::BackendTrusted | Self::Device)
    }

    /// Whether such a key may publish commands.
    #[must_use]
    pub const fn may_publish_commands(self) -> bool {
        matches!(self, Self::Standard | Self::Operations | Self::BackendTrusted | Self::DataProcessor)
    }

    /// Whether such a key may receive commands. Every role may receive events.
    #[must_use]
    pub const fn may_receive_commands(self) -> bool {
        matches!(self, Self::Standard | Self::BackendTrusted | Self::Device)
    }

    /// Whether such a key may publish to a topic.
    #[must_use]
    pub const fn may_publish(self, topic: &PlatformTopic) -> bool {
        match topic {
            PlatformTopic::Event { .. } => self.may_publish_events(),
            PlatformTopic::Command { .. } => self.may_publish_commands(),
            _ => false,
        }
    }

    /// Whether such a key may subscribe to a filter. The page names events and commands alone; the others are not
    /// refused here.
    #[must_use]
    pub const fn may_subscribe(self, filter: &PlatformFilter) -> bool {
        !matches!(filter, PlatformFilter::Command { .. }) || self.may_receive_commands()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_differ_in_what_they_may_publish_and_receive() {
        let event = PlatformTopic::event("t", "i", "e", "json").unwrap();
        let command = PlatformTopic::command("t", "i", "c", "json").unwrap();
        let may = |role: Role| {
            let (events, commands) = (PlatformFilter::events(), PlatformFilter::commands());
            [
                role.may_publish(&event),
                role.may_publish(&command),
                role.may_subscribe(&events),
                role.may_subscribe(&commands),
            ]
        };
        assert_eq!(may(Role::Standard), [true, true, true, true]);
        assert_eq!(may(Role::Operations), [false, true, true, false]);
        assert_eq!(may(Role::DataProcessor), [false, true, true, false]);
        assert_eq!(may(Role::Visualization), [false, false, true, false]);
        assert_eq!(may(Role::Device), [true, false, true, true]);
    }
}
