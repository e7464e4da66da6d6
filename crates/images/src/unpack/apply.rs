//! Carries one entry into the tree.

use std::io::Read;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::entries::{Entries, Entry, Kind};
use super::limits::{OPAQUE_BYTES_MAX, OPAQUE_MAX, PATH_MAX, WARNINGS_MAX};
use super::path::{self, Leaf};
use super::tree::{self, DirMeta, NO_LINKS, Place, Tree};
use super::{invalid, io_error, shown};
use crate::Error;
use crate::error::too_large;

/// Makes the tree of a layer, entry by entry.
pub(super) struct Apply {
    pub(super) tree: Tree,
    /// Entries that were made.
    pub(super) made: u64,
    /// What was left out, for people.
    pub(super) warnings: Vec<String>,
    buffer: Vec<u8>,
}

impl Apply {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { tree: Tree::new(root), made: 0, warnings: Vec::new(), buffer: vec![0; 256 << 10] }
    }

    /// Makes `entry`, whose content `entries` reads.
    pub(super) fn entry<R: Read>(
        &mut self,
        entry: &Entry,
        entries: &mut Entries<R>,
    ) -> Result<(), Error> {
        for (name, _) in &entry.xattrs {
            if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
                let (path, name) = (shown(&entry.path), shown(name));
                return Err(invalid(format!("{path} has the forged overlay attribute {name}")));
            }
        }
        let components = path::components(&entry.path)?;
        let Some((leaf, parents)) = components.split_last() else {
            return match entry.kind {
                Kind::Dir => self.tree.remember(Vec::new(), DirMeta::of(entry)),
                _ => Err(invalid("the root of a layer is no directory")),
            };
        };
        match path::leaf(leaf)? {
            Leaf::Name(name) => self.name(entry, parents, name, entries),
            whiteout => self.whiteout(entry, parents, &whiteout),
        }
    }

    fn name<R: Read>(
        &mut self,
        entry: &Entry,
        parents: &[&[u8]],
        name: &[u8],
        entries: &mut Entries<R>,
    ) -> Result<(), Error> {
        if entry.kind == Kind::Device {
            self.warn(format!("{}: a device is left out", shown(&entry.path)));
            return Ok(());
        }
        let place = self.tree.parent(parents)?;
        self.made += 1;
        match entry.kind {
            Kind::Dir => return self.dir(entry, &place, name),
            Kind::Hardlink => return self.hardlink(entry, &place, name),
            _ => self.tree.remove(&place, name)?,
        }
        let at = |errno| io_error(&entry.path, errno);
        match entry.kind {
            Kind::File => self.file(entry, &place, name, entries),
            Kind::Symlink => symlink(entry, &place, name),
            _ => {
                let mode = Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(&*place.dir, name, FileType::Fifo, mode, 0).map_err(at)?;
                // Opening a fifo for reading without waiting succeeds at once.
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::openat2(&*place.dir, name, flags, Mode::empty(), NO_LINKS);
                self.meta(&fd.map_err(at)?, &DirMeta::of(entry), &entry.path)
            }
        }
    }

    fn file<R: Read>(
        &mut self,
        entry: &Entry,
        place: &Place,
        name: &[u8],
        entries: &mut Entries<R>,
    ) -> Result<(), Error> {
        let at = |errno| io_error(&entry.path, errno);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o600);
        let file = rustix::fs::openat2(&*place.dir, name, flags | OFlags::CLOEXEC, mode, NO_LINKS)
            .map_err(at)?;
        loop {
            let read = entries.read(&mut self.buffer)?;
            if read == 0 {
                break;
            }
            write_all(&file, &self.buffer[..read]).map_err(at)?;
        }
        self.meta(&file, &DirMeta::of(entry), &entry.path)
    }

    fn dir(&mut self, entry: &Entry, place: &Place, name: &[u8]) -> Result<(), Error> {
        match tree::kind_of(place, name)? {
            Some(FileType::Directory) => self.tree.remember(place.join(name), DirMeta::of(entry)),
            Some(_) => {
                self.tree.remove(place, name)?;
                self.tree.make_dir(place, name, DirMeta::of(entry))?;
                // What it replaces hid a directory of the layers below, and so must it.
                self.opaque(place.join(name))
            }
            None => self.tree.make_dir(place, name, DirMeta::of(entry)),
        }
    }

    fn hardlink(&mut self, entry: &Entry, place: &Place, name: &[u8]) -> Result<(), Error> {
        let components = path::components(&entry.link)?;
        let missing = || {
            let (path, link) = (shown(&entry.path), shown(&entry.link));
            invalid(format!("{path} is a hard link to {link}, which is not in the layer"))
        };
        let (leaf, parents) = components.split_last().ok_or_else(missing)?;
        let from = self.tree.parent(parents)?;
        let target = tree::stat(&from, leaf)?.ok_or_else(missing)?;
        let kind = FileType::from_raw_mode(target.st_mode);
        if !matches!(kind, FileType::RegularFile | FileType::Symlink) {
            let link = shown(&entry.link);
            return Err(invalid(format!("a hard link to {link}, which is no file")));
        }
        if let Some(old) = tree::stat(place, name)?
            && (old.st_dev, old.st_ino) == (target.st_dev, target.st_ino)
        {
            return Ok(());
        }
        self.tree.remove(place, name)?;
        // Without AT_SYMLINK_FOLLOW: a link to a symbolic link is a link to that.
        rustix::fs::linkat(&*from.dir, *leaf, &*place.dir, name, AtFlags::empty())
            .map_err(|errno| io_error(&entry.path, errno))
    }

    /// Translates a whiteout to what overlayfs understands. It is about the layers below only:
    /// what this layer itself has under the name stays, wherever in the archive it comes.
    fn whiteout(&mut self, entry: &Entry, parents: &[&[u8]], leaf: &Leaf<'_>) -> Result<(), Error> {
        if *leaf == Leaf::Aufs {
            self.warn(format!("{}: bookkeeping of AUFS is left out", shown(&entry.path)));
            return Ok(());
        }
        // AUFS made whiteouts as hard links to one empty file.
        if !matches!(entry.kind, Kind::File | Kind::Hardlink) {
            return Err(invalid(format!("the whiteout {} is no file", shown(&entry.path))));
        }
        let place = self.tree.parent(parents)?;
        self.made += 1;
        let Leaf::Whiteout(name) = leaf else { return self.opaque(place.path) };
        match tree::kind_of(&place, name)? {
            None => {
                let mode = Mode::from_raw_mode(0);
                rustix::fs::mknodat(&*place.dir, *name, FileType::CharacterDevice, mode, 0)
                    .map_err(|errno| io_error(&entry.path, errno))
            }
            Some(FileType::Directory) => self.opaque(place.join(name)),
            Some(_) => Ok(()),
        }
    }

    fn opaque(&mut self, path: Vec<u8>) -> Result<(), Error> {
        self.tree.opaque.insert(path);
        let (count, bytes) = (self.tree.opaque.len(), self.tree.opaque.iter().map(Vec::len));
        if count > OPAQUE_MAX
            || (count.is_multiple_of(64) && bytes.sum::<usize>() > OPAQUE_BYTES_MAX)
        {
            return Err(too_large("opaque directories", OPAQUE_MAX as u64, count as u64));
        }
        Ok(())
    }

    /// Gives every directory its owner, mode, attributes and time, deepest first, each opened
    /// anew by descriptor: nothing of this goes through a path that could have become a link.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for (path, meta) in std::mem::take(&mut self.tree.dirs).into_iter().rev() {
            let name = if path.is_empty() { b".".as_slice() } else { &path };
            let dir = rustix::fs::openat2(self.tree.root(), name, flags, Mode::empty(), NO_LINKS);
            self.meta(&dir.map_err(|errno| io_error(&path, errno))?, &meta, &path)?;
        }
        Ok(())
    }

    /// Owner before mode, because a change of owner clears setuid; time last.
    fn meta(&mut self, fd: &OwnedFd, meta: &DirMeta, path: &[u8]) -> Result<(), Error> {
        let at = |errno| io_error(path, errno);
        let owner = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
        rustix::fs::fchown(fd, Some(owner.0), Some(owner.1)).map_err(at)?;
        rustix::fs::fchmod(fd, Mode::from_raw_mode(meta.mode)).map_err(at)?;
        for (name, value) in &meta.xattrs {
            self.xattr(fd, name, value, path)?;
        }
        rustix::fs::futimens(fd, &times(meta.mtime)).map_err(at)
    }

    /// Sets file capabilities and user attributes. The rest speaks about the machine that the
    /// image was built on (labels, access lists with its ids), and is left out.
    fn xattr(&mut self, fd: &OwnedFd, name: &[u8], value: &[u8], path: &[u8]) -> Result<(), Error> {
        let capability = name == b"security.capability" && value.len() == 20;
        let set = if capability || name.starts_with(b"user.") {
            rustix::fs::fsetxattr(fd, name, value, XattrFlags::empty())
        } else {
            Err(Errno::OPNOTSUPP)
        };
        match set {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::PERM | Errno::INVAL | Errno::RANGE) => {
                self.warn(format!("{}: the attribute {} is left out", shown(path), shown(name)));
                Ok(())
            }
            Err(errno) => Err(io_error(path, errno)),
        }
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(warning);
        }
    }
}

impl DirMeta {
    fn of(entry: &Entry) -> Self {
        Self {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            xattrs: entry.xattrs.clone(),
        }
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn symlink(entry: &Entry, place: &Place, name: &[u8]) -> Result<(), Error> {
    let at = |errno| io_error(&entry.path, errno);
    if entry.link.is_empty() || entry.link.len() >= PATH_MAX || entry.link.contains(&0) {
        return Err(invalid(format!("the target of the link {} is invalid", shown(&entry.path))));
    }
    rustix::fs::symlinkat(entry.link.as_slice(), &*place.dir, name).map_err(at)?;
    let owner = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::chownat(&*place.dir, name, Some(owner.0), Some(owner.1), flags).map_err(at)?;
    rustix::fs::utimensat(&*place.dir, name, &times(entry.mtime), flags).map_err(at)
}

/// File systems clamp a time that they cannot hold; the kernel refuses only nanoseconds.
fn times((seconds, nanos): (i64, i64)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos.clamp(0, 999_999_999) };
    Timestamps { last_access: time, last_modification: time }
}
