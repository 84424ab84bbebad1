//! Who answers is verified.

use std::path::Path;

use plexum_openai_provider::SessionErrorKind;
use plexum_openai_provider::fleet::postgres::{PostgresStore, Settings};
use plexum_openai_provider_tests::postgres::Postgres;
use plexum_openai_provider_tests::tool::current_test;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// A certificate authority.
fn authority(name: &str) -> (Issuer<'static, KeyPair>, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), certificate)
}

fn settings(url: String, parameters: &str) -> Settings {
    let mut settings = Settings::default();
    settings.url = Some(format!("{url}?{parameters}"));
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_server_that_was_meant_is_talked_to() {
    let options = [
        "ssl=on",
        "ssl_cert_file=server.crt",
        "ssl_key_file=server.key",
    ];
    let hba = "hostssl all all 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 reject";
    let (issuer, authority_pem) = authority("ours");
    let (_, other_pem) = authority("others");
    let (_, namesake_pem) = authority("ours");
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let files = [
        ("data/server.crt", certificate.pem()),
        ("data/server.key", key.serialize_pem()),
    ];
    let Some(server) = Postgres::start_with_files(&current_test(), &options, hba, &files) else {
        return;
    };
    PostgresStore::init(&server.settings(), None).await.unwrap();
    server.psql("create role host login password 'hush'");
    PostgresStore::init(&server.settings(), Some("host"))
        .await
        .unwrap();
    let ours = server.private_file("ours.pem", &authority_pem);
    let others = server.private_file("others.pem", &other_pem);
    let namesake = server.private_file("namesake.pem", &namesake_pem);
    let empty = server.private_file("empty.pem", "nothing\n");
    let by_name = server
        .tcp_url("host:hush")
        .replace("127.0.0.1", "localhost");
    let by_number = server.tcp_url("host:hush");
    let trusting = |roots: &Path, more: &str| format!("sslrootcert={}{more}", roots.display());

    for more in [
        "",
        "&sslmode=verify-full",
        "&sslmode=require",
        "&channel_binding=require",
    ] {
        let parameters = trusting(&ours, &format!("{more}&application_name=verified"));
        let store = PostgresStore::connect(&settings(by_name.clone(), &parameters))
            .await
            .unwrap();
        crate::host::take(&store, &format!("one{more}")).await;
        let encrypted = server.psql(
            "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'verified'",
        );
        assert_eq!(encrypted, "t", "{more}");
    }
    for (url, parameters, remedy) in [
        (&by_name, trusting(&others, ""), "sslrootcert=FILE"),
        (&by_name, trusting(&namesake, ""), "sslrootcert=FILE"),
        (&by_number, trusting(&ours, ""), "connect by the name in it"),
        // Not less than the whole, whatever libpq makes of it.
        (
            &by_number,
            trusting(&ours, "&sslmode=require"),
            "connect by the name in it",
        ),
        (
            &by_number,
            trusting(&ours, "&sslmode=verify-ca"),
            "connect by the name in it",
        ),
        (
            &by_number,
            "sslmode=disable".to_owned(),
            "leave sslmode=disable out",
        ),
        (&by_name, trusting(&empty, ""), "holds no certificate"),
        (&by_name, trusting(Path::new("/nowhere"), ""), "/nowhere"),
    ] {
        let error = PostgresStore::connect(&settings(url.clone(), &parameters))
            .await
            .unwrap_err();
        assert_eq!(
            error.kind,
            SessionErrorKind::Denied,
            "{parameters}: {error}"
        );
        assert!(error.message.contains(remedy), "{parameters}: {error}");
        assert!(!error.message.contains("hush"), "{error}");
    }
    // The system's authorities do not know it either, if there are any.
    let error = PostgresStore::connect(&settings(by_name, "sslmode=verify-full"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, SessionErrorKind::Denied, "{error}");
}
