//! Calls of codex that the configuration does not allow: refused before a process exists.

use plexum_openai_provider::{FailureKind, GuestLimits, Request, StopReason};

use crate::bench::{Bench, FLAGS, allowed, deed, exec, finish, workspace};

const INSTRUCTIONS: [&str; 2] = ["-c", "developer_instructions=request:instructions"];
const EFFORT: [&str; 2] = ["-c", "model_reasoning_effort=request:effort"];
const SCHEMA: [&str; 2] = ["--output-schema", "request:output-schema"];

const FOREIGN: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";

/// Arguments, and what the refusal must name.
fn cases() -> Vec<(Vec<&'static str>, &'static str)> {
    let tail = ["--", "hello"];
    let resumed = |id: &'static str| exec(&["resume", id], &FLAGS, &tail);
    let before = |words: &[&'static str]| exec(words, &FLAGS, &tail);
    let after = |words: &[&'static str]| exec(&[], &FLAGS, &[words, &tail].concat());
    let one = "argument 1 ";
    vec![
        // Other program words.
        // A prompt cannot express an empty list: this is one empty word.
        (vec![], one),
        (vec!["sh", "-c", "id"], one),
        (vec!["login", "--api-key", "x"], one),
        (vec!["mcp", "add", "x", "--", "sh"], one),
        (vec!["app-server"], one),
        (vec!["EXEC"], one),
        (vec!["exec "], one),
        (vec!["-c", "a=1", "exec", "--", "hello"], one),
        (vec!["exec"], "argument 2 "),
        (vec!["exec", "review", "--", "hello"], "argument 2 "),
        // Options that the configuration does not have.
        (before(&["-c", "sandbox_mode=\"x\""]), "argument 2 "),
        (after(&["-c", "sandbox_mode=\"x\""]), "`model_args`"),
        (after(&["--config=a=1"]), "`model_args`"),
        (before(&["--add-dir", "/"]), "argument 2 "),
        (after(&["--add-dir", "/"]), "`model_args`"),
        (before(&["-C", "/"]), "argument 2 "),
        (after(&["-C", "/"]), "`model_args`"),
        (after(&["--cd=/"]), "`model_args`"),
        (after(&["--output-last-message", "/tmp/x"]), "`model_args`"),
        (after(&["-o", "/tmp/x"]), "`model_args`"),
        (after(&["--profile", "x"]), "`model_args`"),
        (after(&["--oss"]), "`model_args`"),
        (after(&["-i", "/etc/passwd"]), "images"),
        (after(&["-i", "image:0"]), "images"),
        // Parts of a request that holds none, and values of the component's own.
        (after(&INSTRUCTIONS), "what the request holds"),
        (after(&EFFORT), "what the request holds"),
        (after(&SCHEMA), "what the request holds"),
        (
            after(&["-c", "developer_instructions=\"obey\""]),
            "`model_args`",
        ),
        (
            after(&["-c", "model_reasoning_effort=\"high\""]),
            "`model_args`",
        ),
        (after(&["--output-schema", "/etc/passwd"]), "`model_args`"),
        (
            after(&["--output-schema=request:output-schema"]),
            "`model_args`",
        ),
        // An unknown model.
        (after(&["--model", "gpt-unknown"]), "`model_args`"),
        (after(&["-m", "gpt-unknown"]), "`model_args`"),
        // Fixed flags that are missing, in another order, or there twice.
        (exec(&[], &FLAGS[..2], &tail), "`--json`"),
        (
            exec(&[], &[FLAGS[2], FLAGS[0], FLAGS[1]], &tail),
            "argument 2 ",
        ),
        (exec(&FLAGS, &FLAGS, &tail), "`model_args`"),
        // What ends the options, where, and how often.
        (exec(&["--"], &FLAGS, &tail), "argument 2 "),
        (vec!["exec", "--", "hello"], "argument 2 "),
        (vec!["--", "exec", "hello"], one),
        (exec(&[], &FLAGS, &["hello"]), "`--`"),
        (exec(&[], &FLAGS, &["hello", "--"]), "`--`"),
        (
            exec(&[], &FLAGS, &["--", "-C", "/", "--", "x"]),
            "`model_args`",
        ),
        (exec(&[], &FLAGS, &["--", "hello", "more"]), "`model_args`"),
        (exec(&[], &FLAGS, &["--"]), "`--`"),
        // A prompt that codex would read from standard input, which nobody gave.
        (exec(&[], &FLAGS, &["--", "-"]), "standard input"),
        // Threads that are not this workspace's.
        (resumed(FOREIGN), "argument 3 "),
        (resumed("--last"), "argument 3 "),
        (resumed("--all"), "argument 3 "),
        (resumed(""), "argument 3 "),
        (resumed("../../../etc/passwd"), "argument 3 "),
        (
            resumed("01a203e6-c71a-7d50-bfec-754792f3dc4b\n"),
            "argument 3 ",
        ),
        (resumed("\n-C\n/"), "argument 3 "),
        (exec(&["resume"], &FLAGS, &tail), "argument 3 "),
        (exec(&["fork", FOREIGN], &FLAGS, &tail), "argument 2 "),
        // Characters that end a word for somebody.
        (
            exec(
                &[],
                &["--skip-git-repo-check\n-C", FLAGS[1], FLAGS[2]],
                &tail,
            ),
            "argument 2 ",
        ),
        (exec(&[], &FLAGS, &["--", "hello\0-C"]), "NUL"),
    ]
}

#[tokio::test]
async fn what_the_grant_does_not_hold_is_refused_before_a_process_exists() {
    let bench = Bench::new(GuestLimits::default());
    for (args, named) in cases() {
        let (told, calls) = bench.try_out(&workspace(), &deed("argv", &args)).await;
        assert_eq!(told.kind, Some(FailureKind::Denied), "{args:?}: {told:?}");
        assert!(told.message.contains(named), "{args:?}: {}", told.message);
        assert!(told.message.contains("grant"), "{args:?}: {}", told.message);
        assert_eq!(calls, 0, "{args:?}");
    }
}

#[tokio::test]
async fn what_the_grant_holds_runs() {
    let bench = Bench::new(GuestLimits::default());
    let (told, calls) = bench.try_out(&workspace(), &deed("argv", &allowed())).await;
    assert_eq!(told.stop_reason, StopReason::EndTurn, "{told:?}");
    assert_eq!(calls, 1);
    // A prompt may be anything.
    let args = exec(&[], &FLAGS, &["--", "--output-last-message=/tmp/x"]);
    let (told, calls) = bench.try_out(&workspace(), &deed("argv", &args)).await;
    assert_eq!(told.stop_reason, StopReason::EndTurn, "{told:?}");
    assert_eq!(calls, 1);
}

#[tokio::test]
async fn of_a_request_it_can_hand_over_what_is_there_and_nothing_else() {
    let bench = Bench::new(GuestLimits::default());
    let tail = ["--", "hello"];
    let after = |words: &[&'static str]| exec(&[], &FLAGS, &[words, &tail].concat());
    let request = |args: &[&str]| {
        let mut request = Request::prompt(deed("argv", args));
        request.instructions = Some("Be \"kind\".".into());
        request.options.effort = Some("low\" evil=\"x".into());
        request
    };
    let workspace = workspace();
    let told = finish(bench.start(&workspace, request(&after(&INSTRUCTIONS)))).await;
    assert_eq!(told.stop_reason, StopReason::EndTurn, "{told:?}");
    let argv = workspace.calls().unwrap().remove(0).argv;
    assert!(
        argv.contains(&"developer_instructions=\"\"\"Be \"kind\".\"\"\"".to_owned()),
        "{argv:?}"
    );
    for args in [
        // It cannot be an effort, so it is not handed over.
        after(&EFFORT),
        after(&SCHEMA),
        after(&[INSTRUCTIONS, INSTRUCTIONS].concat()),
        after(&["-c", "developer_instructions=request:instructions "]),
        after(&["-c", "base_instructions=request:instructions"]),
        exec(&INSTRUCTIONS, &FLAGS, &tail),
    ] {
        let told = finish(bench.start(&workspace, request(&args))).await;
        assert_eq!(told.kind, Some(FailureKind::Denied), "{args:?}: {told:?}");
        assert_eq!(workspace.calls().unwrap().len(), 1, "{args:?}");
    }
    // The prompt stays a prompt.
    let args = exec(
        &[],
        &FLAGS,
        &["--", "developer_instructions=request:instructions"],
    );
    let told = finish(bench.start(&workspace, request(&args))).await;
    assert_eq!(told.stop_reason, StopReason::EndTurn, "{told:?}");
    let argv = workspace.calls().unwrap().remove(1).argv;
    assert_eq!(
        argv.last().unwrap(),
        "developer_instructions=request:instructions"
    );
}

#[tokio::test]
async fn standard_input_goes_only_with_the_dash() {
    let bench = Bench::new(GuestLimits::default());
    let (told, calls) = bench
        .try_out(&workspace(), &deed("stdin", &allowed()))
        .await;
    assert_eq!((told.kind, calls), (Some(FailureKind::Denied), 0));
    assert!(told.message.contains("standard input"), "{told:?}");
}

#[tokio::test]
async fn too_many_and_too_long_arguments_are_refused() {
    let bench = Bench::new(GuestLimits::default());
    for (prompt, named) in [
        ("long-argument:200000", "131071 bytes"),
        ("long-argument:1048576", "1048576 bytes"),
        ("many-arguments:100000", "at most 4096"),
    ] {
        let (told, calls) = bench.try_out(&workspace(), prompt).await;
        assert_eq!(told.kind, Some(FailureKind::Denied), "{prompt}: {told:?}");
        assert!(told.message.contains(named), "{prompt}: {}", told.message);
        assert_eq!(calls, 0, "{prompt}");
    }
}
