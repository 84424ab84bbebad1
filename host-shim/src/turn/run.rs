//! A turn from the workspace's lock to the component's last event.

use std::path::PathBuf;

use tokio::time::Instant;
use wasmtime::{Store, Trap};

use super::sink::{Sent, Sink};
use crate::bindings::provider as wit;
use crate::budget::{Exceeded, text_bytes};
use crate::event::{Event, Failure, FailureKind, StopReason};
use crate::guest_limits::{MAX_CALL_BYTES, MAX_STACK_BYTES};
use crate::host::Host;
use crate::image::StagedImages;
use crate::metrics::Meter;
use crate::provider::{Provider, TurnGrant};
use crate::request::{Content, Request, Role};
use crate::stop::Stop;
use crate::thread_id;

/// Runs the component. An error is the end that is to be sent, unless there was one already.
pub(super) async fn run(
    provider: &Provider,
    workspace: PathBuf,
    request: Request,
    mut stop: Stop,
    deadline: Instant,
    meter: &Meter,
    sink: &mut Sink,
) -> Result<(), Event> {
    let failed = |kind, message| Event::failed(kind, StopReason::Error, message);
    if !workspace.is_dir() {
        let message = format!(
            "The workspace {} is not a folder: create it, or name another one.",
            workspace.display()
        );
        return Err(failed(FailureKind::InvalidRequest, message));
    }
    let unreadable = |error: std::io::Error| {
        failed(
            FailureKind::SessionUnreadable,
            format!("The session cannot be used: {error}."),
        )
    };
    let stopped_waiting = |what| {
        let message = format!("The turn was stopped while it waited for {what}.");
        Event::failed(FailureKind::Killed, StopReason::Aborted, message)
    };
    // Held until codex is gone, also when the turn is dropped. Codex itself does not refuse a second writer before 0.150.
    let guard = tokio::select! {
        lock = provider.sessions().lock(&workspace) => lock.map_err(unreadable)?,
        () = tokio::time::sleep(provider.config().limits.busy()) => return Err(busy(provider)),
        _ = stop.requested() => return Err(stopped_waiting("another one in this workspace")),
    };
    // After the workspace, so that whoever waits for that takes no place. First come, first served.
    let _place = tokio::select! {
        place = provider.places().acquire() => place.map_err(|_| crowded(provider))?,
        () = tokio::time::sleep_until(deadline) => return Err(crowded(provider)),
        _ = stop.requested() => return Err(stopped_waiting("others in this process")),
    };
    meter.runs();
    let images = StagedImages::stage(&request, &workspace)
        .await
        .map_err(|error| failed(FailureKind::InvalidRequest, error.to_string()))?;
    // The grant goes by what is stored now, not by what the component will store.
    let stored = provider
        .sessions()
        .load(&workspace)
        .await
        .map_err(unreadable)?;
    let mut store = provider.store(TurnGrant {
        workspace,
        guard: Some(guard),
        stored: stored.map(|entry| entry.thread_id),
        images,
        stop,
        deadline,
        meter: meter.clone(),
    });
    let world = provider
        .pre()
        .instantiate_async(&mut store)
        .await
        .map_err(|error| stopped(&store, &error))?;
    let turns = world.plexum_provider_provider().turn();
    let turn = match turns
        .call_start(&mut store, &to_wit(request))
        .await
        .map_err(|error| stopped(&store, &error))?
    {
        Ok(turn) => turn,
        Err(failure) => {
            let failure = Some(failure.into());
            return Err(Event::MessageEnd {
                stop_reason: StopReason::Error,
                usage: None,
                thread_usage: None,
                failure,
            });
        }
    };
    loop {
        let events = turns
            .call_next(&mut store, turn)
            .await
            .map_err(|error| stopped(&store, &error))?;
        if events.is_empty() {
            return Ok(());
        }
        if let Err(exceeded) = store.data_mut().budget.take_events(&events) {
            return Err(stopped(&store, &exceeded.into()));
        }
        for event in events {
            if let wit::Event::MessageStart(start) = &event
                && !thread_id::is_plain(&start.thread_id)
            {
                let message = "The component named a thread by what is no thread id: report this, with the version of the component.";
                return Err(failed(FailureKind::Internal, message.into()));
            }
            let bytes = text_bytes(&event);
            match sink.send(event.into(), bytes).await {
                Sent::Taken => {}
                // Dropping the store stops codex.
                Sent::Unwanted => return Ok(()),
                Sent::TooLate => return Err(failed(FailureKind::TurnTimeout, NOT_TAKEN.into())),
            }
        }
    }
}

/// The end of a turn whose component was stopped.
fn stopped(store: &Store<Host>, error: &wasmtime::Error) -> Event {
    tracing::error!(error = format!("{error:?}"), "the component was stopped");
    let budget = &store.data().budget;
    // A request for memory that is declined shows as a trap of the component's own.
    let exceeded = error.downcast_ref().or_else(|| budget.declined());
    let (kind, stop_reason) = match exceeded {
        Some(Exceeded::Stopped) => (FailureKind::Killed, StopReason::Aborted),
        Some(Exceeded::Refusals(_)) => (FailureKind::Denied, StopReason::Error),
        _ => (FailureKind::Internal, StopReason::Error),
    };
    let cause = error.root_cause().to_string();
    let cause = match exceeded {
        Some(exceeded) => exceeded.to_string(),
        None if error.downcast_ref() == Some(&Trap::StackOverflow) => {
            format!("its calls nested deeper than {MAX_STACK_BYTES} bytes of stack hold")
        }
        // The engine has no type for this one.
        None if cause.contains("fuel allocated for hostcalls") => {
            format!("it handed over more than {MAX_CALL_BYTES} bytes in one call")
        }
        None => cause,
    };
    let last_words = budget
        .last_words()
        .map(|words| format!(" The last error that it told: {words}."));
    let message = format!(
        "The component was stopped: {cause}.{} Report this, with the version of the component.",
        last_words.unwrap_or_default()
    );
    Event::failed(kind, stop_reason, message)
}

const NOT_TAKEN: &str = "The turn took longer than allowed (`limits.turn_seconds` in config.json), because nobody took its events.";

fn busy(provider: &Provider) -> Event {
    let seconds = provider.config().limits.busy_seconds;
    retryable(
        FailureKind::SessionBusy,
        format!(
            "Another turn has been running in this workspace for more than {seconds} s. Wait for it to end, or raise `limits.busy_seconds` in config.json."
        ),
    )
}

fn crowded(provider: &Provider) -> Event {
    let turns = provider.config().limits.turns;
    retryable(
        FailureKind::TurnTimeout,
        format!(
            "The turn has waited for its whole time, because {turns} others were running. Give the machine less to do at once, or raise `limits.turns` in config.json if it can bear more."
        ),
    )
}

fn retryable(kind: FailureKind, message: String) -> Event {
    let failure = Some(Failure {
        kind,
        message,
        retryable: true,
        retry_after: None,
        detail: None,
    });
    Event::MessageEnd {
        stop_reason: StopReason::Error,
        usage: None,
        thread_usage: None,
        failure,
    }
}

/// The request as the component gets it: images are numbers, and only those of the prompt are
/// there.
fn to_wit(request: Request) -> wit::Request {
    let prompt = request.prompt_position();
    let mut images = 0;
    let messages = request
        .messages
        .into_iter()
        .enumerate()
        .map(|(position, message)| wit::Message {
            role: match message.role {
                Role::System => wit::Role::System,
                Role::User => wit::Role::User,
                Role::Assistant => wit::Role::Assistant,
            },
            content: message
                .content
                .into_iter()
                .filter_map(|piece| match piece {
                    Content::Text { text } => Some(wit::Content::Text(text)),
                    Content::Image { .. } if Some(position) == prompt => {
                        images += 1;
                        Some(wit::Content::Image(images - 1))
                    }
                    Content::Image { .. } => None,
                })
                .collect(),
        });
    wit::Request {
        messages: messages.collect(),
        model: request.model,
    }
}
