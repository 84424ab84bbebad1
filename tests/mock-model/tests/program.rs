//! The program, which the try-out starts. What it answers to a real codex, the suite `mock_model` shows.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "clippy knows tests by their attribute, and not the functions that they share"
)]

use std::path::Path;
use std::process::{Command, Stdio};

use plexum_openai_provider_mock_model::RecordedRequest;
use serde_json::{Value, json};

#[test]
fn the_program_prepares_a_home_and_ends_with_its_stdin() {
    let folder = tempfile::tempdir().unwrap();
    let (home, record) = (folder.path().join("home"), folder.path().join("record"));
    let mut server = Command::new(env!("CARGO_BIN_EXE_mock-model"))
        .args(["--codex-home".as_ref(), home.as_os_str()])
        .args(["--record".as_ref(), record.as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = first_line(server.stdout.take().unwrap());
    let base_url = ready["base_url"].as_str().unwrap();
    let config = std::fs::read_to_string(home.join("config.toml")).unwrap();
    assert!(config.contains(base_url), "{config}");

    let body = json!({ "input": [{ "role": "user", "content": [{ "text": "hello" }] }] });
    let reply = post(base_url, &body);
    assert!(reply.contains("echo: hello"), "{reply}");
    assert!(reply.contains("response.completed"), "{reply}");

    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
    let record = read_record(&record);
    assert_eq!(record.len(), 1);
    assert_eq!(record[0].body, body);
}

fn first_line(stdout: impl std::io::Read) -> Value {
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn read_record(path: &Path) -> Vec<RecordedRequest> {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Sends one request by hand and returns everything that comes back.
fn post(base_url: &str, body: &Value) -> String {
    use std::io::{Read as _, Write as _};
    let address = base_url
        .strip_prefix("http://")
        .and_then(|rest| rest.strip_suffix("/v1"))
        .unwrap();
    let body = body.to_string();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /v1/responses HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}
