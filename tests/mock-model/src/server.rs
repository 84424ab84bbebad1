//! The HTTP side: records every request, then does what its reply says.

use std::collections::HashMap;
use std::fs::File;
use std::future;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{self, Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::answer::{Question, answer};
use super::event::sse;
use super::reply::{Frame, Refusal, Reply};
use super::request::RecordedRequest;

/// What the handlers share with the owner of the server.
pub(super) struct Shared {
    log: Mutex<Log>,
    /// How many requests have been recorded.
    count: watch::Sender<usize>,
}

/// Everything received, in order of arrival.
struct Log {
    requests: Vec<RecordedRequest>,
    by_prompt: HashMap<String, u64>,
    next_serial: u64,
    record: Option<File>,
}

impl Shared {
    pub(super) fn new(record: Option<File>) -> Self {
        // Ids that repeat within a thread confuse codex, and a thread may outlive a server: so
        // each server starts counting at another number.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let next_serial = since_1970.map_or(0, |since| since.as_secs() << 20);
        Self {
            log: Mutex::new(Log {
                requests: Vec::new(),
                by_prompt: HashMap::new(),
                next_serial,
                record,
            }),
            count: watch::Sender::new(0),
        }
    }

    pub(super) fn requests(&self) -> Vec<RecordedRequest> {
        self.log.lock().expect("no handler panics").requests.clone()
    }

    pub(super) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// Records a request and returns its serial number and how many came before it with the same
    /// prompt.
    fn record(&self, request: &RecordedRequest) -> io::Result<(u64, u64)> {
        let mut log = self.log.lock().expect("no handler panics");
        if let Some(file) = &mut log.record {
            let mut line = serde_json::to_string(request)?;
            line.push('\n');
            file.write_all(line.as_bytes())?;
        }
        let serial = log.next_serial;
        log.next_serial += 1;
        let prompt = request.prompt().unwrap_or_default();
        let seen = log.by_prompt.entry(prompt).or_default();
        let earlier = *seen;
        *seen += 1;
        log.requests.push(request.clone());
        self.count.send_replace(log.requests.len());
        Ok((serial, earlier))
    }
}

/// The whole service: one handler, because requests to other paths are recorded too.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => json_or_text(&bytes),
        Err(error) => return status_text(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let request = RecordedRequest {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        authorized: parts.headers.contains_key(header::AUTHORIZATION),
        body,
    };
    let (serial, earlier) = match shared.record(&request) {
        Ok(place) => place,
        Err(error) => {
            let text = format!("mock-model cannot record a request: {error}");
            eprintln!("{text}");
            return status_text(StatusCode::INSUFFICIENT_STORAGE, &text);
        }
    };
    if (parts.method.as_str(), parts.uri.path()) != ("POST", "/v1/responses") {
        let text = json!({ "error": { "message": "mock-model serves POST /v1/responses" } });
        return status_text(StatusCode::NOT_FOUND, &text.to_string());
    }
    let question = Question {
        request: &request,
        serial,
        earlier,
    };
    match answer(&question) {
        Reply::Stream(frames) => event_stream(frames),
        Reply::Refusal(refusal) => refuse(&refusal),
        // Ends when the server does, and its runtime drops every connection.
        Reply::NoHeaders => future::pending().await,
    }
}

fn json_or_text(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

fn event_stream(frames: Vec<Frame>) -> Response {
    let chunks = stream::unfold(frames.into_iter(), |mut frames| async {
        let chunk = match frames.next()? {
            Frame::Event(event) => Ok(Bytes::from(sse(&event))),
            Frame::Raw(text) => Ok(Bytes::from(text)),
            Frame::Pause(time) => {
                tokio::time::sleep(time).await;
                Ok(Bytes::new())
            }
            Frame::Cut => {
                // The connection writes out what it holds when the body makes it wait, and throws
                // it away when the body fails: so first the one, then the other.
                tokio::task::yield_now().await;
                Err(io::Error::from(io::ErrorKind::ConnectionAborted))
            }
            Frame::Silence => future::pending().await,
        };
        Some((chunk, frames))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    response
}

fn refuse(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).expect("scenarios check their status");
    let mut response = status_text(status, &refusal.body);
    if let Some(seconds) = refusal.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn status_text(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    let kind = if text.starts_with('{') {
        "application/json"
    } else {
        "text/plain"
    };
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
