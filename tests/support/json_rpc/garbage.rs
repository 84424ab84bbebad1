//! Lines over which no service may stumble.

use serde_json::{Value, json};

use super::Peer;

/// A line, the id of its answer, and the code of the error in that.
pub type Garbage = (Vec<u8>, Value, i64);

/// A line of garbage.
pub fn garbage(line: impl AsRef<[u8]>, id: Value, code: i64) -> Garbage {
    (line.as_ref().to_vec(), id, code)
}

const MIB: usize = 1024 * 1024;

/// Has a service answer lines that are no requests, and these besides. After each of them it still answers `method`, which
/// needs no params.
///
/// # Panics
/// If that is not so.
pub fn survives(peer: &mut Peer, method: &str, besides: Vec<Garbage>) {
    for (line, id, code) in anywhere(method).into_iter().chain(besides) {
        let shown = String::from_utf8_lossy(line.get(..80).unwrap_or(&line)).into_owned();
        peer.write(&[&line, b"\n \r\n\n".as_slice()].concat());
        let answer = peer.receive();
        assert_eq!(answer["jsonrpc"], "2.0", "{shown}");
        assert_eq!(answer["id"], id, "{shown}: {answer}");
        assert_eq!(answer["error"]["code"], code, "{shown}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(
            !message.is_empty() && message.len() < 2000,
            "{shown}: {message}"
        );
        peer.still_answers(method);
    }
    // Answering these could go on forever, or is forbidden.
    for line in [
        r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","method":"nonsense"}"#,
    ] {
        peer.line(line);
        peer.still_answers(method);
    }
}

/// What is garbage for every service.
fn anywhere(method: &str) -> Vec<Garbage> {
    let null = || Value::Null;
    let with_method = |line: &str| line.replace("METHOD", method);
    let long_name = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"{}"}}"#,
        "x".repeat(MIB)
    );
    let mut broken = with_method(r#"{"jsonrpc":"2.0","id":7,"method":"METHOD"#).into_bytes();
    broken.extend(b"\xc3ng\"}");
    vec![
        garbage("hello", null(), -32700),
        garbage("\0", null(), -32700),
        garbage(b"\xff\xfe\xfd", null(), -32700),
        // Whom to answer is clear.
        garbage(broken, json!(7), -32700),
        garbage("{", null(), -32700),
        garbage(r#"{"jsonrpc":"2.0","id":7,"method":"#, null(), -32700),
        garbage("Content-Length: 52\r", null(), -32700),
        garbage("[".repeat(200_000), null(), -32700),
        garbage("7", null(), -32600),
        garbage("null", null(), -32600),
        garbage(with_method(r#""METHOD""#), null(), -32600),
        garbage("[]", null(), -32600),
        garbage(
            with_method(r#"[{"jsonrpc":"2.0","id":7,"method":"METHOD"}]"#),
            null(),
            -32600,
        ),
        garbage(with_method(r#"["2.0",7,"METHOD"]"#), null(), -32600),
        garbage("{}", null(), -32600),
        garbage(
            with_method(r#"{"id":7,"method":"METHOD"}"#),
            json!(7),
            -32600,
        ),
        garbage(
            r#"{"jsonrpc":"2.0","id":7,"method":null}"#,
            json!(7),
            -32600,
        ),
        garbage(
            with_method(r#"{"jsonrpc":"2.0","id":[7],"method":"METHOD"}"#),
            null(),
            -32600,
        ),
        garbage(
            with_method(r#"{"jsonrpc":"2.0","id":7,"method":"METHOD","params":"x"}"#),
            json!(7),
            -32600,
        ),
        garbage(
            r#"{"jsonrpc":"2.0","id":7,"method":"Ping"}"#,
            json!(7),
            -32601,
        ),
        garbage(r#"{"jsonrpc":"2.0","id":7,"method":""}"#, json!(7), -32601),
        garbage(long_name, json!(7), -32601),
        garbage(
            with_method(r#"{"jsonrpc":"2.0","id":7,"method":"METHOD","params":[1]}"#),
            json!(7),
            -32602,
        ),
    ]
}

/// Sends a request that is too long, and one that is not quite.
///
/// # Panics
/// If they are not answered as they should be.
pub fn survives_long_lines(peer: &mut Peer, method: &str) {
    let start = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{{"x":""#);
    let send = |peer: &mut Peer, mib: usize| {
        peer.write(start.as_bytes());
        for _ in 0..mib {
            peer.write(&vec![b'x'; MIB]);
        }
        peer.write(b"\"}}\n");
        peer.receive()
    };
    let answer = send(peer, 80);
    // Whoever sent it waits for this.
    assert_eq!(answer["id"], 7);
    assert_eq!(answer["error"]["code"], -32004);
    assert_eq!(answer["error"]["data"]["bytes"], 80 * MIB + start.len() + 3);
    assert_eq!(answer["error"]["data"]["maxBytes"], 64 * MIB);
    peer.still_answers(method);
    let answer = send(peer, 63);
    assert_eq!(answer["id"], 7);
    assert!(answer.get("result").is_some(), "{answer}");
}
