//! The schema is made once, by whoever may.

use plexum_openai_provider::SessionErrorKind;
use plexum_openai_provider::fleet::postgres::PostgresStore;
use plexum_openai_provider::fleet::store::FleetStore as _;
use plexum_openai_provider_tests::postgres::Postgres;
use plexum_openai_provider_tests::tool::current_test;

use crate::host::take;

#[tokio::test(flavor = "multi_thread")]
async fn it_is_made_once_however_many_make_it_and_only_by_who_may() {
    let Some(server) = Postgres::start(&current_test()) else {
        return;
    };
    let settings = server.settings();

    // Nobody made it yet.
    let error = PostgresStore::connect(&settings).await.unwrap_err();
    assert_eq!(error.kind, SessionErrorKind::Unreadable, "{error}");
    assert!(error.message.contains("fleet init"), "{error}");
    // One that connects later says so then.
    let later = PostgresStore::new(&settings).unwrap();
    let error = later.now().await.unwrap_err();
    assert!(error.message.contains("fleet init"), "{error}");

    // A role that may not.
    server.psql("create role host login");
    let mut as_host = settings.clone();
    as_host.url = Some(server.socket_url("host"));
    let error = PostgresStore::init(&as_host, None).await.unwrap_err();
    assert_eq!(error.kind, SessionErrorKind::Denied, "{error}");
    assert!(
        error.message.contains("grant create on database agents"),
        "{error}"
    );
    // A role that nobody has made: nothing is made for it either.
    let error = PostgresStore::init(&settings, Some("nobody"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, SessionErrorKind::Denied, "{error}");
    assert!(error.message.contains("make it first"), "{error}");

    // Many at once.
    let all: Vec<_> = (0..6)
        .map(|_| {
            let settings = settings.clone();
            tokio::spawn(async move { PostgresStore::init(&settings, None).await })
        })
        .collect();
    let mut made = 0;
    for one in all {
        let done = one.await.unwrap().unwrap();
        assert!(!done.granted && done.now == 1, "{done:?}");
        made += usize::from(done.before.is_none());
    }
    assert_eq!(made, 1);
    later.now().await.unwrap();

    // It has no rights yet, and is told how to get them.
    let error = PostgresStore::connect(&as_host).await.unwrap_err();
    assert_eq!(error.kind, SessionErrorKind::Denied, "{error}");
    assert!(error.message.contains("--grant-to host"), "{error}");
    let done = PostgresStore::init(&settings, None).await.unwrap();
    assert!(
        done.grants.iter().all(|grant| grant.contains("HOST_ROLE")),
        "{done:?}"
    );
    PostgresStore::init(&settings, Some("host")).await.unwrap();
    let host = PostgresStore::connect(&as_host).await.unwrap();
    take(&host, "one").await;

    // Every table and column says what it is.
    let silent = server.psql(
        "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
         where c.relnamespace = 'plexum'::regnamespace and c.relkind = 'r'
           and (col_description(c.oid, a.attnum) is null or obj_description(c.oid) is null)",
    );
    assert_eq!(silent, "");

    // Under another name, beside it.
    let mut other = settings.clone();
    other.schema = Some("staging".into());
    PostgresStore::init(&other, None).await.unwrap();
    let other = PostgresStore::connect(&other).await.unwrap();
    assert!(other.find("one").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_of_it_says_what_to_do() {
    let Some(server) = Postgres::start(&current_test()) else {
        return;
    };
    let settings = server.settings();
    PostgresStore::init(&settings, None).await.unwrap();

    // Newer, and this program is still good enough.
    server.psql("insert into plexum.schema_version values (7, 1, now(), 'test')");
    PostgresStore::connect(&settings).await.unwrap();
    assert_eq!(PostgresStore::init(&settings, None).await.unwrap().now, 7);
    // Newer, and it is not.
    server.psql("update plexum.schema_version set oldest_program = 7 where version = 7");
    for error in [
        PostgresStore::connect(&settings)
            .await
            .map(|_| ())
            .unwrap_err(),
        PostgresStore::init(&settings, None)
            .await
            .map(|_| ())
            .unwrap_err(),
    ] {
        assert_eq!(error.kind, SessionErrorKind::Unreadable, "{error}");
        assert!(error.message.contains("too old"), "{error}");
    }
    // Older.
    server.psql("update plexum.schema_version set version = version - 7");
    server.psql("delete from plexum.schema_version where version = 0");
    let error = PostgresStore::connect(&settings).await.unwrap_err();
    assert!(error.message.contains("fleet init"), "{error}");
    // Half of it.
    server.psql("delete from plexum.schema_version");
    let error = PostgresStore::connect(&settings).await.unwrap_err();
    assert!(error.message.contains("not whole"), "{error}");
}
