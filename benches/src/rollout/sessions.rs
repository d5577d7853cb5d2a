//! What a broker still keeps for replicas that are gone, found by connecting in their place.

use serde::Serialize;
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tokio::net::TcpStream;

use super::Error;
use super::broker::Server;

/// What was kept for a number of client IDs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Kept {
    /// Sessions.
    pub(super) sessions: u32,
    /// Events in them, which nobody would ever have asked for.
    pub(super) events: usize,
}

/// Takes up the session of each of these client IDs, and ends it.
///
/// # Errors
/// The broker cannot be reached, or breaks the protocol.
pub(super) async fn kept(server: &Server, ids: Vec<String>) -> Result<Kept, Error> {
    let address = server.url().trim_start_matches("mqtt://").to_owned();
    // This client panics where the broker does what it must not, which the task turns into an error.
    let asked = tokio::spawn(async move {
        let mut kept = Kept::default();
        for id in ids {
            let mut client = RawClient::new(TcpStream::connect(&address).await?);
            let ack = client.connect(ConnectOptions::new(id).resume(0)).await;
            kept.sessions += u32::from(ack.session_present);
            kept.events += client.ping().await.len();
            client.disconnect().await;
        }
        std::io::Result::Ok(kept)
    });
    let asked = asked.await.map_err(|error| Error::because("ask for the sessions that are left", error))?;
    asked.map_err(|error| Error::because("ask for the sessions that are left", error))
}
