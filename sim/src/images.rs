//! The registry: the images' own twin, slow or away at times.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ebb_images::sim::SimImages;
use ebb_images::{Error, ImageStore, Pull};
use ebb_model::image::{ImageConfig, ImageSummary, RootFsLayout};
use ebb_model::{Digest, Fault, Kind, Reference};

use crate::chance::Chance;
use crate::trace::Trace;

/// What instances of each image do. `missing` is not among them: nobody published it.
const IMAGES: [(&str, &[(&str, &str)]); 7] = [
    ("ok", &[]),
    ("slow", &[("SIM_READY_MS", "4000")]),
    ("stubborn", &[("SIM_IGNORE_TERM", "1")]),
    ("crash", &[("SIM_EXIT_CODE", "1"), ("SIM_STDERR", "panic: no database")]),
    ("later", &[("SIM_EXIT_CODE", "3"), ("SIM_EXIT_AFTER_MS", "20000")]),
    ("never", &[("SIM_NEVER_READY", "1")]),
    ("oom", &[("SIM_OOM", "1")]),
];

/// Images of which every instance becomes ready and stays so.
pub(crate) const SOUND: [&str; 3] = ["ok", "slow", "stubborn"];

/// Every image that a Service may name, with one that nobody published.
pub(crate) const NAMES: [&str; 8] =
    ["ok", "slow", "stubborn", "crash", "later", "never", "oom", "missing"];

/// The simulated registry.
pub(crate) struct Registry {
    inner: Arc<SimImages>,
    chance: Chance,
    trace: Trace,
}

impl Registry {
    /// With every image.
    pub(crate) fn new(chance: Chance, trace: Trace) -> Self {
        let inner = Arc::new(SimImages::new());
        for (name, env) in IMAGES {
            let config = ImageConfig {
                entrypoint: vec!["/app".to_owned()],
                env: env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
                ..ImageConfig::default()
            };
            if let Ok(reference) = name.parse::<Reference>() {
                inner.publish(&reference, config);
            }
        }
        Self { inner, chance, trace }
    }

    async fn asked(&self, slow: Duration) -> Result<(), Error> {
        self.chance.pause().await;
        if self.chance.fault(|rates| rates.slow_pull) {
            self.trace.log("fault: the registry is slow");
            tokio::time::sleep(self.chance.time(slow)).await;
        }
        if self.chance.fault(|rates| rates.pull) {
            self.trace.log("fault: the registry is away");
            let message = "the registry does not answer, as simulated";
            return Err(Fault::new("REGISTRY_UNAVAILABLE", Kind::Unavailable, message).into());
        }
        Ok(())
    }
}

#[async_trait]
impl ImageStore for Registry {
    async fn resolve(&self, pull: &Pull) -> Result<Digest, Error> {
        self.asked(Duration::from_secs(20)).await?;
        self.inner.resolve(pull).await
    }

    async fn pull(&self, pull: &Pull) -> Result<(), Error> {
        self.asked(Duration::from_mins(3)).await?;
        let done = self.inner.pull(pull).await;
        self.chance.pause().await;
        done
    }

    async fn layout(&self, namespace: &str, digest: &Digest) -> Result<RootFsLayout, Error> {
        self.chance.pause().await;
        self.inner.layout(namespace, digest).await
    }

    async fn load(
        &self,
        path: &Path,
        name: Option<&Reference>,
    ) -> Result<Vec<ImageSummary>, Error> {
        self.chance.pause().await;
        self.inner.load(path, name).await
    }

    async fn list(&self) -> Result<Vec<ImageSummary>, Error> {
        self.chance.pause().await;
        let done = self.inner.list().await;
        self.chance.pause().await;
        done
    }

    async fn pin(&self, digest: &Digest, owner: &str) -> Result<(), Error> {
        self.chance.pause().await;
        let done = self.inner.pin(digest, owner).await;
        self.chance.pause().await;
        done
    }

    async fn unpin(&self, digest: &Digest, owner: &str) -> Result<(), Error> {
        self.chance.pause().await;
        let done = self.inner.unpin(digest, owner).await;
        self.chance.pause().await;
        done
    }

    async fn prune(&self, reference: Option<&Reference>) -> Result<u64, Error> {
        self.chance.pause().await;
        let done = self.inner.prune(reference).await;
        self.chance.pause().await;
        done
    }
}
