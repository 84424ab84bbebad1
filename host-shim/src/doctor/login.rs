//! Whether codex is logged in, or needs to be.

use super::Check;
use super::api_key::reaches_codex;
use super::codex_config::ModelProvider;
use super::installed::{Installed, telling_line};
use crate::codex::query;
use crate::config::Config;

const ID: &str = "login";

/// The checks of the login, and of the key that another model provider needs.
pub async fn checks(codex: &Installed, config: &Config) -> Vec<Check> {
    let provider = match ModelProvider::of(config) {
        Ok(provider) => provider,
        Err(said) => return vec![Check::problem("codex-config", said, "correct the file")],
    };
    let mut checks = vec![login(codex, config, &provider).await];
    checks.extend(provider_key(config, &provider));
    checks
}

async fn login(codex: &Installed, config: &Config, provider: &ModelProvider) -> Check {
    let answer = match query::ask(&codex.path, &["login", "status"], config).await {
        Ok(answer) => answer,
        Err(error) => {
            let remedy = error.remedy("run `codex login status` by hand");
            return Check::problem(ID, error.said, remedy);
        }
    };
    if answer.status.success() {
        // Not what it says: that holds a part of the key.
        let said = format!("{}{}", answer.stdout, answer.stderr);
        let how = if said.contains("ChatGPT") {
            "logged in with ChatGPT"
        } else {
            "logged in with an API key, which only a turn tries"
        };
        return Check::ok(ID, how);
    }
    if !answer.stderr.contains("Not logged in") {
        let said = telling_line(&answer.stderr).unwrap_or("nothing");
        return Check::problem(
            ID,
            format!("`codex login status` fails ({}): {said}", answer.status),
            "run it by hand, and repair what it names",
        );
    }
    if !provider.needs_login {
        return Check::warning(
            ID,
            format!(
                "not logged in; codex's config.toml chooses the provider {:?}, which needs no login",
                provider.name
            ),
            "nothing, if that is the provider you want; else run `codex login`",
        );
    }
    if reaches_codex(config, "CODEX_API_KEY") {
        return Check::warning(
            ID,
            "not logged in; turns use the key in CODEX_API_KEY",
            "nothing, if that key is the one you want; else unset it and run `codex login`",
        );
    }
    if std::env::var_os("OPENAI_API_KEY").is_some_and(|key| !key.is_empty()) {
        return Check::problem(
            ID,
            "not logged in; OPENAI_API_KEY is set, but codex ignores it in a turn",
            "store it once: `printenv OPENAI_API_KEY | codex login --with-api-key`",
        );
    }
    Check::problem(
        ID,
        "not logged in",
        "run `codex login`, or `codex login --device-auth` on a machine without a browser",
    )
}

/// Whether codex gets the variable in which the provider looks for its key.
fn provider_key(config: &Config, provider: &ModelProvider) -> Option<Check> {
    const ID: &str = "provider-key";
    let name = provider.key_variable.as_deref()?;
    let whose = format!("the provider {:?} takes its key from {name}", provider.name);
    Some(if reaches_codex(config, name) {
        Check::ok(ID, format!("{whose}, which is set"))
    } else if std::env::var_os(name).is_none_or(|value| value.is_empty()) {
        Check::problem(
            ID,
            format!("{whose}, which is not set"),
            format!("set {name}"),
        )
    } else {
        Check::problem(
            ID,
            format!("{whose}, which is set and kept from codex"),
            format!("add to config.json: \"env\": [\"{name}\"]"),
        )
    })
}
