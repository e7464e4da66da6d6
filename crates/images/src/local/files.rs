//! Files that are either whole or absent: written under a temporary name, made durable, renamed.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ebb_model::Digest;

/// Where everything is, below one directory.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Makes the directories, readable for root alone: images have setuid programs.
    pub(super) fn create(root: &Path) -> io::Result<Self> {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        let paths = Self { root: root.to_owned() };
        for dir in [root.to_owned(), paths.blobs(), paths.layers(), paths.temp(), paths.empty()] {
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
        }
        std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o700))?;
        Ok(paths)
    }

    pub(super) fn state(&self) -> PathBuf {
        self.root.join("images.json")
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(super) fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub(super) fn layer(&self, namespace: &str, diff_id: &Digest) -> PathBuf {
        self.layers().join(namespace).join(diff_id.hex())
    }

    pub(super) fn temp(&self) -> PathBuf {
        self.root.join("temp")
    }

    /// The lower directory of an image without layers; overlayfs wants at least one.
    pub(super) fn empty(&self) -> PathBuf {
        self.root.join("empty")
    }

    /// A fresh name in the temporary directory. What is there goes when this is dropped, and at
    /// the next start after a crash.
    pub(super) fn scratch(&self) -> Scratch {
        Scratch(self.temp().join(format!("{:032x}", rand::random::<u128>())))
    }
}

/// A temporary file or directory.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Gives it its name, durably. What it holds must be durable already.
    pub(super) fn publish(&self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.0, path)?;
        path.parent().map_or(Ok(()), sync_dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes a file or a directory with everything in it; it may be absent. Links are not followed.
pub(super) fn remove(path: &Path) {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(_) => return,
    };
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "a leftover cannot be removed");
    }
}

/// Writes a small file atomically and durably.
pub(super) fn write(paths: &Paths, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let scratch = paths.scratch();
    let mut file = File::create_new(scratch.path())?;
    file.write_all(bytes)?;
    file.sync_all()?;
    scratch.publish(path)
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
