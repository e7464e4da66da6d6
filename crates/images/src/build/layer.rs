//! The layers of a built image.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ebb_model::Digest;
use sha2::{Digest as _, Sha256};

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, which every registry and runtime knows.
    #[default]
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// One layer: entries by path, or a ready archive. Missing parents are made as `0755` of root.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    entries: BTreeMap<PathBuf, Entry>,
    last: PathBuf,
    ready: Option<Vec<u8>>,
    compression: Compression,
}

#[derive(Clone, Debug)]
struct Entry {
    what: What,
    mode: u32,
    uid: u64,
    gid: u64,
}

#[derive(Clone, Debug)]
enum What {
    Dir,
    File(Vec<u8>),
    Symlink(PathBuf),
    Hardlink(PathBuf),
}

/// A layer as it is stored.
pub(crate) struct Packed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) diff_id: Digest,
    pub(crate) compression: Compression,
}

impl Layer {
    /// A layer without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// A layer from a ready, uncompressed tar stream, taken as it is.
    pub fn from_tar(tar: impl Into<Vec<u8>>) -> Self {
        Self { ready: Some(tar.into()), ..Self::default() }
    }

    /// A directory with permission bits `mode`.
    #[must_use]
    pub fn dir(self, path: impl AsRef<Path>, mode: u32) -> Self {
        self.add(path, What::Dir, mode)
    }

    /// A regular file with permission bits `mode`.
    #[must_use]
    pub fn file(self, path: impl AsRef<Path>, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.add(path, What::File(bytes.into()), mode)
    }

    /// A symbolic link at `path` with the text `target`.
    #[must_use]
    pub fn symlink(self, path: impl AsRef<Path>, target: impl Into<PathBuf>) -> Self {
        self.add(path, What::Symlink(target.into()), 0o777)
    }

    /// A second name at `path` for the file `target` of this layer.
    #[must_use]
    pub fn hardlink(self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> Self {
        let target = below_root(target.as_ref());
        self.add(path, What::Hardlink(target), 0o644)
    }

    /// Removes `path` of the layers below (an OCI whiteout).
    #[must_use]
    pub fn whiteout(self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let mut name = std::ffi::OsString::from(".wh.");
        name.push(path.file_name().unwrap_or_default());
        self.add(path.with_file_name(name), What::File(Vec::new()), 0)
    }

    /// Hides what the layers below have in the directory `path` (an OCI opaque whiteout).
    #[must_use]
    pub fn opaque(self, path: impl AsRef<Path>) -> Self {
        self.add(path.as_ref().join(".wh..wh..opq"), What::File(Vec::new()), 0)
    }

    /// Owner of the entry that was added last; 0 and 0 without this call.
    #[must_use]
    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        if let Some(entry) = self.entries.get_mut(&self.last) {
            (entry.uid, entry.gid) = (uid, gid);
        }
        self
    }

    /// How the layer is compressed; gzip without this call.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    fn add(mut self, path: impl AsRef<Path>, what: What, mode: u32) -> Self {
        let path = below_root(path.as_ref());
        for parent in path.ancestors().skip(1).filter(|parent| *parent != Path::new("")) {
            self.entries.entry(parent.to_owned()).or_insert(Entry {
                what: What::Dir,
                mode: 0o755,
                uid: 0,
                gid: 0,
            });
        }
        self.entries.insert(path.clone(), Entry { what, mode, uid: 0, gid: 0 });
        self.last = path;
        self
    }

    pub(crate) fn pack(&self) -> io::Result<Packed> {
        let tar = match &self.ready {
            Some(tar) => tar.clone(),
            None => self.tar()?,
        };
        let diff_id = Digest::from_sha256(Sha256::digest(&tar).into());
        let bytes = match self.compression {
            Compression::None => tar,
            Compression::Gzip => {
                let level = flate2::Compression::default();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(&tar)?;
                encoder.finish()?
            }
            Compression::Zstd => zstd::encode_all(tar.as_slice(), 3)?,
        };
        Ok(Packed { bytes, diff_id, compression: self.compression })
    }

    /// Sorted, and hard links last, because a link must come after its target.
    fn tar(&self) -> io::Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        let is_link = |entry: &Entry| matches!(entry.what, What::Hardlink(_));
        let (links, others): (Vec<_>, Vec<_>) =
            self.entries.iter().partition(|(_, entry)| is_link(entry));
        for (path, entry) in others.into_iter().chain(links) {
            entry.append(&mut tar, path)?;
        }
        tar.into_inner()
    }
}

impl Entry {
    fn append(&self, tar: &mut tar::Builder<Vec<u8>>, path: &Path) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_mode(self.mode);
        header.set_uid(self.uid);
        header.set_gid(self.gid);
        header.set_mtime(0);
        header.set_size(0);
        match &self.what {
            What::Dir => {
                header.set_entry_type(tar::EntryType::Directory);
                tar.append_data(&mut header, path, io::empty())
            }
            What::File(bytes) => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_size(u64::try_from(bytes.len()).map_err(io::Error::other)?);
                tar.append_data(&mut header, path, bytes.as_slice())
            }
            What::Symlink(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                tar.append_link(&mut header, path, target)
            }
            What::Hardlink(target) => {
                header.set_entry_type(tar::EntryType::Link);
                tar.append_link(&mut header, path, target)
            }
        }
    }
}

fn below_root(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, std::path::Component::Normal(_))).collect()
}
