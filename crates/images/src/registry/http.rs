//! HTTP clients: one for registries on this machine, one for any address, one for the internet.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ebb_model::Kind;
use reqwest::Client;
use rustls::{ClientConfig, RootCertStore};

use super::address::PublicOnly;
use crate::Error;

/// Time to connect, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// Time without a byte after which a transfer is dead.
const IDLE: Duration = Duration::from_secs(30);

/// Clients that follow no redirect by themselves and use no proxy.
pub(super) struct Clients {
    /// Without root certificates, which take milliseconds to read: only for plain HTTP.
    plain: Client,
    /// For every address.
    direct: OnceLock<Client>,
    /// For addresses on the internet only.
    public: OnceLock<Client>,
}

impl Clients {
    pub(super) fn new() -> Result<Self, Error> {
        let plain = build(RootCertStore::empty(), false)?;
        Ok(Self { plain, direct: OnceLock::new(), public: OnceLock::new() })
    }

    /// The client for `scheme`; `public` bounds it to addresses on the internet.
    pub(super) fn get(&self, scheme: &str, public: bool) -> Result<Client, Error> {
        let cell = match (scheme, public) {
            ("http", false) => return Ok(self.plain.clone()),
            (_, false) => &self.direct,
            (_, true) => &self.public,
        };
        if let Some(client) = cell.get() {
            return Ok(client.clone());
        }
        let client = build(roots(), public)?;
        Ok(cell.get_or_init(|| client).clone())
    }
}

/// The system's certificates, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
fn roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a root certificate cannot be read");
    }
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!("there are no root certificates, so no registry can be trusted");
    }
    roots
}

fn build(roots: RootCertStore, public: bool) -> Result<Client, Error> {
    let fail = |error: &dyn std::fmt::Display| {
        Error::new("INTERNAL", Kind::Internal, format!("no HTTP client can be made: {error}"))
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fail(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        .read_timeout(IDLE)
        .user_agent(concat!("ebb/", env!("CARGO_PKG_VERSION")));
    if public {
        builder = builder.dns_resolver(PublicOnly::shared());
    }
    builder.build().map_err(|error| fail(&error))
}
