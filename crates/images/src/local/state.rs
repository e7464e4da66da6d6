//! What the store knows: images, tags, pins and unpacked layers.
//!
//! Images, tags and pins are one JSON file, replaced atomically at each change: a machine has
//! hundreds of images, not millions, and a change is rare. Unpacked layers are found by looking at
//! the disk once, at start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ebb_model::image::{ImageConfig, ImageSummary};
use ebb_model::{Digest, Reference, Timestamp};
use serde::{Deserialize, Serialize};

use super::files::{self, Paths};
use crate::Error;
use crate::error::storage;
use crate::image_config;
use crate::manifest::{self, Document, Manifest};

/// The part that survives a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Saved {
    /// Form of this file.
    version: u32,
    /// Images whose blobs are all here, with the time when that became so.
    pub(super) images: BTreeMap<Digest, Timestamp>,
    pub(super) tags: BTreeMap<Reference, Digest>,
    /// The reference, with digest, by which a registry gave an image to this store. It names the
    /// image for people, and keeps nothing: only tags and pins do.
    #[serde(default)]
    pub(super) pulled: BTreeMap<Digest, Reference>,
    /// Owners by image.
    pub(super) pins: BTreeMap<Digest, BTreeSet<String>>,
}

const VERSION: u32 = 1;

/// An image, read.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) manifest: Manifest,
    pub(super) run: ImageConfig,
    pub(super) diff_ids: Vec<Digest>,
    pub(super) size_bytes: u64,
}

/// What is kept beside an unpacked layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LayerNote {
    /// The layer hides everything below it. overlayfs knows no such root, so a layout ends here.
    pub(super) opaque_root: bool,
    /// Bytes of the uncompressed archive.
    pub(super) size_bytes: u64,
    /// What was left out.
    pub(super) warnings: Vec<String>,
}

/// An unpacked layer: namespace and digest.
pub(super) type LayerKey = (String, Digest);

/// Everything, behind one lock.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) saved: Saved,
    /// Every image of `saved.images`.
    pub(super) images: BTreeMap<Digest, Image>,
    pub(super) layers: BTreeMap<LayerKey, LayerNote>,
    /// Blobs and layers that a running pull or load counts on.
    pub(super) busy: BTreeMap<Digest, u32>,
}

/// Reads an image from its blobs.
pub(super) fn read_image(paths: &Paths, digest: &Digest) -> Result<Image, Error> {
    let bytes =
        std::fs::read(paths.blob(digest)).map_err(|error| storage("reading a manifest", &error))?;
    let Document::Manifest(manifest) = manifest::parse(&bytes, "")? else {
        return Err(crate::error::unsupported(format!("{digest} is an index, not an image")));
    };
    let config = std::fs::read(paths.blob(&manifest.config.digest))
        .map_err(|error| storage("reading an image configuration", &error))?;
    let config = image_config::parse(&config)?;
    manifest.check(&config)?;
    let size_bytes = manifest.blob_bytes().saturating_add(bytes.len() as u64);
    Ok(Image { manifest, run: config.run, diff_ids: config.diff_ids, size_bytes })
}

impl State {
    /// Reads what is on disk. An image that is not whole any more is forgotten with a warning; it
    /// is pulled again when something needs it.
    pub(super) fn open(paths: &Paths) -> Result<Self, Error> {
        let fail = |error: std::io::Error| storage("opening the image store", &error);
        let saved = match std::fs::read(paths.state()) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| fail(error.into()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Saved::default(),
            Err(error) => return Err(fail(error)),
        };
        if saved.version > VERSION {
            let message = format!("images.json has the unknown version {}", saved.version);
            return Err(fail(std::io::Error::other(message)));
        }
        let mut state = Self { saved, ..Self::default() };
        state.saved.version = VERSION;
        for digest in state.saved.images.keys().cloned().collect::<Vec<_>>() {
            match read_image(paths, &digest) {
                Ok(image) => {
                    state.images.insert(digest, image);
                }
                Err(error) => {
                    tracing::warn!(%digest, %error, "an image is not whole and is forgotten");
                    state.saved.images.remove(&digest);
                    state.saved.tags.retain(|_, tagged| *tagged != digest);
                    state.saved.pulled.remove(&digest);
                }
            }
        }
        state.find_layers(&paths.layers()).map_err(fail)?;
        Ok(state)
    }

    fn find_layers(&mut self, layers: &Path) -> std::io::Result<()> {
        for namespace in std::fs::read_dir(layers)? {
            let namespace = namespace?;
            let Ok(name) = namespace.file_name().into_string() else { continue };
            for layer in std::fs::read_dir(namespace.path())? {
                let layer = layer?;
                let hex = layer.file_name().to_string_lossy().into_owned();
                let note = std::fs::read(layer.path().join("layer.json"));
                let note = note.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
                match (format!("sha256:{hex}").parse::<Digest>(), note) {
                    (Ok(diff_id), Some(note)) => {
                        self.layers.insert((name.clone(), diff_id), note);
                    }
                    _ => files::remove(&layer.path()),
                }
            }
        }
        Ok(())
    }

    /// Applies a change to the durable part, on disk first: where that fails, nothing changed.
    pub(super) fn change(
        &mut self,
        paths: &Paths,
        change: impl FnOnce(&mut Saved),
    ) -> Result<(), Error> {
        let mut saved = self.saved.clone();
        change(&mut saved);
        let fail = |error: std::io::Error| storage("writing the list of images", &error);
        let bytes = serde_json::to_vec(&saved).map_err(|error| fail(error.into()))?;
        files::write(paths, &paths.state(), &bytes).map_err(fail)?;
        self.saved = saved;
        Ok(())
    }

    /// Whether every layer of an image is unpacked for a namespace.
    pub(super) fn is_unpacked(&self, namespace: &str, image: &Image) -> bool {
        image
            .diff_ids
            .iter()
            .all(|diff_id| self.layers.contains_key(&(namespace.to_owned(), diff_id.clone())))
    }

    pub(super) fn summary(
        &self,
        reference: Option<&Reference>,
        digest: &Digest,
    ) -> Option<ImageSummary> {
        let pins = self.saved.pins.get(digest).map_or(0, BTreeSet::len);
        Some(ImageSummary {
            reference: reference.cloned(),
            digest: digest.clone(),
            size_bytes: self.images.get(digest)?.size_bytes,
            created: *self.saved.images.get(digest)?,
            pins: u32::try_from(pins).unwrap_or(u32::MAX),
        })
    }
}
