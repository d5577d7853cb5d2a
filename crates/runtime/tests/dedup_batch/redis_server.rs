//! A real Redis for these tests: what cannot be had ends the test.

use tidemill_testkit::redis::{RedisConfig, RedisServer};

pub(crate) struct Redis(RedisServer);

impl Redis {
    /// A server, or `None` after saying that the test is skipped.
    pub(crate) async fn start(password: Option<&str>) -> Option<Self> {
        let config = RedisConfig { password: password.map(str::to_owned), ..RedisConfig::default() };
        RedisServer::start_or_skip(config).await.map(Self)
    }

    pub(crate) fn url(&self) -> String {
        self.0.url()
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.addr().port()
    }

    pub(crate) async fn kill(&mut self) {
        self.0.kill().await.unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        self.0.restart().await.unwrap();
    }

    pub(crate) fn freeze(&self, freeze: bool) {
        self.0.freeze(freeze).unwrap();
    }

    pub(crate) async fn cli(&self, words: &[&str]) -> String {
        self.0.cli(words).await.unwrap()
    }
}
