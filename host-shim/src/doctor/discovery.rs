//! The models that the installed codex knows.

use serde::Deserialize;

use super::installed;
use crate::codex::query;
use crate::config::{Config, SupportedModel};

/// What `codex debug models` prints, as far as it matters here.
#[derive(Deserialize)]
struct Catalog {
    models: Vec<Listed>,
}

/// A model of that list. Codex adds members with each release.
#[derive(Deserialize)]
struct Listed {
    slug: String,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    visibility: Option<String>,
    #[serde(default)]
    context_window: Option<u32>,
    #[serde(default)]
    input_modalities: Option<Vec<String>>,
    #[serde(default)]
    supported_reasoning_levels: Vec<Level>,
}

#[derive(Deserialize)]
struct Level {
    effort: String,
}

/// The models that the installed codex shows to its users, in its order. Asks codex, which needs no network for this and
/// no login; an account may offer fewer.
///
/// # Errors
/// A sentence: codex is not there, does not answer, or prints something else.
pub async fn discover(config: &Config) -> Result<Vec<SupportedModel>, String> {
    let program = installed::program(config).map_err(|error| error.to_string())?;
    let shown = program.display();
    let answer = query::ask_for_document(&program, &["debug", "models"], config)
        .await
        .map_err(|error| error.said)?;
    if !answer.status.success() {
        let said = answer.stderr.lines().next().unwrap_or("it says nothing");
        return Err(format!(
            "`{shown} debug models` ended with {}: {said}",
            answer.status
        ));
    }
    read(&answer.stdout).map_err(|error| {
        format!("`{shown} debug models` did not print a list of models: {error}; codex 0.135 to 0.169 does")
    })
}

fn read(printed: &str) -> serde_json::Result<Vec<SupportedModel>> {
    let catalog: Catalog = serde_json::from_str(printed)?;
    let models = catalog.models.into_iter();
    let shown = models.filter(|model| model.visibility.as_deref() != Some("hide"));
    let known = shown.map(|model| {
        let mut known = SupportedModel::new(model.slug);
        known.display_name = model.display_name;
        known.context_window = model.context_window;
        known.images = model
            .input_modalities
            .is_none_or(|kinds| kinds.iter().any(|kind| kind == "image"));
        let levels = model.supported_reasoning_levels.into_iter();
        known.efforts = levels.map(|level| level.effort).collect();
        known
    });
    Ok(known.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_as_far_as_it_is_understood() {
        let printed = r#"{"models":[
            {"slug":"a","display_name":"A","visibility":"list","context_window":272000,"new":{},
             "input_modalities":["text"],"supported_reasoning_levels":[{"effort":"low","description":""},{"effort":"max"}]},
            {"slug":"b","visibility":"hide"},
            {"slug":"c"}],"etag":1}"#;
        let models = read(printed).unwrap();
        let mut first = SupportedModel::new("a");
        first.display_name = Some("A".into());
        first.context_window = Some(272_000);
        first.images = false;
        first.efforts = vec!["low".into(), "max".into()];
        assert_eq!(models, [first, SupportedModel::new("c")]);
        assert!(read("{}").is_err());
    }
}
