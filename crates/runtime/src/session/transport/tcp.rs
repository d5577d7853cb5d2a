//! TCP.

use tokio::net::TcpStream;

use crate::session::error::{SessionError, SessionErrorKind};

pub(super) async fn connect(host: &str, port: u16, nodelay: bool) -> Result<TcpStream, SessionError> {
    let stream = TcpStream::connect((host, port)).await.map_err(|error| {
        let text = format!("cannot reach the broker at {host}:{port}; check `mqtt.url` and that it is running");
        SessionError::new(SessionErrorKind::Connect, text).with_source(error)
    })?;
    if let Err(error) = stream.set_nodelay(nodelay) {
        tracing::debug!(error = %error, "TCP_NODELAY could not be set");
    }
    Ok(stream)
}
