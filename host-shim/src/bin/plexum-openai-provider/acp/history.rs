//! What was said in a session before, as it is told to a client that opens it again.

use plexum_openai_provider::{History, Said, SessionError};

use super::message::Update;

/// What to send. A history that cannot be told does not keep anybody from going on, but nobody should take it for whole.
pub fn updates(history: Result<History, SessionError>) -> Vec<Update> {
    let (said, problem) = match history {
        Ok(History { said, is_cut, .. }) => {
            let problem = "Some of what was said before in this session is not shown: the record of it is damaged, or too long.";
            (said, is_cut.then(|| problem.to_owned()))
        }
        Err(error) => {
            let problem = format!("What was said before in this session cannot be shown: {error}.");
            (Default::default(), Some(problem))
        }
    };
    let problem = problem.map(|problem| Update::AgentMessageChunk {
        message_id: "history-notice".to_owned(),
        content: format!("[{problem}]\n\n").into(),
    });
    let said = said.into_iter().enumerate().filter_map(|(number, said)| {
        let message_id = format!("history-{number}");
        Some(match said {
            Said::User(text) => Update::UserMessageChunk {
                message_id,
                content: text.into(),
            },
            // Some clients show all texts between two prompts as one.
            Said::Agent(text) => Update::AgentMessageChunk {
                message_id,
                content: format!("{text}\n\n").into(),
            },
            Said::Thought(text) => Update::AgentThoughtChunk {
                message_id,
                content: format!("{text}\n\n").into(),
            },
            // Of a later version of the library.
            _ => return None,
        })
    });
    problem.into_iter().chain(said).collect()
}
