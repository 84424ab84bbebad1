//! The package for Debian.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use plexum_openai_provider::COMPONENT;
use plexum_openai_provider_tests::tool;
use plexum_openai_provider_tests::workspace::{copy_machine_code, program};

use super::{NAME, VERSION, found, release, run};

/// Runs it in a root of its own.
fn dpkg(root: &Path, arguments: &[&str]) -> String {
    if !root.exists() {
        for name in ["updates", "info", "triggers"] {
            fs::create_dir_all(root.join("var/lib/dpkg").join(name)).unwrap();
        }
        fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    }
    let mut dpkg = Command::new("dpkg");
    dpkg.arg(format!("--root={}", root.display()))
        .args(["--force-not-root", "--force-architecture"])
        .arg(format!("--log={}", root.join("log").display()))
        .args(arguments);
    run(&mut dpkg)
}

/// A codex that repeats the prompt.
const CODEX: &str = r#"#!/bin/sh
for prompt; do :; done
echo '{"type":"thread.started","thread_id":"01a20000-0000-7000-8000-000000000001"}'
echo '{"type":"turn.started"}'
echo '{"type":"item.completed","item":{"id":"item_0","type":"agent_message","text":"echo: '"$prompt"'"}}'
echo '{"type":"turn.completed","usage":{"input_tokens":3,"cached_input_tokens":0,"output_tokens":2,"reasoning_output_tokens":0}}'
"#;

/// Runs a line of the shell in the root, as one of its users. The program takes the place of the script that stands in for
/// it, and the system's shell and libraries are there; nothing else of this machine is.
fn in_root(root: &Path, line: &str) -> String {
    const ENTER: &str = r#"
for folder in /bin /lib /lib64 /dev /proc; do
  if [ -d "$folder" ]; then mount --rbind "$folder" "$1$folder"; fi
done
mount --bind "$2" "$1/usr/bin/plexum-openai-provider"
exec chroot "$1" /bin/sh -euc "cd /home/user/agent; $3""#;
    let mut enter = Command::new("unshare");
    enter
        .args(["--user", "--map-root-user", "--mount", "sh", "-euc", ENTER])
        .arg("sh")
        .args([root, program()])
        .arg(line)
        .env_clear()
        .env("HOME", "/home/user")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/opt");
    run(&mut enter)
}

#[test]
fn each_user_puts_the_plugin_in_and_takes_it_out_and_the_package_leaves_no_trace() {
    let Some(folder) = release(&["--deb"]) else {
        return;
    };
    let package = folder
        .path()
        .join(format!("files/{NAME}_{VERSION}-1_amd64.deb"));
    let root = folder.path().join("root");
    dpkg(&root, &["--install", package.to_str().unwrap()]);
    let installed = fs::read(root.join("usr/lib").join(NAME).join("plugin.wasm")).unwrap();
    let home = root.join("home/user");
    for name in [
        "bin",
        "lib",
        "lib64",
        "dev",
        "proc",
        "tmp",
        "opt",
        "home/user/agent",
    ] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    let codex = root.join("opt/codex");
    fs::write(&codex, CODEX).unwrap();
    fs::set_permissions(&codex, PermissionsExt::from_mode(0o755)).unwrap();
    // Machine code that is there is not made again.
    let cache = home.join(".cache").join(NAME);
    copy_machine_code(&home.join(".cache"));

    let said = in_root(&root, &format!("{NAME} setup"));
    assert!(said.contains("program  /usr/bin/"), "{said}");
    let plugin = home.join(".plexum/plugins").join(NAME);
    // The program has the component in it, and it is the one that the package has as a file, too.
    let wasm = fs::read(plugin.join("plugin.wasm")).unwrap();
    assert!(wasm == COMPONENT && wasm == installed);
    assert!(!home.join(".local").exists());
    let config = fs::read_to_string(plugin.join("config.json")).unwrap();
    assert!(config.contains("\"/opt/codex\""), "{config}");
    let said = in_root(&root, &format!("{NAME} say hello"));
    assert_eq!(said, "echo: hello\n");
    in_root(&root, &format!("{NAME} setup --uninstall --purge"));
    // What is the user's, and not the program's: which conversation is whose.
    let left = found(&home, "%P");
    let (conversations, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|path| {
        path == "agent/.plexum-codex-session"
            || path.starts_with(".local/state/plexum-openai-provider/")
    });
    assert!(others.is_empty(), "left: {others:?}");
    assert!(!conversations.is_empty());
    assert!(!home.join(".plexum").exists() && !cache.exists());

    dpkg(&root, &["--remove", NAME]);
    let usr = root.join("usr");
    assert!(!usr.exists(), "left: {:?}", found(&usr, "%P"));
    assert!(
        dpkg(&root, &["--list"])
            .lines()
            .all(|line| !line.contains(NAME))
    );
}

#[test]
fn it_installs_and_goes_without_a_trace_and_lintian_finds_no_error() {
    let test = tool::current_test();
    let Some(lintian) = tool::on_path(&test, "lintian") else {
        return;
    };
    let Some(folder) = release(&["--deb"]) else {
        return;
    };
    let package = folder
        .path()
        .join(format!("files/{NAME}_{VERSION}-1_amd64.deb"));
    // The overrides are for a program, and a script stands in for it.
    run(Command::new(lintian)
        .args(["--allow-root", "--fail-on", "error"])
        .arg(&package));

    let root = folder.path().join("root");
    let dpkg = |arguments: &[&str]| dpkg(&root, arguments);
    dpkg(&["--install", package.to_str().unwrap()]);
    assert!(dpkg(&["--status", NAME]).contains("Status: install ok installed"));
    let usr = root.join("usr");
    let program = usr.join("bin").join(NAME);
    let version = run(Command::new(&program).arg("--version"));
    assert_eq!(version, format!("{NAME} {VERSION}\n"));
    let component = std::fs::read(usr.join("lib").join(NAME).join("plugin.wasm")).unwrap();
    assert!(component == COMPONENT);
    let share = usr.join("share");
    for file in [
        format!("bash-completion/completions/{NAME}"),
        format!("zsh/vendor-completions/_{NAME}"),
        format!("fish/vendor_completions.d/{NAME}.fish"),
        format!("man/man1/{NAME}.1.gz"),
        format!("man/man1/{NAME}-say.1.gz"),
        format!("doc/{NAME}/copyright"),
        format!("doc/{NAME}/changelog.gz"),
        format!("doc/{NAME}/changelog.Debian.gz"),
    ] {
        assert!(share.join(&file).is_file(), "{file}");
    }
    dpkg(&["--purge", NAME]);
    assert!(!usr.exists(), "left: {:?}", found(&usr, "%P"));
}
