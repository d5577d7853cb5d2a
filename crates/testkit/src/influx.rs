//! A real InfluxDB 1 as a child process, as far as [`server`](crate::server) does not say it: on free ports, HTTP at the
//! first, without a log of requests.

use std::time::Duration;

use crate::server::{Ready, ServerSpec};

/// How it is run.
///
/// `max_body_bytes`: larger requests are refused; `None`: as the server has it by default.
#[must_use]
pub fn spec(max_body_bytes: Option<u64>) -> ServerSpec {
    ServerSpec::new("influxd", "influxdb")
        .ports(2)
        .ready(Ready::Http { port: 0, path: "/ping" })
        .patience(Duration::from_secs(30))
        .command(move |place, command| {
            command.args(["run", "-config", "/dev/null"]);
            command.env("INFLUXDB_HTTP_BIND_ADDRESS", place.addr(0).to_string());
            command.env("INFLUXDB_BIND_ADDRESS", place.addr(1).to_string());
            for (name, folder) in [("META_DIR", "meta"), ("DATA_DIR", "data"), ("DATA_WAL_DIR", "wal")] {
                command.env(format!("INFLUXDB_{name}"), place.directory().join(folder));
            }
            command.env("INFLUXDB_REPORTING_DISABLED", "true").env("INFLUXDB_MONITOR_STORE_ENABLED", "false");
            command.env("INFLUXDB_HTTP_LOG_ENABLED", "false");
            if let Some(bytes) = max_body_bytes {
                command.env("INFLUXDB_HTTP_MAX_BODY_SIZE", bytes.to_string());
            }
        })
}
