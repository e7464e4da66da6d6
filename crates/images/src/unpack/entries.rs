//! Entries of a tar archive, read block by block so that nothing is understood in two ways.
//!
//! `tar::Header` knows the fields of a header. The walk from header to header is ours, because the
//! size of an entry, and so the place of the next header, must be the same for every reader: where
//! the extended header and the header disagree, the archive is refused.

use std::io::Read;

use super::limits::{ENTRIES_MAX, EXTENSION_MAX, FILE_MAX, ID_MAX};
use super::pax::{self, Pax};
use super::stream::Stream;
use super::{invalid, shown};
use crate::Error;
use crate::error::too_large;

const BLOCK: usize = 512;
/// Largest size that the eleven octal digits of a header can say.
const OCTAL_MAX: u64 = 0o777_7777_7777;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Hardlink,
    Symlink,
    Device,
    Dir,
    Fifo,
}

/// One entry, with everything that was said about it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds and nanoseconds.
    pub(super) mtime: (i64, i64),
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads entries from a stream.
pub(super) struct Entries<R: Read> {
    stream: Stream<R>,
    /// Bytes of the current entry that were not read yet, and the padding behind them.
    left: u64,
    padding: u64,
    count: u64,
}

/// Headers that belong to the entry behind them.
#[derive(Default)]
struct Pending {
    pax: Option<Pax>,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: Read> Entries<R> {
    pub(super) const fn new(stream: Stream<R>) -> Self {
        Self { stream, left: 0, padding: 0, count: 0 }
    }

    /// The next entry; none at the end of the archive, whose rest was then read and was empty.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Error> {
        self.skip()?;
        let mut pending = Pending::default();
        loop {
            let Some(header) = self.header()? else {
                if pending.pax.is_some()
                    || pending.long_path.is_some()
                    || pending.long_link.is_some()
                {
                    return Err(invalid("the archive ends behind an extended header"));
                }
                return Ok(None);
            };
            self.count += 1;
            if self.count > ENTRIES_MAX {
                return Err(too_large("the number of entries in a layer", ENTRIES_MAX, self.count));
            }
            let size = number(&header.as_old().size)?;
            match header.as_old().linkflag[0] {
                b'x' => {
                    let pax = pax::parse(&self.extension(size)?)?;
                    only_one(&mut pending.pax, pax)?;
                }
                b'g' => pax::check_global(&self.extension(size)?)?,
                b'L' => {
                    let name = long(self.extension(size)?)?;
                    only_one(&mut pending.long_path, name)?;
                }
                b'K' => {
                    let name = long(self.extension(size)?)?;
                    only_one(&mut pending.long_link, name)?;
                }
                flag => return self.entry(&header, flag, size, pending).map(Some),
            }
        }
    }

    /// Bytes of the current entry; 0 at its end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.stream.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(truncated());
        }
        self.left -= read as u64;
        Ok(read)
    }

    /// The stream, at its end.
    pub(super) fn into_stream(self) -> Stream<R> {
        self.stream
    }

    fn entry(
        &mut self,
        header: &tar::Header,
        flag: u8,
        size: u64,
        pending: Pending,
    ) -> Result<Entry, Error> {
        let pax = pending.pax.unwrap_or_default();
        let size = agreed_size(size, pax.size)?;
        let path = one_of(pax.path, pending.long_path)?
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let link = one_of(pax.link, pending.long_link)?
            .unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
        let kind = match flag {
            // Before POSIX a directory was a file whose name ends with a slash.
            0 | b'0' if path.ends_with(b"/") => Kind::Dir,
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::Hardlink,
            b'2' => Kind::Symlink,
            b'3' | b'4' => Kind::Device,
            b'5' => Kind::Dir,
            b'6' => Kind::Fifo,
            b'S' => return Err(invalid("sparse files are not supported in a layer")),
            other => {
                let path = shown(&path);
                return Err(invalid(format!("{path} is of the unknown type {other:#04x}")));
            }
        };
        // Some readers skip the content of such an entry and some do not.
        if kind != Kind::File && size != 0 {
            return Err(invalid(format!("{} is no file, and has content", shown(&path))));
        }
        if size > FILE_MAX {
            return Err(too_large("a file in a layer", FILE_MAX, size));
        }
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        let old = header.as_old();
        let mtime = match pax.mtime {
            Some(time) => time,
            None => (i64::try_from(number(&old.mtime).unwrap_or(0)).unwrap_or(i64::MAX), 0),
        };
        Ok(Entry {
            kind,
            mode: u32::try_from(number(&old.mode)? & 0o7777).unwrap_or(0),
            uid: id(pax.uid, &old.uid, &path)?,
            gid: id(pax.gid, &old.gid, &path)?,
            mtime,
            xattrs: pax.xattrs,
            path,
            link,
        })
    }

    fn skip(&mut self) -> Result<(), Error> {
        let mut buffer = [0; 8 << 10];
        while self.read(&mut buffer)? > 0 {}
        let padding = usize::try_from(self.padding).unwrap_or(0);
        self.padding = 0;
        if self.stream.fill(&mut buffer[..padding])? < padding {
            return Err(truncated());
        }
        Ok(())
    }

    /// The next header with a right checksum; none at the end.
    fn header(&mut self) -> Result<Option<tar::Header>, Error> {
        let mut header = tar::Header::new_old();
        match self.stream.fill(header.as_mut_bytes())? {
            0 => return Ok(None),
            BLOCK => {}
            _ => return Err(truncated()),
        }
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            self.only_zeros()?;
            return Ok(None);
        }
        let sum = |range: std::ops::Range<usize>| -> u64 {
            header.as_bytes()[range].iter().copied().map(u64::from).sum()
        };
        // The checksum field itself counts as spaces.
        let actual = sum(0..148) + 8 * u64::from(b' ') + sum(156..BLOCK);
        if number(&header.as_old().cksum)? != actual {
            return Err(invalid("a header has a wrong checksum"));
        }
        Ok(Some(header))
    }

    /// Behind the end mark there must be nothing but padding: other readers would go on there.
    fn only_zeros(&mut self) -> Result<(), Error> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = self.stream.fill(&mut buffer)?;
            if buffer[..read].iter().any(|byte| *byte != 0) {
                return Err(invalid("there is data behind the end of the archive"));
            }
            if read < buffer.len() {
                return Ok(());
            }
        }
    }

    /// The content of an extended header.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, Error> {
        if size > EXTENSION_MAX {
            return Err(too_large("an extended header in a layer", EXTENSION_MAX, size));
        }
        let length = usize::try_from(size).unwrap_or(0);
        let mut bytes = vec![0; length.next_multiple_of(BLOCK)];
        if self.stream.fill(&mut bytes)? < bytes.len() {
            return Err(truncated());
        }
        bytes.truncate(length);
        Ok(bytes)
    }
}

fn truncated() -> Error {
    invalid("the archive is truncated")
}

/// A number field: octal digits, or base 256 when the first bit is set (GNU).
fn number(field: &[u8]) -> Result<u64, Error> {
    let fail = || invalid("a header has a number that is none, or too large");
    if field[0] & 0x80 != 0 {
        // 0xff starts a negative number.
        let (high, low) = field.split_at(field.len().saturating_sub(8));
        let positive = high.first().is_none_or(|first| *first == 0x80)
            && high.iter().skip(1).all(|byte| *byte == 0);
        let low: [u8; 8] = low.try_into().map_err(|_| fail())?;
        let low = if high.is_empty() {
            u64::from_be_bytes(low) & !(1 << 63)
        } else {
            u64::from_be_bytes(low)
        };
        let negative_short = high.is_empty() && field[0] != 0x80;
        return if positive && !negative_short { Ok(low) } else { Err(fail()) };
    }
    let text = field.trim_ascii_start();
    let end = text.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if !digits.iter().all(|byte| (b'0'..=b'7').contains(byte))
        || !rest.iter().all(|byte| matches!(byte, 0 | b' '))
    {
        return Err(fail());
    }
    Ok(digits.iter().fold(0, |value, digit| value * 8 + u64::from(digit - b'0')))
}

/// The size that both headers say. A file of 8 GiB and more does not fit into the octal field,
/// and writers leave it zero then.
fn agreed_size(size: u64, pax: Option<u64>) -> Result<u64, Error> {
    match pax {
        None => Ok(size),
        Some(same) if same == size => Ok(size),
        Some(large) if size == 0 && large > OCTAL_MAX => Ok(large),
        Some(other) => Err(invalid(format!("two headers disagree on a size: {size} and {other}"))),
    }
}

fn id(pax: Option<u64>, field: &[u8], path: &[u8]) -> Result<u32, Error> {
    let id = pax.map_or_else(|| number(field), Ok)?;
    match u32::try_from(id) {
        Ok(id) if u64::from(id) <= ID_MAX => Ok(id),
        _ => Err(invalid(format!(
            "{} belongs to the user or group {id}, and at most {ID_MAX} is allowed",
            shown(path)
        ))
        .hint(format!("build the image again with user and group ids of at most {ID_MAX}"))),
    }
}

/// A GNU long name ends with one NUL byte, or with none.
fn long(mut name: Vec<u8>) -> Result<Vec<u8>, Error> {
    while name.last() == Some(&0) {
        name.pop();
    }
    if name.contains(&0) || name.is_empty() {
        return Err(invalid("a long name is empty or has a NUL byte"));
    }
    Ok(name)
}

fn only_one<T>(slot: &mut Option<T>, value: T) -> Result<(), Error> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid("two extended headers of the same kind follow one another")),
    }
}

fn one_of<T>(pax: Option<T>, gnu: Option<T>) -> Result<Option<T>, Error> {
    match (pax, gnu) {
        (Some(_), Some(_)) => Err(invalid("a name is given by two kinds of extended headers")),
        (pax, gnu) => Ok(pax.or(gnu)),
    }
}
