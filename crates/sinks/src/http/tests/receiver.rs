//! A server that keeps what it gets, answers as it is told, and can take each idempotency key once.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::routing::post;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tidemill_testkit::certificates::{Certificates, Signed};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::Template;

/// The longest body that the server takes.
pub(super) const LONGEST: usize = 512 * 1024;

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) uri: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

#[derive(Default)]
struct Shared {
    requests: Vec<Request>,
    known: HashSet<String>,
    takes_once: bool,
    answer: Option<(StatusCode, HeaderMap)>,
}

type Share = Arc<Mutex<Shared>>;

/// Takes what comes to `/in/...` with the password `right`, unless told otherwise, or without one.
pub(super) struct Receiver {
    pub(super) addr: SocketAddr,
    shared: Share,
    tls: Option<Certificates>,
    serves: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serves.abort();
    }
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let (listener, router, shared) = Self::parts().await;
        let addr = listener.local_addr().unwrap();
        let serves = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, shared, tls: None, serves }
    }

    /// With a certificate for this machine; [`ca_file`](Self::ca_file) signed it.
    pub(super) async fn start_tls() -> Self {
        let (listener, router, shared) = Self::parts().await;
        let addr = listener.local_addr().unwrap();
        let certificates = Certificates::for_hosts(["127.0.0.1", "localhost"]).unwrap();
        let Signed { cert, key } = certificates.server();
        let (cert, key) = (CertificateDer::from_pem_file(cert).unwrap(), PrivateKeyDer::from_pem_file(key).unwrap());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth().with_single_cert(vec![cert], key).unwrap();
        let listener = Tls { listener, acceptor: tokio_rustls::TlsAcceptor::from(Arc::new(config)) };
        let serves = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, shared, tls: Some(certificates), serves }
    }

    async fn parts() -> (TcpListener, Router, Share) {
        let shared = Share::default();
        let router = Router::new()
            .route("/in/{*rest}", post(take))
            .layer(DefaultBodyLimit::max(LONGEST))
            .with_state(Arc::clone(&shared));
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), router, shared)
    }

    pub(super) fn url(&self, path: &str) -> Template {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Template::new(&format!("{scheme}://{}{path}", self.addr)).unwrap()
    }

    pub(super) fn ca_file(&self) -> Option<PathBuf> {
        self.tls.as_ref().map(Certificates::ca)
    }

    /// What was taken.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.shared.lock().unwrap().requests.clone()
    }

    /// Takes every idempotency key once from now on.
    pub(super) fn take_once(&self) {
        self.shared.lock().unwrap().takes_once = true;
    }

    /// Answers with this from now on. Only with a success are requests taken.
    pub(super) fn answer(&self, status: StatusCode, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
        self.shared.lock().unwrap().answer = Some((status, headers.collect()));
    }
}

async fn take(State(shared): State<Share>, uri: Uri, headers: HeaderMap, body: Bytes) -> (StatusCode, HeaderMap) {
    let mut shared = shared.lock().unwrap();
    let (status, answer) = shared.answer.clone().unwrap_or((StatusCode::OK, HeaderMap::new()));
    if headers.get("x-password").is_some_and(|password| password != "right") {
        return (StatusCode::UNAUTHORIZED, answer);
    }
    if body.windows(5).any(|window| window == b"\"bad\"") {
        return (StatusCode::UNPROCESSABLE_ENTITY, answer);
    }
    let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
    let is_new = key.is_none_or(|key| shared.known.insert(key)) || !shared.takes_once;
    if status.is_success() && is_new {
        shared.requests.push(Request { uri: uri.to_string(), headers, body: body.to_vec() });
    }
    (status, answer)
}

struct Tls {
    listener: TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = tokio_rustls::server::TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, addr) = self.listener.accept().await.unwrap();
            // A client that does not trust us goes away.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, addr);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
