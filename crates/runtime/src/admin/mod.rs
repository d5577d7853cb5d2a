//! The admin server: `/metrics`, `/livez`, `/readyz`, `/status` show; `PUT /instances` changes how many instances there
//! are, to a number (`{"instances": 4}`) or back to what the configuration says (`{"instances": "auto"}`), and asks for
//! the token of `admin.token_file`. Without one nothing can be changed.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{AdminConfig, Secret};
use crate::error::{RunError, RunErrorKind};
use crate::worker::Shared;

/// Listens and serves until the returned handle is dropped.
pub(crate) async fn start(config: &AdminConfig, shared: Arc<Shared>) -> Result<AbortOnDropHandle<()>, RunError> {
    let token = config.read_token().map_err(|problem| {
        RunError::new(RunErrorKind::Admin, "read the token of the admin server").with_source(problem)
    })?;
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        let text = format!("listen on {} for the admin server; change `admin.listen`", config.listen);
        RunError::new(RunErrorKind::Admin, text).with_source(error)
    })?;
    let address = listener.local_addr().unwrap_or(config.listen);
    shared.set_admin_address(address);
    tracing::info!(%address, "admin server listens");
    let app = router(Admin { shared, token: token.map(Arc::new) });
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(error = %error, "admin server ended");
        }
    })))
}

/// What the handlers of requests share.
#[derive(Clone)]
struct Admin {
    shared: Arc<Shared>,
    token: Option<Arc<Secret>>,
}

/// A request to change something is small.
const MAX_BODY_BYTES: usize = 4096;

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/instances", put(instances))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(admin)
}

async fn metrics(State(Admin { shared, .. }): State<Admin>) -> Response {
    match prometheus::TextEncoder::new().encode_to_string(&shared.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn livez(State(Admin { shared, .. }): State<Admin>) -> Response {
    let stuck = shared.stuck();
    if stuck.is_empty() {
        return "ok\n".into_response();
    }
    let text = format!("no progress in {}: a handler blocks its thread\n", stuck.join(", "));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn readyz(State(Admin { shared, .. }): State<Admin>) -> Response {
    let why = match shared.unready_sinks() {
        _ if shared.is_draining() => "leaving the group\n".to_owned(),
        _ if !shared.is_ready() => "not connected and subscribed yet\n".to_owned(),
        sinks if sinks.is_empty() => return "ready\n".into_response(),
        sinks => format!("{}\n", sinks.join("\n")),
    };
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

async fn status(State(Admin { shared, .. }): State<Admin>) -> Response {
    Json(shared.status()).into_response()
}

/// The body of `PUT /instances`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Instances {
    instances: Wanted,
}

/// `4`, or `"auto"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Wanted {
    Number(u32),
    Word(Auto),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Auto {
    Auto,
}

async fn instances(
    State(admin): State<Admin>,
    headers: HeaderMap,
    body: Result<Json<Instances>, JsonRejection>,
) -> Response {
    let Some(token) = &admin.token else {
        let text = "set `admin.token_file` to allow changes\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if !given.is_some_and(|given| token.matches(given)) {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, challenge, "send the token as `Authorization: Bearer`\n").into_response();
    }
    let wanted = match body {
        Ok(Json(Instances { instances: Wanted::Number(number) })) => Some(number),
        Ok(Json(Instances { instances: Wanted::Word(Auto::Auto) })) => None,
        Err(error) => {
            let text = format!(
                "write {{\"instances\": 4}} to hold a number, or {{\"instances\": \"auto\"}} to give it back to the \
                 configuration: {}\n",
                error.body_text()
            );
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
    };
    match admin.shared.ask(wanted) {
        Ok(()) => (StatusCode::ACCEPTED, Json(admin.shared.status())).into_response(),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n")).into_response(),
    }
}
