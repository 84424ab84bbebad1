//! What every engine must keep.

use std::sync::Arc;

use plexum_openai_provider::fleet::conformance;
use plexum_openai_provider::fleet::postgres::{PostgresStore, Settings};
use plexum_openai_provider::fleet::store::FleetStore;
use plexum_openai_provider_tests::postgres::{PgBouncer, Postgres};
use plexum_openai_provider_tests::tool::current_test;

use crate::host::{LASTS, take};

async fn keeps_every_contract(settings: &Settings) {
    let one = PostgresStore::connect(settings).await.unwrap();
    let kept = conformance::suite(async || Arc::new(one.clone()) as Arc<dyn FleetStore>).await;
    assert_eq!(kept.map_err(|violations| violations.to_string()), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_contract_is_kept_for_a_role_with_no_more_than_a_hosts_rights() {
    let Some(server) = Postgres::start(&current_test()) else {
        return;
    };
    server.psql("create role \"a host\" login");
    let made = PostgresStore::init(&server.settings(), Some("a host")).await;
    assert!(made.unwrap().granted);
    let mut settings = server.settings();
    settings.url = Some(server.socket_url("a%20host"));
    keeps_every_contract(&settings).await;
    let owned = server.psql(
        "select count(*) from pg_class where relowner = (select oid from pg_roles where rolname = 'a host')",
    );
    assert_eq!(owned, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_contract_is_kept_with_prepared_statements_also_after_the_schema_was_made_again() {
    let Some(server) = Postgres::start(&current_test()) else {
        return;
    };
    let mut settings = server.settings();
    settings.prepared = true;
    PostgresStore::init(&settings, None).await.unwrap();
    keeps_every_contract(&settings).await;

    let store = PostgresStore::connect(&settings).await.unwrap();
    let (lease, _) = take(&store, "one").await;
    server.psql("alter table plexum.conversation add column newer text");
    store.renew(&lease, LASTS).await.unwrap();
    assert!(store.find("one").await.unwrap().is_some());
    server.psql("drop schema plexum cascade");
    PostgresStore::init(&settings, None).await.unwrap();
    take(&store, "one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_contract_is_kept_through_a_pooler_in_transaction_mode() {
    let test = current_test();
    let Some(server) = Postgres::start(&test) else {
        return;
    };
    let Some(pooler) = PgBouncer::start(&test, &server, 3) else {
        return;
    };
    PostgresStore::init(&pooler.settings(), None).await.unwrap();
    keeps_every_contract(&pooler.settings()).await;
}
