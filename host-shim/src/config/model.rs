//! A model on offer.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A model that a request may name, and what the operator says of it. In the file it is its name, or an object with
/// the name under `id`. `models --discover` prints such objects.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SupportedModel {
    /// The name by which a request selects it.
    pub id: String,
    /// Its name for a person.
    pub display_name: Option<String>,
    /// How many tokens a conversation with it may have.
    pub context_window: Option<u32>,
    /// Whether it takes images.
    pub images: bool,
    /// The efforts that it takes, the least first. A request that names another one is refused; empty is any.
    pub efforts: Vec<String>,
}

/// The object in the file.
#[derive(Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(title = "A model, and what is known of it")
)]
#[serde(deny_unknown_fields)]
struct ModelObject {
    /// The name by which a request selects it.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = super::schema::NAME)))]
    id: String,
    /// Its name for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    /// How many tokens a conversation with it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context_window: Option<u32>,
    /// Whether it takes images.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    images: bool,
    /// The efforts that it takes, the least first. A request that names another one is refused; empty is any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    efforts: Vec<String>,
}

fn yes() -> bool {
    true
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_yes(value: &bool) -> bool {
    *value
}

impl SupportedModel {
    /// A model of which only the name is known.
    pub fn new(id: impl Into<String>) -> Self {
        SupportedModel {
            id: id.into(),
            display_name: None,
            context_window: None,
            images: true,
            efforts: Vec::new(),
        }
    }

    fn object(&self) -> ModelObject {
        let SupportedModel {
            id,
            display_name,
            context_window,
            images,
            efforts,
        } = self.clone();
        ModelObject {
            id,
            display_name,
            context_window,
            images,
            efforts,
        }
    }
}

impl From<&str> for SupportedModel {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl From<ModelObject> for SupportedModel {
    fn from(object: ModelObject) -> Self {
        let ModelObject {
            id,
            display_name,
            context_window,
            images,
            efforts,
        } = object;
        SupportedModel {
            id,
            display_name,
            context_window,
            images,
            efforts,
        }
    }
}

impl Serialize for SupportedModel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Self::new(&self.id) {
            self.id.serialize(serializer)
        } else {
            self.object().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for SupportedModel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrObject;

        impl<'de> Visitor<'de> for NameOrObject {
            type Value = SupportedModel;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string, or an object with `id`")
            }

            fn visit_str<E>(self, id: &str) -> Result<Self::Value, E> {
                Ok(SupportedModel::new(id))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                ModelObject::deserialize(MapAccessDeserializer::new(map)).map(Into::into)
            }
        }

        deserializer.deserialize_any(NameOrObject)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for SupportedModel {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SupportedModel".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                { "type": "string", "pattern": super::schema::NAME },
                generator.subschema_for::<ModelObject>(),
            ],
        })
    }
}
