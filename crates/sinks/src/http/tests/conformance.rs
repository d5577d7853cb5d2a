//! What every sink must hold, against a real HTTP server behind a proxy that cuts connections.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidemill_core::{Record, Sink};
use tidemill_testkit::fault::FaultProxy;
use tidemill_testkit::sink_conformance::{Capabilities, Misconfigured, Payloads, Seen, Target};

use super::super::{Http, HttpBody, HttpConfig};
use super::receiver::{LONGEST, Receiver};
use crate::{Secret, Template};

struct Endpoint {
    receiver: Receiver,
    proxy: FaultProxy,
    body: HttpBody,
}

impl Endpoint {
    async fn start(body: HttpBody) -> Option<Self> {
        let receiver = Receiver::start().await;
        receiver.take_once();
        let proxy = FaultProxy::start(receiver.addr).await.unwrap();
        Some(Self { receiver, proxy, body })
    }

    fn config(&self, path: &str) -> HttpConfig {
        let url = format!("http://{}{path}", self.proxy.addr());
        let mut config = HttpConfig::new(Template::new(&url).unwrap()).body(self.body);
        config.timeout = Duration::from_secs(2);
        config.idempotent_receiver = true;
        config
    }

    fn wrong_password(&self) -> HttpConfig {
        self.config("/in/x").secret_header("x-password", Secret::Text("wr0ng".into()))
    }
}

#[async_trait]
impl Target for Endpoint {
    fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(Http::new(self.config("/in/x")))
    }

    async fn read_all(&self) -> Vec<Seen> {
        let requests = self.receiver.requests();
        let payloads = requests.iter().flat_map(|request| match self.body {
            HttpBody::Record => vec![request.body.clone()],
            HttpBody::Ndjson => request.body.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect(),
            HttpBody::JsonArray => {
                let array: Vec<Box<serde_json::value::RawValue>> = serde_json::from_slice(&request.body).unwrap();
                array.iter().map(|value| value.get().as_bytes().to_vec()).collect()
            }
        });
        payloads.filter(|payload| !payload.is_empty()).map(Seen::new).collect()
    }

    async fn outage(&self) {
        self.proxy.faults().refuse(true);
        self.proxy.faults().cut_all();
    }

    async fn recover(&self) {
        self.proxy.faults().refuse(false);
    }

    fn proxy(&self) -> Option<&FaultProxy> {
        Some(&self.proxy)
    }

    fn capabilities(&self) -> Capabilities {
        let payloads = if self.body == HttpBody::Record { Payloads::Any } else { Payloads::Json };
        Capabilities::default().opens_without_connecting().payloads(payloads).big_batch(2000)
    }

    fn bad_record(&self) -> Option<Record> {
        Some(Record::new("\"bad\""))
    }

    fn oversize_record(&self) -> Option<Record> {
        Some(Record::new(format!("\"{}\"", "x".repeat(LONGEST))))
    }

    fn misconfigured(&self) -> Vec<Misconfigured> {
        let sink = |config| Arc::new(Http::new(config)) as Arc<dyn Sink>;
        vec![
            Misconfigured::new(sink(self.wrong_password()), "right credentials").hides("wr0ng"),
            Misconfigured::new(sink(self.config("/elsewhere")), "right path"),
        ]
    }
}

mod record {
    use super::{Endpoint, HttpBody};

    tidemill_testkit::conformance!(|| Endpoint::start(HttpBody::Record));
}

mod json_array {
    use super::{Endpoint, HttpBody};

    tidemill_testkit::conformance!(|| Endpoint::start(HttpBody::JsonArray));
}

mod ndjson {
    use super::{Endpoint, HttpBody};

    tidemill_testkit::conformance!(|| Endpoint::start(HttpBody::Ndjson));
}
