//! Where nothing was installed before.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use plexum_openai_provider::COMPONENT;
use plexum_openai_provider_tests::workspace::{cache_home, program};
use serde_json::{Value, json};
use wit_parser::{Resolve, UnresolvedPackageGroup};

use super::home::{CONFIG, Home, PLUGIN, PROGRAM, Ran, Tree, write_script};
use super::repository::{Repository, root, wit};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The files of a tree, without the folders.
fn files(tree: &Tree) -> BTreeSet<String> {
    let files = tree
        .iter()
        .filter(|(_, (mode, _))| mode & 0o170_000 != 0o040_000);
    files
        .map(|(path, _)| path.to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_plugin_is_the_component_with_its_manifest_its_wit_and_a_configuration() {
    let home = Home::new();
    let Ran {
        stdout,
        stderr,
        code,
    } = home.install([] as [&str; 0]);
    assert_eq!(code, Some(0), "{stderr}");

    let read = |name: &str| std::fs::read(home.path.join(PLUGIN).join(name)).unwrap();
    assert_eq!(read("plugin.wasm"), COMPONENT);
    let manifest = json(&home.read(&format!("{PLUGIN}/plugin.json")));
    assert_eq!(
        (
            &manifest["id"],
            &manifest["kind"],
            &manifest["wit"],
            &manifest["component"]
        ),
        (
            &json!("plexum-openai-provider"),
            &json!("provider"),
            &json!("plexum:provider@0.1.0"),
            &json!("plugin.wasm")
        )
    );
    let golden = include_str!("../../golden/component-imports.txt");
    let mut imports = Vec::new();
    for capability in manifest["capabilities"].as_array().unwrap() {
        assert_ne!(capability["meaning"], json!(""), "{capability}");
        imports.push(format!("import {}", capability["import"].as_str().unwrap()));
    }
    let golden = golden.lines().filter(|line| line.starts_with("import "));
    imports.sort();
    let mut golden: Vec<_> = golden.map(str::to_owned).collect();
    golden.sort();
    assert_eq!(imports, golden);

    assert_eq!(json(&home.read(CONFIG))["binary"], json!(home.codex));

    for next in [
        ".plugins.allow += [\"plexum-openai-provider\"]",
        "plexum agent-add --model codex my-agent",
        "systemctl --user restart plexum",
        "plexum say",
        "doctor",
    ] {
        assert!(stdout.contains(next), "{next}: {stdout}");
    }
    assert!(stderr.contains(".local/bin is not on PATH"), "{stderr}");
    let mode = |path: &str| home.tree()[Path::new(path)].0 & 0o111;
    assert_ne!(mode(PROGRAM), 0);
    assert_eq!(mode(&format!("{PLUGIN}/plugin.wasm")), 0);
}

#[test]
fn the_wit_of_both_packages_is_there_and_can_be_built_against() {
    let home = Home::new();
    home.install([] as [&str; 0]);
    let plugin = home.path.join(PLUGIN);
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let files = wit();
    for package in ["provider", "codex"] {
        let folder = Path::new("wit").join(package);
        assert!(files.contains(&folder.join("world.wit")), "{files:?}");
    }
    for file in &files {
        assert_eq!(
            read(&plugin.join(file)),
            read(&root().join(file)),
            "{file:?}"
        );
    }
    let tree = home.tree();
    let installed = tree.keys().filter_map(|path| {
        let path = path.strip_prefix(PLUGIN).ok()?;
        (path.starts_with("wit") && path.extension().is_some()).then(|| path.to_owned())
    });
    let installed: BTreeSet<_> = installed.collect();
    assert_eq!(installed, files.into_iter().collect());

    let package = |name: &str| {
        let folder = plugin.join("wit").join(name);
        UnresolvedPackageGroup::parse_dir(folder).unwrap()
    };
    let mut resolve = Resolve::default();
    let codex = resolve
        .push_groups(package("codex"), vec![package("provider")])
        .unwrap();
    assert!(
        resolve.packages[codex]
            .worlds
            .contains_key("codex-provider")
    );
}

#[test]
fn the_bin_folder_is_not_warned_of_where_it_is_on_path() {
    let home = Home::new();
    let mut path = home.search_path();
    path.push(":");
    path.push(home.path.join(".local/bin"));
    let mut script = home.script();
    script
        .arg("--program")
        .arg(home.program("stand-in"))
        .env("PATH", path);
    assert_eq!(home.run(&mut script).stderr, "");
}

#[test]
fn the_installed_program_audits_the_installed_component_and_answers() {
    let home = Home::named("it's a \"home\"");
    let mut script = home.script();
    let ran = home.run(script.arg("--program").arg(program()));
    assert_eq!(ran.code, Some(0), "{ran:?}");

    let installed = || {
        let mut command = Command::new(home.path.join(PROGRAM));
        command
            .env_clear()
            .env("HOME", &home.path)
            // None is kept in a home below the folder for temporary files: each command would compile the component.
            .envs(cache_home().map(|cache| ("XDG_CACHE_HOME", cache)));
        command
    };
    let output = installed()
        .args(["audit", "--json", "--"])
        .arg(home.path.join(PLUGIN).join("plugin.wasm"))
        .output()
        .unwrap();
    let audit = json(&String::from_utf8(output.stdout).unwrap());
    let manifest = json(&home.read(&format!("{PLUGIN}/plugin.json")));
    assert_eq!(audit["verdict"], json!("within_the_grant"));
    assert_eq!(audit["component"]["sha256"], manifest["sha256"]);
    assert_eq!(audit["program"]["file"]["path"], json!(home.codex));

    let output = installed()
        .args(["say", "--workspace"])
        .arg(home.scratch.path())
        .args(["--", "hello"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "echo: hello\n");
}

#[test]
fn the_installed_completions_complete_and_each_subcommand_has_its_page() {
    let home = Home::new();
    home.install([] as [&str; 0]);
    let completions = home
        .path
        .join(".local/share/bash-completion/completions/plexum-openai-provider");
    let output = Command::new("bash")
        .args([
            "-c",
            "source \"$1\"
            COMP_WORDS=(plexum-openai-provider s) COMP_CWORD=1
            \"$(complete -p plexum-openai-provider | sed 's/.*-F \\([^ ]*\\) .*/\\1/')\" plexum-openai-provider s plexum-openai-provider
            echo \"${COMPREPLY[*]}\"",
            "bash",
        ])
        .arg(completions)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "say serve servers session setup schema\n",
        "{}",
        String::from_utf8(output.stderr).unwrap()
    );
    let files = files(&home.tree());
    for file in [
        "zsh/site-functions/_plexum-openai-provider",
        "fish/vendor_completions.d/plexum-openai-provider.fish",
        "man/man1/plexum-openai-provider.1",
        "man/man1/plexum-openai-provider-say.1",
        "man/man1/plexum-openai-provider-session-show.1",
    ] {
        assert!(
            files.contains(&format!(".local/share/{file}")),
            "{file}: {files:?}"
        );
    }
}

#[test]
fn any_name_will_do_for_a_folder_or_a_file() {
    let home = Home::new();
    let folder = home.scratch.path().join("-a 'folder' \"\\$x");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(home.program("stand-in"), folder.join("-program")).unwrap();
    std::fs::write(folder.join("-com ponent"), COMPONENT).unwrap();
    // A relative entry of PATH, with a codex of such a name.
    std::fs::create_dir(folder.join("-b\"in")).unwrap();
    symlink(&home.codex, folder.join("-b\"in/codex")).unwrap();
    let mut path = home.search_path_without_codex().to_owned();
    path.push(":-b\"in");
    let mut script = home.script();
    script.current_dir(&folder).env("PATH", path).args([
        "--program",
        "-program",
        "--component=-com ponent",
        "--home",
        "-ho me",
        "--prefix=-pre/../-fix/",
    ]);
    let ran = home.run(&mut script);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(home.tree(), Tree::new());
    assert_eq!(
        std::fs::read(folder.join("-ho me").join(PLUGIN).join("plugin.wasm")).unwrap(),
        COMPONENT
    );
    let config = folder.join("-ho me").join(CONFIG);
    let binary = json(&std::fs::read_to_string(&config).unwrap())["binary"].clone();
    assert_eq!(binary, json!(folder.join("-b\"in/codex")));
    let installed = folder.join("-fix/bin/plexum-openai-provider");
    assert!(installed.metadata().unwrap().permissions().mode() & 0o100 != 0);
    // The program looks in $HOME, which is another one.
    assert!(ran.stdout.contains("doctor --config"), "{ran:?}");
}

#[test]
fn without_codex_the_configuration_names_none_and_the_remedy_is_shown() {
    let home = Home::new();
    let mut script = home.script();
    script
        .arg("--program")
        .arg(home.program("stand-in"))
        .env("PATH", home.search_path_without_codex());
    let ran = home.run(&mut script);
    assert_eq!(ran.code, Some(0));
    assert_eq!(json(&home.read(CONFIG)).get("binary"), None);
    assert!(
        ran.stderr.contains("codex is not on PATH")
            && ran.stderr.contains("npm install -g @openai/codex"),
        "{ran:?}"
    );
}

#[test]
fn the_configuration_names_its_schema_which_is_beside_it() {
    let home = Home::new();
    home.install([] as [&str; 0]);
    let schema = json(&home.read(CONFIG))["$schema"].clone();
    let schema = Path::new(PLUGIN).join(schema.as_str().unwrap());
    let expected = root().join("host-shim/schemas/config.schema.json");
    assert_eq!(
        home.read(schema.to_str().unwrap()),
        std::fs::read_to_string(expected).unwrap()
    );
}

#[test]
fn a_dry_run_says_what_an_installation_does_and_does_nothing() {
    let home = Home::new();
    home.write("plexum.json", "{}");
    let before = home.tree();
    let plexum_config = home.path.join("plexum.json");
    let arguments = ["--plexum-config", plexum_config.to_str().unwrap()];
    let mut dry = home.script();
    let program = home.program("stand-in");
    dry.arg("--dry-run").arg("--program").arg(&program);
    let ran = home.run(dry.args(arguments));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(home.tree(), before);
    assert!(ran.stdout.contains("would add"), "{ran:?}");

    home.install(arguments);
    let mut told = BTreeSet::new();
    for line in ran.stdout.lines() {
        if let Some(path) = line.strip_prefix("would write ") {
            let path = Path::new(path).strip_prefix(&home.path).unwrap();
            told.insert(path.to_str().unwrap().to_owned());
        }
    }
    let installed = files(&home.tree()).into_iter();
    let installed =
        installed.filter(|file| file != "plexum.json" && !file.ends_with("/.installed"));
    assert_eq!(told, installed.collect());
}

#[test]
fn a_dry_run_builds_nothing() {
    let home = Home::new();
    let repository = Repository::new();
    let mut dry = home.script_in(&repository.path(""));
    let ran = home.run(dry.arg("--dry-run"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.starts_with("would build"), "{ran:?}");
    assert_eq!(home.tree(), Tree::new());
}

#[test]
fn without_a_program_it_is_built_and_a_build_that_fails_installs_nothing() {
    let home = Home::new();
    let repository = Repository::new();
    write_script(
        &repository.path("scripts/tool.sh"),
        "[ \"$*\" = wasm-target ]",
    );
    let target = home.scratch.path().join("target");
    let built = home.program("just built");
    let (target, built) = (target.to_str().unwrap(), built.to_str().unwrap());
    let script = || {
        let mut script = home.script_in(&repository.path(""));
        script.env("CARGO_TARGET_DIR", target);
        // An operator's habit, which would move what is built.
        script.env("CARGO_BUILD_TARGET", "x86_64-unknown-linux-musl");
        script
    };
    home.add_tool("cargo", "echo 'error: it does not compile' >&2; exit 101");
    let ran = home.run(&mut script());
    assert!(
        ran.code == Some(1)
            && ran
                .stderr
                .contains("could not be built, and nothing was installed"),
        "{ran:?}"
    );
    assert_eq!(home.tree(), Tree::new());

    home.add_tool(
        "cargo",
        &format!(
            "[ \"$* ${{CARGO_BUILD_TARGET-}}\" = 'build --release --locked --package plexum-openai-provider --bin plexum-openai-provider ' ] || exit 9
            [ -f wit/provider/world.wit ] && [ -f wit/codex/world.wit ] || exit 8
            mkdir -p '{target}/release' && cp '{built}' '{target}/release/plexum-openai-provider'"
        ),
    );
    let ran = home.run(&mut script());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(home.read(PROGRAM).contains("# just built"));
}

#[test]
fn without_the_target_of_the_component_nothing_is_built() {
    let home = Home::new();
    let repository = Repository::new();
    write_script(
        &repository.path("scripts/tool.sh"),
        "echo 'the target is missing' >&2; exit 3",
    );
    home.add_tool("cargo", "echo \"cargo was started: $1\" >&2; exit 101");
    let ran = home.run(&mut home.script_in(&repository.path("")));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains("the target is missing") && !ran.stderr.contains("cargo was started"),
        "{ran:?}"
    );
    assert_eq!(home.tree(), Tree::new());
}

#[test]
fn any_shell_runs_it() {
    let script = root().join("scripts/install.sh");
    for shell in [
        &["dash"] as &[&str],
        &["bash"],
        &["bash", "--posix"],
        &["busybox", "sh"],
    ] {
        let home = Home::new();
        let output = Command::new(shell[0])
            .args(&shell[1..])
            .arg(&script)
            .arg("--program")
            .arg(home.program("stand-in"))
            .env("HOME", &home.path)
            .env("XDG_CACHE_HOME", home.machine_code().unwrap())
            .output();
        // Not every machine has each of them.
        if let Ok(output) = output {
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{shell:?}: {said}");
            assert!(home.path.join(PROGRAM).is_file(), "{shell:?}");
        }
    }
}

#[test]
fn what_is_not_a_component_or_not_a_program_is_not_installed() {
    let home = Home::new();
    let file = |name: &str, content: &[u8]| {
        let path = home.scratch.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let module = file("module.wasm", b"\0asm\x01\0\0\0");
    let empty = wat::parse_str("(component)").unwrap();
    let empty = file("empty.wasm", &empty);
    for (option, path, expected) in [
        ("--component", &module, "it is a core module"),
        (
            "--component",
            &empty,
            "not of the world plexum:codex/codex-provider@0.1.0",
        ),
        (
            "--component",
            &home.scratch.path().join("gone"),
            "is not a file",
        ),
        ("--program", &module, "is not a program"),
    ] {
        let ran = home.install([option.as_ref(), path.as_os_str()]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stderr.contains(expected), "{ran:?}");
        assert_eq!(home.tree(), Tree::new());
    }
}

#[test]
fn wrong_arguments_are_named() {
    let home = Home::new();
    for (arguments, expected) in [
        (["--frob"].as_slice(), "unknown argument '--frob'"),
        (&["x"], "unknown argument 'x'"),
        (&["--prefix"], "--prefix needs a value"),
        (&["--home="], "--home needs a value"),
        (&["--purge"], "--purge goes with --uninstall"),
        (&["--home", "/a\nb"], "line feed"),
    ] {
        let mut script = home.script();
        let ran = home.run(script.args(arguments));
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(expected), "{ran:?}");
    }
    let mut script = home.script();
    let help = home.run(script.arg("--help")).stdout;
    assert!(help.starts_with("Usage: install.sh"), "{help}");
    assert_eq!(home.tree(), Tree::new());
}
