//! The `audit` and `explain` commands, as an operator uses them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use plexum_openai_provider::{COMPONENT, SESSION_FILE, SessionFiles, SessionKey};
use plexum_openai_provider_tests::json_schema::violations;
use plexum_openai_provider_tests::workspace::{Workspace, program};
use serde_json::{Value, json};
use wasm_encoder::{
    ComponentImportSection, ComponentSection, ComponentTypeRef, ComponentTypeSection,
    ComponentValType, InstanceType, PrimitiveValType,
};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/audit.txt");
const IMPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/component-imports.txt");
const SCHEMA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../host-shim/schemas/audit.schema.json"
);
const FLAGS: [&str; 4] = [
    "exec",
    "--skip-git-repo-check",
    "--dangerously-bypass-approvals-and-sandbox",
    "--json",
];
const ID: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";
const CLOCK: &str = "wasi:clocks/monotonic-clock@0.2.0";

struct Output {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

/// Runs a command of the program under this workspace's configuration, with a secret around that
/// must never be seen.
fn run<S: AsRef<OsStr>>(
    workspace: &Workspace,
    command: &str,
    args: impl IntoIterator<Item = S>,
) -> Output {
    let output = Command::new(program())
        .args([OsStr::new(command), OsStr::new("--config")])
        .arg(workspace.config())
        .args(args)
        .env("OPENAI_API_KEY", "sk-planted")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains("sk-planted"), "{text}");
        text
    };
    Output {
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        code: output.status.code(),
    }
}

/// A workspace whose codex would leave a trace if it were run.
fn workspace() -> Workspace {
    let workspace = Workspace::new(Path::new("/nowhere")).unwrap();
    let codex = workspace.outside("codex");
    std::fs::write(&codex, "#!/bin/sh\ntouch \"$0.was-run\"\n").unwrap();
    std::fs::set_permissions(&codex, PermissionsExt::from_mode(0o755)).unwrap();
    let codex = codex.canonicalize().unwrap();
    workspace.configure(&json!({ "binary": codex })).unwrap();
    workspace
}

fn file(workspace: &Workspace, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = workspace.outside(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// The built-in component with one more import.
fn with_a_clock() -> Vec<u8> {
    let mut validator = wasmparser::Validator::new();
    // The type that the import refers to is counted on from those of the component.
    let mut types = 0;
    for payload in wasmparser::Parser::new(0).parse_all(COMPONENT) {
        let payload = payload.unwrap();
        if let wasmparser::Payload::End(_) = payload {
            types = validator.types(0).unwrap().component_type_count();
        }
        validator.payload(&payload).unwrap();
    }
    let mut clock = InstanceType::new();
    clock
        .ty()
        .function()
        .params::<[(&str, ComponentValType); 0], ComponentValType>([])
        .result(Some(ComponentValType::Primitive(PrimitiveValType::U64)));
    clock.export("now", ComponentTypeRef::Func(0));
    let mut type_section = ComponentTypeSection::new();
    type_section.instance(&clock);
    let mut imports = ComponentImportSection::new();
    imports.import(CLOCK, ComponentTypeRef::Instance(types));
    let mut bytes = COMPONENT.to_vec();
    type_section.append_to_component(&mut bytes);
    imports.append_to_component(&mut bytes);
    bytes
}

#[test]
fn the_text_fits_on_a_screen_and_is_the_golden_one() {
    let workspace = workspace();
    let Output { stdout, code, .. } = run(&workspace, "audit", [] as [&str; 0]);
    assert_eq!(code, Some(0));
    let lines = stdout.lines().count();
    let widest = stdout.lines().map(|line| line.chars().count()).max();
    assert!(
        lines <= 54 && widest <= Some(110),
        "{lines} lines\n{stdout}"
    );

    // What differs between machines and from one version to the next.
    let audit: Value = serde_json::from_str(&run(&workspace, "audit", ["--json"]).stdout).unwrap();
    let (component, file) = (&audit["component"], &audit["program"]["file"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut varying = vec![
        (text(&component["sha256"]), "<component sha256>"),
        (text(&file["sha256"]), "<program sha256>"),
        (text(&file["path"]), "<program>"),
        (text(&file["modified"]), "<time>"),
        (format!("{} bytes", component["size"]), "<size>"),
    ];
    let owner = match file["owner"].as_u64().unwrap() {
        0 => "owner root".to_owned(),
        owner => format!("owner user {owner}"),
    };
    varying.push((owner, "owner <owner>"));
    for producer in component["producers"].as_array().unwrap() {
        varying.push((text(&producer["version"]), "<version>"));
    }
    let found = varying.iter().fold(stdout, |text, (value, placeholder)| {
        text.replace(value.as_str(), placeholder)
    });
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(GOLDEN, &found).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    assert_eq!(
        found, golden,
        "if this is what is wanted, run the test again with BLESS=1"
    );
    assert!(!workspace.outside("codex.was-run").exists());
}

#[test]
fn the_json_is_what_the_schema_says() {
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(SCHEMA).unwrap()).unwrap();
    let workspace = workspace();
    let clock = file(&workspace, "clock.wasm", with_a_clock());
    let empty = file(&workspace, "empty.wasm", b"\0asm\x0d\0\x01\0");
    let check = |args: &[&OsStr]| {
        let args = args.iter().copied().chain([OsStr::new("--json")]);
        let printed = run(&workspace, "audit", args).stdout;
        let audit: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(violations(&audit, &schema), [] as [String; 0]);
        audit
    };
    check(&[]);
    let audit = check(&[clock.as_os_str()]);
    assert_eq!(audit["verdict"], "outside_the_grant");
    let audit = check(&[empty.as_os_str()]);
    assert_eq!(audit["verdict"], "not_this_world");
    workspace
        .configure(&json!({ "binary": "/nowhere/codex", "extra_args": ["-c", "a=1"] }))
        .unwrap();
    let audit = check(&[]);
    let problem = audit["program"]["problem"].as_str().unwrap();
    assert!(problem.contains("npm install"), "{problem}");
    assert_eq!(audit["arguments"][6]["words"], json!(["-c", "a=1"]));
}

#[test]
fn one_more_import_is_outside_the_grant_and_fails_the_check() {
    let workspace = workspace();
    let clock = file(&workspace, "clock.wasm", with_a_clock());
    let golden = OsStr::new(IMPORTS);
    let check = OsStr::new("--check");

    let same = run(&workspace, "audit", [check, golden]);
    assert_eq!((same.code, same.stderr.as_str()), (Some(0), ""));

    let more = run(&workspace, "audit", [clock.as_os_str(), check, golden]);
    assert_eq!(more.code, Some(1));
    assert!(
        more.stderr.contains(&format!("\n+ import {CLOCK}\n")),
        "{}",
        more.stderr
    );
    assert!(more.stdout.contains("wants more than the grant"));
    assert!(
        more.stdout
            .contains("not granted: nothing of WASI is in the grant")
    );

    // Whoever wrote the import down still does not grant it.
    let json = run(
        &workspace,
        "audit",
        [clock.as_os_str(), OsStr::new("--json")],
    );
    assert_eq!(json.code, Some(1));
    let known = file(&workspace, "known.json", json.stdout);
    let known = run(
        &workspace,
        "audit",
        [clock.as_os_str(), check, known.as_os_str()],
    );
    assert_eq!((known.code, known.stderr.as_str()), (Some(1), ""));

    // Fewer are a difference too, and a list of imports alone says nothing about exports.
    let fewer = file(&workspace, "more.txt", format!("# all\nimport {CLOCK}\n"));
    let fewer = run(&workspace, "audit", [check, fewer.as_os_str()]);
    assert_eq!(fewer.code, Some(1));
    assert!(fewer.stderr.contains(&format!("\n- import {CLOCK}\n")));
    assert!(!fewer.stderr.contains("export"), "{}", fewer.stderr);
}

#[test]
fn what_cannot_be_read_and_what_is_not_a_provider_have_their_own_codes() {
    let workspace = workspace();
    let audit = |args: &[&Path]| {
        let Output { stderr, code, .. } = run(&workspace, "audit", args);
        (code, stderr)
    };
    let (code, stderr) = audit(&[Path::new("/nowhere/x.wasm")]);
    assert!(
        code == Some(2) && stderr.contains("/nowhere/x.wasm"),
        "{stderr}"
    );
    let (code, stderr) = audit(&[Path::new("--check"), Path::new("/nowhere/golden")]);
    assert!(
        code == Some(2) && stderr.contains("/nowhere/golden"),
        "{stderr}"
    );
    let odd = file(&workspace, "odd.txt", "import a\nodd\n");
    let (code, stderr) = audit(&[Path::new("--check"), &odd]);
    assert!(code == Some(2) && stderr.contains("line 2"), "{stderr}");

    let module = file(&workspace, "module.wasm", b"\0asm\x01\0\0\0");
    let (code, stderr) = audit(&[&module]);
    assert!(
        code == Some(3) && stderr.contains("core module"),
        "{stderr}"
    );
    let text = file(&workspace, "text.wasm", "hello");
    assert_eq!(audit(&[&text]).0, Some(3));
    let empty = file(&workspace, "empty.wasm", b"\0asm\x0d\0\x01\0");
    let output = run(&workspace, "audit", [&empty]);
    assert_eq!(output.code, Some(3));
    let words: Vec<&str> = output.stdout.split_whitespace().collect();
    assert!(
        words
            .join(" ")
            .contains("does not export plexum:provider/turns@0.1.0")
    );

    workspace.configure(&json!({ "extra_arg": [] })).unwrap();
    let (code, stderr) = audit(&[]);
    assert!(
        code == Some(2) && stderr.contains("did you mean `extra_args`"),
        "{stderr}"
    );
}

#[test]
fn there_is_a_manifest_only_for_a_component_within_the_grant() {
    let workspace = workspace();
    let written = workspace.outside("written.wasm");
    let program = |command: &str, argument: &Path| {
        let output = Command::new(program()).arg(command).arg(argument).output();
        let output = output.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    assert_eq!(program("component", &written).0, Some(0));
    assert_eq!(std::fs::read(&written).unwrap(), COMPONENT);
    let (code, manifest, _) = program("manifest", &written);
    assert_eq!(code, Some(0));
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let audit: Value = serde_json::from_str(&run(&workspace, "audit", ["--json"]).stdout).unwrap();
    assert_eq!(manifest["sha256"], audit["component"]["sha256"]);
    assert_eq!(manifest["world"], audit["component"]["world"]["name"]);

    let clock = file(&workspace, "clock.wasm", with_a_clock());
    let module = file(&workspace, "module.wasm", b"\0asm\x01\0\0\0");
    for (path, expected, said) in [
        (&clock, 1, CLOCK),
        (&module, 3, "it is a core module"),
        (&workspace.outside("gone"), 2, "cannot be read"),
    ] {
        let (code, stdout, stderr) = program("manifest", path);
        assert_eq!((code, stdout.as_str()), (Some(expected), ""), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
}

#[test]
fn a_program_that_others_may_change_is_a_warning() {
    let workspace = workspace();
    let codex = workspace.outside("codex");
    std::fs::set_permissions(&codex, PermissionsExt::from_mode(0o777)).unwrap();
    let Output { stdout, code, .. } = run(&workspace, "audit", [] as [&str; 0]);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("warning: everybody may change"), "{stdout}");
}

#[test]
fn a_diff_shows_what_one_component_may_do_more_than_another() {
    let workspace = workspace();
    let clock = file(&workspace, "clock.wasm", with_a_clock());
    let same = file(&workspace, "same.wasm", COMPONENT);
    let other = file(&workspace, "other.wasm", {
        // An empty custom section: other bytes, the same capabilities.
        let mut bytes = COMPONENT.to_vec();
        bytes.extend([0, 2, 1, b'x']);
        bytes
    });
    let diff = |args: &[&Path]| {
        let Output { stdout, code, .. } = run(&workspace, "audit", args);
        (code, stdout)
    };
    let (code, stdout) = diff(&[&clock, Path::new("--diff"), &same]);
    assert_eq!(code, Some(1));
    let mut lines = stdout.lines();
    assert!(lines.next().unwrap().starts_with("- sha256 "));
    assert!(lines.next().unwrap().starts_with("+ sha256 "));
    assert_eq!(lines.collect::<Vec<_>>(), [format!("+ import {CLOCK}")]);

    let (code, stdout) = diff(&[Path::new("--diff"), &clock]);
    assert!(
        code == Some(1) && stdout.ends_with(&format!("\n- import {CLOCK}\n")),
        "{stdout}"
    );
    let (code, stdout) = diff(&[Path::new("--diff"), &other]);
    assert!(
        code == Some(0) && stdout.contains("are the same"),
        "{stdout}"
    );
    let (code, stdout) = diff(&[Path::new("--diff"), &same]);
    assert_eq!(
        (code, stdout.as_str()),
        (Some(0), "the components are the same, byte for byte\n")
    );
}

fn explain(workspace: &Workspace, args: &[&str]) -> Output {
    explain_of(workspace, &["--images", "1"], args)
}

/// The same, of a call in a turn whose request is as these options say.
fn explain_of(workspace: &Workspace, options: &[&str], args: &[&str]) -> Output {
    let workspace_option = [OsStr::new("--workspace"), workspace.path().as_os_str()];
    let options = options.iter().map(OsStr::new).chain(workspace_option);
    let args = args.iter().map(OsStr::new);
    let words = options.chain([OsStr::new("--")]).chain(args);
    run(workspace, "explain", words)
}

#[test]
fn an_allowed_call_is_explained_word_by_word() {
    let workspace = workspace();
    std::fs::write(workspace.path().join(SESSION_FILE), ID).unwrap();
    let mut args = FLAGS.to_vec();
    args.splice(1..1, ["resume", ID]);
    args.extend(["-i", "image:0", "--", "--help"]);
    let output = explain(&workspace, &args);
    assert_eq!(
        output.stdout,
        " 1  exec                                        ok: the only command
 2  resume                                      ok: resumes a conversation
 3  01a203e6-c71a-7d50-bfec-754792f3dc4b        ok: the thread that this workspace's session holds
 4  --skip-git-repo-check                       ok: in every call
 5  --dangerously-bypass-approvals-and-sandbox  ok: the configured `sandbox`
 6  --json                                      ok: in every call
 7  -i                                          ok: hands over an image
 8  image:0                                     ok: image 0 of the request; codex gets the path of the host's copy
 9  --                                          ok: ends the options
10  --help                                      ok: the prompt, which is free
allowed
"
    );
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    assert!(!workspace.outside("codex.was-run").exists());
}

#[test]
fn a_refused_call_is_explained_with_what_would_allow_it() {
    let workspace = workspace();
    let with = |words: &[&'static str]| [&FLAGS, words].concat();
    let mut resume = FLAGS.to_vec();
    resume.splice(1..1, ["resume", ID]);
    resume.extend(["--", "x"]);
    for (args, position, expected) in [
        (vec!["login"], 1, "only `exec` is granted"),
        (
            vec!["exec", "-C", "/", "--", "x"],
            2,
            "\n 3  /     not looked at\n",
        ),
        (
            resume,
            3,
            "only the thread that this workspace's session holds",
        ),
        (
            with(&["-c", "a=1", "--", "x"]),
            5,
            "would be allowed with this in config.json: \"extra_args\": [\"-c\",\"a=1\"]\n",
        ),
        (
            with(&["--model", "m", "--", "x"]),
            5,
            "would be allowed with this in config.json: \"supported_models\": [\"codex\",\"m\"]\n",
        ),
        (
            vec![
                "exec",
                "--skip-git-repo-check",
                "-c",
                "sandbox_mode=\"read-only\"",
                "--json",
                "--",
                "-",
            ],
            3,
            "would be allowed with this in config.json: \"sandbox\": \"read-only\"\n",
        ),
    ] {
        let Output { stdout, code, .. } = explain(&workspace, &args);
        assert_eq!(code, Some(1), "{stdout}");
        assert!(
            stdout.contains(&format!("\nrefused at argument {position}: "))
                && stdout.contains(expected),
            "{stdout}"
        );
    }
    assert!(!workspace.outside("codex.was-run").exists());
}

#[test]
fn parts_of_the_request_are_allowed_where_it_holds_them() {
    const PARTS: [&str; 6] = [
        "-c",
        "developer_instructions=request:instructions",
        "-c",
        "model_reasoning_effort=request:effort",
        "--output-schema",
        "request:output-schema",
    ];
    let workspace = workspace();
    let call = [&FLAGS[..], &PARTS, &["--", "x"]].concat();
    let all = ["--instructions", "--effort", "--output-schema"];
    let Output { stdout, code, .. } = explain_of(&workspace, &all, &call);
    assert_eq!(code, Some(0), "{stdout}");
    let parts: Vec<&str> = stdout.lines().skip(FLAGS.len()).take(PARTS.len()).collect();
    assert_eq!(
        parts,
        [
            " 5  -c                                           ok: hands over the request's instructions",
            " 6  developer_instructions=request:instructions  ok: the request's instructions; codex gets the text, quoted",
            " 7  -c                                           ok: hands over the request's effort",
            " 8  model_reasoning_effort=request:effort        ok: the request's effort; codex gets the text, quoted",
            " 9  --output-schema                              ok: hands over the request's output schema",
            "10  request:output-schema                        ok: the request's output schema; codex gets the path of the host's copy",
        ]
    );

    // Where one of them is missing, what stands before it is no part of the request either.
    for missing in 0..all.len() {
        let mut options = all.to_vec();
        options.remove(missing);
        let Output { stdout, code, .. } = explain_of(&workspace, &options, &call);
        assert_eq!(code, Some(1), "{stdout}");
        let refused = "\nrefused at argument 5: ";
        assert!(
            stdout.contains(refused),
            "without {}: {stdout}",
            all[missing]
        );
    }
    // And so is a value of the component's own, whatever the request holds.
    let own = [&FLAGS[..], &["-c", "developer_instructions=x", "--", "x"]].concat();
    assert_eq!(explain_of(&workspace, &all, &own).code, Some(1));
    // Where the operator has the instructions left out, nothing can be put in their place.
    let codex = workspace.outside("codex").canonicalize().unwrap();
    workspace
        .configure(&json!({ "binary": codex, "instructions": "ignore" }))
        .unwrap();
    assert_eq!(explain_of(&workspace, &all, &call).code, Some(1));
    assert!(!workspace.outside("codex.was-run").exists());
}

#[test]
fn a_conversation_with_a_name_has_a_thread_of_its_own() {
    let workspace = workspace();
    let key = SessionKey::new(workspace.path(), Some("review".to_owned()));
    std::fs::write(SessionFiles::session_file(&key), ID).unwrap();
    let mut call = FLAGS.to_vec();
    call.splice(1..1, ["resume", ID]);
    call.extend(["--", "x"]);
    for (options, expected) in [
        (&["--session", "review"][..], Some(0)),
        (&["--session", "another"], Some(1)),
        (&[], Some(1)),
    ] {
        let Output { stdout, code, .. } = explain_of(&workspace, options, &call);
        assert_eq!(code, expected, "{options:?}: {stdout}");
    }
}
