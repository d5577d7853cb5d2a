//! Runs the example against a real Mosquitto and a real PostgreSQL: every reading is a row, once, although the database is
//! killed and restarted and the worker is killed and started again while they come.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod real_server {
    use std::net::SocketAddr;
    use std::process::Stdio;
    use std::time::Duration;

    use tidemill_testkit::client::{ConnectOptions, RawClient};
    use tidemill_testkit::mosquitto::{Mosquitto, MosquittoConfig, require_or_skip};
    use tidemill_testkit::postgres::{PostgresServer, PostgresServerConfig};
    use tokio::process::{Child, Command};
    use tokio::time::{Instant, sleep};

    const PASSWORD: &str = "pass-word-of-the-test";

    /// How many readings: set `EVENTS` for more.
    fn events() -> u32 {
        std::env::var("EVENTS").ok().map_or(20_000, |text| text.parse().expect("EVENTS is a number"))
    }

    fn worker(broker: &str, database: SocketAddr, directory: &std::path::Path) -> Child {
        Command::new(env!("CARGO_BIN_EXE_example-06-postgres"))
            .current_dir(directory)
            .env("TIDEMILL_MQTT__URL", broker)
            .env("TIDEMILL_IDENTITY__MODE", "durable")
            .env("TIDEMILL_IDENTITY__REPLICA", "worker-0")
            .env("TIDEMILL_MQTT__SESSION_EXPIRY", "1h")
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", database.port().to_string())
            .env("PGPASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    async fn count(database: &PostgresServer, what: &str) -> u32 {
        // The table is not there before the worker is.
        database.sql(what).await.ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// Publishes these readings, each until the broker has it.
    async fn publish(client: &mut RawClient, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let payload = format!(r#"{{"id": "reading-{number}", "celsius": {}}}"#, number % 100);
            client.publish_acked(&format!("plant/{}/temperature", number % 50), payload).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_reading_is_a_row_once_whatever_is_killed() {
        let config = MosquittoConfig { max_queued_messages: Some(0), ..MosquittoConfig::default() };
        let Some(broker) = require_or_skip(Mosquitto::start(config).await) else { return };
        let config = PostgresServerConfig { password: Some(PASSWORD.to_owned()), ..PostgresServerConfig::default() };
        let Some(mut database) = PostgresServer::start_or_skip(config).await else { return };
        let directory = broker.directory().to_owned();
        let (url, addr) = (broker.url(), database.addr());
        let patience = Duration::from_secs(60 + u64::from(events()) / 500);
        let began = Instant::now();
        let waits = |what: &str| assert!(began.elapsed() < patience, "{what}");

        let mut example = worker(&url, addr, &directory);
        let mut client = RawClient::tcp(broker.addr()).await.unwrap();
        client.connect(ConnectOptions::new("publisher")).await;
        // The first row tells that it has subscribed.
        while count(&database, "SELECT count(*) FROM readings").await == 0 {
            waits("the example does not subscribe");
            publish(&mut client, 0..1).await;
        }

        let (n, third) = (events(), events() / 3);
        publish(&mut client, 0..third).await;
        // The database goes away and comes back while readings come in.
        let failure = async {
            database.kill().await.unwrap();
            database.restart().await.unwrap();
        };
        tokio::join!(publish(&mut client, third..2 * third), failure);
        // Killed with readings that are unacknowledged, some of them written.
        let kill = async {
            let unfinished = n / 2;
            while count(&database, "SELECT count(*) FROM readings").await < unfinished {
                waits("the readings before the kill are not written");
            }
            example.kill().await.unwrap();
            let written = count(&database, "SELECT count(*) FROM readings").await;
            assert!(written < n, "the worker was done before it was killed");
            worker(&url, addr, &directory)
        };
        let ((), mut example) = tokio::join!(publish(&mut client, 2 * third..n), kill);
        // Readings that come again, as a publisher that lost its acknowledgements sends them.
        publish(&mut client, 0..n / 10).await;

        while count(&database, "SELECT count(*) FROM readings").await < n {
            waits("readings are lost");
            sleep(Duration::from_millis(50)).await;
        }
        let pid = example.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        assert!(example.wait().await.unwrap().success());
        // After all of its events are finished.
        assert_eq!(count(&database, "SELECT count(*) FROM readings").await, n);
        assert_eq!(count(&database, "SELECT count(DISTINCT reading) FROM readings").await, n);
    }
}
