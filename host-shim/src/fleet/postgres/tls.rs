//! How the server is made sure of.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::settings::Tls;
use super::settings_error::SettingsError;

/// What makes TLS of a connection; also where there is none, since it is asked for only then.
pub fn connector(tls: &Tls) -> Result<MakeRustlsConnect, SettingsError> {
    let (roots, own) = match tls {
        Tls::Disabled => (RootCertStore::empty(), None),
        Tls::Verified { roots, own } => {
            let roots = match roots {
                Some(path) => in_file(path)?,
                None => of_the_system()?,
            };
            (roots, own.as_ref())
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::new(format!("TLS cannot be set up: {error}.")))?
        .with_root_certificates(roots);
    let config = match own {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let key_der = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unreadable("key", key, &error))?;
            config
                .with_client_auth_cert(chain, key_der)
                .map_err(|error| {
                    SettingsError::new(format!(
                        "The certificate {} and the key {} for PostgreSQL do not go together: {error}.",
                        certificate.display(),
                        key.display()
                    ))
                })?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn in_file(path: &Path) -> Result<RootCertStore, SettingsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| unreadable("certificate", path, &error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = read.map_err(|error| unreadable("certificate", path, &error))?;
    if all.is_empty() {
        return Err(SettingsError::new(format!(
            "{} holds no certificate: PostgreSQL's must be in PEM, between lines with BEGIN CERTIFICATE and END CERTIFICATE.",
            path.display()
        )));
    }
    Ok(all)
}

fn of_the_system() -> Result<RootCertStore, SettingsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems have some that are too old to be understood.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(SettingsError::new(
            "This system has no list of certificate authorities to verify PostgreSQL by: install ca-certificates, or name the server's own with sslrootcert=FILE.",
        ));
    }
    Ok(roots)
}

fn unreadable(what: &str, path: &Path, error: &dyn std::fmt::Display) -> SettingsError {
    SettingsError::new(format!(
        "The {what} for PostgreSQL in {} cannot be read: {error}.",
        path.display()
    ))
}
