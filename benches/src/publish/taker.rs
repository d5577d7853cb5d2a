//! A server that takes publications and does nothing with them: it answers CONNECT, acknowledges every PUBLISH at QoS 1,
//! all of one read with one write, and answers pings. What a publisher reaches with it is bounded by the publisher.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::feed::Error;

/// How many unacknowledged publications a client may have: as many as there are packet identifiers.
const RECEIVE_MAXIMUM: [u8; 2] = u16::MAX.to_be_bytes();
/// Read buffer per connection, in bytes.
const BUFFER: usize = 256 * 1024;

/// A running server. Dropping it ends it as soon as its clients have gone.
#[derive(Debug)]
pub(super) struct Taker {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Taker {
    /// Starts it on a free port of the loopback interface.
    pub(super) fn start() -> Result<Self, Error> {
        let failed = |source| Error::because("listen on the loopback", source);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let accepting = thread::spawn(move || {
            thread::scope(|scope| {
                for socket in listener.incoming().take_while(|_| !stopped.load(Ordering::Acquire)).flatten() {
                    // A client that breaks off shows that in its own result.
                    scope.spawn(|| drop(serve(socket)));
                }
            });
        });
        Ok(Self { addr, stop, accepting: Some(accepting) })
    }

    /// Where it listens.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the one that accepts.
        drop(TcpStream::connect(self.addr));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn serve(mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER];
    let (mut filled, mut answers) = (0, Vec::new());
    loop {
        let count = socket.read(&mut buffer[filled..])?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let taken = answer(&buffer[..filled], &mut answers);
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
        socket.write_all(&answers)?;
        answers.clear();
    }
}

/// Answers all whole packets at the front, and says how many bytes they are.
fn answer(buffer: &[u8], answers: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while let Some((header, length)) = frame(&buffer[at..]) {
        let Some(packet) = buffer.get(at..at + header + length) else { break };
        let body = &packet[header..];
        match packet[0] >> 4 {
            1 => {
                let [high, low] = RECEIVE_MAXIMUM;
                answers.extend_from_slice(&[0x20, 6, 0, 0, 3, 0x21, high, low]);
            }
            3 if packet[0] & 0b110 != 0 => {
                let topic = body.first_chunk().map_or(0, |bytes| usize::from(u16::from_be_bytes(*bytes)));
                if let Some(id) = body.get(2 + topic..4 + topic) {
                    answers.extend_from_slice(&[0x40, 2, id[0], id[1]]);
                }
            }
            12 => answers.extend_from_slice(&[0xD0, 0]),
            _ => {}
        }
        at += packet.len();
    }
    at
}

/// Lengths of the fixed header and of what follows it; `None` while the header is not whole.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (at, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((2 + at, length));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_packets_are_answered_in_their_order_and_the_rest_is_left() {
        let mut answers = Vec::new();
        let bytes = [
            &[0x10, 2, 0, 0][..],                        // CONNECT
            &[0x32, 7, 0, 1, b't', 0x12, 0x34, 0, b'x'], // PUBLISH at QoS 1
            &[0x30, 4, 0, 1, b't', 0],                   // PUBLISH at QoS 0
            &[0xC0, 0],                                  // PINGREQ
            &[0x32, 7, 0, 1, b't'],                      // the beginning of another one
        ]
        .concat();
        let taken = answer(&bytes, &mut answers);
        assert_eq!(taken, bytes.len() - 5);
        assert_eq!(answers, [0x20, 6, 0, 0, 3, 0x21, 255, 255, 0x40, 2, 0x12, 0x34, 0xD0, 0]);
    }
}
