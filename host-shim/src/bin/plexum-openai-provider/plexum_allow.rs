//! `plexum-allow`: this plugin's entry in Plexum's own configuration.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use serde_json::Value;

use super::audit::print;

/// The entry.
const ID: &str = env!("CARGO_PKG_NAME");

/// Add this plugin to `plugins.allow` in Plexum's configuration, which is JSON; the rest of the file stays as it
/// is.
#[derive(Args)]
#[command(after_help = "\
Examples:
  plexum-openai-provider plexum-allow ~/.plexum/config.json
  plexum-openai-provider plexum-allow --remove ~/.plexum/config.json

The file is replaced in one step, under the mode and the owner that it has; a link to it stays a link.

Exit codes: 0 the file is as asked, 2 it cannot be changed and was not.")]
pub struct PlexumAllow {
    /// Plexum's configuration
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Take the plugin out of the list
    #[arg(long)]
    remove: bool,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

/// What to do with the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Add,
    Remove,
}

impl PlexumAllow {
    pub fn run(self) -> Result<ExitCode> {
        let change = if self.remove {
            Change::Remove
        } else {
            Change::Add
        };
        print(&change_file(&self.file, change, self.dry_run)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Adds this plugin to the list in Plexum's configuration, or takes it out, and says so.
pub fn change_file(path: &Path, change: Change, dry_run: bool) -> Result<String> {
    let name = path.display();
    // The file itself, so that a link to it is not replaced by a file.
    let file = std::fs::canonicalize(path)
        .with_context(|| format!("Plexum's configuration {name} cannot be found"))?;
    ensure!(file.is_file(), "{name} is not a file, and was left alone");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("Plexum's configuration {name} cannot be read"))?;
    let changed = changed(&text, change).with_context(|| {
        format!("{name} does not look like Plexum's configuration, and was left alone")
    })?;
    let Some(new) = changed else {
        return Ok(match change {
            Change::Add => format!("{name}: {ID} is in `plugins.allow` already"),
            Change::Remove => format!("{name}: {ID} is not in `plugins.allow`"),
        });
    };
    if !dry_run {
        replace(&file, &text, &new)
            .with_context(|| format!("{name} cannot be replaced, and was left alone"))?;
    }
    let would = if dry_run { "would be " } else { "" };
    let said = match change {
        Change::Add => format!("{name}: {ID} {would}added to `plugins.allow`"),
        Change::Remove => format!("{name}: {ID} {would}removed from `plugins.allow`"),
    };
    if change == Change::Add && allow_list(&serde_json::from_str(&text)?)?.is_none() {
        let more =
            "The list did not exist before: if Plexum loads other plugins, name them there too.";
        return Ok(format!("{said}\n{more}"));
    }
    Ok(said)
}

/// The text with the entry, or without it; `None` if it is that way already.
fn changed(text: &str, change: Change) -> Result<Option<String>> {
    ensure!(
        !text.starts_with('\u{feff}'),
        "it begins with a byte order mark, which JSON does not allow: save it as UTF-8 without one"
    );
    let value: Value = serde_json::from_str(text).context("it is not JSON")?;
    let listed = allow_list(&value)?.is_some_and(|list| list.iter().any(|entry| entry == ID));
    if listed == (change == Change::Add) {
        return Ok(None);
    }
    let root = CstRootNode::parse(text, &JSON).context("it is not JSON")?;
    let object = root.object_value().context("it is not an object")?;
    once(&object, "plugins")?;
    let plugins = object
        .object_value_or_create("plugins")
        .context("`plugins` is not an object")?;
    once(&plugins, "allow")?;
    let allow = plugins
        .array_value_or_create("allow")
        .context("`plugins.allow` is not a list")?;
    match change {
        Change::Add => {
            allow.append(CstInputValue::from(ID));
        }
        Change::Remove => {
            for entry in allow.elements() {
                let name = entry.as_string_lit().map(|name| name.decoded_value());
                if matches!(name, Some(Ok(name)) if name == ID) {
                    entry.remove();
                }
            }
        }
    }
    let new = root.to_string();
    ensure!(
        serde_json::from_str::<Value>(&new).ok() == Some(expected(value, change)?),
        "the changed text would not mean what it should; change it by hand"
    );
    Ok(Some(new))
}

/// JSON, and none of what else the parser knows.
const JSON: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// The list in a configuration, if there is one.
fn allow_list(config: &Value) -> Result<Option<&Vec<Value>>> {
    let config = config.as_object().context("it is not an object")?;
    let Some(plugins) = config.get("plugins") else {
        return Ok(None);
    };
    let plugins = plugins.as_object().context("`plugins` is not an object")?;
    match plugins.get("allow") {
        None => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list)),
        Some(_) => bail!("`plugins.allow` is not a list"),
    }
}

/// Refuses a key that is there twice: it is unknown which of them Plexum reads.
fn once(object: &CstObject, name: &str) -> Result<()> {
    let named = |property: &jsonc_parser::cst::CstObjectProp| {
        property.decoded_name().is_some_and(|found| found == name)
    };
    let count = object
        .properties()
        .iter()
        .filter(|property| named(property))
        .count();
    ensure!(count <= 1, "`{name}` is there {count} times: keep one");
    Ok(())
}

/// What the configuration must be afterwards.
fn expected(mut config: Value, change: Change) -> Result<Value> {
    let empty = || Value::Object(serde_json::Map::new());
    let root = config.as_object_mut().context("it is not an object")?;
    let plugins = root.entry("plugins").or_insert_with(empty);
    let plugins = plugins
        .as_object_mut()
        .context("`plugins` is not an object")?;
    let allow = plugins
        .entry("allow")
        .or_insert_with(|| Value::Array(Vec::new()));
    let allow = allow
        .as_array_mut()
        .context("`plugins.allow` is not a list")?;
    match change {
        Change::Add => allow.push(ID.into()),
        Change::Remove => allow.retain(|entry| entry != ID),
    }
    Ok(config)
}

/// Replaces the text of a file, completely or not at all, and keeps its mode and its owner.
fn replace(file: &Path, old: &str, new: &str) -> Result<()> {
    let folder = file.parent().context("it is in no folder")?;
    let metadata = std::fs::metadata(file)?;
    let mut temporary = tempfile::Builder::new()
        .prefix(".plexum-allow-")
        .tempfile_in(folder)
        .with_context(|| {
            format!(
                "{} cannot be written to: check its permissions",
                folder.display()
            )
        })?;
    temporary.write_all(new.as_bytes())?;
    let made = temporary.as_file().metadata()?;
    if (made.uid(), made.gid()) != (metadata.uid(), metadata.gid()) {
        fchown(
            temporary.as_file(),
            Some(metadata.uid()),
            Some(metadata.gid()),
        )
        .with_context(|| {
            format!(
                "it belongs to user {}: run this as that user",
                metadata.uid()
            )
        })?;
    }
    temporary
        .as_file()
        .set_permissions(Permissions::from_mode(metadata.mode() & 0o7777))?;
    temporary.as_file().sync_all()?;
    ensure!(
        std::fs::read_to_string(file)? == old,
        "another program has just changed it: try again"
    );
    temporary.persist(file)?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With `@` for the entry.
    fn written(text: &str) -> String {
        text.replace('@', &format!("\"{ID}\""))
    }

    #[test]
    fn the_entry_is_added_in_the_style_of_the_file_and_removed_again() {
        for (before, after, removed) in [
            (
                r#"{"plugins":{"allow":["a"],"b":[1.50,2]},"z":{"q":1e3}}"#,
                r#"{"plugins":{"allow":["a", @],"b":[1.50,2]},"z":{"q":1e3}}"#,
                None,
            ),
            (
                "{\n  \"z\": 1,\n  \"plugins\": {\n    \"allow\": [\n      \"b\",\n      \"a\"\n    ]\n  }\n}\n",
                "{\n  \"z\": 1,\n  \"plugins\": {\n    \"allow\": [\n      \"b\",\n      \"a\",\n      @\n    ]\n  }\n}\n",
                None,
            ),
            (
                "{\r\n\t\"plugins\": {\r\n\t\t\"allow\": [\r\n\t\t\t\"a\"\r\n\t\t]\r\n\t}\r\n}\r\n",
                "{\r\n\t\"plugins\": {\r\n\t\t\"allow\": [\r\n\t\t\t\"a\",\r\n\t\t\t@\r\n\t\t]\r\n\t}\r\n}\r\n",
                None,
            ),
            (
                "{\n    \"plugins\": {\n        \"deny\": [\"q\"]\n    },\n    \"y\": { \"odd\":1 ,\"x\" : [ 1 ]}\n}",
                "{\n    \"plugins\": {\n        \"deny\": [\"q\"],\n        \"allow\": [@]\n    },\n    \"y\": { \"odd\":1 ,\"x\" : [ 1 ]}\n}",
                Some(
                    "{\n    \"plugins\": {\n        \"deny\": [\"q\"],\n        \"allow\": []\n    },\n    \"y\": { \"odd\":1 ,\"x\" : [ 1 ]}\n}",
                ),
            ),
            (
                "{}",
                "{\n  \"plugins\": {\n    \"allow\": [@]\n  }\n}",
                Some("{\n  \"plugins\": {\n    \"allow\": []\n  }\n}"),
            ),
        ] {
            let after = written(after);
            let added = changed(before, Change::Add).unwrap();
            assert_eq!(added.as_deref(), Some(after.as_str()));
            assert_eq!(changed(&after, Change::Add).unwrap(), None);
            let taken = changed(&after, Change::Remove).unwrap();
            assert_eq!(taken.as_deref(), Some(removed.unwrap_or(before)));
            assert_eq!(changed(before, Change::Remove).unwrap(), None);
        }
    }

    #[test]
    fn an_entry_that_is_there_twice_or_written_otherwise_is_known() {
        let text = written("{\"plugins\":{\"allow\":[@, 7, @]}}");
        let removed = changed(&text, Change::Remove).unwrap().unwrap();
        assert_eq!(removed, "{\"plugins\":{\"allow\":[ 7]}}");
        let escaped = r#"{"\u0070lugins":{"allow":["\u0070lexum-openai-provider"]}}"#;
        assert_eq!(changed(escaped, Change::Add).unwrap(), None);
        assert_eq!(
            changed(escaped, Change::Remove).unwrap().unwrap(),
            r#"{"\u0070lugins":{"allow":[]}}"#
        );
    }

    #[test]
    fn what_is_not_a_configuration_is_an_error() {
        for (text, expected) in [
            ("", "it is not JSON: EOF"),
            ("{\"plugins\": {}", "it is not JSON: EOF"),
            ("{\"plugins\": {}, }", "it is not JSON: trailing comma"),
            ("{} // allow", "it is not JSON: trailing characters"),
            ("\u{feff}{}", "byte order mark"),
            ("[]", "it is not an object"),
            ("{\"plugins\": []}", "`plugins` is not an object"),
            ("{\"plugins\": null}", "`plugins` is not an object"),
            (
                "{\"plugins\": {\"allow\": \"a\"}}",
                "`plugins.allow` is not a list",
            ),
            (
                "{\"plugins\": {\"allow\": null}}",
                "`plugins.allow` is not a list",
            ),
            (
                "{\"plugins\": {}, \"plugins\": {}}",
                "`plugins` is there 2 times",
            ),
            (
                "{\"plugins\": {\"allow\": [], \"\\u0061llow\": []}}",
                "`allow` is there 2 times",
            ),
        ] {
            let error = changed(text, Change::Add).unwrap_err();
            assert!(format!("{error:#}").contains(expected), "{text}: {error:#}");
        }
    }

    #[test]
    fn a_file_that_another_program_changes_meanwhile_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, "{ }").unwrap();
        let error = replace(&file, "{}", "{\"new\": 1}")
            .unwrap_err()
            .to_string();
        assert!(error.contains("try again"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{ }");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
