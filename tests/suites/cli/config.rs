//! What is said of an operator's mistakes in the configuration, by the reader and by its published schema.
//!
//! `BLESS=1` rewrites the golden table's answers; read the diff before you commit it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy does not know a test's helpers as tests"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use plexum_openai_provider::{Config, ConfigError};
use plexum_openai_provider_tests::json_schema::violations;
use plexum_openai_provider_tests::workspace::{cache_home, program};
use serde_json::Value;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/config-mistakes.txt");

const SCHEMA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../host-shim/schemas/config.schema.json"
);

/// A case of the golden table.
struct Case {
    heading: String,
    file: String,
    said: String,
}

/// What stands before the first case, and the cases.
fn table(text: &str) -> (String, Vec<Case>) {
    let mut parts = text.split("## ");
    let introduction = parts.next().unwrap().to_owned();
    let cases = parts.map(|part| {
        let (heading, rest) = part.split_once('\n').unwrap();
        let (file, said) = rest
            .split_once("=>\n")
            .unwrap_or_else(|| panic!("{heading}: there is no line =>"));
        Case {
            heading: heading.to_owned(),
            file: file.strip_suffix('\n').unwrap_or(file).to_owned(),
            said: said.trim_end().to_owned(),
        }
    });
    (introduction, cases.collect())
}

/// The file's bytes: those in guillemets stand in hexadecimal.
fn bytes(file: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (position, part) in file.split(['«', '»']).enumerate() {
        if position % 2 == 0 {
            bytes.extend(part.as_bytes());
        } else {
            let hex = |byte| u8::from_str_radix(byte, 16).unwrap();
            bytes.extend(part.split(' ').map(hex));
        }
    }
    bytes
}

/// What the reader says of a file, without the file's name.
fn said_of(file: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, file).unwrap();
    match Config::read(&path) {
        Ok(_) => "accepted".into(),
        Err(error) => {
            assert!(matches!(error, ConfigError::Invalid { .. }), "{error:?}");
            let said = error.to_string();
            let prefix = format!("{}:", path.display());
            let lines = said.lines().map(|line| {
                line.strip_prefix(&prefix)
                    .unwrap_or_else(|| panic!("this line names no file: {line}"))
            });
            lines.collect::<Vec<_>>().join("\n")
        }
    }
}

/// What the published schema makes of a file, where it has a say.
fn said_by_schema(schema: &Value, file: &[u8], accepted: bool) -> &'static str {
    let Ok(value) = serde_json::from_slice(file) else {
        return "schema: not asked, this is not JSON";
    };
    match (violations(&value, schema).is_empty(), accepted) {
        (true, true) => "schema: accepts",
        (false, false) => "schema: refuses",
        (true, false) => "schema: cannot tell",
        (false, true) => panic!("the schema refuses what the reader takes: {value}"),
    }
}

#[test]
fn the_published_schema_is_the_one_that_the_program_prints() {
    let output = Command::new(program()).arg("schema").output().unwrap();
    assert!(output.status.success());
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(SCHEMA, &output.stdout).unwrap();
    }
    let published = std::fs::read_to_string(SCHEMA).unwrap();
    let published: Value = serde_json::from_str(&published).unwrap();
    assert_eq!(
        printed, published,
        "the types have changed: run the test again with BLESS=1"
    );
    // What an editor shows.
    let limits = &printed["$defs"]["Limits"]["properties"];
    for (name, shown) in limits.as_object().unwrap() {
        for keyword in ["description", "default", "minimum", "maximum"] {
            assert!(shown.get(keyword).is_some(), "{name} lacks its {keyword}");
        }
    }
    let defaults = serde_json::to_value(Config::default()).unwrap();
    for (name, shown) in printed["properties"].as_object().unwrap() {
        assert!(
            shown.get("description").is_some(),
            "{name} is not described"
        );
        let default = shown.get("default").unwrap_or(&Value::Null);
        assert_eq!(default, &defaults[name], "{name}");
    }
}

#[test]
fn every_mistake_is_named_as_the_golden_table_has_it() {
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    let schema = std::fs::read_to_string(SCHEMA).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let (mut now, cases) = table(&golden);
    let mut wrong = String::new();
    assert!(cases.len() > 80, "only {} cases were found", cases.len());
    for Case {
        heading,
        file,
        said,
    } in cases
    {
        let written = bytes(&file);
        let found = said_of(&written);
        let by_schema = said_by_schema(&schema, &written, found == "accepted");
        let found = format!("{found}\n{by_schema}");
        if found != said {
            writeln!(wrong, "## {heading}\n- {said}\n+ {found}\n").unwrap();
        }
        let file = if file.is_empty() { file } else { file + "\n" };
        write!(now, "## {heading}\n{file}=>\n{found}\n\n").unwrap();
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(GOLDEN, now.trim_end().to_owned() + "\n").unwrap();
        return;
    }
    assert!(
        wrong.is_empty(),
        "something else is said (- written down, + now):\n{wrong}\nif this is what is wanted, run the test again with BLESS=1"
    );
}

#[test]
fn the_program_names_every_mistake_at_once_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, "{\"binary\": 7,\n \"prompt\": \"stdn\"}").unwrap();
    for command in [&["say", "hello"] as &[&str], &["audit"]] {
        let output = Command::new(program())
            .arg(command.first().unwrap())
            .arg("--config")
            .arg(&path)
            .args(command.iter().skip(1))
            .current_dir(folder.path())
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let shown = path.display();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert_eq!(
            stderr,
            format!(
                "error: {shown}:1:12: `binary`: expected a string, found 7\n\
                 {shown}:2:12: `prompt`: expected one of \"automatic\", \"stdin\", found the string \"stdn\"; did you mean `stdin`?\n"
            )
        );
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_usual_file_that_cannot_be_read_is_not_as_good_as_none() {
    let home = tempfile::tempdir().unwrap();
    let audit = || {
        let mut audit = Command::new(program());
        // Only its configuration is another.
        let cache = cache_home();
        audit
            .arg("audit")
            .envs(cache.map(|cache| ("XDG_CACHE_HOME", cache)))
            .env("HOME", home.path());
        let output = audit.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(audit(), (Some(0), String::new()));
    let path = home
        .path()
        .join(".plexum/plugins/plexum-openai-provider/config.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/nowhere/config.json", &path).unwrap();
    let (code, stderr) = audit();
    assert!(
        code == Some(2) && stderr.contains(path.to_str().unwrap()),
        "{stderr}"
    );
    let home = Command::new(program())
        .args(["audit", "--json"])
        .env("HOME", "/dev/null")
        .envs(cache_home().map(|cache| ("XDG_CACHE_HOME", cache)))
        .output()
        .unwrap();
    assert_eq!(home.status.code(), Some(0));
}

fn read_error(path: &Path) -> String {
    let error = Config::read(path).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains(&path.display().to_string()), "{said}");
    said
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let said = read_error(folder.path());
    assert!(said.ends_with(": name a file"), "{said}");
    let said = read_error(&folder.path().join("gone.json"));
    assert!(said.contains("name a file that exists"), "{said}");
    // Nobody writes to it, and it is not waited for.
    let fifo = folder.path().join("fifo.json");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let said = read_error(&fifo);
    assert!(said.contains("not a plain file"), "{said}");
    let huge = folder.path().join("huge.json");
    let file = std::fs::File::create(&huge).unwrap();
    file.set_len(1 << 40).unwrap();
    let said = read_error(&huge);
    assert!(said.contains("larger than 1048576 bytes"), "{said}");
}

#[test]
fn a_file_that_this_user_may_not_read_is_named_with_the_remedy() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, "{}").unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).unwrap();
    let said = std::thread::spawn(move || {
        // Root may read everything, so as root this thread looks at files as somebody else.
        // SAFETY: the call takes no pointer, and concerns this thread alone.
        unsafe { libc::setfsuid(65534) };
        read_error(&path)
    })
    .join()
    .unwrap();
    assert!(said.contains("let this user read it"), "{said}");
}

#[test]
fn a_log_that_is_asked_for_in_wrong_words_is_an_error_and_not_silence() {
    let run = |filter: &str| {
        let mut command = Command::new(program());
        command.arg("new-config").env("PLEXUM_LOG", filter);
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), stderr)
    };
    for filter in ["debug", "info,plexum_openai_provider::turn=trace", "off"] {
        assert_eq!(run(filter), (Some(0), String::new()), "{filter}");
    }
    let (code, stderr) = run("info,plexum_openai_provider=loud");
    assert_eq!(code, Some(2));
    assert!(
        stderr.starts_with("error: PLEXUM_LOG is ") && stderr.contains("such as `debug`"),
        "{stderr}"
    );
}
