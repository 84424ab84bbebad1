//! The packages of `wit/`, which are installed beside the component.

use std::path::Path;

/// Lists their files as `include!` takes them: names, and what is in them.
pub fn list(wit: &Path) -> Result<String, String> {
    let wit = wit
        .canonicalize()
        .map_err(|error| format!("{}: {error}", wit.display()))?;
    let mut files = Vec::new();
    for package in ["codex", "provider"] {
        let folder = wit.join(package);
        let entries =
            std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| error.to_string())?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // What wkg writes beside them is none of them.
            if name == "wkg.toml" || name.ends_with(".wit") {
                files.push((format!("wit/{package}/{name}"), path.clone()));
            }
        }
    }
    files.sort();
    let lines = files
        .iter()
        .map(|(name, path)| format!("({name:?}, include_str!({path:?})),\n"));
    Ok(format!("&[\n{}]\n", lines.collect::<String>()))
}
