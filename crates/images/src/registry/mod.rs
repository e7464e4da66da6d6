//! A client for OCI registries (OCI distribution specification v1.1, "pull").
//!
//! What it does: manifests and blobs, by tag and digest; tokens, OAuth 2 and passwords; retries
//! with jitter that honour `Retry-After`; downloads that resume. Registries on this machine are
//! spoken to over plain HTTP, all others over TLS.
//!
//! What it does not do: it never fetches the `urls` of a foreign layer, never sends credentials to
//! another host than the registry and its authorization service, and never follows a registry of
//! the internet into a private network.

mod address;
mod blob;
mod challenge;
mod credentials;
mod http;
mod retry;
mod session;
mod token;

use std::sync::Arc;

use ebb_kit::Clock;
use ebb_model::{Digest, Reference};
use futures_util::StreamExt;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

pub use retry::Retries;
pub(crate) use session::Session;

use crate::error::{corrupt, too_large};
use crate::shown::plain;
use crate::{Error, Pull, manifest};
pub(crate) use retry::unavailable;
use retry::{Failure, Tries};

/// Every kind of manifest that this platform reads.
const ACCEPTED: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json",
);

/// Speaks with any registry.
pub(crate) struct Registry {
    clients: http::Clients,
    retries: Retries,
    clock: Arc<dyn Clock>,
}

/// A manifest as a registry sent it; bytes and digest belong together.
pub(crate) struct Fetched {
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) bytes: Vec<u8>,
}

impl Registry {
    pub(crate) fn new(retries: Retries, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Ok(Self { clients: http::Clients::new()?, retries, clock })
    }

    /// Begins a pull: finds the credentials for it.
    pub(crate) async fn session(&self, pull: &Pull) -> Result<Session<'_>, Error> {
        let Reference { registry, repository, .. } = &pull.reference;
        let credential = credentials::find(&pull.docker_configs, registry, repository)?;
        Session::open(self, &pull.reference, credential).await
    }
}

impl Session<'_> {
    /// The manifest or index that a tag or digest names.
    pub(crate) async fn manifest(&self, name: &str) -> Result<Fetched, Error> {
        let mut tries = Tries::new(self.registry.retries);
        loop {
            match self.manifest_once(name).await {
                Ok(fetched) => return Ok(fetched),
                Err(failure) => tries.wait(failure).await?,
            }
        }
    }

    async fn manifest_once(&self, name: &str) -> Result<Fetched, Failure> {
        let headers = HeaderMap::from_iter([(ACCEPT, ACCEPTED)]);
        let response = self.get(&format!("manifests/{name}"), &headers).await?;
        let text = |header: &HeaderValue| header.to_str().ok().map(ToOwned::to_owned);
        let media_type = response.headers().get(CONTENT_TYPE).and_then(text).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        let said = response.headers().get("docker-content-digest").and_then(text);
        let mut bytes = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            let broken = |_| Failure::again(unavailable("the registry broke off a manifest"));
            bytes.extend_from_slice(&chunk.map_err(broken)?);
            if bytes.len() as u64 > manifest::BYTES_MAX {
                let actual = bytes.len() as u64;
                return Err(too_large("a manifest", manifest::BYTES_MAX, actual).into());
            }
        }
        let digest = Digest::from_sha256(Sha256::digest(&bytes).into());
        let said = said.filter(|said| said.starts_with("sha256:"));
        let wanted = name.parse::<Digest>().ok().map(String::from).or(said);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != digest.as_str()) {
            let message = format!("the manifest {} came with the digest {digest}", plain(&wanted));
            return Err(Failure::last(corrupt(message)));
        }
        Ok(Fetched { digest, media_type, bytes })
    }
}
