//! The documents of an image: descriptors, manifests and indexes, as OCI and docker schema 2 write
//! them (OCI image specification v1.1; the docker forms have the same fields).

use std::collections::BTreeMap;

use ebb_model::{Digest, Kind};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::{config_invalid, too_large, unsupported};
use crate::image_config::Config;
use crate::shown::{self, plain, shown};

/// Bytes of a manifest, index or configuration (the distribution specification asks registries for
/// 4 MiB at least).
pub(crate) const BYTES_MAX: u64 = 4 << 20;
/// Layers of an image; overlayfs takes no more than about 500, and docker stops at 127.
pub(crate) const LAYERS_MAX: usize = 128;
/// Entries of an index.
const INDEX_MAX: usize = 1000;
/// Documents from a name to a manifest: an index in an index, and the manifest.
pub(crate) const DEPTH_MAX: usize = 3;
/// Compressed bytes of one layer.
const LAYER_BYTES_MAX: u64 = 20 << 30;
/// The machine that images are chosen for.
pub(crate) const PLATFORM: &str = "linux/amd64";

/// Media type of an OCI image manifest.
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an OCI image index.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of an OCI image configuration.
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Media type of a docker schema 2 manifest.
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Media type of a docker manifest list.
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Media type of a docker image configuration.
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// Media type of an uncompressed OCI layer.
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// Media type of an OCI layer compressed with gzip.
pub(crate) const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Media type of an OCI layer compressed with Zstandard.
pub(crate) const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// Media type of a docker layer, which is compressed with gzip.
const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Media type of an uncompressed docker layer.
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// Media type of a docker layer compressed with Zstandard.
const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

/// Names a blob: what it is, its digest and its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    /// What the blob is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) media_type: String,
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// For which machine, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    /// Notes; only the names of a local archive are read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// A descriptor without platform and notes.
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }
}

/// A machine that an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Platform {
    /// Operating system, such as `linux`.
    pub(crate) os: String,
    /// Processor, such as `amd64`.
    pub(crate) architecture: String,
    /// Variant of the processor, such as `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

/// An image manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    /// Always 2.
    pub(crate) schema_version: u32,
    /// What this document says it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) media_type: String,
    /// Set for an artifact that is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    /// The image configuration.
    pub(crate) config: Descriptor,
    /// The layers, lowest first.
    pub(crate) layers: Vec<Descriptor>,
}

/// A list of manifests for several machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    /// Always 2.
    pub(crate) schema_version: u32,
    /// What this document says it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) media_type: String,
    /// The manifests.
    pub(crate) manifests: Vec<Descriptor>,
}

/// What stands behind a name.
pub(crate) enum Document {
    /// An image for one machine.
    Manifest(Manifest),
    /// A choice of images.
    Index(Index),
}

/// Reads a manifest or index. `media_type` is what the server or descriptor called it; empty where
/// it did not say, and then the document itself has to.
///
/// # Errors
/// `IMAGE_UNSUPPORTED` for schema 1, artifacts and unknown types; `IMAGE_CONFIG_INVALID`.
pub(crate) fn parse(bytes: &[u8], media_type: &str) -> Result<Document, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Head {
        #[serde(default)]
        schema_version: u32,
        #[serde(default)]
        media_type: String,
        #[serde(default)]
        manifests: Option<serde::de::IgnoredAny>,
        #[serde(default)]
        layers: Option<serde::de::IgnoredAny>,
    }
    let invalid =
        |error| config_invalid(format!("the manifest is not valid: {}", shown::json(&error)));
    let head: Head = serde_json::from_slice(bytes).map_err(invalid)?;
    if head.schema_version == 1 || media_type.contains("distribution.manifest.v1") {
        return Err(unsupported("the image has a manifest of docker schema 1")
            .hint("push it again with a current tool"));
    }
    if head.schema_version != 2 {
        let version = head.schema_version;
        return Err(config_invalid(format!("schemaVersion is {version}, and only 2 is allowed")));
    }
    // One document must not be an index for one reader and a manifest for another.
    if head.manifests.is_some() && head.layers.is_some() {
        return Err(config_invalid("the manifest has both manifests and layers"));
    }
    // What servers say that do not know.
    let media_type = match media_type {
        "application/json" | "text/plain" | "application/octet-stream" => "",
        known => known,
    };
    let said = if media_type.is_empty() { head.media_type.as_str() } else { media_type };
    if !head.media_type.is_empty() && head.media_type != said {
        return Err(config_invalid(format!(
            "a {} calls itself {}",
            shown(said),
            shown(&head.media_type)
        )));
    }
    let index = match said {
        OCI_MANIFEST | DOCKER_MANIFEST => false,
        OCI_INDEX | DOCKER_LIST => true,
        "" => head.manifests.is_some(),
        other => {
            return Err(unsupported(format!(
                "the manifest is of the unknown type {}",
                shown(other)
            )));
        }
    };
    if index {
        let index: Index = serde_json::from_slice(bytes).map_err(invalid)?;
        if index.manifests.len() > INDEX_MAX {
            let actual = index.manifests.len() as u64;
            return Err(too_large("the number of manifests in an index", INDEX_MAX as u64, actual));
        }
        return Ok(Document::Index(index));
    }
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(invalid)?;
    manifest.check_types()?;
    Ok(Document::Manifest(manifest))
}

impl Index {
    /// Whether an entry is an index itself.
    pub(crate) fn is_index(entry: &Descriptor) -> bool {
        matches!(entry.media_type.as_str(), OCI_INDEX | DOCKER_LIST)
    }

    /// The entry for [`PLATFORM`]: the first one that says so, or the only one where it does not
    /// say.
    ///
    /// # Errors
    /// `IMAGE_PLATFORM` with the platforms that there are.
    pub(crate) fn choose(&self) -> Result<&Descriptor, Error> {
        let named = |entry: &&Descriptor| {
            entry.platform.as_ref().is_some_and(|platform| {
                platform.os == "linux"
                    && platform.architecture == "amd64"
                    && matches!(platform.variant.as_deref(), None | Some("" | "v1"))
            })
        };
        if let Some(entry) = self.manifests.iter().find(named) {
            return Ok(entry);
        }
        if let [entry] = self.manifests.as_slice()
            && entry.platform.is_none()
        {
            return Ok(entry);
        }
        let mut available: Vec<String> = self
            .manifests
            .iter()
            .filter_map(|entry| Some(entry.platform.as_ref()?.to_string()))
            .collect();
        // Build attestations are entries for the platform unknown/unknown.
        available.retain(|platform| platform != "unknown/unknown");
        Err(wrong_platform(&available.join(", ")))
    }
}

fn wrong_platform(available: &str) -> Error {
    let available = plain(&available);
    let message = format!("the image is not available for {PLATFORM}; available: {available}");
    Error::new("IMAGE_PLATFORM", Kind::Invalid, message)
        .hint("build it for linux/amd64, for example with `docker build --platform linux/amd64`")
}

impl Manifest {
    /// How layer number `n` is compressed: `gzip`, `zstd` or `none`.
    pub(crate) fn compression(layer: &Descriptor) -> Option<&'static str> {
        match layer.media_type.as_str() {
            OCI_LAYER_GZIP | DOCKER_LAYER_GZIP
            // Nondistributable layers are ordinary ones when the registry has them; their `urls`
            // are never fetched.
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Some("gzip"),
            OCI_LAYER_ZSTD | DOCKER_LAYER_ZSTD => Some("zstd"),
            OCI_LAYER | DOCKER_LAYER => Some("none"),
            _ => None,
        }
    }

    fn check_types(&self) -> Result<(), Error> {
        let config = self.config.media_type.as_str();
        if self.artifact_type.is_some() || !matches!(config, OCI_CONFIG | DOCKER_CONFIG) {
            let what = self.artifact_type.as_deref().unwrap_or(config);
            return Err(unsupported(format!(
                "it is an artifact of the type {}, not an image",
                shown(what)
            )));
        }
        if self.config.size > BYTES_MAX {
            return Err(too_large("the image configuration", BYTES_MAX, self.config.size));
        }
        if self.layers.len() > LAYERS_MAX {
            let actual = self.layers.len() as u64;
            return Err(too_large("the number of layers", LAYERS_MAX as u64, actual));
        }
        for layer in &self.layers {
            if Self::compression(layer).is_none() {
                let media_type = shown(&layer.media_type);
                return Err(unsupported(format!("a layer is of the unknown type {media_type}")));
            }
            if layer.size > LAYER_BYTES_MAX {
                return Err(too_large("a layer", LAYER_BYTES_MAX, layer.size));
            }
        }
        Ok(())
    }

    /// Whether the configuration fits to this manifest and machine.
    pub(crate) fn check(&self, config: &Config) -> Result<(), Error> {
        let (layers, diff_ids) = (self.layers.len(), config.diff_ids.len());
        if layers != diff_ids {
            return Err(config_invalid(format!(
                "the manifest has {layers} layers, and the configuration {diff_ids} diff_ids"
            )));
        }
        match config.platform.as_deref() {
            None | Some(PLATFORM) => Ok(()),
            Some(other) => Err(wrong_platform(other)),
        }
    }

    /// Digests of configuration and layers.
    pub(crate) fn digests(&self) -> Vec<Digest> {
        self.layers.iter().chain([&self.config]).map(|blob| blob.digest.clone()).collect()
    }

    /// Bytes of configuration and layers.
    pub(crate) fn blob_bytes(&self) -> u64 {
        self.layers.iter().fold(self.config.size, |sum, layer| sum.saturating_add(layer.size))
    }
}
