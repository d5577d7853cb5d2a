//! Routes by what they are about instead of by topic.

use tidemill_core::Handler;

use crate::worker::WorkerBuilder;

/// Adds routes for the platform's topics. Each part is a value or `+`; in place of a `+` handlers find what the topic has
/// there by the name of the part: `event.capture("id")`. Wrong parts are reported when the worker is built.
///
/// ```no_run
/// use tidemill_core::handler_fn;
/// use tidemill_runtime::platform::PlatformRoutes;
/// use tidemill_runtime::{Config, Worker};
///
/// let worker = Worker::builder(Config::load()?)
///     .on_event("+", "+", "temperature", "json", handler_fn(|_, _| async { Ok(()) }))
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait PlatformRoutes: Sized {
    /// Events of devices. Parts: `type`, `id`, `event`, `format`.
    #[must_use]
    fn on_event(self, device_type: &str, id: &str, event: &str, format: &str, handler: impl Handler) -> Self;

    /// Commands to devices. Parts: `type`, `id`, `command`, `format`.
    #[must_use]
    fn on_command(self, device_type: &str, id: &str, command: &str, format: &str, handler: impl Handler) -> Self;

    /// Monitoring messages of devices. Parts: `type`, `id`. Members of a scalable application each see a part of them;
    /// see [`DeviceTracker`](super::DeviceTracker).
    #[must_use]
    fn on_device_status(self, device_type: &str, id: &str, handler: impl Handler) -> Self;

    /// Monitoring messages of applications. Part: `app`.
    #[must_use]
    fn on_app_status(self, app: &str, handler: impl Handler) -> Self;
}

impl PlatformRoutes for WorkerBuilder {
    fn on_event(self, device_type: &str, id: &str, event: &str, format: &str, handler: impl Handler) -> Self {
        let [t, i] = [part(device_type, "type"), part(id, "id")];
        let pattern = format!("iot-2/type/{t}/id/{i}/evt/{}/fmt/{}", part(event, "event"), part(format, "format"));
        self.route(pattern, handler)
    }

    fn on_command(self, device_type: &str, id: &str, command: &str, format: &str, handler: impl Handler) -> Self {
        let [t, i] = [part(device_type, "type"), part(id, "id")];
        let pattern = format!("iot-2/type/{t}/id/{i}/cmd/{}/fmt/{}", part(command, "command"), part(format, "format"));
        self.route(pattern, handler)
    }

    fn on_device_status(self, device_type: &str, id: &str, handler: impl Handler) -> Self {
        self.route(format!("iot-2/type/{}/id/{}/mon", part(device_type, "type"), part(id, "id")), handler)
    }

    fn on_app_status(self, app: &str, handler: impl Handler) -> Self {
        self.route(format!("iot-2/app/{}/mon", part(app, "app")), handler)
    }
}

fn part(value: &str, name: &str) -> String {
    if value == "+" { format!("{{{name}}}") } else { value.to_owned() }
}
