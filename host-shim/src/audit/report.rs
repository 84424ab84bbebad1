//! An audit as a text for a person, to be read in a minute.

use std::fmt;

use super::layout::{escaped, quoted, wrapped};
use super::{Audit, Import, Limit, Pin, Producer, ProgramFile, ServerGrant, Verdict};

/// How wide the text is, unless one word is wider.
const WIDTH: usize = 110;

/// How wide the labels on its left are.
const LABEL: usize = 13;

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut page = Page {
            f,
            label: "",
            started: false,
        };
        page.section("verdict", |page| page.text(&self.verdict_line()))?;
        page.component(self)?;
        page.program(self)?;
        page.section("arguments", |page| {
            for argument in &self.arguments {
                let words: Vec<String> = argument.words.iter().map(|word| quoted(word)).collect();
                let words = match words.join(" ") {
                    words if words.is_empty() => "(none)".to_owned(),
                    words if argument.optional => format!("[{words}]"),
                    words => words,
                };
                page.pair(&words, 44, &argument.meaning)?;
            }
            Ok(())
        })?;
        page.server(self.server.as_ref())?;
        page.section("workspace", |page| page.text(&self.workspace.join("; ")))?;
        page.section("files kept", |page| {
            self.files
                .iter()
                .try_for_each(|file| page.pair(&file.name, 26, &file.meaning))
        })?;
        page.section("environment", |page| {
            self.environment.iter().try_for_each(|line| page.text(line))
        })?;
        let (settings, fixed): (Vec<&Limit>, _) = self
            .limits
            .iter()
            .partition(|limit| limit.setting.is_some());
        page.section("limits", |page| page.limits(settings.into_iter().map(cell)))?;
        page.section("fixed limits", |page| {
            page.limits(fixed.into_iter().map(cell))
        })?;
        page.section("not confined", |page| page.text(&self.not_confined))
    }
}

impl Audit {
    fn verdict_line(&self) -> String {
        match self.verdict {
            Verdict::WithinTheGrant => "within the grant".to_owned(),
            Verdict::OutsideTheGrant if self.component.pin == Pin::Differs => {
                "outside the grant, so it is not run: `component_sha256` names another component"
                    .to_owned()
            }
            Verdict::OutsideTheGrant => {
                "wants more than the grant, so it is not run: see imports".to_owned()
            }
            Verdict::NotThisWorld => "not a component of this world, so it is not run".to_owned(),
        }
    }
}

/// The text, as it is written.
struct Page<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    /// The label of the section, until it is written.
    label: &'static str,
    started: bool,
}

impl Page<'_, '_> {
    fn section(
        &mut self,
        label: &'static str,
        content: impl FnOnce(&mut Self) -> fmt::Result,
    ) -> fmt::Result {
        self.label = label;
        content(self)
    }

    fn line(&mut self, line: &str) -> fmt::Result {
        // No line feed at the end of the whole, as with any other `Display`.
        if std::mem::replace(&mut self.started, true) {
            self.f.write_str("\n")?;
        }
        let label = std::mem::take(&mut self.label);
        let line = format!("{label:<LABEL$}{line}");
        self.f.write_str(line.trim_end())
    }

    /// A text, broken where need be.
    fn text(&mut self, text: &str) -> fmt::Result {
        wrapped(text, WIDTH - LABEL)
            .iter()
            .try_for_each(|line| self.line(line))
    }

    /// Something and, from a column on, what it means.
    fn pair(&mut self, left: &str, column: usize, right: &str) -> fmt::Result {
        let left = escaped(left);
        let mut left = left.as_str();
        if left.chars().count() >= column {
            for line in wrapped(left, WIDTH - LABEL) {
                self.line(&line)?;
            }
            left = "";
        }
        for line in wrapped(right, WIDTH - LABEL - column) {
            self.line(&format!("{left:<column$}{line}"))?;
            left = "";
        }
        Ok(())
    }

    fn component(&mut self, audit: &Audit) -> fmt::Result {
        let component = &audit.component;
        self.section("component", |page| {
            let origin = if component.built_in {
                "built in"
            } else {
                "not the built-in one"
            };
            let pin = match component.pin {
                Pin::Unset => "",
                Pin::Matches => ", as `component_sha256` says",
                Pin::Differs => ", not as `component_sha256` says",
            };
            let made_by = match makers(&component.producers).as_slice() {
                [] => "it does not say what made it".to_owned(),
                makers => format!("by {}, it says", makers.join(", ")),
            };
            page.text(&format!("{origin}, {} bytes, {made_by}", component.size))?;
            page.text(&format!("sha256 {}{pin}", component.sha256))
        })?;
        self.section("world", |page| {
            let world = &component.world;
            page.text(&match (world.missing.as_slice(), &world.problem) {
                ([], None) => format!("{}: conformant", world.name),
                ([], Some(problem)) => format!("{}: not conformant: {problem}", world.name),
                (missing, _) => format!(
                    "{}: not conformant: it does not export {}",
                    world.name,
                    missing.join(", ")
                ),
            })
        })?;
        self.section("imports", |page| {
            if component.imports.is_empty() {
                page.text("none")?;
            }
            component
                .imports
                .iter()
                .try_for_each(|import| page.import(import))
        })?;
        self.section("exports", |page| {
            if component.exports.is_empty() {
                page.text("none")?;
            }
            component
                .exports
                .iter()
                .try_for_each(|export| page.text(&export.name))
        })?;
        self.section("not imported", |page| {
            let names = component.imports.iter().map(|import| &import.name);
            let wasi: Vec<_> = names.filter(|name| name.starts_with("wasi:")).collect();
            let wasi = match wasi.len() {
                0 => "no wasi:* interface is imported".to_owned(),
                1 => "1 wasi:* interface is imported".to_owned(),
                count => format!("{count} wasi:* interfaces are imported"),
            };
            let not_imported = match component.not_imported.as_slice() {
                [] => "nothing of the usual".to_owned(),
                names => names.join(", "),
            };
            page.text(&format!("{not_imported}: {wasi}"))
        })
    }

    fn import(&mut self, import: &Import) -> fmt::Result {
        let meaning = import.meaning.as_deref().unwrap_or("not of this world");
        let decision = match &import.problem {
            None => "granted".to_owned(),
            Some(problem) => format!("not granted: {problem}"),
        };
        self.pair(&import.name, 32, &format!("{decision}: {meaning}"))
    }

    fn program(&mut self, audit: &Audit) -> fmt::Result {
        let program = &audit.program;
        self.section("program", |page| {
            let origin = match program.binary {
                Some(_) => "`binary`",
                None => "found on PATH",
            };
            if let Some(file) = &program.file {
                page.text(&format!("{} ({origin})", file.path))?;
                page.program_file(file)?;
            }
            if let Some(problem) = &program.problem {
                page.text(problem)?;
            }
            for entry in &program.ignored_path_entries {
                page.text(&format!(
                    "the relative entry `{entry}` of PATH is ignored: an agent may write where it leads"
                ))?;
            }
            program
                .warnings
                .iter()
                .try_for_each(|warning| page.text(&format!("warning: {warning}")))
        })
    }

    fn program_file(&mut self, file: &ProgramFile) -> fmt::Result {
        if file.canonical_path != file.path {
            self.text(&format!("is {}", file.canonical_path))?;
        }
        let modified = file.modified.as_deref().unwrap_or("at an unknown time");
        self.text(&format!(
            "owner {}, mode {}, {} bytes, changed {modified}",
            match file.owner {
                0 => "root".to_owned(),
                owner => format!("user {owner}"),
            },
            file.mode,
            file.size
        ))?;
        self.text(&match &file.sha256 {
            Some(digest) => format!("sha256 {digest}"),
            None => "sha256 unknown: this user may not read it".to_owned(),
        })?;
        match &file.interpreter {
            Some(interpreter) => self.text(&format!(
                "a script for {interpreter}: the digest is the script's, not that of what it starts"
            )),
            None => Ok(()),
        }
    }

    fn server(&mut self, server: Option<&ServerGrant>) -> fmt::Result {
        let Some(server) = server else {
            return self.section("app-server", |page| {
                page.text("none: `transport` is exec, so no codex stays for another turn")
            });
        };
        self.section("app-server", |page| {
            for arguments in &server.arguments {
                let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
                page.text(&words.join(" "))?;
            }
            page.text("in the workspace; one for each conversation, kept for its next turn")
        })?;
        self.section("messages", |page| {
            for message in &server.messages {
                page.pair(&message.method, 16, &message.meaning)?;
                let Some(params) = message.params.as_object() else {
                    continue;
                };
                for (name, value) in params {
                    let member = match message.optional.contains(name) {
                        true => format!("[{name}] {value}"),
                        false => format!("{name} {value}"),
                    };
                    page.pair("", 16, &member)?;
                }
            }
            Ok(())
        })
    }

    /// Three limits a line.
    fn limits(&mut self, limits: impl Iterator<Item = String>) -> fmt::Result {
        let cells: Vec<String> = limits.collect();
        cells
            .chunks(3)
            .try_for_each(|line| self.line(&line.join("  ")))
    }
}

/// The names of what made a component, each once, with the versions.
fn makers(producers: &[Producer]) -> Vec<String> {
    // A component may claim any number of them.
    const MOST: usize = 6;
    let mut makers: Vec<(&str, Vec<&str>)> = Vec::new();
    for Producer { name, version, .. } in producers {
        if let Some((_, versions)) = makers.iter_mut().find(|(known, _)| known == name) {
            if !versions.contains(&version.as_str()) {
                versions.push(version);
            }
        } else if makers.len() < MOST {
            makers.push((name, vec![version]));
        }
    }
    let shown = makers.iter().map(|(name, versions)| {
        let versions = versions.get(..MOST).unwrap_or(versions).join("/");
        format!("{name} {versions}")
            .trim()
            .chars()
            .take(60)
            .collect()
    });
    shown.collect()
}

/// A limit in a cell of 31 columns, under the name of its setting if it has one.
fn cell(limit: &Limit) -> String {
    let name = match &limit.setting {
        Some(setting) => setting.trim_start_matches("limits."),
        None => &limit.what,
    };
    format!("{name:<22} {:>8}", limit.shown())
}
