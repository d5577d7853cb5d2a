//! The network between TCP sockets: a listener whose every connection goes to one server, as a link that can fail.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::network::Faults;
use super::pump::Io;

/// A proxy in front of a server on this machine. Dropping it ends its listener and all its connections.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    faults: Faults,
    _accepts: AbortOnDropHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy to that server on a free port of the loopback interface.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let faults = Faults::new();
        let accepts = AbortOnDropHandle::new(tokio::spawn(accept(listener, server, faults.clone())));
        Ok(Self { addr, faults, _accepts: accepts })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The same as a URL: `mqtt://127.0.0.1:41883`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.addr)
    }

    /// The network between the sockets.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.faults.cut_all();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, faults: Faults) {
    loop {
        let Ok((near, _)) = listener.accept().await else {
            // Out of file descriptors, most likely; it passes when connections close.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        if faults.refuses() {
            near.end_with_reset();
            continue;
        }
        // Refused by the server: so is the client.
        let Ok(far) = TcpStream::connect(server).await else {
            near.end_with_reset();
            continue;
        };
        _ = near.set_nodelay(true);
        _ = far.set_nodelay(true);
        _ = faults.bridge(near, far, None);
    }
}
