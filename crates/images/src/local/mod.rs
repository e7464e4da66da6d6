//! The content store on local disk.
//!
//! ```text
//! blobs/sha256/<hex>              manifests, configurations, compressed layers
//! layers/<namespace>/<hex>/tree   an unpacked layer, by the digest of its uncompressed archive
//! layers/<namespace>/<hex>/layer.json
//! images.json                     images, tags and pins
//! temp/                           what is being made; emptied at start
//! ```
//!
//! How it works: everything is made in `temp`, verified, made durable and then renamed, so a name
//! that exists is whole, whenever the power went. The same work is never done twice at once. Each
//! namespace has its own trees, so that no two namespaces share page cache.

mod files;
mod flight;
mod layers;
mod load;
mod prune;
mod pull;
mod state;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ebb_kit::Clock;
use ebb_model::image::{ImageSummary, RootFsLayout};
use ebb_model::{Digest, Kind, Reference};

use crate::error::storage;
use crate::registry::{Registry, Retries};
use crate::shown::shown;
use crate::{Confine, Error, ImageStore, Pull};
use files::Paths;
use flight::Flights;
use state::State;

/// How the store works.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory of the store; made when it is not there, and readable for root alone.
    pub dir: PathBuf,
    /// Layers of one pull that are downloaded and unpacked at the same time.
    pub parallel: usize,
    /// How a registry that fails is tried again.
    pub retries: Retries,
    /// Time for one name to be resolved by its registry.
    pub resolve_timeout: Duration,
}

impl Config {
    /// The defaults: four layers at a time (docker downloads three), 10 s to resolve a name.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            parallel: 4,
            retries: Retries::default(),
            resolve_timeout: pull::RESOLVE_TIMEOUT,
        }
    }
}

/// The content store. Cheap to clone.
#[derive(Clone)]
pub struct Local {
    inner: Arc<Inner>,
}

struct Inner {
    paths: Paths,
    state: Mutex<State>,
    flights: Flights,
    registry: Registry,
    confine: Arc<dyn Confine>,
    clock: Arc<dyn Clock>,
    parallel: usize,
    resolve_timeout: Duration,
}

/// Digests that are not collected while this lives.
struct Busy<'a> {
    inner: &'a Inner,
    digests: Vec<Digest>,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        for digest in &self.digests {
            if let Some(count) = state.busy.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    state.busy.remove(digest);
                }
            }
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Local {
    /// Opens the store in `config.dir`, and removes what a crash left half done. Only one process
    /// may have it open.
    ///
    /// # Errors
    /// `STORAGE_UNAVAILABLE` or `DISK_FULL` when the directory cannot be used.
    pub fn open(
        config: Config,
        confine: Arc<dyn Confine>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let fail = |error| storage("opening the image store", &error);
        let Config { dir, parallel, retries, resolve_timeout } = config;
        let paths = Paths::create(&dir).map_err(fail)?;
        for leftover in std::fs::read_dir(paths.temp()).map_err(fail)?.flatten() {
            files::remove(&leftover.path());
        }
        let state = Mutex::new(State::open(&paths)?);
        let registry = Registry::new(retries, Arc::clone(&clock))?;
        let inner = Inner {
            paths,
            state,
            flights: Flights::default(),
            registry,
            confine,
            clock,
            parallel: parallel.max(1),
            resolve_timeout,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs work that waits for the disk on a thread of its own.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = Arc::clone(&self.inner);
        blocking(move || work(&inner)).await?
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Error::new("INTERNAL", Kind::Internal, format!("work ended: {error}"))
            .hint("report this with the message")
    })
}

/// A namespace becomes a directory, so it must be what namespaces are: a DNS label.
fn check_namespace(namespace: &str) -> Result<(), Error> {
    let label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if namespace.is_empty() || namespace.len() > 63 || !namespace.bytes().all(label) {
        let message = format!("{} is not a namespace", shown(namespace));
        return Err(Error::new("INVALID_NAME", Kind::Invalid, message)
            .hint("use at most 63 lower-case letters, digits and hyphens"));
    }
    Ok(())
}

#[async_trait]
impl ImageStore for Local {
    async fn resolve(&self, pull: &Pull) -> Result<Digest, Error> {
        self.inner.resolve(pull).await
    }

    async fn pull(&self, pull: &Pull) -> Result<(), Error> {
        check_namespace(&pull.namespace)?;
        Box::pin(self.inner.pull(pull)).await
    }

    async fn layout(&self, namespace: &str, digest: &Digest) -> Result<RootFsLayout, Error> {
        check_namespace(namespace)?;
        self.inner.layout(namespace, digest)
    }

    async fn load(
        &self,
        path: &Path,
        name: Option<&Reference>,
    ) -> Result<Vec<ImageSummary>, Error> {
        let (path, name) = (path.to_owned(), name.cloned());
        self.on_disk(move |inner| inner.load(&path, name.as_ref())).await
    }

    async fn list(&self) -> Result<Vec<ImageSummary>, Error> {
        let state = self.inner.lock();
        let tags = &state.saved.tags;
        let bare = state.images.keys().filter(|digest| !tags.values().any(|tag| tag == *digest));
        let tagged = tags.iter().map(|(tag, digest)| (Some(tag), digest));
        let all = tagged.chain(bare.map(|digest| (state.saved.pulled.get(digest), digest)));
        Ok(all.filter_map(|(tag, digest)| state.summary(tag, digest)).collect())
    }

    async fn pin(&self, digest: &Digest, owner: &str) -> Result<(), Error> {
        let (digest, owner) = (digest.clone(), owner.to_owned());
        self.on_disk(move |inner| {
            let mut state = inner.lock();
            if state.saved.pins.get(&digest).is_some_and(|owners| owners.contains(&owner)) {
                return Ok(());
            }
            state.change(&inner.paths, |saved| {
                saved.pins.entry(digest).or_default().insert(owner);
            })
        })
        .await
    }

    async fn unpin(&self, digest: &Digest, owner: &str) -> Result<(), Error> {
        let (digest, owner) = (digest.clone(), owner.to_owned());
        self.on_disk(move |inner| {
            let mut state = inner.lock();
            if !state.saved.pins.get(&digest).is_some_and(|owners| owners.contains(&owner)) {
                return Ok(());
            }
            state.change(&inner.paths, |saved| {
                if let Some(owners) = saved.pins.get_mut(&digest) {
                    owners.remove(&owner);
                }
                saved.pins.retain(|_, owners| !owners.is_empty());
            })
        })
        .await
    }

    async fn prune(&self, reference: Option<&Reference>) -> Result<u64, Error> {
        let reference = reference.cloned();
        self.on_disk(move |inner| inner.prune(reference.as_ref())).await
    }
}
