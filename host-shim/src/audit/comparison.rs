//! The interfaces of a component, compared with a list that was saved earlier.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::Component;

/// The names of what a component imports and exports, and of the functions in them where they
/// are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interfaces {
    imports: Names,
    /// Absent if the list has only imports.
    exports: Option<Names>,
}

/// The functions of each interface, where they are known.
type Names = BTreeMap<String, Option<Vec<String>>>;

/// Something that only one of the two has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Whether the component has it, rather than the list.
    pub added: bool,
    /// `import` or `export`.
    pub kind: &'static str,
    /// The interface.
    pub name: String,
    /// The function, where both have the interface.
    pub function: Option<String>,
}

/// Why something is not a list of interfaces.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterfacesError {
    /// It is JSON, but not an audit.
    #[error("this is not the output of `audit --json`: {0}; run that command again")]
    Json(#[from] serde_json::Error),
    /// It has a line of another kind.
    #[error(
        "line {line} is not `import <name>` or `export <name>`: {text:?}; write such lines, or use the output of `audit --json`"
    )]
    Line {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// It names nothing.
    #[error("it has no line `import <name>` or `export <name>`")]
    Empty,
}

impl Interfaces {
    /// Those of a component.
    #[must_use]
    pub fn of(component: &Component) -> Self {
        let imports = component.imports.iter();
        let exports = component.exports.iter();
        Interfaces {
            imports: imports
                .map(|import| (import.name.clone(), Some(import.functions.clone())))
                .collect(),
            exports: Some(
                exports
                    .map(|export| (export.name.clone(), Some(export.functions.clone())))
                    .collect(),
            ),
        }
    }

    /// Those of a text: what `audit --json` prints, or lines `import <name>` and `export <name>`, with
    /// `#` in front of remarks. Where no export is named, exports are not compared.
    pub fn parse(text: &str) -> Result<Self, InterfacesError> {
        if text.trim_start().starts_with('{') {
            let written: Written = serde_json::from_str(text)?;
            return Ok(Interfaces {
                imports: written.component.imports.into_iter().map(names).collect(),
                exports: Some(written.component.exports.into_iter().map(names).collect()),
            });
        }
        let (mut imports, mut exports) = (Names::new(), Names::new());
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            match line.split_once(' ') {
                _ if line.is_empty() || line.starts_with('#') => None,
                Some(("import", name)) => imports.insert(name.trim().to_owned(), None),
                Some(("export", name)) => exports.insert(name.trim().to_owned(), None),
                _ => {
                    return Err(InterfacesError::Line {
                        line: index + 1,
                        text: line.to_owned(),
                    });
                }
            };
        }
        if imports.is_empty() && exports.is_empty() {
            return Err(InterfacesError::Empty);
        }
        Ok(Interfaces {
            imports,
            exports: (!exports.is_empty()).then_some(exports),
        })
    }

    /// What these have and `other` has not, and the other way round.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        compare("import", &self.imports, &other.imports, &mut found);
        if let (Some(ours), Some(theirs)) = (&self.exports, &other.exports) {
            compare("export", ours, theirs, &mut found);
        }
        found
    }
}

fn compare(kind: &'static str, ours: &Names, theirs: &Names, found: &mut Vec<Difference>) {
    let mut note = |added, name: &str, function: Option<&String>| {
        found.push(Difference {
            added,
            kind,
            name: name.to_owned(),
            function: function.cloned(),
        });
    };
    for (name, functions) in ours {
        match theirs.get(name) {
            None => note(true, name, None),
            Some(other) => {
                if let (Some(functions), Some(other)) = (functions, other) {
                    for function in functions.iter().filter(|it| !other.contains(it)) {
                        note(true, name, Some(function));
                    }
                    for function in other.iter().filter(|it| !functions.contains(it)) {
                        note(false, name, Some(function));
                    }
                }
            }
        }
    }
    for name in theirs.keys().filter(|name| !ours.contains_key(*name)) {
        note(false, name, None);
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.added { '+' } else { '-' };
        write!(f, "{sign} {} {}", self.kind, self.name.escape_debug())?;
        match &self.function {
            Some(function) => write!(f, ": {}", function.escape_debug()),
            None => Ok(()),
        }
    }
}

/// As much of an audit as is compared.
#[derive(Deserialize)]
struct Written {
    component: WrittenComponent,
}

#[derive(Deserialize)]
struct WrittenComponent {
    imports: Vec<WrittenInterface>,
    exports: Vec<WrittenInterface>,
}

#[derive(Deserialize)]
struct WrittenInterface {
    name: String,
    functions: Vec<String>,
}

fn names(interface: WrittenInterface) -> (String, Option<Vec<String>>) {
    (interface.name, Some(interface.functions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::audit::Audit;
    use crate::engine::builtin::COMPONENT;

    fn differences(ours: &str, theirs: &str) -> Vec<String> {
        let parse = |text| Interfaces::parse(text).unwrap();
        let found = parse(ours).differences(&parse(theirs));
        found.iter().map(Difference::to_string).collect()
    }

    #[test]
    fn what_is_added_and_what_is_missing_is_named() {
        let golden = "# ours\nimport a:b/c@0.1.0\nimport a:b/d@0.1.0\n\nexport a:b/e@0.1.0\n";
        assert!(differences(golden, golden).is_empty());
        assert_eq!(
            differences("import a:b/c@0.1.0\nimport x:y/z@0.1.0", golden),
            ["+ import x:y/z@0.1.0", "- import a:b/d@0.1.0"]
        );
        assert_eq!(
            differences(
                "import a:b/c@0.1.0\nimport a:b/d@0.1.0\nexport a:b/f",
                golden
            ),
            ["+ export a:b/f", "- export a:b/e@0.1.0"]
        );
    }

    #[test]
    fn functions_are_compared_where_both_know_them() {
        let json = |functions: &str| {
            format!(
                r#"{{"component":{{"imports":[{{"name":"a:b/c","functions":{functions}}}],"exports":[]}}}}"#
            )
        };
        assert_eq!(
            differences(&json(r#"["f","g"]"#), &json(r#"["g","h"]"#)),
            ["+ import a:b/c: f", "- import a:b/c: h"]
        );
        assert!(differences(&json(r#"["f"]"#), "import a:b/c").is_empty());
    }

    #[test]
    fn what_an_audit_prints_is_read_back() {
        let audit = Audit::of(COMPONENT, &Config::default()).unwrap();
        let printed = serde_json::to_string(&audit).unwrap();
        assert_eq!(
            Interfaces::parse(&printed).unwrap(),
            Interfaces::of(&audit.component)
        );
    }

    #[test]
    fn what_is_not_a_list_is_refused_with_its_line() {
        let error = |text| Interfaces::parse(text).unwrap_err().to_string();
        assert!(error("import a\n\nimpart b").starts_with("line 3 is not"));
        assert!(error("").contains("no line"));
        assert!(error("{\"component\": {}}").contains("missing field `imports`"));
    }
}
