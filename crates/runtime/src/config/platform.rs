//! Settings of the platform dialect. Their rules need the dialect itself and stand in `crate::platform`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Secret;

/// Which form of client ID the instances connect with, and so how they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PlatformShape {
    /// `a:org:app`: one connection, nothing is shared.
    Application,
    /// `A:org:app`: all instances of all replicas connect with this one ID and share every event. Nothing is kept while
    /// none of them is connected.
    Scalable,
    /// `A:org:app:instance`: each instance has a name of its own, and they share every event. With `clean_session`
    /// false the platform keeps events while all are away.
    ScalableInstance,
}

/// The role of the API key, which says what it may publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "their names say it")]
pub enum PlatformRole {
    Standard,
    Operations,
    BackendTrusted,
    DataProcessor,
    Visualization,
    Device,
}

/// IBM Watson IoT Platform, Maximo IoT: who the worker is there. Needs `identity.mode = "platform"`; see the page on the
/// platform.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PlatformConfig {
    /// The organization, `quickstart` for the sandbox. Unset: that of the API key.
    pub org: Option<String>,
    /// The application: 1 to 36 of letters, digits, `-`, `_` and `.`. It names the group.
    pub app: Option<String>,
    /// Which form the client IDs have.
    pub shape: PlatformShape,
    /// Whether sessions end with their connections. The `scalable` shape needs it.
    pub clean_session: bool,
    /// The API key, `a-org-random`. Not needed in Quickstart.
    pub api_key: Option<String>,
    /// Token of the API key. Prefer `token_file`.
    pub token: Option<Secret>,
    /// File that holds the token. One line break at its end does not count. It is read again on every connect.
    #[schemars(extend("x-shape" = "a path"))]
    pub token_file: Option<PathBuf>,
    /// Role of the API key: what it may not publish is refused before the platform closes the connection.
    pub role: PlatformRole,
    /// How much this worker publishes per second, in the platform's units: one for each publication, and one more for
    /// each whole 4 KiB of it. What is more waits. 0: no limit.
    pub publish_units_per_second: u32,
}

impl Default for PlatformConfig {
    fn default() -> Self {
        Self {
            // The key says it.
            org: None,
            app: None,
            // What the platform calls scalable applications first: replicas need no names of their own.
            shape: PlatformShape::Scalable,
            // The only one that every shape allows.
            clean_session: true,
            api_key: None,
            token: None,
            token_file: None,
            role: PlatformRole::Standard,
            // The published quota of an application on the Standard plan: 20 messages or 80 KB.
            publish_units_per_second: 20,
        }
    }
}
