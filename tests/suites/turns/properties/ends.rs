//! How turns of a codex that stays end whose last words are unusual.

use plexum_openai_provider_guest::bindings::codex::{Exit, StopCause};
use plexum_openai_provider_guest::bindings::settings::Transport;
use plexum_openai_provider_guest::bindings::turns::{
    Event, FailureKind, MessageEnd, NoticeKind, StopReason,
};

use crate::codex::{THREAD, turn};
use crate::contract::check;
use crate::well;

/// The events of a turn in which codex says this between the beginning and the end.
fn events(lines: &[String], end: &str, stopped: Option<StopCause>) -> Vec<Event> {
    let of_thread = |method: &str, params: &str| {
        format!(r#"{{"method":"{method}","params":{{"threadId":"{THREAD}",{params}}}}}"#)
    };
    let mut all = vec![of_thread("turn/started", r#""turn":{"id":"t"}"#)];
    all.extend_from_slice(lines);
    all.push(of_thread(
        "turn/completed",
        &format!(r#""turn":{{"id":"t",{end}}}"#),
    ));
    let bytes = all.join("\n") + "\n";
    let exit = Exit { stopped, ..well() };
    let events = turn(Transport::AppServer, bytes.as_bytes(), 20_000, false, exit);
    check(&events);
    events
}

fn end(events: &[Event]) -> &MessageEnd {
    match events.last() {
        Some(Event::MessageEnd(end)) => end,
        other => panic!("{other:?}"),
    }
}

/// An error of this turn, which codex tries to get over.
fn retried(message: &str) -> String {
    format!(
        r#"{{"method":"error","params":{{"threadId":"{THREAD}","turnId":"t","willRetry":true,"error":{{"message":"{message}"}}}}}}"#
    )
}

#[test]
fn a_turn_that_is_stopped_during_a_retry_says_what_it_was_waiting_for() {
    for (stopped, reason, kind) in [
        (
            Some(StopCause::Cancelled),
            StopReason::Aborted,
            FailureKind::Killed,
        ),
        (
            Some(StopCause::IdleTimeout),
            StopReason::Error,
            FailureKind::IdleTimeout,
        ),
        // Somebody else has interrupted it.
        (None, StopReason::Aborted, FailureKind::Killed),
    ] {
        for said in [
            "Reconnecting... 2/5",
            // Nothing was cut off: the answer was about to begin again.
            "Incomplete response returned, reason: max_output_tokens",
        ] {
            let events = events(&[retried(said)], r#""status":"interrupted""#, stopped);
            let end = end(&events);
            let failure = end.failure.as_ref().unwrap();
            assert_eq!(
                (end.stop_reason, failure.kind, failure.detail.as_deref()),
                (reason, kind, Some(said))
            );
        }
    }
}

#[test]
fn a_line_of_another_thread_is_no_loss_whatever_is_wrong_with_its_text() {
    let of_another = r#"{"method":"item/completed","params":{"threadId":"another","turnId":"t","item":{"type":"agentMessage","id":"i","text":"\ud800"}}}"#;
    let events = events(&[of_another.to_owned()], r#""status":"completed""#, None);
    let is_malformed = |event: &Event| matches!(event, Event::Notice(notice) if notice.kind == NoticeKind::LineMalformed);
    assert!(!events.iter().any(is_malformed), "{events:?}");
    let end = end(&events);
    assert_eq!(
        (end.stop_reason, &end.failure),
        (StopReason::EndTurn, &None)
    );
}

#[test]
fn a_failure_without_words_is_what_codex_calls_it() {
    for (status, kind) in [
        (
            r#""status":"failed","error":{"message":"","codexErrorInfo":"unauthorized"}"#,
            FailureKind::Auth,
        ),
        (
            r#""status":"failed","error":{"message":""}"#,
            FailureKind::Protocol,
        ),
        (r#""status":"failed""#, FailureKind::Protocol),
        (r#""status":"paused""#, FailureKind::Protocol),
        (r#""error":null"#, FailureKind::Protocol),
    ] {
        let events = events(&[], status, None);
        let end = end(&events);
        let failure = end.failure.as_ref().unwrap();
        assert_eq!(
            (end.stop_reason, failure.kind),
            (StopReason::Error, kind),
            "{status}"
        );
    }
}
