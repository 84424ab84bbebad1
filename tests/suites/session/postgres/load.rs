//! Many at once, and many pieces.

use std::sync::Arc;
use std::time::Duration;

use plexum_openai_provider::fleet::postgres::PostgresStore;
use plexum_openai_provider::fleet::store::{Acquisition, FleetStore as _, Then};
use plexum_openai_provider_tests::postgres::Postgres;
use plexum_openai_provider_tests::random::Random;
use plexum_openai_provider_tests::tool::current_test;

use crate::host::{LASTS, THREAD, append, owner, take};

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_hosts_share_conversations_and_few_connections() {
    const HOSTS: u64 = 64;
    const TURNS: u64 = 6;
    const CONVERSATIONS: u64 = 12;
    let Some(server) = Postgres::start(&current_test()) else {
        return;
    };
    PostgresStore::init(&server.settings(), None).await.unwrap();
    let mut settings = server.settings();
    settings.connections = Some(8);
    settings.idle_limit = Some(Duration::from_millis(200));
    settings.answer_limit = Some(Duration::from_secs(60));
    let store = Arc::new(PostgresStore::connect(&settings).await.unwrap());

    let hosts: Vec<_> = (0..HOSTS)
        .map(|host| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut random = Random(host);
                let mut made = 0;
                while made < TURNS {
                    let key = format!("agent {}", random.number() % CONVERSATIONS);
                    let owner = owner(&mut random, &format!("host {host}"));
                    let Acquisition::Held(held) = store.acquire(&key, &owner, LASTS).await.unwrap()
                    else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    let at = held
                        .thread
                        .and_then(|thread| thread.record)
                        .map_or(0, |mark| mark.bytes);
                    let line = format!("{host} {made}\n");
                    let (first, second) = line.split_at(1);
                    let at = append(
                        &store,
                        &held.lease,
                        at,
                        first.as_bytes(),
                        false,
                        Then::Renew(LASTS),
                    );
                    let at = at.await.unwrap();
                    append(
                        &store,
                        &held.lease,
                        at,
                        second.as_bytes(),
                        true,
                        Then::Release,
                    )
                    .await
                    .unwrap();
                    made += 1;
                }
            })
        })
        .collect();
    for host in hosts {
        host.await.unwrap();
    }
    let connections =
        "select count(*) from pg_stat_activity where application_name = 'plexum-openai-provider'";
    let open: u32 = server.psql(connections).parse().unwrap();
    assert!((1..=8).contains(&open), "{open}");

    // Each turn is there once, whole.
    let mut lines = Vec::new();
    for listed in store.list(None, 1000).await.unwrap() {
        assert!(listed.holder.is_none(), "{listed:?}");
        let (lease, _) = take(&store, &listed.key).await;
        let record = store.read(&lease, THREAD, 0).await.unwrap();
        let record = String::from_utf8(record).unwrap();
        lines.extend(record.lines().map(str::to_owned));
    }
    lines.sort();
    let mut expected: Vec<String> = (0..HOSTS)
        .flat_map(|host| (0..TURNS).map(move |turn| format!("{host} {turn}")))
        .collect();
    expected.sort();
    assert_eq!(lines, expected);

    // Those that are not needed are closed, and one stays.
    let began = std::time::Instant::now();
    while server.psql(connections) != "1" {
        assert!(began.elapsed() < Duration::from_secs(60), "they stay open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    store.now().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pieces_become_few_when_a_turn_ends() {
    let Some(server) = Postgres::start(&current_test()) else {
        return;
    };
    PostgresStore::init(&server.settings(), None).await.unwrap();
    let store = PostgresStore::connect(&server.settings()).await.unwrap();
    let mut random = Random(1);
    let mut whole = Vec::new();
    let mut most = 0;
    for turn in 0..4 {
        let (lease, mut at) = take(&store, "one").await;
        assert_eq!(at, whole.len() as u64);
        for _ in 0..100 {
            let line: Vec<u8> = (0..20_000_u32)
                .map(|_| random.number().to_le_bytes()[0])
                .collect();
            at = append(&store, &lease, at, &line, false, Then::Renew(LASTS))
                .await
                .unwrap();
            whole.extend(line);
        }
        let at = append(&store, &lease, at, b"end\n", true, Then::Release)
            .await
            .unwrap();
        whole.extend(b"end\n");
        assert_eq!(at, whole.len() as u64);
        let pieces: i32 = server
            .psql("select count(*) from plexum.record_piece")
            .parse()
            .unwrap();
        most = most.max(pieces);
        let mut read = Vec::new();
        while read.len() < whole.len() {
            read.extend(store.read(&lease, THREAD, read.len() as u64).await.unwrap());
        }
        assert!(
            read == whole,
            "turn {turn}: {} bytes of {}",
            read.len(),
            whole.len()
        );
    }
    // The third turn ended with 303, and those became two.
    assert_eq!(most, 202);
    let largest: i32 = server
        .psql("select max(octet_length(bytes)) from plexum.record_piece")
        .parse()
        .unwrap();
    assert!(
        largest < 8 * 1024 * 1024 && largest > 1024 * 1024,
        "{largest}"
    );
}
