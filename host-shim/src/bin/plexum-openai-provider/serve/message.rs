//! The messages of JSON-RPC 2.0, as they come.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::RpcError;

/// The longest id that is read: it is kept until the answer is sent.
const MAX_ID_BYTES: usize = 1024;

/// The id of a request: a string, a number or null, kept as it was written, so that it goes back
/// exactly so.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Id(Box<RawValue>);

impl Id {
    /// The id of an answer to a message whose id could not be read.
    pub fn null() -> Self {
        Id(RawValue::NULL.to_owned())
    }

    fn from_raw(raw: &RawValue) -> Result<Self, RpcError> {
        let text = raw.get();
        if !text
            .starts_with(|first: char| matches!(first, '"' | '-' | 'n') || first.is_ascii_digit())
        {
            return Err(RpcError::invalid_request(
                "`id` must be a string, a number or null",
            ));
        }
        if text.len() > MAX_ID_BYTES {
            let problem = format!("`id` has more than {MAX_ID_BYTES} bytes");
            return Err(RpcError::invalid_request(&problem));
        }
        Ok(Id(raw.to_owned()))
    }
}

/// What the client asks for.
#[derive(Debug)]
pub struct Call<'a> {
    /// Where the answer goes; without it, this is a notification and there is none.
    pub id: Option<Id>,
    pub method: String,
    pub params: Option<&'a RawValue>,
}

/// What a line holds.
#[derive(Debug)]
pub enum Incoming<'a> {
    Call(Call<'a>),
    /// An answer, although this server asks nothing. Answering it could go on forever.
    Answer,
}

/// A message that cannot be carried out.
#[derive(Debug)]
pub struct Malformed {
    /// Its id, where that could be read.
    pub id: Id,
    pub error: RpcError,
}

impl<'a> Incoming<'a> {
    /// Reads one line.
    pub fn parse(line: &'a str) -> Result<Self, Malformed> {
        let without_id = |error| Malformed {
            id: Id::null(),
            error,
        };
        let envelope = Envelope::parse(line).map_err(without_id)?;
        if envelope.method.is_none() && (envelope.result.is_some() || envelope.error.is_some()) {
            return Ok(Incoming::Answer);
        }
        let id = envelope.id.map(Id::from_raw).transpose();
        let id = id.map_err(without_id)?;
        match envelope.method_and_params() {
            Ok((method, params)) => Ok(Incoming::Call(Call { id, method, params })),
            Err(error) => Err(Malformed {
                id: id.unwrap_or_else(Id::null),
                error,
            }),
        }
    }
}

/// The members of a message, unread. Others are passed over.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// A member that is there, also when it is null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Envelope<'a> {
    fn parse(line: &'a str) -> Result<Self, RpcError> {
        let not_json = |error: &serde_json::Error| RpcError::parse_error(&error.to_string());
        if line.trim_start().starts_with('[') {
            serde_json::from_str::<IgnoredAny>(line).map_err(|error| not_json(&error))?;
            return Err(RpcError::invalid_request(
                "batches are not supported; send each message on its own line",
            ));
        }
        serde_json::from_str(line).map_err(|error| match error.classify() {
            Category::Data => match serde_json::from_str::<IgnoredAny>(line) {
                Ok(_) => RpcError::invalid_request(&said(&error)),
                // If the members are not JSON, what else is wrong with them does not matter.
                Err(error) => not_json(&error),
            },
            Category::Io | Category::Syntax | Category::Eof => not_json(&error),
        })
    }

    fn method_and_params(&self) -> Result<(String, Option<&'a RawValue>), RpcError> {
        let invalid = RpcError::invalid_request;
        if self
            .jsonrpc
            .is_none_or(|version| version.get() != r#""2.0""#)
        {
            return Err(invalid("`jsonrpc` must be \"2.0\""));
        }
        let method = self.method.ok_or_else(|| invalid("`method` is missing"))?;
        let method = serde_json::from_str(method.get());
        let method = method.map_err(|_| invalid("`method` must be a string"))?;
        let params = match self.params.map(RawValue::get) {
            // Some clients write null where they mean nothing.
            None | Some("null") => None,
            Some(params) if params.starts_with(['{', '[']) => self.params,
            Some(_) => return Err(invalid("`params` must be an object")),
        };
        Ok((method, params))
    }
}

/// The error of a JSON reader, without the position: a message is one line.
pub fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::outgoing::Outgoing;
    use super::super::success::Success;
    use super::*;

    fn call(line: &str) -> Call<'_> {
        match Incoming::parse(line) {
            Ok(Incoming::Call(call)) => call,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// The id and the code of the error that a line is answered with.
    fn malformed(line: &str) -> (String, i32) {
        let malformed = Incoming::parse(line).unwrap_err();
        (malformed.id.0.get().to_owned(), malformed.error.code)
    }

    #[test]
    fn an_id_comes_back_exactly_as_it_was_written() {
        for id in [
            "1",
            "-7",
            "1.0",
            "1e3",
            "12345678901234567890123",
            "0",
            "null",
            r#""""#,
            r#""a\u0062\/""#,
        ] {
            let line = format!(r#"{{"jsonrpc":"2.0","id": {id} ,"method":"ping"}}"#);
            let id_of_call = call(&line).id.unwrap();
            let answer = Outgoing::answer(id_of_call, Ok(Success::Done {}));
            assert_eq!(
                serde_json::to_string(&answer).unwrap(),
                format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)
            );
        }
    }

    #[test]
    fn only_a_call_without_an_id_is_a_notification() {
        assert!(call(r#"{"jsonrpc":"2.0","method":"x"}"#).id.is_none());
        assert!(
            call(r#"{"jsonrpc":"2.0","method":"x","id":null}"#)
                .id
                .is_some()
        );
    }

    #[test]
    fn escapes_other_members_and_null_params_do_no_harm() {
        let line = r#" { "trace": [1], "method": "pi\u006eg", "params": null, "jsonrpc": "2.0" } "#;
        let call = call(line);
        assert_eq!(call.method, "ping");
        assert!(call.params.is_none());
    }

    #[test]
    fn what_is_not_json_is_a_parse_error() {
        for line in [
            "hello",
            "{",
            "{\"jsonrpc\":\"2.0\"",
            "[1,",
            "{'a':1}",
            "{\"method\":7,",
            "{} {}",
            "\u{feff}{}",
            "{\"id\":1,\"id\":2,",
            "[1] x",
            "\"\\ud800",
        ] {
            assert_eq!(malformed(line), ("null".into(), -32700), "{line}");
        }
    }

    #[test]
    fn what_is_not_a_request_is_an_invalid_request_with_its_id_if_it_has_one() {
        for (line, id) in [
            ("7", "null"),
            ("\"x\"", "null"),
            ("null", "null"),
            ("[]", "null"),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, "null"),
            ("{}", "null"),
            (r#"{"id":1,"id":2}"#, "null"),
            (r#"{"jsonrpc":"2.0","id":1}"#, "1"),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "1"),
            (r#"{"jsonrpc":"1.0","id":"a","method":"ping"}"#, "\"a\""),
            (r#"{"id":"a","method":"ping"}"#, "\"a\""),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":7}"#,
                "1",
            ),
            (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, "null"),
            (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, "null"),
        ] {
            assert_eq!(malformed(line), (id.into(), -32600), "{line}");
        }
        let line = format!(
            r#"{{"jsonrpc":"2.0","id":"{}","method":"x"}}"#,
            "a".repeat(2000)
        );
        assert_eq!(malformed(&line), ("null".into(), -32600));
    }

    #[test]
    fn an_answer_is_distinguished_from_a_request() {
        for line in [
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#,
        ] {
            assert!(
                matches!(Incoming::parse(line), Ok(Incoming::Answer)),
                "{line}"
            );
        }
    }

    #[test]
    fn a_long_text_of_the_client_comes_back_short() {
        let line = format!(
            r#"{{"jsonrpc":"2.0","{}":1,"id":1,"id":2}}"#,
            "ö".repeat(100_000)
        );
        let error = Incoming::parse(&line).unwrap_err().error;
        assert!(error.message.len() < 5000);
        let error = RpcError::method_not_found(&"ö".repeat(100_000), &["ping"]);
        assert!(error.message.len() < 5000);
    }
}
