//! A server that hangs, ends, and is back.

use std::time::{Duration, Instant};

use plexum_openai_provider::SessionErrorKind;
use plexum_openai_provider::fleet::postgres::PostgresStore;
use plexum_openai_provider::fleet::store::{FleetStore as _, Then};
use plexum_openai_provider_tests::postgres::Postgres;
use plexum_openai_provider_tests::random::Random;
use plexum_openai_provider_tests::tool::current_test;

use crate::host::{LASTS, THREAD, append, take};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_durable_is_there_after_a_crash_and_nothing_else_was_waited_for() {
    // Nothing goes to the disk that no statement waits for.
    let options = ["wal_writer_delay=10s", "fsync=on"];
    let Some(mut server) = Postgres::start_with(&current_test(), &options, "") else {
        return;
    };
    PostgresStore::init(&server.settings(), None).await.unwrap();
    let store = PostgresStore::connect(&server.settings()).await.unwrap();

    let (lease, _) = take(&store, "one").await;
    let at = append(&store, &lease, 0, b"durable\n", true, Then::Renew(LASTS))
        .await
        .unwrap();
    let end = append(&store, &lease, at, b"perhaps\n", false, Then::Renew(LASTS))
        .await
        .unwrap();
    server.kill();
    server.start_again();

    // Over a connection that ended with the server.
    let found = store.find("one").await.unwrap().unwrap();
    let kept = found.thread.and_then(|thread| thread.record).unwrap().bytes;
    assert_eq!(kept, at, "{end} would mean that it was waited for");
    assert_eq!(store.read(&lease, THREAD, 0).await.unwrap(), b"durable\n");
    // The lease was made durable with the rest.
    append(&store, &lease, at, b"again\n", true, Then::Renew(LASTS))
        .await
        .unwrap();
    assert_eq!(
        store.read(&lease, THREAD, 0).await.unwrap(),
        b"durable\nagain\n"
    );

    // A lease of which nothing is left cannot be taken for one that somebody else was given since.
    let (lost, _) = take(&store, "two").await;
    server.kill();
    server.start_again();
    let (given, _) = take(&store, "two").await;
    assert_eq!(lost.fence, given.fence);
    let refused = store.renew(&lost, LASTS).await.unwrap_err();
    assert_eq!(refused.kind, SessionErrorKind::Moved, "{refused}");
    store.renew(&given, LASTS).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_not_waited_for_longer_than_the_limit() {
    let Some(server) = Postgres::start(&current_test()) else {
        return;
    };
    PostgresStore::init(&server.settings(), None).await.unwrap();
    let mut settings = server.settings();
    let limit = Duration::from_millis(700);
    settings.answer_limit = Some(limit);
    settings.connections = Some(2);
    let store = PostgresStore::connect(&settings).await.unwrap();
    let (lease, _) = take(&store, "one").await;

    server.stop();
    // Over the connection that waits, over a new one, and with none left.
    let mut asked = Vec::new();
    let began = Instant::now();
    for _ in 0..6 {
        let (store, lease) = (store.clone(), lease.clone());
        asked.push(tokio::spawn(
            async move { store.renew(&lease, LASTS).await },
        ));
    }
    let mut said = Vec::new();
    for one in asked {
        let error = one.await.unwrap().unwrap_err();
        assert_eq!(error.kind, SessionErrorKind::Unavailable, "{error}");
        said.push(error.message);
    }
    assert!(began.elapsed() < limit * 4, "{:?}", began.elapsed());
    for what in [
        "no answer within",
        "no connection was made within",
        "came free within",
    ] {
        assert!(
            said.iter().any(|said| said.contains(what)),
            "{what}: {said:?}"
        );
    }
    server.go_on();
    store.renew(&lease, LASTS).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_given_up_does_not_spoil_the_next() {
    let Some(server) = Postgres::start(&current_test()) else {
        return;
    };
    PostgresStore::init(&server.settings(), None).await.unwrap();
    let mut settings = server.settings();
    settings.connections = Some(1);
    settings.answer_limit = Some(Duration::from_secs(30));
    let store = PostgresStore::connect(&settings).await.unwrap();
    let (lease, _) = take(&store, "one").await;

    let locked = server.hold("lock table plexum.conversation");
    let renewing = store.renew(&lease, LASTS);
    let given_up = tokio::time::timeout(Duration::from_millis(300), renewing).await;
    assert!(given_up.is_err(), "the table is locked: {given_up:?}");
    // The only connection would still wait for the lock; this has one of its own, and asks for nothing that is locked.
    let began = Instant::now();
    store.now().await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    drop(locked);
    store.renew(&lease, LASTS).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_restarted_is_not_noticed() {
    let Some(mut server) = Postgres::start(&current_test()) else {
        return;
    };
    PostgresStore::init(&server.settings(), None).await.unwrap();
    let store = PostgresStore::connect(&server.settings()).await.unwrap();
    let (lease, _) = take(&store, "one").await;
    for round in 0..3 {
        let at = append(
            &store,
            &lease,
            round * 5,
            b"line\n",
            true,
            Then::Renew(LASTS),
        )
        .await;
        assert_eq!(at.unwrap(), (round + 1) * 5);
        if round == 1 {
            server.psql("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = 'agents'");
        } else {
            server.kill();
            server.start_again();
        }
    }
    store.renew(&lease, LASTS).await.unwrap();
    server.kill();
    let error = store.renew(&lease, LASTS).await.unwrap_err();
    assert_eq!(error.kind, SessionErrorKind::Unavailable, "{error}");
    server.start_again();
    store.renew(&lease, LASTS).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_disk_is_full_says_so_and_keeps_what_it_had() {
    let Some(server) = Postgres::start_with_second_disk(&current_test(), "8m") else {
        return;
    };
    PostgresStore::init(&server.settings(), None).await.unwrap();
    let store = PostgresStore::connect(&server.settings()).await.unwrap();
    let (lease, _) = take(&store, "one").await;
    let (mut end, mut random) = (0, Random(1));
    let full = loop {
        // Nothing that could be made smaller.
        let mut piece: Vec<u8> = (0..1 << 20)
            .map(|_| random.number().to_le_bytes()[0])
            .collect();
        piece.push(b'\n');
        let appended = append(&store, &lease, end, &piece, true, Then::Renew(LASTS)).await;
        match appended {
            Ok(new_end) => end = new_end,
            Err(error) => break error,
        }
        assert!(end < 16 << 20, "more than the disk can take was kept");
    };
    assert!(end > 0, "nothing was kept: {full}");
    assert_eq!(full.kind, SessionErrorKind::Resources, "{full}");
    let said = "its disk is full: make room there";
    assert!(full.message.contains(said), "{full}");
    let found = store.find("one").await.unwrap().unwrap();
    let kept = found.thread.and_then(|thread| thread.record).unwrap().bytes;
    assert_eq!(kept, end);
    // What is there can be read, and swept to make room.
    assert!(!store.read(&lease, THREAD, 0).await.unwrap().is_empty());
    store.release(&lease).await.unwrap();
}
