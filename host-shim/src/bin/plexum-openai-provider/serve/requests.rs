//! Handles each request, one after the other.

use plexum_openai_provider::{Capability, Description, Provider};
use serde_json::value::RawValue;

use super::error::{SHORTER_LINES, not_initialized, unknown_turn};
use super::message::{Message, TurnEvent};
use super::method::{self, METHODS, TurnStart};
use super::success::{self, ComponentInfo, Model, Success};
use super::turns::Turns;
use crate::json_rpc::error::RpcError;
use crate::json_rpc::outgoing::Outgoing;
use crate::json_rpc::service::{Reply, Service, Taken};

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

/// Answers messages.
pub struct Requests {
    phase: Phase,
    provider: Provider,
    capabilities: Vec<Capability>,
    component: ComponentInfo,
    models: Vec<Model>,
    turns: Turns,
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
            (Phase::New, _) => Err(not_initialized()),
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
                    Err(unknown_turn(&turn_id))
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

impl Service for Requests {
    type Success = Success;
    type Told = TurnEvent;

    const SHORTER_LINES: &'static str = SHORTER_LINES;

    fn take(
        &mut self,
        method: &str,
        params: Option<&RawValue>,
        reply: Reply<'_, Success, TurnEvent>,
    ) -> Taken<Message> {
        match self.outcome(method, params) {
            Ok(Outcome::ShutDown) => {
                let done = |id| Outgoing::answer(id, Ok(Success::Done {}));
                return Taken::Ends(reply.later().map(done));
            }
            Ok(Outcome::Begin(start)) => {
                let turn_id = self.turns.next_id();
                // Before its events.
                reply.now(Ok(Success::TurnStarted {
                    turn_id: turn_id.clone(),
                }));
                self.turns.begin(turn_id, start);
            }
            Ok(Outcome::Done(success)) => reply.now(Ok(success)),
            Err(error) => reply.now(Err(error)),
        }
        Taken::GoesOn
    }

    fn cancel_all(&mut self) {
        // However the end was asked for.
        self.phase = Phase::ShuttingDown;
        self.turns.cancel_all();
    }

    fn is_idle(&self) -> bool {
        self.turns.is_empty()
    }

    async fn some_is_over(&mut self) {
        self.turns.one_over().await;
    }
}
