//! Resolves names and makes images complete.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ebb_model::image::RootFsLayout;
use ebb_model::{Digest, Reference};
use futures_util::{StreamExt, TryStreamExt};

use super::state::{self, Image, State};
use super::{Busy, Inner, blocking, files};
use crate::error::{no_digest, not_found, storage, unsupported};
use crate::manifest::{self, Descriptor, Document, Index, Manifest};
use crate::registry::{Fetched, Session, unavailable};
use crate::{Error, Pull};

/// Registries that exist in names only (Knative's `registries-skipping-tag-resolving`, and
/// podman's name for what was built here).
const LOCAL_ONLY: [&str; 4] = ["localhost", "kind.local", "ko.local", "dev.local"];

/// Where an image came from.
pub(super) enum Origin<'a> {
    /// From an archive, which becomes what these tags name.
    Loaded(&'a [Reference]),
    /// From a registry, by this reference. Only a registry that gave the image gives it a name:
    /// who merely claims that a digest has a name is not believed.
    Pulled(&'a Reference),
}

impl Inner {
    pub(super) async fn resolve(&self, pull: &Pull) -> Result<Digest, Error> {
        let reference = &pull.reference;
        {
            let state = self.lock();
            let loaded = match &reference.digest {
                Some(digest) => state.images.contains_key(digest).then_some(digest),
                None => state.saved.tags.get(reference),
            };
            if let Some(digest) = loaded {
                return Ok(digest.clone());
            }
        }
        refuse_local_only(reference)?;
        let limit = self.resolve_timeout;
        tokio::time::timeout(limit, self.ask(pull)).await.unwrap_or_else(|_| {
            let registry = &reference.registry;
            Err(unavailable(format!("the registry {registry} gave no answer within {limit:?}")))
        })
    }

    /// Asks the registry, through indexes, for the manifest of this platform.
    async fn ask(&self, pull: &Pull) -> Result<Digest, Error> {
        let session = self.registry.session(pull).await?;
        let Reference { tag, digest, .. } = &pull.reference;
        let tag = tag.as_deref().unwrap_or("latest");
        let mut name = digest.as_ref().map_or(tag, Digest::as_str).to_owned();
        for _ in 0..manifest::DEPTH_MAX {
            let fetched = session.manifest(&name).await?;
            match manifest::parse(&fetched.bytes, &fetched.media_type)? {
                Document::Manifest(_) => return Ok(fetched.digest),
                Document::Index(index) => {
                    let entry = index.choose()?;
                    if !Index::is_index(entry) {
                        return Ok(entry.digest.clone());
                    }
                    name = entry.digest.to_string();
                }
            }
        }
        Err(unsupported("indexes are nested too deep"))
    }

    pub(super) async fn pull(self: &Arc<Self>, pull: &Pull) -> Result<(), Error> {
        let digest = pull.reference.digest.clone().ok_or_else(|| no_digest(pull))?;
        let _alone = self.flights.enter(format!("{}/image/{digest}", pull.namespace)).await;
        let known = self.lock().images.get(&digest).cloned();
        let Some(image) = known else {
            return self.fetch(pull, &digest).await;
        };
        if self.lock().is_unpacked(&pull.namespace, &image) {
            return Ok(());
        }
        let busy = self.busy(image.digests());
        self.layers(pull, None, &image).await?;
        drop(busy);
        Ok(())
    }

    /// Gets what is missing from the registry, unpacks, and records the image at the very end.
    async fn fetch(self: &Arc<Self>, pull: &Pull, digest: &Digest) -> Result<(), Error> {
        refuse_local_only(&pull.reference)?;
        let session = self.registry.session(pull).await?;
        let _manifest = self.busy([digest.clone()]);
        if !self.paths.blob(digest).exists() {
            let Fetched { bytes, .. } = session.manifest(digest.as_str()).await?;
            let (paths, path) = (self.paths.clone(), self.paths.blob(digest));
            blocking(move || files::write(&paths, &path, &bytes))
                .await?
                .map_err(|error| storage("writing a manifest", &error))?;
        }
        let manifest = self.read_manifest(digest)?;
        let _blobs = self.busy(manifest.digests());
        self.blob(&session, &manifest.config).await?;
        let image = state::read_image(&self.paths, digest)?;
        let _layers = self.busy(image.diff_ids.clone());
        self.layers(pull, Some(&session), &image).await?;
        self.record(digest, image, &Origin::Pulled(&pull.reference))
    }

    fn read_manifest(&self, digest: &Digest) -> Result<Manifest, Error> {
        let bytes = std::fs::read(self.paths.blob(digest))
            .map_err(|error| storage("reading a manifest", &error))?;
        match manifest::parse(&bytes, "")? {
            Document::Manifest(manifest) => Ok(manifest),
            Document::Index(_) => Err(unsupported(format!(
                "{digest} is an index; an image is pulled by its manifest"
            ))),
        }
    }

    /// Downloads and unpacks the layers, several at a time.
    async fn layers(
        self: &Arc<Self>,
        pull: &Pull,
        session: Option<&Session<'_>>,
        image: &Image,
    ) -> Result<(), Error> {
        let mut work = Vec::new();
        for (layer, diff_id) in image.manifest.layers.iter().zip(&image.diff_ids) {
            work.push(self.layer(pull, session, layer, diff_id));
        }
        futures_util::stream::iter(work).buffer_unordered(self.parallel).try_collect().await
    }

    async fn layer(
        self: &Arc<Self>,
        pull: &Pull,
        session: Option<&Session<'_>>,
        layer: &Descriptor,
        diff_id: &Digest,
    ) -> Result<(), Error> {
        if let Some(session) = session {
            // The blob is kept even where its tree is there: other namespaces unpack it too.
            self.blob(session, layer).await?;
        }
        self.unpack(&pull.namespace, layer, diff_id).await
    }

    /// Downloads a blob, unless it is there.
    async fn blob(&self, session: &Session<'_>, blob: &Descriptor) -> Result<(), Error> {
        let _alone = self.flights.enter(blob.digest.to_string()).await;
        let path = self.paths.blob(&blob.digest);
        if let Ok(metadata) = std::fs::metadata(&path) {
            if metadata.len() == blob.size {
                return Ok(());
            }
            let digest = &blob.digest;
            return Err(crate::error::corrupt(format!("the blob {digest} has a wrong size")));
        }
        let scratch = self.paths.scratch();
        session.blob(blob, scratch.path()).await?;
        scratch.publish(&path).map_err(|error| storage("writing a blob", &error))
    }

    /// Makes an image and its names visible.
    pub(super) fn record(
        &self,
        digest: &Digest,
        image: Image,
        origin: &Origin<'_>,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let mut state = self.lock();
        state.change(&self.paths, |saved| {
            saved.images.entry(digest.clone()).or_insert(now);
            match origin {
                Origin::Loaded(tags) => {
                    saved.tags.extend(tags.iter().map(|tag| (tag.clone(), digest.clone())));
                }
                Origin::Pulled(reference) => {
                    saved.pulled.entry(digest.clone()).or_insert_with(|| (*reference).clone());
                }
            }
        })?;
        state.images.insert(digest.clone(), image);
        Ok(())
    }

    pub(super) fn layout(&self, namespace: &str, digest: &Digest) -> Result<RootFsLayout, Error> {
        let state = self.lock();
        let image = state.images.get(digest);
        let image = image.filter(|image| state.is_unpacked(namespace, image));
        let image = image.ok_or_else(|| not_found(digest))?;
        let lowers = self.lowers(&state, namespace, image);
        Ok(RootFsLayout { lowers, config: image.run.clone() })
    }

    fn lowers(&self, state: &State, namespace: &str, image: &Image) -> Vec<PathBuf> {
        let mut lowers: Vec<PathBuf> = Vec::new();
        for diff_id in image.diff_ids.iter().rev() {
            let tree = self.paths.layer(namespace, diff_id).join("tree");
            // A layer that comes again further down has nothing to add, and overlayfs refuses it.
            if !lowers.contains(&tree) {
                lowers.push(tree);
            }
            let note = state.layers.get(&(namespace.to_owned(), diff_id.clone()));
            if note.is_some_and(|note| note.opaque_root) {
                break;
            }
        }
        if lowers.is_empty() {
            lowers.push(self.paths.empty());
        }
        lowers
    }

    /// Keeps digests from being collected until the answer is dropped.
    pub(super) fn busy(&self, digests: impl IntoIterator<Item = Digest>) -> Busy<'_> {
        let digests: Vec<Digest> = digests.into_iter().collect();
        let mut state = self.lock();
        for digest in &digests {
            *state.busy.entry(digest.clone()).or_default() += 1;
        }
        Busy { inner: self, digests }
    }
}

impl Image {
    /// Blobs and layers, without the manifest.
    pub(super) fn digests(&self) -> Vec<Digest> {
        self.manifest.digests().into_iter().chain(self.diff_ids.iter().cloned()).collect()
    }
}

fn refuse_local_only(reference: &Reference) -> Result<(), Error> {
    if LOCAL_ONLY.contains(&reference.registry.as_str()) {
        return Err(not_found(reference).hint("load it from an archive with `ebb images load`"));
    }
    Ok(())
}

/// Time for one name to be resolved (Knative resolves tags within 10 s).
pub(super) const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
