//! The store of conversations that machines share.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::Check;
use crate::codex::home::codex_home;
use crate::config::Config;
use crate::fleet::store::{Lease, Owner};
use crate::fleet::{Fleet, FleetSettings, fleet_of};
use crate::grant::environment::EnvironmentRule;
use crate::session::store::SessionError;

/// For how long a login counts as used by a host.
const RECENT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A larger difference of the clocks makes the times in lists misleading.
const SKEW: Duration = Duration::from_secs(5);

/// The checks of the store, if the configuration names one.
pub async fn checks(config: &Config) -> Vec<Check> {
    const ID: &str = "fleet-store";
    let Some(postgres) = &config.sessions.postgres else {
        return Vec::new();
    };
    let fleet = match fleet_of(config) {
        Ok(Some(fleet)) => fleet,
        Ok(None) => return Vec::new(),
        Err(error) => return vec![Check::problem(ID, error.to_string(), "as it says")],
    };
    let asked = SystemTime::now();
    let now = match fleet.store().now().await {
        Ok(now) => now,
        Err(error) => return vec![Check::problem(ID, error.to_string(), "as it says")],
    };
    let host = &fleet.settings().host;
    if let Err(error) = takes_writes(&fleet).await {
        return vec![Check::problem(ID, error.to_string(), "as it says")];
    }
    let mut checks = vec![
        Check::ok(
            ID,
            format!(
                "PostgreSQL answers and takes writes, its tables are of the right version, and this host is {host:?} there"
            ),
        ),
        clock(asked, now),
        lease(config, postgres.lease_seconds),
        name(host),
    ];
    checks.extend(login(&fleet, config).await);
    checks
}

/// Ends a lease that nobody has. That changes nothing, and a standby or a role without the right to write refuses it.
async fn takes_writes(fleet: &Fleet) -> Result<(), SessionError> {
    let lease = Lease {
        key: String::new(),
        owner: Owner {
            id: "doctor".to_owned(),
            host: fleet.settings().host.clone(),
        },
        fence: 0,
    };
    fleet.store().release(&lease).await
}

fn clock(here: SystemTime, there: SystemTime) -> Check {
    const ID: &str = "fleet-clock";
    let skew = there
        .duration_since(here)
        .unwrap_or_else(|error| error.duration());
    let seconds = skew.as_secs_f64();
    if skew <= SKEW {
        return Check::ok(ID, format!("the clocks differ by {seconds:.1} s"));
    }
    Check::warning(
        ID,
        format!(
            "the clocks of this host and of PostgreSQL differ by {seconds:.0} s. Leases do not suffer from that, and times in lists mislead"
        ),
        "synchronize the clocks, for example with chrony",
    )
}

fn lease(config: &Config, seconds: u32) -> Check {
    const ID: &str = "fleet-lease";
    let busy = config.limits.busy_seconds;
    let grace = config.limits.grace_seconds;
    let shortest = FleetSettings::shortest_lease(config.limits.grace()).as_secs();
    Check::ok(
        ID,
        format!(
            "{seconds} s: longer than the {shortest} s that stopping codex needs (`limits.grace_seconds` is {grace}), and shorter than turns wait (`limits.busy_seconds` is {busy})"
        ),
    )
}

fn name(host: &str) -> Check {
    const ID: &str = "fleet-host";
    if host.is_empty() || host.starts_with("localhost") {
        return Check::warning(
            ID,
            format!(
                "this host is called {host:?}, as others may be: a conversation is then taken for one that was here last"
            ),
            "set `sessions.postgres.host` to a name that no other host has",
        );
    }
    Check::ok(ID, format!("{host:?}, which no other host may be called"))
}

/// Whether another host uses this host's login. Notes that this one does.
async fn login(fleet: &Fleet, config: &Config) -> Option<Check> {
    const ID: &str = "fleet-login";
    let environment: Vec<_> = EnvironmentRule::new(&config.env)
        .filter(std::env::vars_os())
        .collect();
    let home = codex_home(&environment, Path::new("/"))?;
    let token = tokio::task::spawn_blocking(move || refresh_token(&home)).await;
    // A key may be used by many.
    let token = token.ok().flatten()?;
    let digest = Sha256::new()
        .chain_update("plexum-openai-provider login ")
        .chain_update(token)
        .finalize();
    let host = &fleet.settings().host;
    let noted = fleet.store().note_login(host, digest.into(), RECENT).await;
    Some(match noted {
        Ok(others) if others.is_empty() => {
            Check::ok(ID, "no other host that was examined has this ChatGPT login")
        }
        Ok(others) => Check::problem(
            ID,
            format!(
                "this ChatGPT login is a copy of that of {}: its refresh token works once, so all but one of them will be logged out",
                others.join(", ")
            ),
            "run `codex login --device-auth` on each host, or use an API key",
        ),
        Err(error) => Check::problem(ID, error.to_string(), "as it says"),
    })
}

/// The token of a ChatGPT login with which a new one is got.
fn refresh_token(home: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Auth {
        tokens: Option<Tokens>,
    }
    #[derive(Deserialize)]
    struct Tokens {
        refresh_token: Option<String>,
    }
    let text = std::fs::read(home.join("auth.json")).ok()?;
    let auth: Auth = serde_json::from_slice(&text).ok()?;
    auth.tokens?.refresh_token.filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_are_a_warning() {
        let here = SystemTime::now();
        for (skew, is_ok) in [(0, true), (4, true), (6, false), (3600, false)] {
            let skew = Duration::from_secs(skew);
            for there in [here + skew, here - skew] {
                assert_eq!(clock(here, there).status == super::super::Status::Ok, is_ok);
            }
        }
    }

    #[test]
    fn only_a_chatgpt_login_has_a_token_that_works_once() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(refresh_token(home.path()), None);
        for (auth, token) in [
            (r#"{"OPENAI_API_KEY":"sk"}"#, None),
            (r#"{"tokens":{"refresh_token":""}}"#, None),
            ("no JSON", None),
            (r#"{"tokens":{"refresh_token":"rt"}}"#, Some("rt")),
        ] {
            std::fs::write(home.path().join("auth.json"), auth).unwrap();
            assert_eq!(refresh_token(home.path()).as_deref(), token, "{auth}");
        }
    }
}
