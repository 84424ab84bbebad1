//! What a client may choose for a session: the model, and how hard it is to think.

use plexum_openai_provider::Model;
use serde::Serialize;

use crate::json_rpc::error::RpcError;

/// The names of the options.
const MODEL: &str = "model";
const EFFORT: &str = "effort";

/// The value that leaves the effort to codex.
const DEFAULT_EFFORT: &str = "default";

/// A choice, as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigOption {
    r#type: &'static str,
    id: &'static str,
    name: &'static str,
    category: &'static str,
    current_value: String,
    options: Vec<Choice>,
}

#[derive(Debug, Serialize)]
struct Choice {
    value: String,
    name: String,
}

/// What has been chosen for a session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chosen {
    /// The model; the first one configured if there is none.
    pub model: Option<String>,
    /// The effort; codex's own choice if there is none.
    pub effort: Option<String>,
}

impl Chosen {
    /// Chooses.
    ///
    /// # Errors
    /// If there is no such option, or no such value of it.
    pub fn choose(&mut self, models: &[Model], option: &str, value: &str) -> Result<(), RpcError> {
        let shown = self.options(models);
        let Some(found) = shown.iter().find(|shown| shown.id == option) else {
            let ids: Vec<_> = shown.iter().map(|shown| shown.id).collect();
            let problem = if ids.is_empty() {
                "there is nothing to choose: declare several models, or the efforts of one, with `supported_models` in config.json"
                    .to_owned()
            } else {
                format!(
                    "there is no such option; the options are {}",
                    ids.join(", ")
                )
            };
            return Err(RpcError::invalid_params("configId", &problem));
        };
        if !found.options.iter().any(|choice| choice.value == value) {
            let values: Vec<_> = found.options.iter().map(|choice| &*choice.value).collect();
            let problem = format!(
                "there is no such value; the values are {}",
                values.join(", ")
            );
            return Err(RpcError::invalid_params("value", &problem));
        }
        if option == MODEL {
            self.model = Some(value.to_owned());
            // The efforts of another model are perhaps others.
            self.effort = None;
        } else {
            self.effort = Some(value.to_owned()).filter(|value| value != DEFAULT_EFFORT);
        }
        Ok(())
    }

    /// The same without what is not on offer.
    pub fn on_offer(self, models: &[Model]) -> Self {
        let current = self.current(models);
        let is_current = |id: &String| current.is_some_and(|model| model.id == *id);
        let has = |effort: &String| current.is_some_and(|model| model.efforts.contains(effort));
        Chosen {
            model: self.model.filter(is_current),
            effort: self.effort.filter(has),
        }
    }

    /// The model that is chosen if it is on offer, and else the first one.
    fn current<'a>(&self, models: &'a [Model]) -> Option<&'a Model> {
        let is_chosen = |model: &&Model| Some(&model.id) == self.model.as_ref();
        models.iter().find(is_chosen).or(models.first())
    }

    /// What there is to choose.
    pub fn options(&self, models: &[Model]) -> Vec<ConfigOption> {
        let Some(current) = self.current(models) else {
            return Vec::new();
        };
        let mut options = Vec::new();
        if models.len() > 1 {
            options.push(ConfigOption {
                r#type: "select",
                id: MODEL,
                name: "Model",
                category: "model",
                current_value: current.id.clone(),
                options: models
                    .iter()
                    .map(|model| Choice {
                        value: model.id.clone(),
                        name: model.display_name.as_ref().unwrap_or(&model.id).clone(),
                    })
                    .collect(),
            });
        }
        if !current.efforts.is_empty() {
            let efforts = [DEFAULT_EFFORT.to_owned()];
            let efforts = efforts.iter().chain(&current.efforts);
            options.push(ConfigOption {
                r#type: "select",
                id: EFFORT,
                name: "Effort",
                category: "thought_level",
                current_value: self.effort.clone().unwrap_or(DEFAULT_EFFORT.to_owned()),
                options: efforts
                    .map(|effort| Choice {
                        value: effort.clone(),
                        name: effort.clone(),
                    })
                    .collect(),
            });
        }
        options
    }
}
