//! The seams: what an image store promises, and the confinement that it needs from outside.

use std::any::Any;
use std::os::fd::OwnedFd;

use async_trait::async_trait;
use ebb_model::image::{ImageSummary, RootFsLayout};
use ebb_model::{Digest, Reference};
use serde::{Deserialize, Serialize};

use crate::Error;

/// Images by digest. It mounts nothing and runs nothing.
#[async_trait]
pub trait ImageStore: Send + Sync {
    /// The digest of the image manifest for this platform that `pull.reference` names now. A name
    /// that was loaded into this store is answered from it; otherwise the registry is asked.
    async fn resolve(&self, pull: &Pull) -> Result<Digest, Error>;

    /// Makes the image complete in this store: every blob verified, every layer unpacked for
    /// `pull.namespace`. `pull.reference` carries the digest. Does nothing when it is complete.
    async fn pull(&self, pull: &Pull) -> Result<(), Error>;

    /// How to build its root filesystem. The layers are those unpacked for `namespace`.
    ///
    /// # Errors
    /// `IMAGE_NOT_FOUND` when it is not complete in this store.
    async fn layout(&self, namespace: &str, digest: &Digest) -> Result<RootFsLayout, Error>;

    /// Takes in an OCI or docker archive from `path`, tags what is in it, and answers what it
    /// tagged. `name` overrides the name in an archive that holds one image.
    async fn load(
        &self,
        path: &std::path::Path,
        name: Option<&Reference>,
    ) -> Result<Vec<ImageSummary>, Error>;

    /// Every image: once for each of its tags, and where it has none by the reference, with
    /// digest, that pulled it.
    async fn list(&self) -> Result<Vec<ImageSummary>, Error>;

    /// Keeps `digest` as long as `owner` pins it. Idempotent.
    async fn pin(&self, digest: &Digest, owner: &str) -> Result<(), Error>;

    /// Ends the pin of `owner`. Idempotent.
    async fn unpin(&self, digest: &Digest, owner: &str) -> Result<(), Error>;

    /// Removes the tag `reference`, or, when it has a digest, every tag of that digest, whatever
    /// else the reference says; and then what no tag and no pin needs. Answers the bytes that
    /// became free. Without a reference only the latter.
    ///
    /// # Errors
    /// `IMAGE_NOT_FOUND`; `IMAGE_IN_USE` when a pin names it.
    async fn prune(&self, reference: Option<&Reference>) -> Result<u64, Error>;
}

/// What to pull, for whom and with which credentials.
#[derive(Clone, Debug)]
pub struct Pull {
    /// Namespace that the unpacked layers are for.
    pub namespace: String,
    /// Which image.
    pub reference: Reference,
    /// Docker configuration files (`config.json`, as in a `kubernetes.io/dockerconfigjson` Secret)
    /// to look for credentials in, first match wins. Never logged.
    pub docker_configs: Vec<Vec<u8>>,
}

/// Runs the unpack of one layer in a confined process: no network, no capability outside its user
/// namespace, bounded memory, processor time, processes and file size.
#[async_trait]
pub trait Confine: Send + Sync {
    /// Runs `job` and answers what the process reported. When the future is dropped, the process
    /// is ended or runs to its end without anybody; [`UnpackJob::keep`] says when it is gone.
    async fn unpack(&self, job: UnpackJob) -> Result<UnpackReport, Error>;
}

/// One layer to unpack. The process sees only these descriptors.
#[derive(Debug)]
pub struct UnpackJob {
    /// The compressed layer, open for reading at its start.
    pub blob: OwnedFd,
    /// A fresh, empty directory that becomes the layer's tree. Files in it are owned, on disk, by
    /// the ids of the image.
    pub target: OwnedFd,
    /// How it is compressed: `gzip`, `zstd` or `none`.
    pub compression: String,
    /// To be dropped when nothing can write into `target` any more, and not before, however the
    /// job ends.
    pub keep: Box<dyn Any + Send>,
}

/// What an unpack did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpackReport {
    /// Digest of the uncompressed archive, to be compared with the configuration's `diff_ids`.
    pub diff_id: Digest,
    /// Files, directories and links made.
    pub entries: u64,
    /// Bytes of the uncompressed archive.
    pub size_bytes: u64,
    /// Things left out on purpose, such as device nodes; at most 100.
    pub warnings: Vec<String>,
    /// Directories of the tree that hide what the layers below have there, as base64 of the path
    /// (a name need not be text); empty text is the root. The process may not mark them itself:
    /// overlayfs reads the mark from a `trusted` attribute, which only root of the machine sets.
    #[serde(default)]
    pub opaque: Vec<String>,
}
