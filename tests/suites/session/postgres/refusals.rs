//! Each way of not being served is one sentence with its remedy, and shows no password.

use std::net::TcpListener;
use std::time::Duration;

use SessionErrorKind::{Denied, Unavailable, Unreadable};
use plexum_openai_provider::fleet::postgres::{PostgresStore, Settings};
use plexum_openai_provider::{SessionError, SessionErrorKind};
use plexum_openai_provider_tests::postgres::Postgres;
use plexum_openai_provider_tests::tool::current_test;

use crate::host::take;

fn settings(url: String) -> Settings {
    let mut settings = Settings::default();
    settings.url = Some(url);
    settings.answer_limit = Some(Duration::from_secs(3));
    settings
}

fn check(what: &str, error: &SessionError, kind: SessionErrorKind, remedy: &str) {
    let SessionError {
        kind: found,
        message,
        ..
    } = error;
    assert_eq!(*found, kind, "{what}: {message}");
    assert!(message.contains(remedy), "{what}: {message}");
    assert!(!message.contains("hush"), "{what}: {message}");
    assert!(
        message.ends_with('.') && !message.contains('\n'),
        "{what}: {message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_of_not_connecting_says_what_to_do() {
    let hba = "host agents barred 127.0.0.1/32 reject";
    let Some(server) = Postgres::start_with(&current_test(), &[], hba) else {
        return;
    };
    PostgresStore::init(&server.settings(), None).await.unwrap();
    server.psql("create role host login password 'hush'; create role barred login password 'hush'; create role crowded login connection limit 0");
    let tcp = |login: &str| server.tcp_url(login);
    let socket = server.socket().display().to_string();
    let free = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    // Takes connections and says nothing.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = silent.local_addr().unwrap().port();
    for (url, kind, remedy) in [
        (
            format!("{}?sslmode=disable", tcp("host:hush2")),
            Denied,
            "correct it where it is set",
        ),
        (
            format!("{}?sslmode=disable&passfile=/dev/null", tcp("host")),
            Denied,
            "PGPASSWORD",
        ),
        (
            format!("{}?sslmode=disable", tcp("nobody:hush")),
            Denied,
            "is refused",
        ),
        (
            format!("{}?sslmode=disable", tcp("barred:hush")),
            Denied,
            "pg_hba.conf",
        ),
        (
            format!("{}?sslmode=verify-full", tcp("host:hush")),
            Denied,
            "does not do TLS",
        ),
        (server.socket_url("nobody"), Denied, "may not log in"),
        (
            server.socket_url("owner").replace("agents", "elsewhere"),
            Denied,
            "createdb elsewhere",
        ),
        (server.socket_url("crowded"), Unavailable, "max_connections"),
        (server.socket_url("host"), Denied, "--grant-to host"),
        (
            format!("postgres://host:hush@127.0.0.1:{free}/x?sslmode=disable"),
            Unavailable,
            "nobody listens",
        ),
        (
            format!("postgres://host:hush@127.0.0.1:{silent}/x?sslmode=disable"),
            Unavailable,
            "firewall",
        ),
        (
            format!("postgres://host:hush@/x?host={socket}&port=1"),
            Unavailable,
            "no such socket",
        ),
        (
            "postgres://host:hush@nowhere.invalid/x?sslmode=disable".into(),
            Unavailable,
            "name of the host was not found",
        ),
    ] {
        let error = PostgresStore::connect(&settings(url.clone()))
            .await
            .unwrap_err();
        check(&url, &error, kind, remedy);
        let error = PostgresStore::init(&settings(url.clone()), None).await;
        // Who may not use the tables, finds them made all the same.
        if !remedy.contains("--grant-to") {
            check(&url, &error.unwrap_err(), kind, remedy);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_a_connected_server_says_what_to_do() {
    let Some(server) = Postgres::start(&current_test()) else {
        return;
    };
    PostgresStore::init(&server.settings(), None).await.unwrap();
    server.psql("create role host login");
    PostgresStore::init(&server.settings(), Some("host"))
        .await
        .unwrap();
    let url = server.socket_url("host");

    // Not a primary any more.
    let store = PostgresStore::connect(&settings(url.clone()))
        .await
        .unwrap();
    take(&store, "one").await;
    server.psql("alter role host set default_transaction_read_only = on");
    let standby = PostgresStore::connect(&settings(url.clone()))
        .await
        .unwrap();
    let error = tried(&standby).await;
    check("read only", &error, Unavailable, "name the primary");
    // The connection is given up, so the next one may find the primary.
    server.psql("alter role host reset default_transaction_read_only");
    take(&standby, "two").await;

    // A limit on statements.
    server.psql("alter role host set statement_timeout = '100ms'");
    let hurried = PostgresStore::connect(&settings(url.clone()))
        .await
        .unwrap();
    let locked = server.hold("lock table plexum.conversation");
    let error = tried(&hurried).await;
    check("cancelled", &error, Unavailable, "statement_timeout");
    drop(locked);
    take(&hurried, "three").await;

    // Rights that were taken away, and a table that is gone.
    server.psql("revoke update on plexum.conversation from host");
    let error = tried(&store).await;
    check("no right", &error, Denied, "--grant-to host");
    server.psql("grant update on plexum.conversation to host; drop table plexum.record_piece");
    let (lease, _) = take(&store, "four").await;
    let appended = crate::host::append(
        &store,
        &lease,
        0,
        b"line\n",
        true,
        plexum_openai_provider::fleet::store::Then::Release,
    );
    check(
        "no table",
        &appended.await.unwrap_err(),
        Unreadable,
        "fleet init",
    );
}

/// The error of asking for a lease.
async fn tried(store: &PostgresStore) -> SessionError {
    use plexum_openai_provider::fleet::store::{FleetStore as _, Owner};
    let owner = Owner {
        id: "any".into(),
        host: "host".into(),
    };
    store
        .acquire("tried", &owner, crate::host::LASTS)
        .await
        .unwrap_err()
}
