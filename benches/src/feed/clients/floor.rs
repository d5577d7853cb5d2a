//! The floor: a bare read loop over a 64 KiB buffer. Packets are decoded by hand and in place, and the acks of all
//! packets of one read go out in one write. Nothing that a framework does is here; it shows what the kernel and the
//! runtime alone cost.

use std::hint::black_box;

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::v5::{Connect, ConnectProperties, Filter, Packet, Subscribe};
use rumqttc::v5::mqttbytes::{Error as CodecError, qos};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{ClientArgs, KEEP_ALIVE, shared_filter};
use crate::feed::Error;
use crate::feed::rusage::{Measured, Meter};

/// Smallest read buffer, in bytes.
const BUFFER: usize = 64 * 1024;

pub(super) async fn run(args: &ClientArgs) -> Result<Measured, Error> {
    let io = |doing: &'static str| move |source| Error::because(doing, source);
    let mut socket = TcpStream::connect(args.addr).await.map_err(io("connect"))?;
    socket.set_nodelay(true).map_err(io("configure the socket"))?;
    let hello = hello(args).map_err(|source| Error::because("encode the greeting", source))?;
    socket.write_all(&hello).await.map_err(io("greet the feed"))?;

    let meter = Meter::default();
    let mut buffer = vec![0; BUFFER.max(2 * args.load.max_packet_bytes())];
    let mut filled = 0;
    let mut acks = Vec::with_capacity(BUFFER);
    let mut events = 0;
    while events < args.load.events {
        let count = socket.read(&mut buffer[filled..]).await.map_err(io("read from the feed"))?;
        if count == 0 {
            return Err(Error::new(format!("the feed ended after {events} events")));
        }
        filled += count;
        let decoded = decode(&buffer[..filled], &mut acks).ok_or_else(|| Error::new("decode: a malformed packet"))?;
        if decoded.events > 0 {
            meter.start();
        }
        events += decoded.events;
        buffer.copy_within(decoded.bytes..filled, 0);
        filled -= decoded.bytes;
        if !acks.is_empty() {
            socket.write_all(&acks).await.map_err(io("acknowledge"))?;
            acks.clear();
        }
    }
    meter.stop();
    socket.write_all(&[0xE0, 0]).await.map_err(io("disconnect"))?;
    socket.shutdown().await.map_err(io("disconnect"))?;
    meter.finish(events)
}

/// What was taken from the front of a buffer.
struct Decoded {
    events: u64,
    bytes: usize,
}

/// Takes all whole packets and collects the acks of the events among them; `None` when a packet is malformed.
fn decode(buffer: &[u8], acks: &mut Vec<u8>) -> Option<Decoded> {
    let mut decoded = Decoded { events: 0, bytes: 0 };
    while let Some((&kind, rest)) = buffer[decoded.bytes..].split_first() {
        let Some((length, rest)) = varint(rest) else { break };
        let Some(body) = rest.get(..length) else { break };
        if kind >> 4 == 3 {
            let topic_end = 2 + usize::from(u16::from_be_bytes(*body.first_chunk()?));
            let topic = body.get(2..topic_end)?;
            let mut tail = &body[topic_end..];
            if kind & 0b110 != 0 {
                let (&[high, low], rest) = tail.split_first_chunk()?;
                acks.extend_from_slice(&[0x40, 2, high, low]);
                tail = rest;
            }
            let (properties, rest) = varint(tail)?;
            black_box((topic, rest.get(properties..)?));
            decoded.events += 1;
        }
        decoded.bytes = buffer.len() - rest.len() + length;
    }
    Some(decoded)
}

/// A variable byte integer and what follows it; `None` when it is not whole.
fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (at, &byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7F) << (7 * at);
        if byte < 0x80 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

/// The greeting: CONNECT and SUBSCRIBE at once, as MQTT allows.
fn hello(args: &ClientArgs) -> Result<BytesMut, CodecError> {
    let mut bytes = BytesMut::new();
    let mut properties = ConnectProperties::new();
    properties.receive_maximum = Some(args.load.window);
    let connect = Connect {
        keep_alive: u16::try_from(KEEP_ALIVE.as_secs()).unwrap_or(u16::MAX),
        client_id: "floor".to_owned(),
        clean_start: true,
        properties: Some(properties),
    };
    Packet::Connect(connect, None, None).write(&mut bytes, None)?;
    let level = qos(args.load.qos.level()).ok_or(CodecError::InvalidQoS(args.load.qos.level()))?;
    let mut subscribe = Subscribe::new(Filter::new(shared_filter(), level), None);
    subscribe.pkid = 1;
    Packet::Subscribe(subscribe).write(&mut bytes, None)?;
    Ok(bytes)
}
