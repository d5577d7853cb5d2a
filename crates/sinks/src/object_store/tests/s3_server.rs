//! An S3 server in this process, which checks signatures, keeps objects in a folder, and can go away and come back.

use std::net::SocketAddr;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use object_store::HeaderValue;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::path::S3Path;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub(super) const ACCESS_KEY: &str = "tidemill";
pub(super) const SECRET_KEY: &str = "s3cret-k3y";
pub(super) const BUCKET: &str = "lake";

/// A bucket that is there and not for this user.
pub(super) const FOREIGN: &str = "foreign";

/// A session token whose time is over, and one that never was any.
pub(super) const EXPIRED: &str = "expired";
pub(super) const INVALID: &str = "invalid";

/// What the server does not know by itself: it would make buckets as they are written to, and takes any session token.
struct Buckets;

#[async_trait::async_trait]
impl S3Access for Buckets {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        match cx.headers().get("x-amz-security-token").map(HeaderValue::as_bytes) {
            Some(token) if token == EXPIRED.as_bytes() => return Err(s3_error!(ExpiredToken)),
            Some(token) if token == INVALID.as_bytes() => return Err(s3_error!(InvalidToken)),
            _ => {}
        }
        match cx.s3_path() {
            S3Path::Bucket { bucket } | S3Path::Object { bucket, .. } if &**bucket == FOREIGN => {
                Err(s3_error!(AccessDenied))
            }
            S3Path::Bucket { bucket } | S3Path::Object { bucket, .. } if &**bucket != BUCKET => {
                Err(s3_error!(NoSuchBucket))
            }
            _ => Ok(()),
        }
    }
}

pub(super) struct S3Server {
    // Ends with the server.
    _root: TempDir,
    service: S3Service,
    addr: SocketAddr,
    running: Option<JoinHandle<()>>,
}

impl S3Server {
    pub(super) async fn start() -> Self {
        let root = TempDir::new().unwrap();
        std::fs::create_dir(root.path().join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(root.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        service.set_access(Buckets);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut server = Self { _root: root, service: service.build(), addr, running: None };
        server.serve(listener);
        server
    }

    fn serve(&mut self, listener: TcpListener) {
        let service = self.service.clone();
        self.running = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = service.clone();
                connections.spawn(async move {
                    let server = Builder::new(TokioExecutor::new());
                    // A client that breaks off is the client's business.
                    _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }));
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the port and all connections.
    pub(super) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            _ = running.await;
        }
    }

    /// Opens the same port again.
    pub(super) async fn resume(&mut self) {
        self.serve(TcpListener::bind(self.addr).await.unwrap());
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}
