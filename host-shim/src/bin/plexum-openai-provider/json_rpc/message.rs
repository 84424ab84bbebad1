//! The messages of JSON-RPC 2.0, as they come.

use std::borrow::Cow;
use std::fmt::{self, Formatter};

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::error::RpcError;
use super::line::Line;
use crate::surrogates;

/// The longest id that is read: it is kept until the answer is sent.
const MAX_ID_BYTES: usize = 1024;

/// What some clients write before a message.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The id of a request: a string, a number or null, kept as it was written, so that it goes back
/// exactly so.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Id(Box<RawValue>);

/// Whether both are the same number, as it was written, or the same text.
impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (self.0.get(), other.0.get());
        let text = serde_json::from_str::<String>;
        one == other || matches!((text(one), text(other)), (Ok(one), Ok(other)) if one == other)
    }
}

impl Id {
    /// The id of an answer to a message whose id could not be read.
    pub fn null() -> Self {
        Id(RawValue::NULL.to_owned())
    }

    /// The id of the call that begins like this, if the id is complete and a method shows that it is a call. Without that,
    /// whoever sent it would wait for its answer forever.
    fn near_the_start(start: &str) -> Option<Self> {
        let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start);
        let mut found = Beginning::default();
        let mut json = serde_json::Deserializer::from_str(start);
        // It ends in the middle, which is an error.
        let _ = json.deserialize_map(&mut found);
        // A number that ends with the start may have more digits.
        let end = start.as_bytes().as_ptr_range().end;
        let is_whole = |id: &&RawValue| id.get().as_bytes().as_ptr_range().end < end;
        let id = found.id.filter(is_whole).filter(|_| found.is_call)?;
        Id::from_raw(id).ok()
    }

    /// The id that a message names, its own or another one's.
    ///
    /// # Errors
    /// If it is not an id.
    pub fn from_raw(raw: &RawValue) -> Result<Self, RpcError> {
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

/// What the start of a message shows of it.
#[derive(Default)]
struct Beginning<'de> {
    id: Option<&'de RawValue>,
    /// Whether it has a method. An answer has none.
    is_call: bool,
}

/// Reads the members of a message until it is clear whom to answer.
impl<'de> Visitor<'de> for &mut Beginning<'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while self.id.is_none() || !self.is_call {
            let Some(name) = members.next_key::<Cow<'de, str>>()? else {
                break;
            };
            self.is_call |= name == "method";
            if name == "id" {
                self.id = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
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

/// The text of a line, without what some clients put into it and no reader of JSON takes: a byte order mark, halves of
/// characters. `remedy` is for a line that was too long.
///
/// # Errors
/// If it cannot be read as a whole. It may still be known whom to answer.
pub fn readable<'a>(line: &'a Line, remedy: &str) -> Result<Cow<'a, str>, Malformed> {
    let unread = |start: &str, error| {
        Err(Malformed {
            id: Id::near_the_start(start).unwrap_or_else(Id::null),
            error,
        })
    };
    match line {
        Line::Text(text) => {
            let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
            Ok(surrogates::replaced(text).map_or(Cow::Borrowed(text), Cow::Owned))
        }
        Line::NotUtf8 { start } => unread(start, RpcError::parse_error("the line is not UTF-8")),
        Line::TooLong { bytes, start } => unread(start, RpcError::line_too_long(*bytes, remedy)),
    }
}

/// What a line holds.
#[derive(Debug)]
pub enum Incoming<'a> {
    Call(Call<'a>),
    /// An answer, although this program asks nothing. Answering it could go on forever.
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
            let answer = Outgoing::<_, ()>::answer(id_of_call, Ok(()));
            assert_eq!(
                serde_json::to_string(&answer).unwrap(),
                format!(r#"{{"jsonrpc":"2.0","id":{id},"result":null}}"#)
            );
        }
    }

    #[test]
    fn ids_are_the_same_if_they_are_the_same_text_or_were_written_alike() {
        let same = |one: &str, other: &str| {
            let id = |text: &str| {
                let raw = RawValue::from_string(text.to_owned()).unwrap();
                Id::from_raw(&raw).unwrap()
            };
            id(one) == id(other)
        };
        assert!(same(r#""é""#, r#""\u00e9""#) && same("7", "7"));
        assert!(!same("7", r#""7""#) && !same("18446744073709551617", "18446744073709551616"));
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
    fn the_id_of_a_message_that_was_not_read_is_found_if_it_is_all_there() {
        for (start, id) in [
            (
                r#"{"jsonrpc":"2.0","id":7,"method":"x","params":{"a":"lon"#,
                "7",
            ),
            (
                r#"{"jsonrpc":"2.0","id":7,"method":"x","params":"page 7"#,
                "7",
            ),
            (r#" { "i\u0064" : "a" , "method":"x","#, "\"a\""),
            ("\u{feff}{\"id\":7,\"method\":1,", "7"),
            (r#"{"params":{"id":1,"x":[{}]},"method":"x","id":2,"#, "2"),
            (r#"{"id":null,"method":"x""#, "null"),
            // Whose end nobody has seen.
            (r#"{"method":"x","id":12"#, "null"),
            (r#"{"method":"x","id":"a"#, "null"),
            // Which may be an answer, or is one.
            (r#"{"id":7,"params":"lon"#, "null"),
            (r#"{"id":7,"result":"lon"#, "null"),
            (r#"{"id":{},"method":"x","#, "null"),
            (
                r#"{"jsonrpc":"2.0","method":"x","params":{"id":1,"text":"lon"#,
                "null",
            ),
            (r#"[{"id":1,"method":"x"},"#, "null"),
            ("hello", "null"),
            ("", "null"),
        ] {
            for line in [
                Line::NotUtf8 {
                    start: start.to_owned(),
                },
                Line::TooLong {
                    bytes: 100_000_000,
                    start: start.to_owned(),
                },
            ] {
                let malformed = readable(&line, "send less").unwrap_err();
                assert_eq!(malformed.id.0.get(), id, "{start}");
            }
        }
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
