//! The metrics as a page for Prometheus.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use plexum_openai_provider_tests::fake_codex::Step;
use plexum_openai_provider_tests::workspace::{Workspace, program};
use serde_json::json;

use super::client::{Server, scripted};

fn serve(workspace: &Workspace, address: &str) -> Command {
    let mut command = Command::new(program());
    command
        .args(["serve", "--metrics-listen", address, "--config"])
        .arg(workspace.config())
        .env("XDG_STATE_HOME", workspace.state_home());
    command
}

/// The status line and the rest of what is answered.
fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (status, rest) = answer.split_once("\r\n").unwrap();
    (status.to_owned(), rest.to_owned())
}

#[test]
fn the_metrics_are_a_page_of_this_machine() {
    let workspace = scripted(Step::turn("hi"));
    let mut server = Server::spawn(&mut serve(&workspace, "127.0.0.1:0"));
    let mut said = String::new();
    let stderr = server.child.stderr.take().unwrap();
    BufReader::new(stderr).read_line(&mut said).unwrap();
    let address = said
        .trim()
        .strip_prefix("The metrics are at http://")
        .and_then(|rest| rest.strip_suffix("/metrics."))
        .unwrap_or_else(|| panic!("{said}"));
    server.call("initialize", json!({ "protocolVersion": 1 }));
    let turn = server.turn(&workspace, "hello");
    server.until(&turn, None);
    let (status, page) = get(address, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8",
        "plexum_openai_provider_turns_completed_total 1",
        "plexum_openai_provider_codex_starts_total 1",
        "# EOF",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}: {page}");
    }
    let (status, _) = get(address, "/");
    assert_eq!(status, "HTTP/1.1 404 Not Found");
}

#[test]
fn nobody_else_can_reach_the_metrics() {
    let workspace = scripted(Step::turn("hi"));
    let output = serve(&workspace, "0.0.0.0:0").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("listen on 127.0.0.1"), "{said}");
}
