//! Which conversation a place goes on with, by what its session file says and by what is known of it outside.
//!
//! The file is a claim: an agent may have written it, and a copy of the workspace has a copy of it. The state decides
//! whether the claim is believed, and replaces the file where it is missing.

use std::path::Path;

use crate::contract::thread_id::is_uuid;
use crate::session::state::{Belongs, Latest, Thread};

/// What is in the place of the session file.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// Nothing, and nothing should be: the conversation is kept outside alone.
    NoFile,
    /// A small plain file with this text.
    Text(String),
    /// Something that is not read: why.
    Obstacle(String),
    /// A file that cannot be read: why.
    Unreadable(String),
}

/// What a place goes on with.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The thread, as it was written.
    pub thread_id: Option<String>,
    /// What is known of it.
    pub known: Option<Thread>,
    /// Whether the thread must become this place's.
    pub claims: bool,
    /// What to do with the file.
    pub file: File,
    /// A thread that the file names and that is not this place's.
    pub foreign: Option<String>,
    /// What a person should know.
    pub notice: Option<String>,
}

/// What to do with the session file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// Nothing.
    Stays,
    /// Write the thread into it.
    Written,
    /// Move what is there out of the way, then write the thread into it if there is one.
    SetAside,
}

/// What is known outside of the workspace. Without a state, all of it is unknown.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// To whom the thread belongs that the file names.
    pub named: Belongs,
    /// The thread that this place went on with, and what is known of it; `None` if there is none, or if it has become
    /// another place's.
    pub latest: Option<(Latest, Option<Thread>)>,
    /// Whether the file system says how old a folder is: a new folder cannot be taken for an old one then.
    pub says_when_born: bool,
}

/// Decides.
pub fn decide(found: Found, known: Known) -> Decision {
    let Known {
        named,
        latest,
        says_when_born,
    } = known;
    let goes_on = |(latest, known): (Latest, Option<Thread>), file, notice: String| Decision {
        thread_id: Some(latest.thread_id),
        // Another place may have had it after this one, if what is known of it is lost.
        claims: known.is_none(),
        known,
        file,
        foreign: None,
        notice: Some(notice),
    };
    let begins = |file, foreign, notice| Decision {
        thread_id: None,
        known: None,
        claims: false,
        file,
        foreign,
        notice,
    };
    match found {
        Found::Text(text) if is_uuid(text.trim()) => {
            let named_id = text.trim().to_owned();
            let as_named = |known, claims| Decision {
                thread_id: Some(named_id.clone()),
                known,
                claims,
                file: File::Stays,
                foreign: None,
                notice: None,
            };
            match (named, latest) {
                (Belongs::Here(thread), Some(latest)) if thread.left_in_file => {
                    let notice = format!(
                        "The session file still named the thread {named_id}, because it could not be written. This workspace goes on with the thread after that, {}.",
                        latest.0.thread_id
                    );
                    goes_on(latest, File::Written, notice)
                }
                // One of its own, which it may have left and come back to.
                (Belongs::Here(thread), latest) => {
                    let is_latest = latest.is_some_and(|(latest, _)| {
                        latest.thread_id.eq_ignore_ascii_case(&named_id)
                    });
                    as_named(Some(thread), !is_latest)
                }
                (_, Some((latest, known))) if latest.thread_id.eq_ignore_ascii_case(&named_id) => {
                    as_named(known, true)
                }
                (Belongs::Elsewhere(owner), Some(latest)) => {
                    let notice = format!(
                        "The session file named the thread {named_id}, which belongs to the workspace {}. It was put right, and this workspace goes on with its own thread, {}.",
                        owner.display(),
                        latest.0.thread_id
                    );
                    goes_on(latest, File::Written, notice)
                }
                (Belongs::Elsewhere(owner), None) => begins(
                    File::Stays,
                    Some(named_id.clone()),
                    Some(belongs(&named_id, &owner)),
                ),
                (Belongs::Unknown | Belongs::Nobody(_), Some(latest)) => {
                    let notice = format!(
                        "The session file named the thread {named_id}, which is not known to belong to this workspace. It was put right, and this workspace goes on with its own thread, {}. If you wrote that id there, run `plexum-openai-provider session adopt {named_id}` with this --workspace.",
                        latest.0.thread_id
                    );
                    goes_on(latest, File::Written, notice)
                }
                (Belongs::Nobody(thread), None) => {
                    let gone = thread.owner.as_ref().map(|owner| {
                        format!(
                            "This workspace goes on with the thread {named_id}, which belonged to the workspace {}. That one is gone, or was moved far away.",
                            owner.path.display()
                        )
                    });
                    Decision {
                        notice: gone,
                        ..as_named(Some(thread), true)
                    }
                }
                (Belongs::Unknown, None) => as_named(None, true),
            }
        }
        // Its name is nobody else's, so the folder's age does not matter.
        Found::NoFile => match latest {
            Some((latest, known)) => Decision {
                thread_id: Some(latest.thread_id),
                claims: known.is_none(),
                known,
                ..begins(File::Stays, None, None)
            },
            None => begins(File::Stays, None, None),
        },
        Found::Nothing => match latest {
            Some(latest) if says_when_born => {
                let notice = format!(
                    "The session file was gone. It was written again, and this workspace goes on with its thread, {}. To begin a new conversation, run `plexum-openai-provider session reset` with this --workspace.",
                    latest.0.thread_id
                );
                goes_on(latest, File::Written, notice)
            }
            Some((latest, _)) => {
                let notice = format!(
                    "There is no session file, and this file system does not say whether the folder is the one that had the thread {}, so a new conversation begins. To go on with that one, run `plexum-openai-provider session adopt {}` with this --workspace.",
                    latest.thread_id, latest.thread_id
                );
                begins(File::Stays, None, Some(notice))
            }
            None => begins(File::Stays, None, None),
        },
        Found::Text(text) => match latest {
            Some(latest) => {
                let notice = format!(
                    "The session file did not hold a thread id; it was moved to .plexum-codex-session.bad, and this workspace goes on with its thread, {}.",
                    latest.0.thread_id
                );
                goes_on(latest, File::SetAside, notice)
            }
            // The component says so.
            None => Decision {
                thread_id: Some(text.trim().to_owned()),
                ..begins(File::Stays, None, None)
            },
        },
        Found::Unreadable(why) => match latest {
            Some(latest) => {
                let notice = format!(
                    "The session file cannot be read, and this workspace goes on with its thread, {}: {why}.",
                    latest.0.thread_id
                );
                goes_on(latest, File::Stays, notice)
            }
            None => begins(File::Stays, None, Some(why)),
        },
        Found::Obstacle(why) => {
            let moved = format!(
                "The session file cannot be used: {why}. It was moved to .plexum-codex-session.bad"
            );
            match latest {
                Some(latest) => {
                    let notice = format!(
                        "{moved}, and this workspace goes on with its thread, {}.",
                        latest.0.thread_id
                    );
                    goes_on(latest, File::SetAside, notice)
                }
                None => begins(
                    File::SetAside,
                    None,
                    Some(format!("{moved}, and a new conversation begins.")),
                ),
            }
        }
    }
}

/// Why a thread is not resumed that another workspace goes on with.
fn belongs(thread_id: &str, owner: &Path) -> String {
    format!(
        "The session file names the thread {thread_id}, which belongs to the workspace {}. A copy of a workspace, a clone or a worktree has a conversation of its own. To go on with that thread here and no longer there, run `plexum-openai-provider session adopt {thread_id}` with this --workspace.",
        owner.display()
    )
}
