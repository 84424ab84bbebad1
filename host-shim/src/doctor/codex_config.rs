//! Codex's own `config.toml`, as far as it says who the model's provider is.

use std::path::PathBuf;

use toml::{Table, Value};

use crate::config::Config;

/// Codex's built-in provider, which wants a login.
const OPENAI: &str = "openai";

/// The provider of the model, and what it needs.
#[derive(Debug, PartialEq)]
pub struct ModelProvider {
    /// Its name in `config.toml`.
    pub name: String,
    /// Whether codex has to be logged in.
    pub needs_login: bool,
    /// The environment variable that holds its key.
    pub key_variable: Option<String>,
}

impl ModelProvider {
    /// The one that turns under this configuration use.
    pub fn of(config: &Config) -> Result<Self, String> {
        let text = match path() {
            None => String::new(),
            Some(path) => match std::fs::read_to_string(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
                Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
                Ok(text) => text,
            },
        };
        Self::in_toml(&text, &config.extra_args)
    }

    fn in_toml(text: &str, extra_args: &[String]) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            format!("codex's config.toml: {}", error.message())
        })?;
        let profile = table.get("profile").and_then(Value::as_str);
        let profile = profile.and_then(|name| table.get("profiles")?.get(name));
        let chosen = |table: Option<&Value>| table.and_then(Value::as_str).map(str::to_owned);
        let name = extra_args
            .iter()
            .rev()
            .find_map(|arg| arg.strip_prefix("model_provider="))
            .map(|value| value.trim_matches(['"', '\'']).to_owned())
            .or_else(|| chosen(profile.and_then(|profile| profile.get("model_provider"))))
            .or_else(|| chosen(table.get("model_provider")))
            .unwrap_or_else(|| OPENAI.to_owned());
        let described = table.get("model_providers").and_then(|all| all.get(&name));
        let requires = described.and_then(|provider| provider.get("requires_openai_auth"));
        let needs_login = match requires.and_then(Value::as_bool) {
            Some(requires) => requires,
            None => name == OPENAI,
        };
        Ok(ModelProvider {
            needs_login,
            key_variable: chosen(described.and_then(|provider| provider.get("env_key"))),
            name,
        })
    }
}

/// The file, where codex has a home.
fn path() -> Option<PathBuf> {
    let set = std::env::var_os("CODEX_HOME").filter(|home| !home.is_empty());
    let home = match set {
        Some(home) => PathBuf::from(home),
        None => std::env::home_dir()?.join(".codex"),
    };
    Some(home.join("config.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(toml: &str, args: &[&str]) -> ModelProvider {
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        ModelProvider::in_toml(toml, &args).unwrap()
    }

    #[test]
    fn the_provider_is_the_one_that_codex_would_use() {
        let toml = "model_provider = \"a\"\nprofile = \"p\"\n\
            [profiles.p]\nmodel_provider = \"b\"\n\
            [model_providers.a]\nrequires_openai_auth = true\n\
            [model_providers.b]\nenv_key = \"B_KEY\"\n";
        for (toml, args, name, needs_login, key) in [
            ("", &[] as &[&str], "openai", true, None),
            ("model_provider = \"mock\"", &[], "mock", false, None),
            (toml, &[], "b", false, Some("B_KEY")),
            (toml, &["-c", "model_provider=\"a\""], "a", true, None),
        ] {
            let expected = ModelProvider {
                name: name.into(),
                needs_login,
                key_variable: key.map(str::to_owned),
            };
            assert_eq!(provider(toml, args), expected, "{args:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_toml_is_reported() {
        let error = ModelProvider::in_toml("model_provider = ", &[]).unwrap_err();
        assert!(error.starts_with("codex's config.toml: "), "{error}");
    }
}
