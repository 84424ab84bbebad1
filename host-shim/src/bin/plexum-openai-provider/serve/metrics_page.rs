//! The counters as a page for Prometheus, over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use plexum_openai_provider::Provider;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// The media type of the page.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How many connections at once. One that scrapes needs one.
const CONNECTIONS: usize = 8;

/// How long a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// The listener. It must be on this machine alone: the page asks for no login.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    ensure!(
        address.ip().is_loopback(),
        "the metrics are shown to everybody who can reach {address}: listen on 127.0.0.1 or ::1, and put a proxy in front for others"
    );
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("the metrics cannot be shown on {address}"))
}

/// Answers until it is dropped.
pub async fn answer(listener: TcpListener, provider: Provider) -> Infallible {
    let room = std::sync::Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = std::sync::Arc::clone(&room).acquire_owned().await else {
            return std::future::pending().await;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection for the metrics cannot be taken");
                // Such as no file that may be opened: it passes, but not at once.
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let provider = provider.clone();
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(|request| page(request, &provider));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection for the metrics has ended");
            }
        });
    }
}

async fn page(
    request: Request<Incoming>,
    provider: &Provider,
) -> Result<Response<Full<Bytes>>, std::fmt::Error> {
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, kind, text) = match request.uri().path() {
        "/metrics" if is_get => (
            StatusCode::OK,
            OPEN_METRICS,
            provider.metrics().prometheus()?,
        ),
        "/metrics" => (
            StatusCode::METHOD_NOT_ALLOWED,
            "text/plain",
            "The metrics can only be read.\n".to_owned(),
        ),
        _ => (
            StatusCode::NOT_FOUND,
            "text/plain",
            "The metrics are at /metrics.\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}
