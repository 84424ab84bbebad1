//! `postgres://user:password@host:port/database?parameter=value`, as libpq reads it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use super::settings_error::SettingsError;

/// What a URL says, by libpq's names of the parameters.
pub type Parameters = BTreeMap<String, String>;

/// Reads a URL. No error repeats it: it may hold a password.
pub fn parameters(url: &str) -> Result<Parameters, SettingsError> {
    let rest = ["postgres://", "postgresql://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .ok_or_else(|| {
            let scheme = url.split_once("://").map(|(scheme, _)| scheme);
            let found =
                scheme.filter(|scheme| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let found = found.map_or(String::new(), |scheme| format!(", not with {scheme}://"));
            SettingsError::new(format!(
                "The URL of PostgreSQL must begin with postgres://{found}."
            ))
        })?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));

    let mut parameters = Parameters::new();
    let mut set = |name: &str, value: String| {
        if !value.is_empty() {
            parameters.insert(name.to_owned(), value);
        }
    };
    set("user", decoded(user, "user")?);
    set("password", decoded(password, "password")?);
    set("dbname", decoded(database, "database")?);
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, port) = split_port(host)?;
        names.push(decoded(name, "host")?);
        ports.push(port);
    }
    set(
        "host",
        if hosts.is_empty() {
            String::new()
        } else {
            names.join(",")
        },
    );
    if ports.iter().any(|port| !port.is_empty()) {
        set("port", ports.join(","));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            SettingsError::new("A parameter in the URL of PostgreSQL has no value: after the ? each is name=value.")
        })?;
        let name = decoded(name, "parameter")?;
        let value = decoded(value, &name)?;
        set(&name, value);
    }
    Ok(parameters)
}

/// A host and its port, which stands after the last colon, or after the brackets of an IPv6 address.
fn split_port(host: &str) -> Result<(&str, &str), SettingsError> {
    if let Some(address) = host.strip_prefix('[') {
        let (address, rest) = address.split_once(']').ok_or_else(|| {
            SettingsError::new(
                "The URL of PostgreSQL has an IPv6 address without its closing bracket.",
            )
        })?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((address, port)),
            None if rest.is_empty() => Ok((address, "")),
            None => Err(SettingsError::new(
                "In the URL of PostgreSQL only a port may follow an IPv6 address in brackets.",
            )),
        };
    }
    Ok(host.rsplit_once(':').unwrap_or((host, "")))
}

/// Text with each `%xx` replaced by its byte.
fn decoded(text: &str, what: &str) -> Result<String, SettingsError> {
    let malformed = || {
        SettingsError::new(format!(
            "The {what} in the URL of PostgreSQL is not well encoded: after each % there must be two hexadecimal digits, and a % itself is written %25."
        ))
    };
    let is_code = |after: &str| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_code) {
        return Err(malformed());
    }
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.ok().filter(|text| !text.contains('\0'));
    decoded.map(Cow::into_owned).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> String {
        match parameters(url) {
            Ok(read) => {
                let read = read.iter().map(|(name, value)| format!("{name}={value}"));
                read.collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_url_is_read_as_libpq_reads_it() {
        for (url, expected) in [
            ("postgres://", ""),
            ("postgresql:///agents", "dbname=agents"),
            ("postgres://db", "host=db"),
            (
                "postgres://me:s%40fe%3A@db.example:6543/agents?sslmode=disable&application_name=a%20b",
                "application_name=a b dbname=agents host=db.example password=s@fe: port=6543 sslmode=disable user=me",
            ),
            (
                "postgres://me@[::1]:5433/x",
                "dbname=x host=::1 port=5433 user=me",
            ),
            ("postgres://me@[::1]/x", "dbname=x host=::1 user=me"),
            ("postgres://a:1,b:2/x", "dbname=x host=a,b port=1,2"),
            ("postgres://a,b:2/x", "dbname=x host=a,b port=,2"),
            (
                "postgres://me@%2Fvar%2Frun%2Fpostgresql/x",
                "dbname=x host=/var/run/postgresql user=me",
            ),
            (
                "postgres:///x?host=/run/pg&port=7",
                "dbname=x host=/run/pg port=7",
            ),
            // An unencoded @ in the password: the last one counts.
            (
                "postgres://me:a@b@db/x",
                "dbname=x host=db password=a@b user=me",
            ),
        ] {
            assert_eq!(read(url), expected, "{url}");
        }
    }

    #[test]
    fn a_mistake_is_named_and_the_password_is_not() {
        for (url, expected) in [
            ("mysql://me:hush@db/x", "not with mysql://"),
            ("host=db password=hush", "must begin with postgres://"),
            ("postgres://me:hush%@db/x", "The password in the URL"),
            ("postgres://me:hush@db/%zz", "The database in the URL"),
            ("postgres://me:hush@db/x?sslmode", "has no value"),
            ("postgres://me:hush@[::1/x", "closing bracket"),
            ("postgres://me:hush@[::1]5/x", "only a port"),
            ("postgres://me:%00hush@db/x", "The password in the URL"),
            ("postgres://me:hush@db/%ff", "The database in the URL"),
        ] {
            let said = parameters(url).unwrap_err().to_string();
            assert!(
                said.contains(expected) && !said.contains("hush"),
                "{url}: {said}"
            );
        }
    }
}
