//! How many events a broker takes through one sharing group: one publisher, some members, an acknowledgement for each
//! event, on loopback TCP.
//!
//! ```text
//! cargo run --release -p tidemill-testkit --example throughput              # the embedded broker, in a process of its own
//! cargo run --release -p tidemill-testkit --example throughput mosquitto    # Mosquitto
//! cargo run --release -p tidemill-testkit --example throughput embedded 4 1000000 1
//! ```
//! The arguments are the broker, the members, the events and the QoS. Load and broker are processes of one thread
//! each; the CPU time is that of the broker's process.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::mosquitto::{Mosquitto, MosquittoConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const WINDOW: usize = 1000;
const TOPIC: &[u8] = b"plant/line-0007/machine/temperature";
const PAYLOAD: usize = 128;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| args.get(at).map_or(Ok(default), |text| text.parse());
    let (members, events, qos) = (number(1, 4)?, number(2, 400_000)?, u8::try_from(number(3, 1)?)?);
    match args.first().map_or("embedded", String::as_str) {
        "serve" => serve().await,
        "embedded" => {
            let (mut child, addr) = spawn_embedded()?;
            let result = measure("embedded", addr, child.id(), members, events, qos).await;
            child.kill()?;
            child.wait()?;
            result
        }
        "mosquitto" => {
            let config = MosquittoConfig { max_inflight: Some(0), ..MosquittoConfig::default() };
            let broker = Mosquitto::start(config).await?;
            measure("mosquitto", broker.addr(), broker.pid(), members, events, qos).await
        }
        other => Err(format!("no broker {other:?}; say embedded or mosquitto").into()),
    }
}

/// Runs a broker until it is killed.
async fn serve() -> Result<()> {
    let broker = Broker::start(BrokerConfig::default()).await?;
    println!("{}", broker.addr().ok_or("it does not listen")?);
    std::future::pending().await
}

fn spawn_embedded() -> Result<(Child, SocketAddr)> {
    let mut child = Command::new(std::env::current_exe()?).arg("serve").stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    Ok((child, line.trim().parse()?))
}

async fn measure(name: &str, addr: SocketAddr, pid: u32, members: usize, events: usize, qos: u8) -> Result<()> {
    let mut tasks = Vec::new();
    let done = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    for at in 0..members {
        let member = connect(addr, &format!("member-{at}")).await?;
        tasks.push(tokio::spawn(consume(member, qos, std::sync::Arc::clone(&done))));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut publisher = connect(addr, "publisher").await?;
    let (before, start) = (cpu(pid)?, Instant::now());
    publish(&mut publisher, events, qos).await?;
    let all = tokio::time::timeout(Duration::from_secs(60), done.acquire_many(u32::try_from(events)?)).await;
    let (elapsed, cpu) = (start.elapsed(), cpu(pid)? - before);
    let arrived = if all.is_ok() { events } else { done.available_permits() };
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    let per_event = |time: Duration| time.as_secs_f64() * 1e6 / events as f64;
    println!(
        "{name}: {members} members, QoS {qos}: {arrived} of {events} events, {:.0} events/s, broker CPU {:.2} us/event",
        arrived as f64 / elapsed.as_secs_f64(),
        per_event(cpu),
    );
    Ok(())
}

/// User and system time of a process, in ticks of 10 ms.
fn cpu(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 10))
}

async fn connect(addr: SocketAddr, id: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let mut packet = vec![0x10, 0, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0, 3, 0x21];
    packet.extend(u16::try_from(WINDOW)?.to_be_bytes());
    packet.extend([0, u8::try_from(id.len())?]);
    packet.extend(id.as_bytes());
    packet[1] = u8::try_from(packet.len() - 2)?;
    stream.write_all(&packet).await?;
    let mut head = [0; 2];
    stream.read_exact(&mut head).await?;
    let mut rest = vec![0; usize::from(head[1])];
    stream.read_exact(&mut rest).await?;
    Ok(stream)
}

async fn consume(mut stream: TcpStream, qos: u8, done: std::sync::Arc<tokio::sync::Semaphore>) -> Result<()> {
    let filter = b"$share/g/plant/#";
    let mut packet = vec![0x82, 0, 0, 1, 0, 0, u8::try_from(filter.len())?];
    packet.extend(filter);
    packet.push(qos);
    packet[1] = u8::try_from(packet.len() - 2)?;
    stream.write_all(&packet).await?;
    let (mut read, mut acks) = (BytesMut::with_capacity(64 * 1024), BytesMut::new());
    while stream.read_buf(&mut read).await? > 0 {
        let mut events = 0;
        while let Some(len) = frame(&read) {
            if read[0] & 0xF0 == 0x30 {
                let head = if read[1] & 0x80 == 0 { 2 } else { 3 };
                let id = head + 2 + usize::from(u16::from_be_bytes([read[head], read[head + 1]]));
                if qos > 0 {
                    acks.extend_from_slice(&[0x40, 2, read[id], read[id + 1]]);
                }
                events += 1;
            }
            read.advance(len);
        }
        stream.write_all(&acks).await?;
        acks.clear();
        read.reserve(32 * 1024);
        done.add_permits(events);
    }
    Ok(())
}

fn frame(bytes: &[u8]) -> Option<usize> {
    let (head, rest) = match bytes {
        [_, low, ..] if low & 0x80 == 0 => (2, usize::from(*low)),
        [_, low, high, ..] => (3, usize::from(low & 0x7F) | usize::from(*high) << 7),
        _ => return None,
    };
    (bytes.len() >= head + rest).then_some(head + rest)
}

async fn publish(stream: &mut TcpStream, events: usize, qos: u8) -> Result<()> {
    let body = 2 + TOPIC.len() + if qos > 0 { 2 } else { 0 } + 1 + PAYLOAD;
    let mut pkid = 0_u16;
    let (mut sent, mut acked) = (0, 0);
    let (mut out, mut read) = (BytesMut::new(), BytesMut::with_capacity(64 * 1024));
    while acked < events {
        let batch = if qos > 0 { (WINDOW - (sent - acked)).min(events - sent) } else { (events - sent).min(WINDOW) };
        for _ in 0..batch {
            out.extend_from_slice(&[0x30 | qos << 1, u8::try_from(body & 0x7F)? | 0x80, u8::try_from(body >> 7)?]);
            out.extend_from_slice(&[0, u8::try_from(TOPIC.len())?]);
            out.extend_from_slice(TOPIC);
            if qos > 0 {
                pkid = pkid % 60_000 + 1;
                out.extend_from_slice(&pkid.to_be_bytes());
            }
            out.extend_from_slice(&[0; 1 + PAYLOAD]);
        }
        stream.write_all(&out).await?;
        out.clear();
        sent += batch;
        if qos == 0 {
            acked = sent;
            continue;
        }
        stream.read_buf(&mut read).await?;
        while read.len() >= 4 {
            read.advance(4);
            acked += 1;
        }
    }
    Ok(())
}
