//! The MQTT dialect of IBM Watson IoT Platform, Maximo IoT and Eclipse Amlen's proxy: who may connect under which
//! client ID, what may be published and subscribed to, and what monitoring messages say.
//!
//! Everything here is pure: text and numbers in, values out, no I/O, and no input makes it panic. Where the platform's
//! documentation and its published source disagree, the source wins and the item says so. The sources, by the names that
//! the items use:
//!
//! - *applications page*: [MQTT connectivity for applications][page], in a copy of 2018;
//! - *proxy*: [Eclipse Amlen, `server_proxy`][amlen], the front end of the platform, published under EPL-2.0;
//! - *quotas page*: [quotas of 2018][quotas];
//! - *SDKs*: [Python][py], [Node.js][node], [Java][java], [C][c].
//!
//! [page]: https://github.com/mtsmn/IoT/blob/master/applications/mqtt.md
//! [amlen]: https://github.com/eclipse/amlen/tree/main/server_proxy
//! [quotas]: https://github.com/mtsmn/IoT/blob/master/reference/quotas.md
//! [py]: https://github.com/ibm-watson-iot/iot-python
//! [node]: https://github.com/ibm-watson-iot/iot-nodejs
//! [java]: https://github.com/ibm-watson-iot/iot-java
//! [c]: https://github.com/ibm-watson-iot/iot-c

pub mod identity;
pub mod limits;
pub mod monitoring;
pub mod publishing;
pub mod quickstart;
pub mod quotas;
pub mod roles;
pub mod settings;
pub mod topics;
pub mod tracker;

pub use identity::{ApiKey, ClientId, Endpoint, Name, OrgId, Token};
pub use monitoring::{CloseCode, MonitorMessage};
pub use publishing::PlatformContext;
pub use roles::Role;
pub use settings::PlatformSettings;
pub use topics::{PlatformFilter, PlatformTopic, Slot, Word};
pub use tracker::Tracker;
