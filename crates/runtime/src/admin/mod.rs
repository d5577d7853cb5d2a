//! The admin server: `/metrics`, `/livez`, `/readyz`, `/status`. It only shows; nothing here changes the worker.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::config::AdminConfig;
use crate::error::{RunError, RunErrorKind};
use crate::worker::Shared;

/// Listens and serves until the returned handle is dropped.
pub(crate) async fn start(config: &AdminConfig, shared: Arc<Shared>) -> Result<AbortOnDropHandle<()>, RunError> {
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        let text = format!("listen on {} for the admin server; change `admin.listen`", config.listen);
        RunError::new(RunErrorKind::Admin, text).with_source(error)
    })?;
    let address = listener.local_addr().unwrap_or(config.listen);
    shared.set_admin_address(address);
    tracing::info!(%address, "admin server listens");
    let app = router(shared);
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(error = %error, "admin server ended");
        }
    })))
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .with_state(shared)
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    match prometheus::TextEncoder::new().encode_to_string(&shared.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn livez(State(shared): State<Arc<Shared>>) -> Response {
    let stuck = shared.stuck();
    if stuck.is_empty() {
        return "ok\n".into_response();
    }
    let text = format!("no progress in {}: a handler blocks its thread\n", stuck.join(", "));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    if shared.is_ready() {
        return "ready\n".into_response();
    }
    let why = if shared.is_draining() { "leaving the group\n" } else { "not connected and subscribed yet\n" };
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    Json(shared.status()).into_response()
}
