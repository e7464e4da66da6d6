//! Unpacks layers: in a fresh directory that becomes visible when it is right and durable.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ebb_model::Digest;
use rustix::fs::{Mode, OFlags, ResolveFlags, XattrFlags};

use super::Inner;
use super::files::Scratch;
use super::state::{LayerKey, LayerNote};
use crate::error::{corrupt_layer, storage};
use crate::manifest::{Descriptor, Manifest};
use crate::{Error, UnpackJob, UnpackReport};

impl Inner {
    /// Makes the tree of a layer for a namespace, unless it is there. May be dropped at any point.
    pub(super) async fn unpack(
        self: &Arc<Self>,
        namespace: &str,
        layer: &Descriptor,
        diff_id: &Digest,
    ) -> Result<(), Error> {
        let alone = self.flights.enter(format!("{namespace}/{diff_id}")).await;
        let key = (namespace.to_owned(), diff_id.clone());
        if self.lock().layers.contains_key(&key) {
            return Ok(());
        }
        let fail = |error: io::Error| storage("unpacking a layer", &error);
        // The process may outlive this future for a moment, so it keeps the directory, too.
        let scratch = Arc::new(self.paths.scratch());
        let tree = scratch.path().join("tree");
        std::fs::create_dir_all(&tree).map_err(fail)?;
        let job = UnpackJob {
            blob: File::open(self.paths.blob(&layer.digest)).map_err(fail)?.into(),
            target: open_dir(&tree).map_err(fail)?,
            compression: Manifest::compression(layer).unwrap_or("none").to_owned(),
            keep: Box::new(Arc::clone(&scratch)),
        };
        let report = self.confine.unpack(job).await?;
        if report.diff_id != *diff_id {
            let (layer, actual) = (&layer.digest, &report.diff_id);
            return Err(corrupt_layer(format!(
                "the layer {layer} unpacks to {actual}, and the configuration says {diff_id}"
            )));
        }
        // Whoever drops this future does not end the thread. So the thread itself keeps the others
        // out until the layer is on the disk and known, or neither.
        let inner = Arc::clone(self);
        super::blocking(move || {
            let _alone = alone;
            inner.publish(&scratch, &report, key)
        })
        .await?
        .map_err(fail)
    }

    fn publish(&self, scratch: &Scratch, report: &UnpackReport, key: LayerKey) -> io::Result<()> {
        let note = publish(scratch, report, &self.paths.layer(&key.0, &key.1))?;
        for warning in &note.warnings {
            tracing::debug!(layer = %key.1, warning, "left out of a layer");
        }
        self.lock().layers.insert(key, note);
        Ok(())
    }
}

/// Marks, notes, syncs and renames.
fn publish(scratch: &Scratch, report: &UnpackReport, destination: &Path) -> io::Result<LayerNote> {
    let tree = open_dir(&scratch.path().join("tree"))?;
    for path in &report.opaque {
        let path = BASE64_STANDARD.decode(path).map_err(io::Error::other)?;
        if !path.is_empty() {
            mark_opaque(&tree, &path)?;
        }
    }
    let note = LayerNote {
        opaque_root: report.opaque.iter().any(String::is_empty),
        size_bytes: report.size_bytes,
        warnings: report.warnings.clone(),
    };
    std::fs::write(scratch.path().join("layer.json"), serde_json::to_vec(&note)?)?;
    // One call for what may be a hundred thousand files.
    rustix::fs::syncfs(&tree)?;
    if let Some(namespace) = destination.parent() {
        std::fs::create_dir_all(namespace)?;
        namespace.parent().map_or(Ok(()), super::files::sync_dir)?;
    }
    scratch.publish(destination)?;
    Ok(note)
}

/// overlayfs takes a directory with this attribute instead of those below it. The path comes from
/// the confined process, so it is opened without following any link.
fn mark_opaque(tree: &impl AsFd, path: &[u8]) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    let dir = rustix::fs::openat2(tree, path, flags, Mode::empty(), resolve)?;
    rustix::fs::fsetxattr(dir, "trusted.overlay.opaque", b"y", XattrFlags::empty())?;
    Ok(())
}

fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}
