//! Brokers and peers for tests of Tidemill workers and handlers, for demos, and for benchmarks on one machine.
//!
//! - [`broker`]: an MQTT broker inside the process, over TCP and over in-memory pipes under paused time, whose
//!   behaviour can be bent to that of other brokers.
//! - `certificates` (feature): an authority and what it signed, for tests of TLS.
//! - [`clickhouse`]: how a real ClickHouse is run as a child process.
//! - [`fault`]: networks that fail on demand, in memory and between sockets.
//! - [`influx`]: the same for an InfluxDB 1.
//! - [`mosquitto`]: a real Mosquitto as a child process.
//! - [`nats`]: a real NATS server as a child process.
//! - `platform` (feature): IBM Watson IoT Platform's messaging, emulated on [`broker`].
//! - [`postgres`]: a real PostgreSQL as a child process.
//! - [`rabbitmq`]: a real RabbitMQ as a child process.
//! - [`redis`]: a real Redis as a child process.
//! - [`server`]: any other server as a child process.
//! - [`sink_conformance`]: what every sink must hold against its real server.
//! - [`client::RawClient`]: a client that sends and expects single packets.
//! - [`script::ScriptedBroker`]: the broker's end of a connection, played packet by packet.
//! - [`wait::until`]: waiting for something to be so.
//! - [`wire`]: the packets of both versions, read and written safely.

pub mod broker;
#[cfg(feature = "certificates")]
pub mod certificates;
pub mod clickhouse;
pub mod client;
mod convert;
pub mod fault;
pub mod influx;
pub mod mosquitto;
pub mod nats;
mod peer;
#[cfg(feature = "platform")]
pub mod platform;
pub mod postgres;
pub mod rabbitmq;
pub mod redis;
pub mod script;
pub mod server;
pub mod sink_conformance;
pub mod wait;
pub mod wire;
