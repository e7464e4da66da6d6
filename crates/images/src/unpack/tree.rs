//! The tree below the target directory, touched only through descriptors.
//!
//! A parent is opened with `openat2`, which never leaves the root; a leaf is replaced, never
//! followed. Symbolic links of the image are resolved here as a container would see them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::limits::{DEPTH_MAX, LINKS_MAX, PATH_MAX, REMEMBERED_MAX};
use super::{invalid, io_error, path, shown};
use crate::Error;
use crate::error::too_large;

/// A directory of the tree with its real path from the root, free of links.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) dir: Rc<OwnedFd>,
    pub(super) path: Vec<u8>,
}

impl Place {
    /// The path of a name in it.
    pub(super) fn join(&self, name: &[u8]) -> Vec<u8> {
        if self.path.is_empty() {
            return name.to_vec();
        }
        [&self.path, b"/".as_slice(), name].concat()
    }
}

/// What a directory gets when everything in it was made.
#[derive(Clone, Debug)]
pub(super) struct DirMeta {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: (i64, i64),
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Default for DirMeta {
    /// A parent that the archive does not describe.
    fn default() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0, mtime: (0, 0), xattrs: Vec::new() }
    }
}

/// The tree that is being made.
pub(super) struct Tree {
    root: Rc<OwnedFd>,
    /// Every directory of the tree, by real path.
    pub(super) dirs: BTreeMap<Vec<u8>, DirMeta>,
    /// Directories that hide what is below, by real path.
    pub(super) opaque: BTreeSet<Vec<u8>>,
    remembered: usize,
    /// The parent that was opened last; archives list a directory's entries together.
    last: Option<(Vec<u8>, Place)>,
}

pub(super) const NO_LINKS: ResolveFlags = ResolveFlags::IN_ROOT
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV);

impl Tree {
    pub(super) fn new(root: OwnedFd) -> Self {
        let dirs = BTreeMap::from([(Vec::new(), DirMeta::default())]);
        Self { root: Rc::new(root), dirs, opaque: BTreeSet::new(), remembered: 0, last: None }
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The directory that the components lead to. Missing directories are made.
    pub(super) fn parent(&mut self, components: &[&[u8]]) -> Result<Place, Error> {
        let path = components.join(&b'/');
        if let Some((last, place)) = &self.last
            && *last == path
        {
            return Ok(place.clone());
        }
        if let Some(component) = components.iter().find(|name| path::is_whiteout(name)) {
            return Err(invalid(format!("{} is used as a directory", shown(component))));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let name = if path.is_empty() { b".".as_slice() } else { &path };
        let place = match rustix::fs::openat2(&*self.root, name, flags, Mode::empty(), NO_LINKS) {
            Ok(dir) => Place { dir: Rc::new(dir), path: path.clone() },
            Err(Errno::LOOP | Errno::NOENT | Errno::NOTDIR) => self.walk(components)?,
            Err(errno) => return Err(io_error(&path, errno)),
        };
        self.last = Some((path, place.clone()));
        Ok(place)
    }

    /// The same, one component after the other: follows the links of the image below the root
    /// and makes what is missing.
    fn walk(&mut self, components: &[&[u8]]) -> Result<Place, Error> {
        let mut here = vec![Place { dir: Rc::clone(&self.root), path: Vec::new() }];
        let mut todo: VecDeque<Vec<u8>> = components.iter().map(|name| name.to_vec()).collect();
        let mut links = 0;
        while let Some(name) = todo.pop_front() {
            if name == b".." {
                // At the root, `..` is the root.
                if here.len() > 1 {
                    here.pop();
                }
                continue;
            }
            let Some(current) = here.last().cloned() else { break };
            match kind_of(&current, &name)? {
                Some(FileType::Directory) => {}
                Some(FileType::Symlink) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(invalid(format!(
                            "{} leads through too many links",
                            shown(&name)
                        )));
                    }
                    let target = rustix::fs::readlinkat(&*current.dir, name.as_slice(), Vec::new())
                        .map_err(|errno| io_error(&name, errno))?;
                    let target = target.as_bytes();
                    if target.starts_with(b"/") {
                        here.truncate(1);
                    }
                    let parts = target.split(|byte| *byte == b'/');
                    let parts = parts.filter(|part| !matches!(*part, b"" | b"."));
                    for part in parts.rev() {
                        todo.push_front(part.to_vec());
                    }
                    continue;
                }
                Some(FileType::CharacterDevice) => self.replace_whiteout(&current, &name)?,
                Some(_) => {
                    let path = shown(current.join(&name));
                    return Err(invalid(format!("{path} is used as a directory and is none")));
                }
                None => self.make_dir(&current, &name, DirMeta::default())?,
            }
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let dir =
                rustix::fs::openat2(&*current.dir, name.as_slice(), flags, Mode::empty(), NO_LINKS)
                    .map_err(|errno| io_error(&name, errno))?;
            here.push(Place { dir: Rc::new(dir), path: current.join(&name) });
        }
        here.pop().ok_or_else(|| invalid("a path leads nowhere"))
    }

    /// A whiteout of this layer becomes a directory: it still hides what is below.
    fn replace_whiteout(&mut self, place: &Place, name: &[u8]) -> Result<(), Error> {
        self.remove(place, name)?;
        self.make_dir(place, name, DirMeta::default())?;
        self.opaque.insert(place.join(name));
        Ok(())
    }

    /// Makes a directory whose mode and owner follow at the end.
    pub(super) fn make_dir(
        &mut self,
        place: &Place,
        name: &[u8],
        meta: DirMeta,
    ) -> Result<(), Error> {
        rustix::fs::mkdirat(&*place.dir, name, Mode::from_raw_mode(0o700))
            .map_err(|errno| io_error(&place.join(name), errno))?;
        self.remember(place.join(name), meta)
    }

    /// Sets what a directory gets at the end.
    pub(super) fn remember(&mut self, path: Vec<u8>, meta: DirMeta) -> Result<(), Error> {
        let depth = path.split(|byte| *byte == b'/').count();
        if path.len() > PATH_MAX || depth > DEPTH_MAX {
            return Err(too_large(
                "the depth of a path in a layer",
                DEPTH_MAX as u64,
                depth as u64,
            ));
        }
        let attributes: usize =
            meta.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.remembered += path.len() + attributes + 128;
        if self.remembered > REMEMBERED_MAX {
            let limit = REMEMBERED_MAX as u64;
            return Err(too_large("the directories of a layer", limit, self.remembered as u64));
        }
        self.dirs.insert(path, meta);
        Ok(())
    }

    /// Removes a name with everything below it, if it is there.
    pub(super) fn remove(&mut self, place: &Place, name: &[u8]) -> Result<(), Error> {
        let Some(kind) = kind_of(place, name)? else { return Ok(()) };
        let path = place.join(name);
        self.last = None;
        if kind == FileType::Directory {
            empty(&self.root, &path)
                .and_then(|()| rustix::fs::unlinkat(&*place.dir, name, AtFlags::REMOVEDIR))
                .map_err(|errno| io_error(&path, errno))?;
            let below = |other: &[u8]| {
                other == path
                    || other
                        .strip_prefix(path.as_slice())
                        .is_some_and(|rest| rest.starts_with(b"/"))
            };
            let last = [path.as_slice(), b"0"].concat(); // the byte behind '/'
            let gone: Vec<_> =
                self.dirs.range(path.clone()..last.clone()).map(|(k, _)| k.clone()).collect();
            for key in gone.iter().filter(|key| below(key)) {
                self.dirs.remove(key);
            }
            self.opaque.retain(|key| !below(key));
            return Ok(());
        }
        rustix::fs::unlinkat(&*place.dir, name, AtFlags::empty())
            .map_err(|errno| io_error(&path, errno))
    }
}

/// What a name is, without following it.
pub(super) fn kind_of(place: &Place, name: &[u8]) -> Result<Option<FileType>, Error> {
    Ok(stat(place, name)?.map(|stat| FileType::from_raw_mode(stat.st_mode)))
}

pub(super) fn stat(place: &Place, name: &[u8]) -> Result<Option<Stat>, Error> {
    match rustix::fs::statat(&*place.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(io_error(&place.join(name), errno)),
    }
}

/// Removes everything in a directory. No descriptor is held while it goes down, so that the
/// deepest tree needs no more of them than a flat one.
fn empty(root: &OwnedFd, path: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat2(root, path, flags, Mode::empty(), NO_LINKS);
    let mut dirs = Vec::new();
    let dir = open()?;
    for entry in rustix::fs::Dir::read_from(&dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => dirs.push(name.to_vec()),
            other => other?,
        }
    }
    drop(dir);
    for name in dirs {
        empty(root, &[path, b"/", &name].concat())?;
        rustix::fs::unlinkat(open()?, name.as_slice(), AtFlags::REMOVEDIR)?;
    }
    Ok(())
}
