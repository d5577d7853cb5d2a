//! `tidemill health`: asks the admin server of the worker beside it, for orchestrators that run a command to find out
//! whether a container is well.
//!
//! It reads the configuration that the worker reads, to find the port, and only ever connects to the host that the admin
//! server listens on; where that is every address, to the loopback one. One request by hand: an image that carries
//! nothing but two programs needs no HTTP client.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use clap::Args;
use tidemill::Config;

use crate::exit::{Failure, Outcome};
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  tidemill health            the worker makes progress
  tidemill health --ready    it is connected, subscribed and not leaving
  tidemill health --address 127.0.0.1:9464

Exit codes: 0 it is well, 1 it is not or does not answer, 64 wrong usage.";

/// More than the longest answer.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Arguments of `tidemill health`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HealthArgs {
    /// Asks /readyz instead of /livez
    #[arg(long)]
    ready: bool,
    /// The admin server [default: where the worker's configuration has it, on the loopback interface]
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    address: Option<SocketAddr>,
    /// How long all of it may take: connecting, asking, the whole answer
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = timeout)]
    timeout: Duration,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an IP address and a port, as in 127.0.0.1:9464".to_owned())
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if timeout.is_zero() { Err("write more than 0s".to_owned()) } else { Ok(timeout) }
}

/// Asks, and tells what is wrong.
pub(crate) fn run(args: &HealthArgs) -> Result<Outcome, Failure> {
    let address = match args.address {
        Some(address) => address,
        None => reachable(configured()?),
    };
    let path = if args.ready { "/readyz" } else { "/livez" };
    let (status, text) = ask(address, path, args.timeout).map_err(|error| {
        Failure::Run(format!("no answer from the admin server at {address}: {error}; is admin.enabled set?"))
    })?;
    if status == 200 {
        terminal::line(text.trim_end())?;
        return Ok(Outcome::Good);
    }
    terminal::tell(&format!("{path} says {status}: {}", text.trim_end()));
    Ok(Outcome::Bad)
}

/// Where the worker's configuration has the admin server.
fn configured() -> Result<SocketAddr, Failure> {
    let config =
        Config::load().map_err(|errors| Failure::Run(format!("the configuration cannot be read: {errors}")))?;
    match config.admin.listen {
        listen if listen.port() == 0 => {
            let why = "admin.listen takes any free port: give the one it got with --address";
            Err(Failure::Usage(why.to_owned()))
        }
        listen => Ok(listen),
    }
}

/// An address to connect to, for one to listen on.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Status and body of a GET. All of it together is bounded by `patience`, and the answer's size is.
fn ask(address: SocketAddr, path: &str, patience: Duration) -> io::Result<(u16, String)> {
    let deadline = Deadline::after(patience);
    let mut stream = TcpStream::connect_timeout(&address, deadline.left()?)?;
    stream.set_write_timeout(Some(deadline.left()?))?;
    // In one piece: a server may answer and close after the first.
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
    while answer.len() < MAX_ANSWER_BYTES {
        stream.set_read_timeout(Some(deadline.left()?))?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // That is how a read says that its time is over.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    match words.next().and_then(|code| code.parse().ok()) {
        Some(status) if is_http => Ok((status, body.to_owned())),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "that is no HTTP server")),
    }
}

/// The end of a wait of several steps.
#[derive(Clone, Copy, Debug)]
struct Deadline(Instant);

#[expect(clippy::disallowed_methods, reason = "there is no runtime here whose time could be paused")]
impl Deadline {
    fn after(patience: Duration) -> Self {
        Self(Instant::now() + patience)
    }

    /// What is left of it, more than nothing.
    fn left(self) -> io::Result<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn a_server_that_drips_does_not_get_more_time_for_every_byte() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".iter().chain(std::iter::repeat(&b'.'));
            // Until nobody listens any more.
            while stream.write_all(&[*answer.next().unwrap()]).is_ok() {
                thread::park_timeout(Duration::from_millis(50));
            }
        });
        let began = Deadline::after(Duration::from_secs(60));
        let error = ask(address, "/livez", Duration::from_millis(400)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.left().unwrap() > Duration::from_secs(40));
    }

    #[test]
    fn an_address_that_means_every_interface_is_asked_on_the_loopback_one() {
        let cases = [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("127.0.0.1:9464", "127.0.0.1:9464"),
        ];
        for (listen, asked) in cases {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
