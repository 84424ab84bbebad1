//! Whether the records have all that was told.

use anyhow::{Context as _, Result};
use plexum_openai_provider_tests::fleet_database::FleetDatabase;
use plexum_openai_provider_tests::fleet_process::FleetProcess;
use serde_json::Value;

use crate::site::Site;
use crate::turned::{End, MAY_FAIL, Turned};
use crate::worker::session;

/// What a record holds, as far as it matters here.
#[derive(Debug)]
enum Item {
    /// What a user has said.
    Prompt(String),
    /// What the model has answered.
    Answer(String),
    /// What a tool has printed, as codex wrote it.
    Output(String),
}

/// Everything that is wrong.
///
/// # Errors
/// When it cannot be looked at.
pub fn judge(site: &Site, all: &[Turned], conversations: usize) -> Result<Vec<String>> {
    let mut problems: Vec<String> = all
        .iter()
        .filter_map(|turned| {
            Some(format!(
                "{}: {}",
                about(site, turned),
                bad_end(site, turned)?
            ))
        })
        .collect();
    let fresh = site.fresh_host()?;
    for conversation in 0..conversations {
        let turns: Vec<&Turned> = all
            .iter()
            .filter(|turned| turned.conversation == conversation)
            .collect();
        let name = session(conversation);
        let record = site.ask(|database| database.record(&name));
        let judged = record.and_then(|record| items(&record));
        match judged {
            Ok(items) => {
                for problem in bad_record(site, &turns, &items) {
                    problems.push(format!("{name}: {problem}"));
                }
            }
            Err(error) => problems.push(format!("{name}: {error:#}")),
        }
        problems.extend(bad_history(&fresh, &name, &turns));
    }
    fresh.close()?;
    let noted = site.ask(FleetDatabase::check_notes);
    problems.extend(noted.err().map(|error| format!("{error:#}")));
    Ok(problems)
}

fn about(site: &Site, turned: &Turned) -> String {
    let host = site.hosts.get(turned.host);
    let (name, transport) = host.map_or(("", ""), |host| (&host.process.name, host.transport));
    let fault = turned.fault(&site.strikes());
    format!(
        "turn {} of conversation {} on host {name} ({transport}), {fault:?}",
        turned.number, turned.conversation
    )
}

/// What is wrong with how it ended.
fn bad_end(site: &Site, turned: &Turned) -> Option<String> {
    let is_struck = turned.fault(&site.strikes()).is_some();
    match &turned.end {
        End::Complete(text) => {
            let expected = turned.prompt.answers.concat();
            (*text != expected).then(|| format!("it said {text:?} and not {expected:?}"))
        }
        End::Failed(failure) => {
            let is_allowed = MAY_FAIL.contains(&failure.kind) && failure.retryable;
            (!is_allowed || !is_struck).then(|| format!("it failed with {failure:?}"))
        }
        End::HostGone => (!is_struck).then(|| "its host has ended".to_owned()),
        End::Never => Some("it has no end".to_owned()),
    }
}

/// What is wrong with what a record has of these turns.
fn bad_record(site: &Site, turns: &[&Turned], items: &[Item]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut places: Vec<Option<usize>> = Vec::new();
    for turned in turns {
        let word = &turned.prompt.word;
        let is_its = |item: &Item| matches!(item, Item::Prompt(text) if text.contains(word));
        let found: Vec<usize> = (0..items.len())
            .filter(|place| items.get(*place).is_some_and(is_its))
            .collect();
        places.push(found.first().copied());
        let begins = match found.as_slice() {
            [] if turned.is_complete() => {
                problems.push(format!(
                    "{}: it was told complete and is not there",
                    about(site, turned)
                ));
                continue;
            }
            [] => continue,
            [place] => *place,
            more => {
                problems.push(format!(
                    "{}: it is there {} times",
                    about(site, turned),
                    more.len()
                ));
                continue;
            }
        };
        if turned.is_complete() {
            let after = items.get(begins + 1..).unwrap_or_default();
            let ends = after
                .iter()
                .position(|item| matches!(item, Item::Prompt(_)));
            let own = after.get(..ends.unwrap_or(after.len())).unwrap_or_default();
            if let Some(lacks) = lacks(turned, own) {
                problems.push(format!(
                    "{}: it was told complete, and {lacks}: {own:?}",
                    about(site, turned)
                ));
            }
        }
    }
    for (turned, place) in turns.iter().zip(&places) {
        for (other, later) in turns.iter().zip(&places) {
            let is_later = turned.ended < other.begun;
            if let (true, Some(place), Some(later)) = (is_later, place, later)
                && later <= place
            {
                problems.push(format!(
                    "turn {} came after turn {} had ended, and stands before it",
                    other.number, turned.number
                ));
            }
        }
    }
    problems
}

/// What these items of a complete turn lack.
fn lacks(turned: &Turned, items: &[Item]) -> Option<String> {
    let answers = items.iter().filter_map(|item| match item {
        Item::Answer(text) => Some(text),
        _ => None,
    });
    let is_printed = |printed: &String| {
        let has = |item: &Item| matches!(item, Item::Output(text) if text.contains(printed));
        items.iter().filter(|item| has(item)).count() == 1
    };
    let prompt = &turned.prompt;
    if !answers.eq(&prompt.answers) {
        return Some(format!("its answers are not {:?}", prompt.answers));
    }
    let printed = prompt.printed.as_ref();
    let lost = printed.filter(|printed| !is_printed(printed))?;
    Some(format!("its tool did not print {lost}, once"))
}

/// Reads a record.
fn items(record: &[u8]) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let mut last_ordinal = None;
    for line in std::str::from_utf8(record)?.lines() {
        // Codex 0.135 goes on in a line that was torn when it was killed.
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if let Some(ordinal) = line.get("ordinal").and_then(Value::as_u64) {
            anyhow::ensure!(
                last_ordinal < Some(ordinal),
                "the ordinal {ordinal} comes after {last_ordinal:?}"
            );
            last_ordinal = Some(ordinal);
        }
        if line.get("type").and_then(Value::as_str) != Some("response_item") {
            continue;
        }
        let payload = line.get("payload").context("an item has a payload")?;
        let of = |name: &str| {
            payload
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        match (of("type"), of("role")) {
            ("message", "user") => items.push(Item::Prompt(words(payload))),
            ("message", "assistant") => items.push(Item::Answer(words(payload))),
            (kind, _) if kind.ends_with("_output") => items.push(Item::Output(payload.to_string())),
            _ => {}
        }
    }
    Ok(items)
}

fn words(message: &Value) -> String {
    let content = message.get("content").and_then(Value::as_array);
    let texts = content.into_iter().flatten();
    texts
        .filter_map(|part| part.get("text").and_then(Value::as_str))
        .collect()
}

/// What is wrong with what codex itself makes of the record on another host.
fn bad_history(fresh: &FleetProcess, session: &str, turns: &[&Turned]) -> Option<String> {
    let said = fresh.turn(session, "mock:history");
    if let Some(failure) = said.failure() {
        return Some(format!("{session}: a fresh host cannot go on: {failure:?}"));
    }
    let Ok(history) = serde_json::from_str::<Vec<String>>(&said.text()) else {
        return Some(format!("{session}: a fresh host says {said:?}"));
    };
    let is_lost = |turned: &&&Turned| {
        let word = &turned.prompt.word;
        let known = history
            .iter()
            .filter(|prompt| prompt.contains(word))
            .count();
        turned.is_complete() && known != 1
    };
    let lost: Vec<usize> = turns
        .iter()
        .filter(is_lost)
        .map(|turned| turned.number)
        .collect();
    (!lost.is_empty())
        .then(|| format!("{session}: codex on a fresh host does not know turns {lost:?} once"))
}
