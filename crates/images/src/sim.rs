//! The simulated twin: images that exist only as configuration, with failures on order.
//!
//! It keeps the same promises as [`crate::local::Local`] (both pass [`crate::conformance`]), pulls
//! in no time and unpacks nothing: the directories in its layouts do not exist.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ebb_model::image::{ImageConfig, ImageSummary, RootFsLayout};
use ebb_model::{Digest, Fault, Reference, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::error::{in_use, no_digest, not_found, not_here};
use crate::{Error, ImageStore, Pull};

/// A call that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// [`ImageStore::resolve`].
    Resolve,
    /// [`ImageStore::pull`].
    Pull,
    /// [`ImageStore::layout`].
    Layout,
}

/// Images in memory.
#[derive(Debug, Default)]
pub struct SimImages {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the simulated registry serves, by name without digest.
    remote: BTreeMap<Reference, Digest>,
    /// Every image that was ever published.
    images: BTreeMap<Digest, ImageConfig>,
    /// Images that are local, with the namespaces that they were unpacked for.
    local: BTreeMap<Digest, BTreeSet<String>>,
    tags: BTreeMap<Reference, Digest>,
    /// The reference by which an image became local.
    pulled: BTreeMap<Digest, Reference>,
    pins: BTreeMap<Digest, BTreeSet<String>>,
    failures: BTreeMap<Call, VecDeque<Fault>>,
    calls: BTreeMap<Call, u64>,
}

impl SimImages {
    /// A store without images.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an image into the simulated registry under `reference`; publishing again under the
    /// same tag moves the tag. The digest depends on the configuration alone.
    pub fn publish(&self, reference: &Reference, config: ImageConfig) -> Digest {
        let digest = digest_of(&config);
        let mut state = self.lock();
        state.images.insert(digest.clone(), config);
        state.remote.insert(untagged_digest(reference), digest.clone());
        digest
    }

    /// Lets the next `times` calls of `call` fail with `fault`.
    pub fn fail(&self, call: Call, fault: &Fault, times: usize) {
        let mut state = self.lock();
        let queue = state.failures.entry(call).or_default();
        queue.extend(std::iter::repeat_n(fault.clone(), times));
    }

    /// How often `call` was made, failures included.
    pub fn calls(&self, call: Call) -> u64 {
        self.lock().calls.get(&call).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, call: Call) -> Result<(), Error> {
        *self.calls.entry(call).or_default() += 1;
        match self.failures.get_mut(&call).and_then(VecDeque::pop_front) {
            Some(fault) => Err(Error::from(fault)),
            None => Ok(()),
        }
    }

    fn summary(&self, reference: Option<&Reference>, digest: &Digest) -> ImageSummary {
        let pins = self.pins.get(digest).map_or(0, BTreeSet::len);
        ImageSummary {
            reference: reference.cloned(),
            digest: digest.clone(),
            size_bytes: SIZE_BYTES,
            created: Timestamp::default(),
            pins: u32::try_from(pins).unwrap_or(u32::MAX),
        }
    }

    /// Drops every local image that no tag and no pin needs.
    fn collect(&mut self) -> u64 {
        let needed: BTreeSet<&Digest> = self.tags.values().chain(self.pins.keys()).collect();
        let before = self.local.len();
        let kept: BTreeMap<_, _> = self
            .local
            .iter()
            .filter(|(digest, _)| needed.contains(digest))
            .map(|(digest, namespaces)| (digest.clone(), namespaces.clone()))
            .collect();
        let dropped = before - kept.len();
        self.pulled.retain(|digest, _| kept.contains_key(digest));
        self.local = kept;
        SIZE_BYTES * u64::try_from(dropped).unwrap_or(u64::MAX)
    }
}

/// Size that every simulated image has.
const SIZE_BYTES: u64 = 1 << 20;

fn digest_of(config: &ImageConfig) -> Digest {
    let bytes = serde_json::to_vec(config).unwrap_or_default();
    Digest::from_sha256(Sha256::digest(bytes).into())
}

fn untagged_digest(reference: &Reference) -> Reference {
    Reference { digest: None, ..reference.clone() }
}

#[async_trait]
impl ImageStore for SimImages {
    async fn resolve(&self, pull: &Pull) -> Result<Digest, Error> {
        let mut state = self.lock();
        state.begin(Call::Resolve)?;
        if let Some(digest) = &pull.reference.digest {
            let known = state.images.contains_key(digest).then(|| digest.clone());
            return known.ok_or_else(|| not_found(&pull.reference));
        }
        let name = untagged_digest(&pull.reference);
        let found = state.tags.get(&name).or_else(|| state.remote.get(&name));
        found.cloned().ok_or_else(|| not_found(&pull.reference))
    }

    async fn pull(&self, pull: &Pull) -> Result<(), Error> {
        let mut state = self.lock();
        state.begin(Call::Pull)?;
        let digest = pull.reference.digest.clone().ok_or_else(|| no_digest(pull))?;
        if !state.images.contains_key(&digest) {
            return Err(not_found(&pull.reference));
        }
        if !state.local.contains_key(&digest) {
            state.pulled.insert(digest.clone(), pull.reference.clone());
        }
        state.local.entry(digest).or_default().insert(pull.namespace.clone());
        Ok(())
    }

    async fn layout(&self, namespace: &str, digest: &Digest) -> Result<RootFsLayout, Error> {
        let mut state = self.lock();
        state.begin(Call::Layout)?;
        let unpacked = state.local.get(digest).is_some_and(|local| local.contains(namespace));
        let config = state.images.get(digest).filter(|_| unpacked);
        let config = config.cloned().ok_or_else(|| not_found(digest))?;
        let lower = PathBuf::from(format!("/sim/{namespace}/{}", digest.hex()));
        Ok(RootFsLayout { lowers: vec![lower], config })
    }

    async fn load(
        &self,
        path: &Path,
        name: Option<&Reference>,
    ) -> Result<Vec<ImageSummary>, Error> {
        let images = crate::archive::read_images(path, name)?;
        let mut state = self.lock();
        let mut summaries = Vec::new();
        for image in images {
            state.images.insert(image.digest.clone(), image.config.run);
            state.local.entry(image.digest.clone()).or_default();
            for reference in image.names {
                state.tags.insert(reference.clone(), image.digest.clone());
                summaries.push(state.summary(Some(&reference), &image.digest));
            }
        }
        Ok(summaries)
    }

    async fn list(&self) -> Result<Vec<ImageSummary>, Error> {
        let state = self.lock();
        let mut all: Vec<_> =
            state.tags.iter().map(|(name, digest)| state.summary(Some(name), digest)).collect();
        let tagged: BTreeSet<&Digest> = state.tags.values().collect();
        let bare = state.local.keys().filter(|digest| !tagged.contains(digest));
        all.extend(bare.map(|digest| state.summary(state.pulled.get(digest), digest)));
        Ok(all)
    }

    async fn pin(&self, digest: &Digest, owner: &str) -> Result<(), Error> {
        self.lock().pins.entry(digest.clone()).or_default().insert(owner.to_owned());
        Ok(())
    }

    async fn unpin(&self, digest: &Digest, owner: &str) -> Result<(), Error> {
        let mut state = self.lock();
        if let Some(owners) = state.pins.get_mut(digest) {
            owners.remove(owner);
            if owners.is_empty() {
                state.pins.remove(digest);
            }
        }
        Ok(())
    }

    async fn prune(&self, reference: Option<&Reference>) -> Result<u64, Error> {
        let mut state = self.lock();
        if let Some(reference) = reference {
            let names = match &reference.digest {
                Some(digest) if state.local.contains_key(digest) => state
                    .tags
                    .iter()
                    .filter(|(_, tagged)| *tagged == digest)
                    .map(|(name, _)| name.clone())
                    .collect(),
                None if state.tags.contains_key(reference) => vec![reference.clone()],
                _ => return Err(not_here(reference)),
            };
            let digest = reference.digest.as_ref().or_else(|| state.tags.get(reference));
            if digest.is_some_and(|digest| state.pins.contains_key(digest)) {
                return Err(in_use(reference));
            }
            for name in names {
                state.tags.remove(&name);
            }
        }
        Ok(state.collect())
    }
}
