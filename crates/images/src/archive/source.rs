//! Members of an archive or directory by name. Nothing here writes to a path that comes from it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ebb_model::Kind;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::Error;
use crate::error::{corrupt_archive, no_archive, storage, too_large, unsupported};
use crate::shown::shown;

/// Members that an archive may have; an image has a few hundred at most.
const MEMBERS_MAX: u64 = 100_000;
/// Bytes of a compressed archive, uncompressed: more than any image that may be stored.
const ARCHIVE_MAX: u64 = 64 << 30;
/// Links between members that are followed (`MAXSYMLINKS` of Linux).
const LINKS_MAX: usize = 40;

/// Where members are read from.
pub(crate) enum Source {
    /// A directory; members are opened below it, and no link is followed.
    Dir(OwnedFd),
    /// A tar file and the place of each member in it.
    Tar(Arc<File>, BTreeMap<String, Member>),
}

/// A member of a tar file.
pub(crate) enum Member {
    /// Its bytes: first and one behind the last.
    Data(u64, u64),
    /// Another member's name (`docker save` of old versions wrote shared layers so).
    Link(String),
}

/// The bytes of one member.
pub(crate) struct Section {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Section {
    /// Bytes that are left.
    pub(crate) const fn len(&self) -> u64 {
        self.end - self.at
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.len()).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(read)
    }
}

impl Source {
    /// Opens a directory, a tar file, or a tar file compressed with gzip or zstd; the latter is
    /// unpacked into a nameless file in `temp` first.
    pub(crate) fn open(path: &Path, temp: &Path) -> Result<Self, Error> {
        let fail = |error: io::Error| cannot_read(&error);
        if path.is_dir() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let dir = rustix::fs::open(path, flags, Mode::empty());
            return Ok(Self::Dir(dir.map_err(|errno| fail(errno.into()))?));
        }
        let packed = File::open(path).map_err(fail)?;
        let mut magic = [0; 4];
        let read = packed.read_at(&mut magic, 0).map_err(fail)?;
        let file = match decoder(&magic[..read], &packed).map_err(fail)? {
            Some(reader) => unpacked(reader, temp)?,
            None => packed.try_clone().map_err(fail)?,
        };
        let members = members(&file)?;
        Ok(Self::Tar(Arc::new(file), members))
    }

    /// The whole of a member of at most `limit` bytes; none when there is no such member.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(mut section) = self.section(name)? else { return Ok(None) };
        if section.len() > limit {
            return Err(too_large(
                &format!("{} of the archive", shown(name)),
                limit,
                section.len(),
            ));
        }
        let mut bytes = Vec::new();
        section.read_to_end(&mut bytes).map_err(|error| unreadable(name, &error))?;
        Ok(Some(bytes))
    }

    /// A member to be read in pieces; none when there is no such member.
    pub(crate) fn section(&self, name: &str) -> Result<Option<Section>, Error> {
        match self {
            Self::Dir(dir) => Self::below(dir, name),
            Self::Tar(file, members) => {
                let mut name = name.to_owned();
                for _ in 0..LINKS_MAX {
                    match members.get(&name) {
                        Some(Member::Data(at, end)) => {
                            let file = Arc::clone(file);
                            return Ok(Some(Section { file, at: *at, end: *end }));
                        }
                        Some(Member::Link(target)) => name.clone_from(target),
                        None => return Ok(None),
                    }
                }
                Err(no_archive("links between members of the archive form a loop"))
            }
        }
    }

    fn below(dir: &OwnedFd, name: &str) -> Result<Option<Section>, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let file = match rustix::fs::openat2(dir, name, flags, Mode::empty(), resolve) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(unreadable(name, &errno.into())),
        };
        let metadata = file.metadata().map_err(|error| unreadable(name, &error))?;
        if !metadata.is_file() {
            return Err(no_archive(format!(
                "{} of the archive is not a regular file",
                shown(name)
            )));
        }
        Ok(Some(Section { file: Arc::new(file), at: 0, end: metadata.len() }))
    }
}

/// The archive that `reader` uncompresses, in a nameless file.
fn unpacked(reader: Box<dyn Read + '_>, temp: &Path) -> Result<File, Error> {
    let mut file = nameless(temp).map_err(|error| storage("reading an archive", &error))?;
    let copied =
        io::copy(&mut reader.take(ARCHIVE_MAX + 1), &mut file).map_err(|error| {
            match error.kind() {
                io::ErrorKind::StorageFull => storage("reading an archive", &error),
                _ => not_tar(),
            }
        })?;
    if copied > ARCHIVE_MAX {
        return Err(too_large("the uncompressed archive", ARCHIVE_MAX, copied));
    }
    Ok(file)
}

fn decoder<'a>(magic: &[u8], file: &'a File) -> io::Result<Option<Box<dyn Read + 'a>>> {
    Ok(match magic {
        [0x1f, 0x8b, ..] => Some(Box::new(flate2::read::MultiGzDecoder::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let mut decoder = zstd::Decoder::new(file)?;
            decoder.window_log_max(crate::unpack::limits::ZSTD_WINDOW_LOG_MAX)?;
            Some(Box::new(decoder))
        }
        _ => None,
    })
}

/// Every member of a tar file.
fn members(mut file: &File) -> Result<BTreeMap<String, Member>, Error> {
    let length = file
        .rewind()
        .and_then(|()| file.metadata())
        .map_err(|error| storage("reading an archive", &error))?
        .len();
    let mut members = BTreeMap::new();
    let mut archive = tar::Archive::new(file);
    for (count, entry) in (0u64..).zip(archive.entries_with_seek().map_err(|_| not_tar())?) {
        let entry = entry.map_err(|_| not_tar())?;
        if count >= MEMBERS_MAX {
            return Err(too_large("the number of members of the archive", MEMBERS_MAX, count + 1));
        }
        let Ok(name) = String::from_utf8(entry.path_bytes().into_owned()) else { continue };
        let name = normal(Path::new(&name));
        let link = || entry.link_name_bytes().and_then(|l| String::from_utf8(l.into_owned()).ok());
        let member = match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                let at = entry.raw_file_position();
                let end = at.checked_add(entry.size()).filter(|end| *end <= length);
                Member::Data(at, end.ok_or_else(|| corrupt_archive("the archive is truncated"))?)
            }
            tar::EntryType::Link => Member::Link(normal(Path::new(&link().unwrap_or_default()))),
            tar::EntryType::Symlink => {
                let parent = Path::new(&name).parent().unwrap_or_else(|| Path::new(""));
                Member::Link(normal(&parent.join(link().unwrap_or_default())))
            }
            _ => continue,
        };
        members.insert(name, member);
    }
    Ok(members)
}

/// The path without `.`, `..` and a leading `/`: a key in the map of members, never a file's path.
fn normal(path: &Path) -> String {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => parts.push(name),
            std::path::Component::ParentDir => {
                parts.pop();
            }
            _ => {}
        }
    }
    parts.to_string_lossy().into_owned()
}

/// A file in `dir` that has no name, so that nothing of it stays after a crash.
fn nameless(dir: &Path) -> io::Result<File> {
    let path = dir.join(format!("archive-{:016x}.tmp", rand::random::<u64>()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// The file cannot be opened. Its path is not said: it may be one that only the server knows.
fn cannot_read(error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        return Error::new("IMAGE_NOT_FOUND", Kind::NotFound, "the archive was not found")
            .hint("check the path of the file");
    }
    no_archive(format!("the archive cannot be read: {}", error.kind()))
}

/// A member cannot be read.
pub(super) fn unreadable(name: &str, error: &io::Error) -> Error {
    let message = format!("{} of the archive cannot be read: {}", shown(name), error.kind());
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        // A link in a directory of someone else is not followed.
        Some(Errno::LOOP | Errno::XDEV | Errno::NOTDIR) => no_archive(message),
        _ => corrupt_archive(message),
    }
}

/// What the decoders say is left out, because they quote the file.
fn not_tar() -> Error {
    unsupported("the file is no OCI or docker archive")
        .hint("save one with `docker save` or `skopeo copy ... oci-archive:FILE`")
}
