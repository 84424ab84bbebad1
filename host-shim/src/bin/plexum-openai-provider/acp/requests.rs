//! Handles each request, one after the other. What takes time is answered later.

use plexum_openai_provider::{Capability, Description};
use serde_json::value::RawValue;

use super::content;
use super::conversation::TooMany;
use super::error::{SHORTER_LINES, ending, not_initialized, too_much};
use super::message::{LOGIN, Message, Success, Updated, initialized};
use super::method::{
    Authenticate, CancelRequest, ClientCapabilities, Initialize, METHODS, OfSession, Prompt,
    SetOption, read,
};
use super::sessions::Sessions;
use crate::json_rpc::error::RpcError;
use crate::json_rpc::message::Id;
use crate::json_rpc::service::{Reply, Service, Taken};

/// Answers messages.
pub struct Requests {
    /// What the client can do; not known before `initialize`.
    client: Option<ClientCapabilities>,
    takes_images: bool,
    /// Whether the agent is about to end: nothing begins any more.
    ending: bool,
    sessions: Sessions,
}

impl Requests {
    /// Answers for what `description` describes.
    pub fn new(description: Description, sessions: Sessions) -> Self {
        Requests {
            client: None,
            ending: false,
            takes_images: description.capabilities.contains(&Capability::Images),
            sessions,
        }
    }

    /// What a request is answered with now; nothing if the answer comes later.
    fn asked(
        &mut self,
        id: Id,
        method: &str,
        params: Option<&RawValue>,
    ) -> Result<Option<Success>, RpcError> {
        if method == "initialize" {
            return self.initialize(params).map(Some);
        }
        let Some(client) = &self.client else {
            return Err(not_initialized());
        };
        let shows_notices = client.shows_notices();
        if self.ending {
            return match method {
                "session/prompt" => Ok(Some(Success::cancelled())),
                _ => Err(ending()),
            };
        }
        if self.sessions.is_overloaded() {
            return Err(too_much(
                "too many requests are under way: read the answers that wait, or wait for one",
            ));
        }
        match method {
            "authenticate" => {
                let Authenticate { method_id } = read(params)?;
                if method_id != LOGIN {
                    let problem = format!("there is no such method; there is `{LOGIN}`");
                    return Err(RpcError::invalid_params("methodId", &problem));
                }
                // The next prompt shows whether it is so.
                return Ok(Some(Success::Done {}));
            }
            "session/new" => self.sessions.create(id, read(params)?, shows_notices),
            "session/load" => {
                let OfSession { session_id } = read(params)?;
                self.sessions
                    .load(id, session_id, read(params)?, shows_notices)?;
            }
            "session/resume" => {
                let OfSession { session_id } = read(params)?;
                self.sessions
                    .resume(id, session_id, read(params)?, shows_notices);
            }
            "session/list" => self.sessions.list(id, read(params)?),
            "session/close" => {
                let OfSession { session_id } = read(params)?;
                self.sessions.close(id, &session_id)?;
            }
            "session/delete" => {
                let OfSession { session_id } = read(params)?;
                self.sessions.delete(id, session_id);
            }
            "session/set_config_option" => {
                let SetOption {
                    session_id,
                    config_id,
                    value,
                } = read(params)?;
                self.sessions.choose(id, &session_id, &config_id, &value)?;
            }
            "session/prompt" => {
                let Prompt { session_id, prompt } = read(params)?;
                let conversation = self.sessions.get(&session_id)?;
                let title = content::title(&prompt);
                let content = content::prompt(prompt)?;
                match conversation.prompt(id, content, title) {
                    Ok(Some(work)) => self.sessions.run(work),
                    Ok(None) => {}
                    Err(TooMany) => {
                        let problem = "too many prompts wait, or too large ones: wait for an answer, or cancel some";
                        return Err(too_much(problem));
                    }
                }
            }
            // These are notifications, and do no harm as requests.
            "session/cancel" | "$/cancel_request" => {
                self.told(method, params)?;
                return Ok(Some(Success::Done {}));
            }
            _ => return Err(RpcError::method_not_found(method, &METHODS)),
        }
        Ok(None)
    }

    fn initialize(&mut self, params: Option<&RawValue>) -> Result<Success, RpcError> {
        let Initialize {
            client_capabilities,
            client_info,
            ..
        } = read(params)?;
        if let Some(client) = client_info {
            tracing::info!(name = client.name, version = client.version, "the client");
        }
        let success = initialized(
            client_capabilities.has_terminal_login(),
            self.takes_images,
            self.sessions.have_history(),
        );
        self.client = Some(client_capabilities);
        Ok(success)
    }

    /// Takes a notification.
    fn told(&mut self, method: &str, params: Option<&RawValue>) -> Result<(), RpcError> {
        match method {
            "session/cancel" => {
                let OfSession { session_id } = read(params)?;
                let conversation = self.sessions.get(&session_id)?;
                self.sessions.cancel(&conversation);
                Ok(())
            }
            "$/cancel_request" => {
                let CancelRequest { request_id } = read(params)?;
                self.sessions.cancel_prompt(&Id::from_raw(&request_id)?);
                Ok(())
            }
            _ => Err(RpcError::method_not_found(method, &METHODS)),
        }
    }
}

impl Service for Requests {
    type Success = Success;
    type Told = Updated;

    const SHORTER_LINES: &'static str = SHORTER_LINES;

    fn take(
        &mut self,
        method: &str,
        params: Option<&RawValue>,
        reply: Reply<'_, Success, Updated>,
    ) -> Taken<Message> {
        let outcome = match reply.id() {
            Some(id) => self.asked(id.clone(), method, params),
            None => self.told(method, params).map(|()| Some(Success::Done {})),
        };
        if let Some(outcome) = outcome.transpose() {
            reply.now(outcome);
        }
        Taken::GoesOn
    }

    fn cancel_all(&mut self) {
        self.ending = true;
        self.sessions.cancel_all();
    }

    fn is_idle(&self) -> bool {
        self.sessions.is_idle()
    }

    async fn some_is_over(&mut self) {
        self.sessions.some_is_over().await;
    }
}
