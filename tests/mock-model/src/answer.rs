//! From a request to the reply that its prompt asks for.

use std::time::Duration;

use serde_json::{Value, json};

use super::event::{self, Tokens};
use super::refusal;
use super::reply::{Frame, Reply, Response};
use super::request::RecordedRequest;
use super::scenario::{Asked, Scenario};
use super::tool;

/// Prompts longer than this are not echoed, only measured.
const ECHO_LIMIT: usize = 2000;

/// A request, with what the server knows about it.
pub(super) struct Question<'a> {
    pub(super) request: &'a RecordedRequest,
    /// Unlike that of every other request, also of servers before this one.
    pub(super) serial: u64,
    /// How many requests with the same prompt came before.
    pub(super) earlier: u64,
}

/// The reply to a question.
pub(super) fn answer(question: &Question<'_>) -> Reply {
    let prompt = question.request.prompt().unwrap_or_default();
    let response = Response::new(question.serial);
    match Asked::of(&prompt) {
        Asked::Echo(text) => response.message(&echo(text)).completed(),
        Asked::Unknown(name) => {
            let text = format!("mock-model knows no scenario `{name}`; see mock-model --help");
            refusal::status(400, "invalid_request_error", &text)
        }
        Asked::Scenario(scenario, argument) => play(scenario, &argument, question, response)
            .unwrap_or_else(|| {
                let (name, shape) = (scenario.name(), scenario.argument());
                let text = format!("mock:{name} takes ={shape}, not `{argument}`");
                refusal::status(400, "invalid_request_error", &text)
            }),
    }
}

/// Plays a scenario; None when its argument is not of the right shape.
fn play(
    scenario: Scenario,
    argument: &str,
    question: &Question<'_>,
    mut response: Response,
) -> Option<Reply> {
    let Question {
        request, earlier, ..
    } = *question;
    let reply = match scenario {
        Scenario::Text => response.message(argument).completed(),
        Scenario::History => response
            .message(&json!(request.prompts()).to_string())
            .completed(),
        Scenario::Tokens => response
            .message("ok")
            .completed_with(Some(tokens(argument)?)),
        Scenario::Messages => response.message("first").message("second").completed(),
        Scenario::Reasoning => {
            let id = response.item_id("rs");
            let summary = "**Planning the work**\n\nFirst this, then that.";
            response
                .events(event::reasoning(&id, summary))
                .message("thought about it")
                .completed()
        }
        Scenario::Thoughts => {
            let id = response.item_id("rs");
            let parts: [&[&str]; 2] = [
                &["**Looking**\n\nFirst ", "this, "],
                &["**Writing**\n\n", "then that."],
            ];
            response
                .events(event::reasoning_in_pieces(&id, &parts))
                .message("thought about it")
                .completed()
        }
        Scenario::Mismatch => {
            let id = response.item_id("msg");
            response
                .events([
                    event::message_added(&id),
                    event::text_delta(&id, "what was said first"),
                    event::message_done(&id, "what was meant"),
                ])
                .completed()
        }
        Scenario::NoDeltas => {
            let id = response.item_id("msg");
            response
                .events([event::message_done(&id, "all at once")])
                .completed()
        }
        Scenario::Slow => {
            let (deltas, pause) = argument.split_once(',').unwrap_or((argument, "100"));
            slow(deltas.parse().ok()?, pause.parse().ok()?, response)
        }
        Scenario::Big => {
            let id = response.item_id("msg");
            let text = "x".repeat(argument.parse().ok()?);
            // No delta: it would only send the same bytes twice.
            response
                .events([event::message_added(&id), event::message_done(&id, &text)])
                .completed()
        }
        Scenario::Empty => response.completed(),
        Scenario::EmptyText => response.message("").completed(),
        Scenario::NoUsage => response.message("no usage").completed_with(None),
        Scenario::Incomplete => response.message("half").incomplete("max_output_tokens"),
        Scenario::Shell => tool::shell(&[argument], question, response),
        Scenario::Shell2 => {
            let (first, second) = argument.split_once("||")?;
            tool::shell(&[first.trim(), second.trim()], question, response)
        }
        Scenario::Comment => {
            if request.tool_outputs().next().is_none() {
                response = response.message("I will look");
            }
            tool::shell(&[argument], question, response)
        }
        Scenario::Patch => tool::patch(argument, question, response),
        Scenario::Mcp => {
            let (name, arguments) = argument.split_once(' ').unwrap_or((argument, "{}"));
            let (server, name) = name.split_once('/')?;
            let arguments: Value = serde_json::from_str(arguments).ok()?;
            tool::mcp(server, name, &arguments, question, response)
        }
        Scenario::Web => {
            let item = json!({
                "type": "web_search_call",
                "id": response.item_id("ws"),
                "status": "completed",
                "action": { "type": "search", "query": argument },
            });
            response.item(&item).message("searched").completed()
        }
        Scenario::Plan => tool::plan(question, response),
        Scenario::Agents => tool::agents(question, response),
        Scenario::UnknownTool => tool::unknown(question, response),
        Scenario::UnknownItem => {
            let item = json!({ "type": "hologram", "id": response.item_id("holo"), "depth": 3 });
            response
                .item(&item)
                .message("after the hologram")
                .completed()
        }
        Scenario::BadJson => response
            .frame(Frame::Raw("data: {\"type\": \"response.\n\n".to_owned()))
            .message("after the bad event")
            .completed(),
        Scenario::Drop => half(response).cut(),
        Scenario::DropN if earlier < argument.parse().ok()? => half(response).cut(),
        Scenario::DropMessage if earlier == 0 => response.message("first answer").cut(),
        Scenario::DropMessage => response.message("second answer").completed(),
        Scenario::DropRepeat if earlier == 0 => response.message("the answer").cut(),
        Scenario::DropRepeat => response.message("the answer").completed(),
        Scenario::DropThought if earlier == 0 => {
            let id = response.item_id("rs");
            response
                .events([
                    event::reasoning_added(&id),
                    event::summary_part_added(&id, 0),
                    event::summary_delta(&id, 0, "**Half a "),
                ])
                .cut()
        }
        Scenario::DropThought => {
            let id = response.item_id("rs");
            response
                .events(event::reasoning(&id, "**Half a thought, whole**"))
                .message("thought again")
                .completed()
        }
        Scenario::DropTool => match tool::outputs_of_shell(question) {
            None => tool::shell(&[argument], question, response),
            // Each request before this one has asked for a call, unless one has been cut.
            Some(calls) if earlier == calls => half(response).cut(),
            Some(_) => response.message("answered after a cut").completed(),
        },
        Scenario::NoCompleted => response.message("not completed").unfinished(),
        Scenario::Hang => Reply::NoHeaders,
        Scenario::HangHeaders => Reply::Stream(vec![Frame::Silence]),
        Scenario::FailN => {
            let (times, status) = argument.split_once(',')?;
            let status: u16 = status.trim().parse().ok()?;
            if !(400..=599).contains(&status) {
                return None;
            }
            if earlier < times.trim().parse().ok()? {
                refusal::status(status, "server_error", "mock failure")
            } else {
                succeeded(earlier, response)
            }
        }
        Scenario::DropN => succeeded(earlier, response),
        Scenario::FailTool => match tool::outputs_of_shell(question) {
            None => tool::shell(&[argument], question, response),
            Some(_) => refusal::plain(400, "bad request, after a command"),
        },
        Scenario::ContextTool => match tool::outputs_of_shell(question) {
            None => tool::shell(&[argument], question, response),
            Some(_) => context_overflow(response),
        },
        Scenario::HangTool => match tool::outputs_of_shell(question) {
            None => tool::shell(&[argument], question, response),
            Some(_) => Reply::NoHeaders,
        },
        Scenario::E400Model => refusal::model(),
        Scenario::E400Detail => refusal::model_as_detail(),
        Scenario::E400Plain => refusal::plain(400, "bad request, said plainly"),
        Scenario::E401 => refusal::status(401, "invalid_request_error", "Incorrect API key"),
        Scenario::E403 => refusal::status(403, "invalid_request_error", "Forbidden here"),
        Scenario::E404 => refusal::no_such_model(),
        Scenario::E429 => refusal::status(429, "rate_limit_error", "too many requests"),
        Scenario::E429RetryAfter => refusal::retry_after(2),
        Scenario::E429Quota => refusal::usage_limit(),
        Scenario::E500 => refusal::status(500, "server_error", "mock failure"),
        Scenario::E503 => refusal::status(503, "server_error", "mock failure"),
        Scenario::Context => context_overflow(response),
        Scenario::Quota => response.failed("insufficient_quota", "You exceeded your quota."),
        Scenario::Overloaded => response.failed("server_is_overloaded", "Overloaded."),
        Scenario::Policy => response.failed("invalid_prompt", "This prompt breaks our policy."),
        Scenario::RateLimit => response.failed(
            "rate_limit_exceeded",
            "Rate limit reached for gpt-5.5. Please try again in 1s.",
        ),
    };
    Some(reply)
}

fn echo(text: &str) -> String {
    if text.chars().count() > ECHO_LIMIT {
        format!("echo of {} bytes", text.len())
    } else {
        format!("echo: {text}")
    }
}

fn tokens(argument: &str) -> Option<Tokens> {
    let counts: Vec<u64> = argument
        .split(',')
        .map(|count| count.trim().parse())
        .collect::<Result<_, _>>()
        .ok()?;
    let &[input, cached, output, reasoning] = counts.as_slice() else {
        return None;
    };
    Some(Tokens {
        input,
        cached,
        output,
        reasoning,
    })
}

fn slow(deltas: u32, pause_ms: u64, mut response: Response) -> Reply {
    let id = response.item_id("msg");
    let mut text = String::new();
    response = response.events([event::message_added(&id)]);
    for n in 1..=deltas {
        let delta = format!("part {n} ");
        text.push_str(&delta);
        response = response
            .events([event::text_delta(&id, &delta)])
            .frame(Frame::Pause(Duration::from_millis(pause_ms)));
    }
    response
        .events([event::message_done(&id, &text)])
        .completed()
}

/// A message that is never finished.
fn half(mut response: Response) -> Response {
    let id = response.item_id("msg");
    response.events([event::message_added(&id), event::text_delta(&id, "half a ")])
}

fn context_overflow(response: Response) -> Reply {
    response.failed(
        "context_length_exceeded",
        "Your input exceeds the context window of this model.",
    )
}

fn succeeded(earlier: u64, response: Response) -> Reply {
    response
        .message(&format!("answered after {earlier} failures"))
        .completed()
}
