//! How a turn begins: with the stored conversation, or with a new one.

use alloc::vec::Vec;

use crate::bindings::session::{Entry, Error};
use crate::bindings::settings::{ChangedInstructions, LostSession, Settings};
use crate::bindings::turns::{Event, NoticeKind, ReplacementReason, RequestPart};
use crate::capability::Capabilities;
use crate::conversation::session::{self, Beginning, Replaced};
use crate::notice::{notice, unsupported};
use crate::request::Asked;
use crate::request::replay::Reason;

/// Decides about the conversation. What the stored one cannot be given is said in `notices`.
pub fn decide(
    host: &impl Capabilities,
    settings: &Settings,
    asked: &Asked,
    notices: &mut Vec<Event>,
) -> Result<Beginning, Error> {
    let loaded = host.load_session()?;
    let said = loaded.notices.iter();
    notices.extend(said.map(|message| notice(NoticeKind::Warning, message)));
    match session::decide(loaded) {
        Beginning::Resume(entry) => Ok(with_instructions(entry, settings, asked, notices)),
        fresh => {
            if let Beginning::Fresh { replaces: Some(_) } = &fresh {
                host.set_session_aside()?;
            }
            Ok(fresh)
        }
    }
}

/// Codex keeps the instructions that a conversation began with, and ignores others in silence.
fn with_instructions(
    entry: Entry,
    settings: &Settings,
    asked: &Asked,
    notices: &mut Vec<Event>,
) -> Beginning {
    if asked.instructions.is_none() {
        // Nothing is asked for, so the old ones do.
        return Beginning::Resume(entry);
    }
    let digest = asked.instructions_digest();
    match &entry.instructions {
        Some(began_with) if *began_with == digest => {}
        Some(_) if settings.changed_instructions == ChangedInstructions::Restart => {
            return Beginning::Fresh {
                replaces: Some(Replaced {
                    old: entry.thread_id,
                    reason: ReplacementReason::InstructionsChanged,
                    message: "The instructions changed, so a new thread was started and given the earlier messages.",
                }),
            };
        }
        Some(_) => notices.push(unsupported(
            RequestPart::Instructions,
            "The instructions are not those that this conversation began with, and codex keeps the first ones. To have the new ones, begin a new conversation, or set `changed_instructions` to `restart` in config.json.",
        )),
        None => notices.push(unsupported(
            RequestPart::Instructions,
            "It is not known which instructions this conversation began with. Codex keeps the first ones, so these may have no effect.",
        )),
    }
    Beginning::Resume(entry)
}

/// Why a new conversation is given what was said before, if it is.
pub fn replay(beginning: &Beginning, settings: &Settings, asked: &Asked) -> Option<Reason> {
    let reason = match beginning {
        Beginning::Resume(_) => return None,
        Beginning::Fresh { replaces: None } => Reason::History,
        Beginning::Fresh {
            replaces: Some(replaced),
        } => match replaced.reason {
            ReplacementReason::InstructionsChanged => Reason::Restarted,
            _ if settings.lost_session != LostSession::Replay => return None,
            _ => Reason::History,
        },
    };
    asked.has_history().then_some(reason)
}
