//! The signals that ask a process to end. The library installs no signal handler unless this is called.

/// Waits for SIGINT or SIGTERM. Where the system refuses to say, it waits for ever.
pub async fn shutdown_signal() {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => {
            tracing::error!(error = %error, "SIGTERM cannot be awaited; stop this program with SIGINT");
            let _ = tokio::signal::ctrl_c().await;
            return;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => if let Err(error) = result {
            tracing::error!(error = %error, "SIGINT cannot be awaited");
            terminate.recv().await;
        },
    }
}
