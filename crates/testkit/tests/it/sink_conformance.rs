//! The conformance suite itself: a sound sink passes it, and one with a defect does not.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tidemill_core::{Record, Rejection, Sink, SinkError, SinkTraits};
use tidemill_testkit::fault::FaultProxy;
use tidemill_testkit::sink_conformance::{Misconfigured, Seen, Target, cases};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// What is wrong with a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    None,
    /// Does not wait for the answer.
    ConfirmsEarly,
    /// Knows no idempotency keys and says that it does.
    Repeats,
    /// Writes a batch from its end.
    Reverses,
    /// Drops what it refuses without a word.
    SwallowsBad,
    /// Takes a wrong password for an outage.
    BlamesTheServer,
    /// Writes share the list of what they refuse.
    BlamesAnotherWrite,
}

type Stored = Arc<Mutex<Vec<(Bytes, String)>>>;

/// A server that takes one record per connection: length, idempotency key, payload; and answers with a byte.
struct Shelf {
    stored: Stored,
    proxy: FaultProxy,
    defect: Defect,
    _serves: AbortOnDropHandle<()>,
}

impl Shelf {
    async fn start(defect: Defect) -> Option<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = FaultProxy::start(listener.local_addr().unwrap()).await.unwrap();
        let stored = Stored::default();
        let known = Arc::new(Mutex::new(HashSet::new()));
        let store = Arc::clone(&stored);
        let serves = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (store, known) = (Arc::clone(&store), Arc::clone(&known));
                tokio::spawn(async move {
                    // The client has gone otherwise.
                    _ = serve(stream, &store, &known, defect).await;
                });
            }
        });
        Some(Self { stored, proxy, defect, _serves: AbortOnDropHandle::new(serves) })
    }
}

async fn serve(
    mut stream: TcpStream,
    store: &Stored,
    known: &Mutex<HashSet<String>>,
    defect: Defect,
) -> std::io::Result<()> {
    loop {
        let mut key = vec![0; stream.read_u32().await? as usize];
        stream.read_exact(&mut key).await?;
        let mut payload = vec![0; stream.read_u32().await? as usize];
        stream.read_exact(&mut payload).await?;
        let key = String::from_utf8(key).unwrap();
        let is_new = known.lock().unwrap().insert(key.clone());
        if is_new || defect == Defect::Repeats {
            store.lock().unwrap().push((payload.into(), key));
        }
        stream.write_u8(1).await?;
    }
}

struct ShelfSink {
    addr: SocketAddr,
    defect: Defect,
    wrong_password: bool,
    refused: Mutex<Vec<Rejection>>,
    connection: tokio::sync::Mutex<Option<TcpStream>>,
}

impl ShelfSink {
    fn shared(shelf: &Shelf, wrong_password: bool) -> Arc<dyn Sink> {
        let (addr, defect) = (shelf.proxy.addr(), shelf.defect);
        let (refused, connection) = (Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Self { addr, defect, wrong_password, refused, connection })
    }

    async fn send(stream: &mut TcpStream, record: &Record, waits: bool) -> std::io::Result<()> {
        let key = record.idempotency_key.clone().unwrap_or_default();
        let parts = [key.as_bytes(), &record.payload];
        let frame: Vec<u8> = parts
            .iter()
            .flat_map(|part| u32::try_from(part.len()).unwrap().to_be_bytes().into_iter().chain(part.iter().copied()))
            .collect();
        stream.write_all(&frame).await?;
        if waits { stream.read_u8().await.map(drop) } else { Ok(()) }
    }
}

#[async_trait]
impl Sink for ShelfSink {
    fn traits(&self) -> SinkTraits {
        SinkTraits::default().ordered().idempotent()
    }

    async fn open(&self) -> Result<(), SinkError> {
        if self.wrong_password {
            let what = "the shelf refuses the password: set the right one";
            return Err(match self.defect {
                Defect::BlamesTheServer => SinkError::unavailable(what),
                _ => SinkError::misconfigured(what),
            });
        }
        let stream = TcpStream::connect(self.addr).await;
        let mut stream = stream.map_err(|error| SinkError::unavailable(format!("connect to the shelf: {error}")))?;
        // Also when the proxy takes the connection and has none to the server.
        let hello = Record::new("hello").with_idempotency_key("hello");
        let hello = Self::send(&mut stream, &hello, true).await;
        hello.map_err(|error| SinkError::unavailable(format!("greet the shelf: {error}")))
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        // Taken out, so that a dropped write leaves no connection in the middle of something.
        let mut connection = match self.connection.lock().await.take() {
            Some(connection) => connection,
            None => TcpStream::connect(self.addr).await.map_err(SinkError::unavailable)?,
        };
        let mut rejections = Vec::new();
        let mut order: Vec<usize> = (0..batch.len()).collect();
        if self.defect == Defect::Reverses {
            order.reverse();
        }
        for index in order {
            let record = &batch[index];
            if record.payload.len() > 1000 || record.payload == "bad" {
                let refused = Rejection { index, reason: "bad or longer than 1000 bytes".to_owned() };
                match self.defect {
                    Defect::BlamesAnotherWrite => self.refused.lock().unwrap().push(refused),
                    _ => rejections.push(refused),
                }
                continue;
            }
            let waits = self.defect != Defect::ConfirmsEarly;
            let sent = Self::send(&mut connection, record, waits);
            let sent = tokio::time::timeout(Duration::from_millis(500), sent).await;
            sent.map_err(SinkError::unavailable)?.map_err(SinkError::unavailable)?;
        }
        *self.connection.lock().await = Some(connection);
        rejections.append(&mut self.refused.lock().unwrap());
        if rejections.is_empty() || self.defect == Defect::SwallowsBad {
            return Ok(());
        }
        Err(SinkError::rejected(rejections))
    }
}

#[async_trait]
impl Target for Shelf {
    fn sink(&self) -> Arc<dyn Sink> {
        ShelfSink::shared(self, false)
    }

    async fn read_all(&self) -> Vec<Seen> {
        let stored = self.stored.lock().unwrap();
        stored.iter().filter(|(_, key)| key != "hello").map(|(payload, _)| Seen::new(payload.clone())).collect()
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

    fn bad_record(&self) -> Option<Record> {
        Some(Record::new("bad"))
    }

    fn oversize_record(&self) -> Option<Record> {
        Some(Record::new("x".repeat(2000)).with_idempotency_key("large"))
    }

    fn misconfigured(&self) -> Vec<Misconfigured> {
        vec![Misconfigured::new(ShelfSink::shared(self, true), "set the right one")]
    }
}

mod a_sound_sink_passes {
    use super::{Defect, Shelf};

    tidemill_testkit::conformance!(|| Shelf::start(Defect::None));
}

#[tokio::test]
#[should_panic(expected = "a write without a server was confirmed")]
async fn a_sink_that_confirms_early_is_caught() {
    cases::an_outage_loses_nothing(&Shelf::start(Defect::ConfirmsEarly).await.unwrap()).await;
}

#[tokio::test]
#[should_panic(expected = "a record is there more than once")]
async fn a_sink_that_promises_idempotence_in_vain_is_caught() {
    cases::an_answer_that_is_lost_costs_no_record(&Shelf::start(Defect::Repeats).await.unwrap()).await;
}

#[tokio::test]
#[should_panic(expected = "out of order within its key")]
async fn a_sink_that_promises_order_in_vain_is_caught() {
    cases::records_of_a_key_stay_in_order(&Shelf::start(Defect::Reverses).await.unwrap()).await;
}

#[tokio::test]
#[should_panic(expected = "left: []")]
async fn a_sink_that_swallows_what_it_refuses_is_caught() {
    cases::a_record_that_is_too_large_is_refused_alone(&Shelf::start(Defect::SwallowsBad).await.unwrap()).await;
}

#[tokio::test]
#[should_panic(expected = "another write's record is blamed")]
async fn a_sink_whose_writes_blame_each_others_records_is_caught() {
    let shelf = Shelf::start(Defect::BlamesAnotherWrite).await.unwrap();
    cases::several_writes_at_once_all_arrive(&shelf).await;
}

#[tokio::test]
#[should_panic(expected = "set the right one")]
async fn a_sink_that_blames_the_server_for_its_settings_is_caught() {
    let shelf = Shelf::start(Defect::BlamesTheServer).await.unwrap();
    cases::what_is_set_up_wrongly_is_said_in_a_sentence(&shelf).await;
}
