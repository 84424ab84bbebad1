//! The tables and functions: made and brought up to date by an operator, looked at by each host.

use tokio::time::timeout;
use tokio_postgres::{Client, GenericClient};

use super::error::Explains;
use super::pool::Failure;
use super::settings::Target;
use super::tls;
use crate::session::store::SessionError;

/// A step from one version of the schema to the next.
struct Migration {
    version: i32,
    /// Programs that know this version or a newer one can use the schema after this step.
    oldest_program: i32,
    sql: &'static str,
}

/// In the order of their versions. What has been released is not changed any more.
const MIGRATIONS: [Migration; 1] = [Migration {
    version: 1,
    oldest_program: 1,
    sql: include_str!("schema/0001.sql"),
}];

/// The version that this program makes, and needs.
pub const VERSION: i32 = 1;

/// Two programs that make the schema at once wait for each other: the number is nobody else's. Nothing else locks so, since
/// such a lock does not go through a pooler.
const LOCK: i64 = 0x706c_6578_756d;

/// What making the schema has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initialised {
    /// The version that was there; `None` if there was no schema.
    pub before: Option<i32>,
    /// The version that is there now.
    pub now: i32,
    /// What a role needs to be a host's, in SQL, with the role that was named or `HOST_ROLE` in its place.
    pub grants: Vec<String>,
    /// Whether they were given.
    pub granted: bool,
}

/// A statement of this program's, for the schema of this name.
pub fn named(sql: &str, schema: &str) -> String {
    sql.replace("plexum.", &format!("{schema}."))
}

/// Makes the schema, or brings it up to date, and lets a role use it.
pub async fn init(
    target: &Target,
    explains: &Explains,
    grant_to: Option<&str>,
) -> Result<Initialised, SessionError> {
    let connector = tls::connector(&target.tls)?;
    let connected = timeout(target.answer_limit, target.config.connect(connector))
        .await
        .map_err(|_| explains.failure(&Failure::NotConnected))?;
    let (mut client, connection) = connected.map_err(|error| explains.error(&error))?;
    let connection = tokio::spawn(connection);
    let made = in_one_transaction(&mut client, target, grant_to).await;
    drop(client);
    // Its last words are of no interest when it has said all.
    let _ended = connection.await;
    made.map_err(|failed| match failed {
        Failed::Said(error) => explains.error(&error),
        Failed::Newer(found) => explains.schema(&newer(&target.schema, found)),
    })
}

enum Failed {
    Said(tokio_postgres::Error),
    Newer(i32),
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Failed::Said(error)
    }
}

async fn in_one_transaction(
    client: &mut Client,
    target: &Target,
    grant_to: Option<&str>,
) -> Result<Initialised, Failed> {
    let schema = &target.schema;
    let transaction = client.transaction().await?;
    transaction
        .batch_execute(&format!("select pg_advisory_xact_lock({LOCK})"))
        .await?;
    let before = version(&transaction, schema).await?;
    if let Some((found, oldest_program)) = before
        && oldest_program > VERSION
    {
        return Err(Failed::Newer(found));
    }
    let before = before.map(|(version, _)| version);
    if before.is_none() {
        transaction
            .batch_execute(&format!("create schema if not exists {schema}"))
            .await?;
    }
    let known = before.unwrap_or(0);
    for migration in MIGRATIONS
        .iter()
        .filter(|migration| migration.version > known)
    {
        transaction
            .batch_execute(&named(migration.sql, schema))
            .await?;
        let made = format!(
            "insert into {schema}.schema_version (version, oldest_program, made_by) values ({}, {}, '{}')",
            migration.version,
            migration.oldest_program,
            env!("CARGO_PKG_VERSION")
        );
        transaction.batch_execute(&made).await?;
    }
    let grants = grants(schema, grant_to);
    if grant_to.is_some() {
        for grant in &grants {
            transaction.batch_execute(grant).await?;
        }
    }
    transaction.commit().await?;
    Ok(Initialised {
        before,
        now: known.max(VERSION),
        grants,
        granted: grant_to.is_some(),
    })
}

/// The version of the schema, and the oldest program that can use it; `None` if there is no schema.
async fn version(
    client: &impl GenericClient,
    schema: &str,
) -> Result<Option<(i32, i32)>, tokio_postgres::Error> {
    // Whether it is there is asked first: an error would end the transaction.
    let there = client
        .simple_query(&format!(
            "select to_regclass('{schema}.schema_version') is not null"
        ))
        .await?;
    if first_text(&there) != Some("t") {
        return Ok(None);
    }
    let rows = client.query_typed(&named(NEWEST, schema), &[]).await?;
    rows.first()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .transpose()
}

fn first_text(messages: &[tokio_postgres::SimpleQueryMessage]) -> Option<&str> {
    messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten(),
        _ => None,
    })
}

/// The newest version that was made.
pub const NEWEST: &str =
    "select version, oldest_program from plexum.schema_version order by version desc limit 1";

/// Whether this program can use a schema: what is wrong, if it cannot.
pub fn unusable(schema: &str, version: i32, oldest_program: i32) -> Option<String> {
    if version < VERSION {
        return Some(format!(
            "the schema {schema:?} has version {version}, and this program needs {VERSION}: run `plexum-openai-provider fleet init` of this version"
        ));
    }
    (oldest_program > VERSION).then(|| newer(schema, version))
}

fn newer(schema: &str, version: i32) -> String {
    format!(
        "the schema {schema:?} has version {version}, which this program is too old for ({VERSION}): install the version that the rest of the fleet has"
    )
}

/// What a role needs to be a host's: no more than to read and write rows.
fn grants(schema: &str, role: Option<&str>) -> Vec<String> {
    let role = role.map_or_else(|| "HOST_ROLE".to_owned(), quoted);
    vec![
        format!("grant usage on schema {schema} to {role}"),
        format!(
            "grant select, insert, update, delete on {schema}.conversation, {schema}.record_piece, {schema}.host_login to {role}"
        ),
        format!("grant select on {schema}.schema_version to {role}"),
    ]
}

/// A name that may be any text, as SQL has it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_step_makes_the_version_that_is_needed() {
        let versions: Vec<i32> = MIGRATIONS
            .iter()
            .map(|migration| migration.version)
            .collect();
        assert_eq!(versions, (1..=VERSION).collect::<Vec<_>>());
    }

    #[test]
    fn a_schema_of_another_version_says_what_to_do() {
        assert_eq!(unusable("plexum", VERSION, VERSION), None);
        // Made by a newer program that thought of older ones.
        assert_eq!(unusable("plexum", VERSION + 1, VERSION), None);
        let newer = unusable("plexum", VERSION + 1, VERSION + 1).unwrap();
        assert!(newer.contains("install the version"), "{newer}");
        let older = unusable("plexum", VERSION - 1, VERSION - 1).unwrap();
        assert!(older.contains("fleet init"), "{older}");
    }

    #[test]
    fn a_role_may_have_any_name() {
        let grants = grants("plexum", Some("a\"; drop"));
        assert!(
            grants
                .iter()
                .all(|grant| grant.ends_with("to \"a\"\"; drop\"")),
            "{grants:?}"
        );
    }
}
