//! The file with passwords that libpq reads: `~/.pgpass`, or the one that PGPASSFILE names.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::settings_error::SettingsError;

/// Far more than any such file needs.
const MAX_BYTES: u64 = 1024 * 1024;

/// Whose password is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    pub host: &'a str,
    pub port: u16,
    pub database: &'a str,
    pub user: &'a str,
}

/// The password of this login in a file of passwords. None if the file has none, or if there is no such file and nobody
/// has named it.
pub fn in_file(
    path: &Path,
    is_named: bool,
    login: Login<'_>,
) -> Result<Option<String>, SettingsError> {
    let failed = |error: std::io::Error| {
        SettingsError::new(format!(
            "The file with PostgreSQL's passwords, {}, cannot be read: {error}.",
            path.display()
        ))
    };
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && !is_named => return Ok(None),
        metadata => metadata.map_err(failed)?,
    };
    // Not a device, such as /dev/null, which some name to have no such file.
    if !metadata.is_file() {
        return Ok(None);
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(SettingsError::new(format!(
            "Others than its owner may read or change the file with PostgreSQL's passwords, so it is not used: run `chmod 600 {}`.",
            path.display()
        )));
    }
    let mut text = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_BYTES)
        .read_to_end(&mut text)
        .map_err(failed)?;
    Ok(password(&String::from_utf8_lossy(&text), login))
}

/// The password on the first line that fits: `host:port:database:user:password`, where `*` fits anything and a
/// backslash takes the next character as it is.
fn password(text: &str, login: Login<'_>) -> Option<String> {
    let port = login.port.to_string();
    let wanted = [login.host, &port, login.database, login.user];
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut rest = line;
            for wanted in wanted {
                let (field, after) = field(rest)?;
                let is_any = rest.strip_prefix("*:").is_some();
                if !is_any && field != wanted {
                    return None;
                }
                rest = after?;
            }
            let (password, _) = field(rest)?;
            Some(password)
        })
}

/// The text up to the next colon, and what follows that colon.
fn field(text: &str) -> Option<(String, Option<&str>)> {
    let mut field = String::new();
    let mut characters = text.char_indices();
    while let Some((_, character)) = characters.next() {
        match character {
            '\\' => field.push(characters.next()?.1),
            ':' => return Some((field, Some(characters.as_str()))),
            other => field.push(other),
        }
    }
    Some((field, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: Login<'_> = Login {
        host: "db.example",
        port: 5432,
        database: "agents",
        user: "me",
    };

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        for (text, expected) in [
            ("", None),
            ("db.example:5432:agents:me:yes", Some("yes")),
            (
                "db.example:5433:agents:me:no\n*:*:*:me:yes\n*:*:*:*:no",
                Some("yes"),
            ),
            ("# *:*:*:*:no\n*:5432:*:*:yes", Some("yes")),
            ("db.example:5432:agents:you:no", None),
            ("db.example:5432:agents:me", None),
            ("*:*:*:*:with\\:colon\\\\", Some("with:colon\\")),
            ("*:*:*:*:up to:here", Some("up to")),
            ("d\\b.example:5432:agents:me:yes", Some("yes")),
            ("\\*:*:*:*:no", None),
        ] {
            assert_eq!(password(text, LOGIN).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_what_to_do() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("pgpass");
        assert_eq!(in_file(&path, false, LOGIN).unwrap(), None);
        let missing = in_file(&path, true, LOGIN).unwrap_err().to_string();
        assert!(missing.contains(path.to_str().unwrap()), "{missing}");
        fs::write(&path, "*:*:*:*:hush").unwrap();
        for mode in [0o640, 0o604, 0o644, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let said = in_file(&path, false, LOGIN).unwrap_err().to_string();
            assert!(
                said.contains("chmod 600") && !said.contains("hush"),
                "{said}"
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(
            in_file(&path, false, LOGIN).unwrap().as_deref(),
            Some("hush")
        );
        assert_eq!(in_file(Path::new("/dev/null"), true, LOGIN).unwrap(), None);
    }
}
