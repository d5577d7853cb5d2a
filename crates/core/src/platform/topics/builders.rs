//! Topics and filters from values instead of text: every part is checked where it is given.

use super::{Level, PlatformFilter, PlatformTopic, Slot, TopicRuleError, TopicRuleErrorKind, Word};
use crate::platform::Name;

/// Topics to publish to.
impl PlatformTopic {
    /// The topic of a device's event. An application may publish it as if it came from the device, which must be
    /// registered.
    ///
    /// # Errors
    /// A [`TopicRuleError`] about the part that is wrong.
    pub fn event(device_type: &str, device: &str, event: &str, format: &str) -> Result<Self, TopicRuleError> {
        let (device_type, device) = (Name::read(device_type)?, Name::read(device)?);
        Ok(Self::Event { device_type, device, event: Word::new(event)?, format: Word::new(format)? })
    }

    /// The topic of a command to a device.
    ///
    /// # Errors
    /// A [`TopicRuleError`] about the part that is wrong.
    pub fn command(device_type: &str, device: &str, command: &str, format: &str) -> Result<Self, TopicRuleError> {
        let (device_type, device) = (Name::read(device_type)?, Name::read(device)?);
        Ok(Self::Command { device_type, device, command: Word::new(command)?, format: Word::new(format)? })
    }
}

/// Filters start as wide as they can be; `with_*` narrows them.
///
/// ```
/// use tidemill_core::platform::PlatformFilter;
///
/// let filter = PlatformFilter::events().with_type("thermostat")?.with_event("temperature")?;
/// assert_eq!(filter.to_string(), "iot-2/type/thermostat/id/+/evt/temperature/fmt/+");
/// # Ok::<(), tidemill_core::platform::topics::TopicRuleError>(())
/// ```
impl PlatformFilter {
    /// All events of all devices.
    #[must_use]
    pub fn events() -> Self {
        Self::Event { device_type: Slot::Any, device: Slot::Any, event: Slot::Any, format: Slot::Any }
    }

    /// All commands to all devices.
    #[must_use]
    pub fn commands() -> Self {
        Self::Command { device_type: Slot::Any, device: Slot::Any, command: Slot::Any, format: Slot::Any }
    }

    /// Connections of all devices. Retained state comes to `a:org:app` clients, not to `A:org:app:instance`.
    #[must_use]
    pub fn device_monitoring() -> Self {
        Self::DeviceMonitor { device_type: Slot::Any, device: Slot::Any }
    }

    /// Connections of all applications.
    #[must_use]
    pub fn app_monitoring() -> Self {
        Self::AppMonitor { app: Slot::Any }
    }

    /// States of all devices on all logical interfaces.
    #[must_use]
    pub fn device_states() -> Self {
        Self::DeviceState { device_type: Slot::Any, device: Slot::Any, interface: Slot::Any }
    }

    /// States of all things on all logical interfaces.
    #[must_use]
    pub fn thing_states() -> Self {
        Self::ThingState { thing_type: Slot::Any, thing: Slot::Any, interface: Slot::Any }
    }

    /// Errors in computing the states of devices.
    #[must_use]
    pub fn device_errors() -> Self {
        Self::DeviceError { device_type: Slot::Any, device: Slot::Any }
    }

    /// Errors in computing the states of things.
    #[must_use]
    pub fn thing_errors() -> Self {
        Self::ThingError { thing_type: Slot::Any, thing: Slot::Any }
    }

    /// Rules that came true.
    #[must_use]
    pub fn rule_triggers() -> Self {
        Self::RuleTrigger { interface: Slot::Any, rule: Slot::Any }
    }

    /// Errors in evaluating rules.
    #[must_use]
    pub fn rule_errors() -> Self {
        Self::RuleError { interface: Slot::Any, rule: Slot::Any }
    }

    /// Only this type of device or thing.
    ///
    /// # Errors
    /// When the value is wrong, or the shape has no type.
    pub fn with_type(mut self, value: &str) -> Result<Self, TopicRuleError> {
        match &mut self {
            Self::Event { device_type, .. }
            | Self::Command { device_type, .. }
            | Self::DeviceMonitor { device_type, .. }
            | Self::DeviceState { device_type, .. }
            | Self::DeviceError { device_type, .. } => *device_type = only(value)?,
            Self::ThingState { thing_type, .. } | Self::ThingError { thing_type, .. } => *thing_type = only(value)?,
            _ => return Err(self.no_place("type")),
        }
        Ok(self)
    }

    /// Only this device or thing.
    ///
    /// # Errors
    /// When the value is wrong, or the shape has no device.
    pub fn with_id(mut self, value: &str) -> Result<Self, TopicRuleError> {
        match &mut self {
            Self::Event { device, .. }
            | Self::Command { device, .. }
            | Self::DeviceMonitor { device, .. }
            | Self::DeviceState { device, .. }
            | Self::DeviceError { device, .. } => *device = only(value)?,
            Self::ThingState { thing, .. } | Self::ThingError { thing, .. } => *thing = only(value)?,
            _ => return Err(self.no_place("id")),
        }
        Ok(self)
    }

    /// Only this event.
    ///
    /// # Errors
    /// When the value is wrong, or the shape has no event.
    pub fn with_event(mut self, value: &str) -> Result<Self, TopicRuleError> {
        let Self::Event { event, .. } = &mut self else { return Err(self.no_place("event")) };
        *event = only(value)?;
        Ok(self)
    }

    /// Only this command.
    ///
    /// # Errors
    /// When the value is wrong, or the shape has no command.
    pub fn with_command(mut self, value: &str) -> Result<Self, TopicRuleError> {
        let Self::Command { command, .. } = &mut self else { return Err(self.no_place("command")) };
        *command = only(value)?;
        Ok(self)
    }

    /// Only this format.
    ///
    /// # Errors
    /// When the value is wrong, or the shape has no format.
    pub fn with_format(mut self, value: &str) -> Result<Self, TopicRuleError> {
        match &mut self {
            Self::Event { format, .. } | Self::Command { format, .. } => *format = only(value)?,
            _ => return Err(self.no_place("format")),
        }
        Ok(self)
    }

    /// Only this application.
    ///
    /// # Errors
    /// When the value is wrong, or the shape has no application.
    pub fn with_app(mut self, value: &str) -> Result<Self, TopicRuleError> {
        let Self::AppMonitor { app } = &mut self else { return Err(self.no_place("application")) };
        *app = only(value)?;
        Ok(self)
    }

    /// Only this logical interface.
    ///
    /// # Errors
    /// When the value is wrong, or the shape has no interface.
    pub fn with_interface(mut self, value: &str) -> Result<Self, TopicRuleError> {
        match &mut self {
            Self::DeviceState { interface, .. }
            | Self::ThingState { interface, .. }
            | Self::RuleTrigger { interface, .. }
            | Self::RuleError { interface, .. } => *interface = only(value)?,
            _ => return Err(self.no_place("interface")),
        }
        Ok(self)
    }

    /// Only this rule.
    ///
    /// # Errors
    /// When the value is wrong, or the shape has no rule.
    pub fn with_rule(mut self, value: &str) -> Result<Self, TopicRuleError> {
        match &mut self {
            Self::RuleTrigger { rule, .. } | Self::RuleError { rule, .. } => *rule = only(value)?,
            _ => return Err(self.no_place("rule")),
        }
        Ok(self)
    }

    fn no_place(&self, place: &'static str) -> TopicRuleError {
        TopicRuleError::new(TopicRuleErrorKind::NoSuchPlace(place), &self.to_string())
    }
}

fn only<T: Level>(value: &str) -> Result<Slot<T>, TopicRuleError> {
    T::read(value).map(Slot::Only)
}
