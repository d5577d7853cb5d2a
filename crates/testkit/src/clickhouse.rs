//! A real ClickHouse as a child process, as far as [`server`](crate::server) does not say it: on free ports, HTTP at the
//! first.

use std::time::Duration;

use crate::server::{Ready, ServerSpec};

/// How it is run. Its user `default` may do everything, its user `reader` may only read; both have this password.
#[must_use]
pub fn spec(password: &str) -> ServerSpec {
    let user = format!(
        "<password>{password}</password><networks><ip>::/0</ip></networks><profile>default</profile>
        <quota>default</quota>"
    );
    let reader = user.replace("<profile>default", "<profile>reader");
    let users = format!(
        "<yandex><profiles><default></default><reader><readonly>1</readonly></reader></profiles>
        <users><default>{user}</default><reader>{reader}</reader></users>
        <quotas><default></default></quotas></yandex>"
    );
    ServerSpec::new("clickhouse-server", "clickhouse-server")
        .ports(2)
        .ready(Ready::Http { port: 0, path: "/ping" })
        .patience(Duration::from_secs(30))
        .command(move |place, command| {
            let (directory, http, tcp) = (place.directory().display(), place.port(0), place.port(1));
            let config = format!(
                "<yandex><logger><level>warning</level><console>1</console></logger>
                <listen_host>127.0.0.1</listen_host><http_port>{http}</http_port><tcp_port>{tcp}</tcp_port>
                <path>{directory}/data/</path><tmp_path>{directory}/tmp/</tmp_path>
                <mark_cache_size>10000000</mark_cache_size><users_config>users.xml</users_config>
                <default_profile>default</default_profile><default_database>default</default_database></yandex>"
            );
            let file = place.directory().join("config.xml");
            // Where they cannot be written, the server says that they cannot be read.
            _ = std::fs::write(&file, config);
            _ = std::fs::write(place.directory().join("users.xml"), &users);
            command.arg(format!("--config-file={}", file.display()));
        })
}
