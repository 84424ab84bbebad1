//! The tools among the items of `codex app-server`, brought into the form in which `codex exec` writes them: a caller sees
//! the same calls and answers over both.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::bindings::turns::ToolKind;
use crate::json::Json;
use crate::transport::tool::ToolItem;

/// The members with other names, and those.
const RENAMED: [(&str, &str); 4] = [
    ("aggregatedOutput", "aggregated_output"),
    ("exitCode", "exit_code"),
    ("receiverThreadIds", "receiver_thread_ids"),
    ("agentsStates", "agents_states"),
];

/// The kind of tool that items of this type are; nothing for those that are not tools.
pub fn kind(item_type: &str) -> Option<ToolKind> {
    Some(match item_type {
        "commandExecution" => ToolKind::Command,
        "fileChange" => ToolKind::FileChange,
        "mcpToolCall" => ToolKind::McpCall,
        "webSearch" => ToolKind::WebSearch,
        "collabAgentToolCall" => ToolKind::Agent,
        "dynamicToolCall" => ToolKind::Other,
        _ => return None,
    })
}

/// The tool of that kind that this item is; `name` is its type. It is as `codex exec` writes it. What only
/// `codex app-server` says, such as the diff of a change, stays.
pub fn read<'a>(kind: ToolKind, name: Cow<'a, str>, item: Json<'a>) -> ToolItem<'a> {
    ToolItem::new(kind, name, as_exec_writes(kind, item)).called_as(call_as_exec_writes)
}

fn as_exec_writes(kind: ToolKind, mut item: Json<'_>) -> Json<'_> {
    if let Json::Object(members) = &mut item {
        for (key, value) in members {
            if let Some((_, name)) = RENAMED.iter().find(|(renamed, _)| *renamed == key) {
                *key = Cow::Borrowed(name);
            }
            match (kind, &**key) {
                (ToolKind::Agent, "tool") => in_snake_case(value),
                (ToolKind::Agent, "agents_states") => rewrite(value, |states| {
                    each_value(states, |state| member(state, "status", in_snake_case));
                }),
                (ToolKind::McpCall, "result") => rewrite(value, |result| {
                    rename(result, "structuredContent", "structured_content");
                    if result.get("_meta").is_none() {
                        remove(result, "_meta");
                    }
                }),
                _ => {}
            }
        }
    }
    item
}

/// The part that only a tool that begins needs: a change may be long.
fn call_as_exec_writes(kind: ToolKind, item: &mut Json<'_>) {
    match kind {
        ToolKind::FileChange => member(item, "changes", |changes| {
            rewrite(changes, |changes| each_value(changes, kind_is_a_word));
        }),
        ToolKind::WebSearch => member(item, "action", |action| {
            rewrite(action, |action| {
                without_nulls(action);
                member(action, "type", in_snake_case);
            });
        }),
        _ => {}
    }
}

/// Changes a value that may have been kept as it was written.
fn rewrite(value: &mut Json<'_>, change: impl FnOnce(&mut Json<'_>)) {
    let mut opened = value.opened().into_owned();
    change(&mut opened);
    *value = opened;
}

/// The kind of a change is an object, with more than the word for some: `{"type":"update","move_path":"…"}`.
fn kind_is_a_word(change: &mut Json<'_>) {
    let moved_to = change.get("kind").and_then(|kind| kind.get("move_path"));
    let moved_to = moved_to.cloned();
    member(change, "kind", |kind| {
        if let Some(word) = kind.take("type") {
            *kind = word;
        }
    });
    if let (Json::Object(members), Some(path)) = (change, moved_to) {
        members.push((Cow::Borrowed("move_path"), path));
    }
}

fn in_snake_case(value: &mut Json<'_>) {
    let Json::Text(text) = value else { return };
    if !text.contains(|letter: char| letter.is_ascii_uppercase()) {
        return;
    }
    let mut words = String::with_capacity(text.len() + 2);
    for letter in text.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
    }
    *text = Cow::Owned(words);
}

fn each_value<'a>(value: &mut Json<'a>, mut change: impl FnMut(&mut Json<'a>)) {
    match value {
        Json::Array(items) => items.iter_mut().for_each(change),
        Json::Object(members) => members.iter_mut().for_each(|(_, value)| change(value)),
        _ => {}
    }
}

fn member<'a>(value: &mut Json<'a>, name: &str, change: impl FnOnce(&mut Json<'a>)) {
    if let Json::Object(members) = value
        && let Some((_, value)) = members.iter_mut().find(|(key, _)| key == name)
    {
        change(value);
    }
}

fn rename(value: &mut Json<'_>, name: &str, new: &'static str) {
    if let Json::Object(members) = value
        && let Some((key, _)) = members.iter_mut().find(|(key, _)| key == name)
    {
        *key = Cow::Borrowed(new);
    }
}

fn remove(value: &mut Json<'_>, name: &str) {
    if let Json::Object(members) = value {
        members.retain(|(key, _)| key != name);
    }
}

fn without_nulls(value: &mut Json<'_>) {
    if let Json::Object(members) = value {
        members.retain(|(_, value)| !matches!(value, Json::Null));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Tool as _;

    fn tool(item: &str) -> ToolItem<'_> {
        let mut item = Json::parse(item).unwrap();
        let name = item.take_text("type").unwrap();
        read(kind(&name).unwrap(), name, item)
    }

    /// The title, the input and the output.
    fn shown(item: &str) -> [String; 3] {
        let mut tool = tool(item);
        let call = tool.call();
        [call.title, call.input, tool.output().unwrap_or_default()]
    }

    #[test]
    fn a_command_gives_its_output_and_its_exit_code() {
        let item = r#"{"type":"commandExecution","id":"c","command":"ls","aggregatedOutput":"a\n","exitCode":3,"status":"failed"}"#;
        assert_eq!(shown(item), ["ls", r#"{"command":"ls"}"#, "a\n"]);
        assert_eq!((tool(item).id(), tool(item).exit_code()), ("c", Some(3)));
    }

    #[test]
    fn a_file_change_keeps_its_diff_and_says_its_kind_in_a_word() {
        let item = r#"{"type":"fileChange","changes":[{"path":"/w/a","kind":{"type":"add"},"diff":"x\n"},{"path":"/w/b","kind":{"type":"update","move_path":"/w/c"},"diff":"@@"},{"path":"/w/d","kind":{"type":"update","move_path":null},"diff":""}]}"#;
        let [title, input, _] = shown(item);
        assert_eq!(title, "add /w/a, update /w/b, update /w/d");
        assert_eq!(
            input,
            r#"{"changes":[{"path":"/w/a","kind":"add","diff":"x\n"},{"path":"/w/b","kind":"update","diff":"@@","move_path":"/w/c"},{"path":"/w/d","kind":"update","diff":""}]}"#
        );
    }

    #[test]
    fn a_web_search_says_what_it_did() {
        let item = r#"{"type":"webSearch","query":"q","action":{"type":"openPage","url":"u","queries":null}}"#;
        assert_eq!(
            shown(item),
            [
                "q",
                r#"{"query":"q","action":{"type":"open_page","url":"u"}}"#,
                ""
            ]
        );
    }

    #[test]
    fn a_sub_agent_is_a_tool_by_the_names_of_exec() {
        let item = r#"{"type":"collabAgentToolCall","tool":"spawnAgent","receiverThreadIds":["t"],"prompt":"hi","agentsStates":{"t":{"status":"pendingInit","message":null}}}"#;
        assert_eq!(
            shown(item),
            [
                "spawn_agent",
                r#"{"prompt":"hi","receiver_thread_ids":["t"]}"#,
                r#"{"t":{"status":"pending_init","message":null}}"#
            ]
        );
    }

    #[test]
    fn an_mcp_tool_keeps_what_it_was_called_with_and_what_it_answered() {
        let item = r#"{"type":"mcpToolCall","server":"s","tool":"spawnIt","arguments":{"aB":null},"result":{"content":[{"image":"x"}],"structuredContent":{"aB":null},"_meta":null}}"#;
        assert_eq!(
            shown(item),
            [
                "s.spawnIt",
                r#"{"aB":null}"#,
                r#"{"content":[{"image":"x"}],"structured_content":{"aB":null}}"#
            ]
        );
    }

    #[test]
    fn what_has_another_shape_stays() {
        for (item, input, output) in [
            (
                r#"{"type":"fileChange","changes":7}"#,
                r#"{"changes":7}"#,
                "",
            ),
            (
                r#"{"type":"fileChange","changes":[7,{"kind":"add"},{"kind":{}}]}"#,
                r#"{"changes":[7,{"kind":"add"},{"kind":{}}]}"#,
                "",
            ),
            (
                r#"{"type":"webSearch","action":"x"}"#,
                r#"{"action":"x"}"#,
                "",
            ),
            (
                r#"{"type":"collabAgentToolCall","tool":7,"agentsStates":[7]}"#,
                "{}",
                "[7]",
            ),
            (r#"{"type":"mcpToolCall","result":"x"}"#, "{}", r#""x""#),
        ] {
            let [_, shown_input, shown_output] = shown(item);
            assert_eq!((&*shown_input, &*shown_output), (input, output), "{item}");
        }
    }
}
