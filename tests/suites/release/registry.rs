//! The component in a registry of containers, pushed and pulled as the texts say it.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use plexum_openai_provider::COMPONENT;
use plexum_openai_provider_tests::registry::Registry;
use plexum_openai_provider_tests::tool;
use plexum_openai_provider_tests::workspace::{cache_home, program};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{NAME, ROOT, VERSION, run};

/// The command that a text shows and that begins like this.
fn shown(text: &str, first: &str) -> String {
    let text = fs::read_to_string(Path::new(ROOT).join(text)).unwrap();
    let mut commands = text.lines().filter_map(|line| line.strip_prefix("$ "));
    let found = commands.find(|line| line.starts_with(first));
    found.unwrap().to_owned()
}

/// A registry, and somebody who uses it.
struct Trial {
    registry: Registry,
    wkg: PathBuf,
    scratch: TempDir,
}

impl Trial {
    fn start() -> Option<Self> {
        let test = tool::current_test();
        let wkg = tool::wkg(&test)?;
        let registry = Registry::start(&test)?;
        let scratch = tempfile::tempdir().unwrap();
        let files = scratch.path().join("target/release-files");
        fs::create_dir_all(&files).unwrap();
        fs::write(files.join("plugin.wasm"), COMPONENT).unwrap();
        fs::create_dir(scratch.path().join("home")).unwrap();
        Some(Trial {
            registry,
            wkg,
            scratch,
        })
    }

    fn place(&self) -> String {
        format!("{}/plexum/{NAME}", self.registry.address())
    }

    /// Runs a line of the shell.
    fn shell(&self, line: &str, digest: &str) -> Output {
        let folders = [&*self.wkg, program()].map(|program| program.parent().unwrap().to_owned());
        let path = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path)));
        let mut shell = Command::new("sh");
        shell.args(["-uc", line]).current_dir(self.scratch.path());
        shell
            .env_clear()
            .env("PATH", path.unwrap())
            .env("HOME", self.scratch.path().join("home"))
            .env("XDG_CACHE_HOME", cache_home().unwrap())
            // The loopback interface has no certificate.
            .env("WKG_OCI_INSECURE", self.registry.address().to_string())
            .env("PLACE", self.place())
            .env("DIGEST", digest)
            .env("VERSION", VERSION)
            .env("COMMIT", "0123456789abcdef0123456789abcdef01234567")
            .env("SOURCE", "https://example.org/source");
        shell.output().unwrap()
    }

    /// Pushes, as the checklist of a release says it, and returns the digest that was printed.
    fn push(&self) -> String {
        let output = self.shell(&shown("tests/README.md", "wkg oci push"), "");
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let digest = said
            .lines()
            .find_map(|line| line.strip_prefix("digest: "))
            .unwrap_or_else(|| panic!("no digest: {said}"));
        digest.trim().to_owned()
    }

    /// What is kept under a digest.
    fn json(&self, digest: &str) -> Value {
        serde_json::from_slice(&fs::read(self.registry.blob(digest)).unwrap()).unwrap()
    }

    fn pull_and_set_up(&self, digest: &str) -> Output {
        self.shell(&shown("host-shim/docs/operator.md", "wkg oci pull"), digest)
    }

    fn pulled(&self) -> PathBuf {
        self.scratch.path().join("plugin.wasm")
    }

    /// Where `setup` puts the component.
    fn installed(&self) -> PathBuf {
        let plugins = self.scratch.path().join("home/.plexum/plugins");
        plugins.join(NAME).join("plugin.wasm")
    }
}

#[test]
fn what_was_pushed_is_pulled_by_its_digest_and_set_up() {
    let Some(trial) = Trial::start() else {
        return;
    };
    let digest = trial.push();
    let output = trial.pull_and_set_up(&digest);
    assert!(output.status.success(), "{output:?}");
    assert!(fs::read(trial.pulled()).unwrap() == COMPONENT);
    assert!(fs::read(trial.installed()).unwrap() == COMPONENT);
    // By its version, too.
    let by_version = trial.shell("wkg oci pull \"$PLACE:$VERSION\" --output other.wasm", "");
    assert!(by_version.status.success(), "{by_version:?}");
    assert!(fs::read(trial.scratch.path().join("other.wasm")).unwrap() == COMPONENT);

    let manifest = trial.json(&digest);
    assert_eq!(
        manifest["mediaType"],
        "application/vnd.oci.image.manifest.v1+json"
    );
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.wasm.config.v0+json"
    );
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1, "{manifest}");
    assert_eq!(layers[0]["mediaType"], "application/wasm");
    assert_eq!(
        manifest["annotations"],
        json!({
            "org.opencontainers.image.version": VERSION,
            "org.opencontainers.image.revision": "0123456789abcdef0123456789abcdef01234567",
            "org.opencontainers.image.source": "https://example.org/source",
            "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
            "org.opencontainers.image.description":
                "A ProviderPlugin that runs codex: the world plexum:codex/codex-provider@0.1.0",
        })
    );
    // What it imports and exports can be read without pulling it.
    let config = trial.json(manifest["config"]["digest"].as_str().unwrap());
    assert_eq!(config["architecture"], "wasm");
    let listed = |kind: &str| {
        let names = config["component"][format!("{kind}s")].as_array().unwrap();
        let lines = names
            .iter()
            .map(|name| format!("{kind} {}\n", name.as_str().unwrap()));
        lines.collect::<String>()
    };
    let golden = include_str!("../../golden/component-imports.txt");
    assert_eq!(listed("import") + &listed("export"), golden);

    // One digest, in the manifest, as `audit` shows it, and as it is.
    let audit = run(Command::new(program())
        .args(["audit", "--json"])
        .arg(trial.pulled())
        .env("XDG_CACHE_HOME", cache_home().unwrap()));
    let audit: Value = serde_json::from_str(&audit).unwrap();
    let shown = audit["component"]["sha256"].as_str().unwrap();
    assert_eq!(layers[0]["digest"], format!("sha256:{shown}"));
    assert_eq!(shown, format!("{:x}", Sha256::digest(COMPONENT)));

    let address = trial.registry.address();
    assert!(TcpStream::connect(address).is_ok());
    drop(trial);
    assert!(TcpStream::connect(address).is_err(), "it still listens");
}

/// Changes what is kept in a file.
type Damage = fn(&mut Vec<u8>);

#[test]
fn what_was_damaged_or_replaced_in_the_registry_is_not_set_up() {
    let Some(trial) = Trial::start() else {
        return;
    };
    let digest = trial.push();
    let layer = trial.json(&digest)["layers"][0]["digest"].clone();
    let layer = layer.as_str().unwrap();
    // One bit of the component; a shorter one; and a manifest that names another commit.
    let damages: [(&str, Damage); 3] = [
        (layer, |bytes| bytes[5000] ^= 1),
        (layer, |bytes| bytes.truncate(5000)),
        (&digest, |bytes| {
            let text = String::from_utf8(bytes.clone()).unwrap();
            *bytes = text.replace("0123456789abcdef", "fedcba9876543210").into();
        }),
    ];
    for (number, (damaged, damage)) in damages.into_iter().enumerate() {
        let file = trial.registry.blob(damaged);
        let whole = fs::read(&file).unwrap();
        let mut bytes = whole.clone();
        damage(&mut bytes);
        assert!(bytes != whole);
        fs::write(&file, bytes).unwrap();
        let output = trial.pull_and_set_up(&digest);
        let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(!output.status.success(), "damage {number}");
        assert!(
            said.contains("digest") || said.contains("size"),
            "{number}: {said}"
        );
        assert!(!trial.installed().exists(), "damage {number}");
        fs::write(&file, whole).unwrap();
    }
    let output = trial.pull_and_set_up(&format!("sha256:{}", "0".repeat(64)));
    assert!(!output.status.success() && !trial.installed().exists());
    let output = trial.pull_and_set_up(&digest);
    assert!(output.status.success() && trial.installed().exists());
}
