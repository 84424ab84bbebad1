//! The hostile component, of `tests/hostile`.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::target_dir::target_dir;

/// What stands between the arguments in a prompt for it.
pub const SEPARATOR: &str = "\u{1f}";

/// Its file, built if need be.
///
/// # Panics
/// When it cannot be built.
pub fn component() -> &'static PathBuf {
    static COMPONENT: OnceLock<PathBuf> = OnceLock::new();
    COMPONENT.get_or_init(|| {
        // A target folder of its own: cargo may hold the usual one.
        let target = target_dir()
            .expect("the tests run in a target folder")
            .join("tmp/hostile");
        let output = Command::new(env!("CARGO"))
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .args(["build", "--release", "--target", "wasm32-wasip2"])
            .args(["-p", "plexum-openai-provider-hostile"])
            .env("CARGO_TARGET_DIR", &target)
            .env_remove("RUSTFLAGS")
            .output()
            .expect("cargo can be run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        target.join("wasm32-wasip2/release/plexum_openai_provider_hostile.wasm")
    })
}
