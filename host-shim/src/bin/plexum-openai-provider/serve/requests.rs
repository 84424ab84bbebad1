//! Handles each request, one after the other.

use std::borrow::Cow;

use plexum_openai_provider::{Capability, Description, Provider};
use serde_json::value::RawValue;

use super::error::RpcError;
use super::line::Line;
use super::message::{Call, Id, Incoming, Malformed};
use super::method::{self, METHODS, TurnStart};
use super::outgoing::Outgoing;
use super::success::{self, ComponentInfo, Model, Success};
use super::turns::Turns;
use crate::surrogates;

/// The state of the conversation with the client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Only `initialize` is taken.
    New,
    /// Everything is.
    Ready,
    /// Nothing is.
    ShuttingDown,
}

/// The result of a message.
pub enum Reply {
    /// Nothing is said.
    Nothing,
    /// This is said.
    Answer(Outgoing),
    /// A turn begins; what is said has to be said first.
    Begin {
        answer: Option<Outgoing>,
        turn_id: String,
        start: TurnStart,
    },
    /// The server is to end, and then to answer this, if it has an id.
    ShutDown(Option<Id>),
}

/// Answers messages.
pub struct Requests {
    phase: Phase,
    provider: Provider,
    capabilities: Vec<Capability>,
    component: ComponentInfo,
    models: Vec<Model>,
    pub turns: Turns,
}

/// The text without what some clients put into it and no reader of JSON takes: a byte order mark, halves of characters.
fn readable(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    surrogates::replaced(text).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// What a request was about.
enum Outcome {
    Done(Success),
    Begin(TurnStart),
    ShutDown,
}

impl Requests {
    /// Answers for `provider`, which `description` describes.
    pub fn new(provider: &Provider, description: Description, turns: Turns) -> Self {
        let models = description.models.into_iter().enumerate();
        Requests {
            phase: Phase::New,
            provider: provider.clone(),
            capabilities: description.capabilities,
            component: ComponentInfo {
                id: description.id,
                version: description.version,
                sha256: provider.component_sha256().to_owned(),
            },
            models: models
                .map(|(position, model)| Model::new(model, position == 0))
                .collect(),
            turns,
        }
    }

    /// Takes one line of the client.
    pub fn take(&mut self, line: &Line) -> Reply {
        let error = match line {
            Line::Text(text) => match Incoming::parse(&readable(text)) {
                Ok(Incoming::Call(call)) => return self.take_call(call),
                Ok(Incoming::Answer) => {
                    tracing::warn!("the client sent an answer without a question; it is ignored");
                    return Reply::Nothing;
                }
                Err(Malformed { id, error }) => {
                    return Reply::Answer(Outgoing::answer(id, Err(error)));
                }
            },
            Line::NotUtf8 => RpcError::parse_error("the line is not UTF-8"),
            Line::TooLong { bytes } => RpcError::line_too_long(*bytes),
        };
        Reply::Answer(Outgoing::answer(Id::null(), Err(error)))
    }

    fn take_call(&mut self, call: Call<'_>) -> Reply {
        let Call { id, method, params } = call;
        let result = match self.outcome(&method, params) {
            Ok(Outcome::ShutDown) => return Reply::ShutDown(id),
            Ok(Outcome::Begin(start)) => {
                let turn_id = self.turns.next_id();
                let answer = id.map(|id| {
                    let turn_id = turn_id.clone();
                    Outgoing::answer(id, Ok(Success::TurnStarted { turn_id }))
                });
                return Reply::Begin {
                    answer,
                    turn_id,
                    start,
                };
            }
            Ok(Outcome::Done(success)) => Ok(success),
            Err(error) => Err(error),
        };
        match (id, result) {
            (Some(id), result) => Reply::Answer(Outgoing::answer(id, result)),
            (None, Ok(_)) => Reply::Nothing,
            (None, Err(error)) => {
                tracing::warn!(
                    method,
                    error = error.message,
                    "a notification had no effect"
                );
                Reply::Nothing
            }
        }
    }

    fn outcome(&mut self, method: &str, params: Option<&RawValue>) -> Result<Outcome, RpcError> {
        let not_twice = |what| Err(RpcError::invalid_request(what));
        match (self.phase, method) {
            (Phase::New, "initialize") => {
                if let Some(client) = method::initialize(params)? {
                    tracing::info!(name = client.name, version = client.version, "the client");
                }
                self.phase = Phase::Ready;
                Ok(Outcome::Done(success::initialized(
                    self.component.clone(),
                    &self.capabilities,
                )))
            }
            (Phase::New, _) => Err(RpcError::not_initialized()),
            (Phase::ShuttingDown, _) => not_twice("the server is shutting down"),
            (Phase::Ready, "initialize") => not_twice("the server is initialized already"),
            (Phase::Ready, "models/list") => {
                method::no_params(params)?;
                let models = self.models.clone();
                Ok(Outcome::Done(Success::Models { models }))
            }
            (Phase::Ready, "metrics/get") => {
                method::no_params(params)?;
                let metrics = Box::new(self.provider.metrics());
                Ok(Outcome::Done(Success::Metrics { metrics }))
            }
            (Phase::Ready, "turn/start") => method::turn_start(params).map(Outcome::Begin),
            (Phase::Ready, "turn/cancel") => {
                let turn_id = method::turn_cancel(params)?;
                if self.turns.cancel(&turn_id) {
                    Ok(Outcome::Done(Success::Done {}))
                } else {
                    Err(RpcError::unknown_turn(&turn_id))
                }
            }
            (Phase::Ready, "ping") => {
                method::no_params(params)?;
                Ok(Outcome::Done(Success::Done {}))
            }
            (Phase::Ready, "shutdown") => {
                method::no_params(params)?;
                self.phase = Phase::ShuttingDown;
                Ok(Outcome::ShutDown)
            }
            (Phase::Ready, _) => Err(RpcError::method_not_found(method, &METHODS)),
        }
    }
}
