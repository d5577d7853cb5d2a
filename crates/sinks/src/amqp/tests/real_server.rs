//! What every sink must hold. All cases are one test, since the server takes some ten seconds to start; each has an
//! exchange and a queue of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{
    BasicGetOptions, BasicNackOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use tidemill_core::{Record, Sink, SinkErrorKind, report};
use tidemill_testkit::fault::FaultProxy;
use tidemill_testkit::rabbitmq::RabbitMqServer;
use tidemill_testkit::sink_conformance::{Capabilities, Misconfigured, Seen, Target, cases, deliver};

use super::super::{Amqp, AmqpConfig};
use crate::{Secret, Template};

/// More than one message of the cases, less than the one that is too large.
const SERVER: &str = "max_message_size = 65536";

struct Queue {
    proxy: FaultProxy,
    /// Of the exchange, and of the queue that takes all `all` from it.
    name: String,
    /// Not by way of the proxy.
    channel: Channel,
    _connection: Connection,
}

async fn connect(addr: SocketAddr) -> (Connection, Channel) {
    let connection = Connection::connect(&format!("amqp://{addr}/%2f"), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

impl Queue {
    async fn new(addr: SocketAddr, arguments: FieldTable) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("out-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let (connection, channel) = connect(addr).await;
        let exchange = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let short = || name.as_str().into();
        channel.exchange_declare(short(), ExchangeKind::Topic, exchange, FieldTable::default()).await.unwrap();
        let queue = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(short(), queue, arguments).await.unwrap();
        let bind = QueueBindOptions::default();
        channel.queue_bind(short(), short(), "out.all".into(), bind, FieldTable::default()).await.unwrap();
        let proxy = FaultProxy::start(addr).await.unwrap();
        Self { proxy, name, channel, _connection: connection }
    }

    fn sink_with(&self, change: impl FnOnce(&mut AmqpConfig)) -> Arc<dyn Sink> {
        let url = format!("amqp://{}/%2f", self.proxy.addr());
        let exchange = Template::new(&self.name).unwrap();
        let mut config = AmqpConfig::new(url, exchange, Template::new("out.{header:word|all}").unwrap());
        config.timeout = Duration::from_secs(4);
        change(&mut config);
        Arc::new(Amqp::new(config))
    }
}

#[async_trait]
impl Target for Queue {
    fn sink(&self) -> Arc<dyn Sink> {
        self.sink_with(|_| {})
    }

    async fn read_all(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mut last = None;
        while let Some(message) =
            self.channel.basic_get(self.name.as_str().into(), BasicGetOptions::default()).await.unwrap()
        {
            let headers = message.delivery.properties.headers().as_ref().unwrap();
            let key = headers.inner().get("tidemill-key").unwrap();
            let AMQPValue::LongString(key) = key else { panic!("{key:?}") };
            last = Some(message.delivery.delivery_tag);
            seen.push(Seen::new(message.delivery.data.clone()).with_key(key.as_bytes().to_vec()));
        }
        if let Some(last) = last {
            // All go back to their places.
            let all = BasicNackOptions { multiple: true, requeue: true };
            self.channel.basic_nack(last, all).await.unwrap();
        }
        seen
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
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
        Some(Record::new("bad").with_key("key-1").with_header("word", "nobody-takes-it"))
    }

    fn misconfigured(&self) -> Vec<Misconfigured> {
        let says = |change: fn(&mut AmqpConfig), says| Misconfigured::new(self.sink_with(change), says);
        vec![
            says(|config| config.password = Some(Secret::Text("wr0ng".into())), "set the right username and password")
                .hides("wr0ng"),
            says(|config| config.url = "amqp://guest:s3cret@h".into(), "put them into username").hides("s3cret"),
            says(|config| config.url = "http://h".into(), "write it as in amqp://"),
            says(|config| config.url = config.url.replace("%2f", "none").into(), "virtual host"),
            says(|config| config.exchange = Template::new("none").unwrap(), "create it, and allow this user to write"),
        ]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_of_the_conformance_suite_holds() {
    let Some(mut server) = RabbitMqServer::start_or_skip(SERVER).await else { return };
    let addr = server.addr();
    macro_rules! hold {
        ($($case:ident)+) => {
            $(
                println!("{}", stringify!($case));
                cases::$case(&Queue::new(addr, FieldTable::default()).await).await;
            )+
        };
    }
    hold! {
        what_was_confirmed_can_be_read
        a_big_batch_is_written_whole
        records_of_a_key_stay_in_order
        several_writes_at_once_all_arrive
        a_known_idempotency_key_is_written_once
        an_outage_loses_nothing
        silence_ends_as_unavailable
        an_answer_that_is_lost_costs_no_record
        cuts_at_any_moment_cost_no_record
        a_dropped_write_that_is_repeated_loses_nothing
        a_bad_record_is_refused_alone
        bytes_that_are_no_text_come_back_or_are_refused
        awkward_text_comes_back_or_is_refused
        opening_without_a_server_fails_and_later_succeeds
        what_is_set_up_wrongly_is_said_in_a_sentence
        closing_twice_is_harmless
        a_new_sink_goes_on_where_the_last_one_ended
    }
    a_message_has_what_the_record_says(addr).await;
    a_message_that_is_too_large_makes_the_engine_halve(addr).await;
    many_equal_messages_are_each_given_back_once(addr).await;
    writes_at_once_hear_of_their_own_messages_alone(addr).await;
    a_full_queue_is_waited_for(addr).await;
    what_was_confirmed_survives_a_killed_server(&mut server).await;
}

async fn a_message_has_what_the_record_says(addr: SocketAddr) {
    let queue = Queue::new(addr, FieldTable::default()).await;
    let record = Record::new("x").with_header("unit", "C").with_idempotency_key("id-1").with_content_type("text/plain");
    queue.sink().write(&[record]).await.unwrap();
    let get = queue.channel.basic_get(queue.name.as_str().into(), BasicGetOptions { no_ack: true }).await;
    let properties = get.unwrap().unwrap().delivery.properties.clone();
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "id-1");
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "text/plain");
    assert_eq!(*properties.delivery_mode(), Some(2));
    let headers = properties.headers().as_ref().unwrap();
    assert_eq!(headers.inner().get("unit"), Some(&AMQPValue::LongString("C".into())));
}

async fn a_message_that_is_too_large_makes_the_engine_halve(addr: SocketAddr) {
    let queue = Queue::new(addr, FieldTable::default()).await;
    let sink = queue.sink();
    let large = Record::new(vec![b'x'; 70_000]).with_key("k");
    let error = sink.write(&[large]).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::BatchRefused, "{}", report(&error));
    sink.write(&[Record::new("1").with_key("k")]).await.unwrap();
    assert_eq!(queue.read_all().await.len(), 1);
}

async fn many_equal_messages_are_each_given_back_once(addr: SocketAddr) {
    const MANY: usize = 5000;
    let queue = Queue::new(addr, FieldTable::default()).await;
    let batch: Vec<Record> = (0..MANY).map(|_| Record::new("x").with_header("word", "nobody-takes-it")).collect();
    let sink = queue.sink_with(|config| config.timeout = Duration::from_secs(60));
    let error = sink.write(&batch).await.unwrap_err();
    let indices: Vec<usize> = error.rejections().iter().map(|rejection| rejection.index).collect();
    assert_eq!(indices, (0..MANY).collect::<Vec<_>>());
}

/// The client hands a message that was given back to whichever is confirmed next on its channel.
async fn writes_at_once_hear_of_their_own_messages_alone(addr: SocketAddr) {
    const WRITERS: usize = 6;
    const ROUNDS: usize = 40;
    const EACH: usize = 20;
    let queue = Queue::new(addr, FieldTable::default()).await;
    let sink = queue.sink_with(|config| {
        config.timeout = Duration::from_secs(60);
        // Confirmed in no time, and so among those that are given back.
        config.persistent = false;
    });
    // From now on there is a channel that writes could share.
    sink.open().await.unwrap();
    let writer = |writer: usize| {
        let sink = Arc::clone(&sink);
        async move {
            let is_taken = writer.is_multiple_of(2);
            let word = if is_taken { "all" } else { "nobody-takes-it" };
            let expected: Vec<usize> = if is_taken { Vec::new() } else { (0..EACH).collect() };
            for round in 0..ROUNDS {
                let text = |number| format!("{writer}-{round}-{number}");
                let record = |number| Record::new(text(number)).with_key("k").with_header("word", word);
                let written = sink.write(&(0..EACH).map(record).collect::<Vec<_>>()).await;
                let given_back = match &written {
                    Ok(()) => Vec::new(),
                    Err(error) if error.kind() == SinkErrorKind::Rejected => {
                        error.rejections().iter().map(|rejection| rejection.index).collect()
                    }
                    Err(error) => panic!("{}: {}", text(0), report(error)),
                };
                assert_eq!(given_back, expected, "{}", text(0));
            }
        }
    };
    let writers: Vec<_> = (0..WRITERS).map(|number| tokio::spawn(writer(number))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(queue.read_all().await.len(), WRITERS / 2 * ROUNDS * EACH);
}

async fn a_full_queue_is_waited_for(addr: SocketAddr) {
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let queue = Queue::new(addr, arguments).await;
    let sink = queue.sink();
    sink.write(&[Record::new("1")]).await.unwrap();
    let error = sink.write(&[Record::new("2")]).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{}", report(&error));
    let get = queue.channel.basic_get(queue.name.as_str().into(), BasicGetOptions { no_ack: true }).await;
    assert_eq!(get.unwrap().unwrap().delivery.data, b"1");
    assert_eq!(deliver(&*sink, &[Record::new("2")]).await, []);
}

async fn what_was_confirmed_survives_a_killed_server(server: &mut RabbitMqServer) {
    let mut queue = Queue::new(server.addr(), FieldTable::default()).await;
    let batch: Vec<Record> = (0..100).map(|number| queue.record(number, number % 7)).collect();
    queue.sink().write(&batch).await.unwrap();
    server.kill().await.unwrap();
    server.restart().await.unwrap();
    (queue._connection, queue.channel) = connect(server.addr()).await;
    assert_eq!(queue.read_all().await.len(), 100);
}
