//! PAX extended headers (POSIX.1-2017, `pax`, "pax Extended Header"): `length key=value\n` records.

use super::limits::XATTRS_MAX;
use super::{invalid, shown};
use crate::Error;
use crate::error::too_large;

/// What one extended header says about the entry behind it.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    /// Seconds and nanoseconds.
    pub(super) mtime: Option<(i64, i64)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads the records of an extended header. Every key decides something, is known to decide
/// nothing, or is refused where two readers could understand the archive differently.
pub(super) fn parse(bytes: &[u8]) -> Result<Pax, Error> {
    let mut pax = Pax::default();
    for record in Records(bytes) {
        let (key, value) = record?;
        match key {
            b"path" => once(&mut pax.path, "path", text(value)?)?,
            b"linkpath" => once(&mut pax.link, "linkpath", text(value)?)?,
            b"size" => once(&mut pax.size, "size", number(value)?)?,
            b"uid" => once(&mut pax.uid, "uid", number(value)?)?,
            b"gid" => once(&mut pax.gid, "gid", number(value)?)?,
            b"mtime" => once(&mut pax.mtime, "mtime", time(value)?)?,
            key if key.starts_with(b"GNU.sparse.") => {
                return Err(invalid("sparse files are not supported in a layer"));
            }
            key => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    pax.xattrs.push((text(name)?, value.to_vec()));
                }
                // atime, ctime, comment, hdrcharset, uname, gname and vendors' notes: nothing that
                // a tree keeps depends on them.
            }
        }
    }
    let total: usize = pax.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if total > XATTRS_MAX {
        return Err(too_large("extended attributes", XATTRS_MAX as u64, total as u64));
    }
    Ok(pax)
}

/// A global header changes every entry behind it for some readers and none for others; only notes
/// are harmless.
pub(super) fn check_global(bytes: &[u8]) -> Result<(), Error> {
    for record in Records(bytes) {
        let (key, _) = record?;
        if !matches!(key, b"comment" | b"hdrcharset" | b"charset" | b"mtime" | b"atime" | b"ctime")
        {
            return Err(invalid(format!("a global header sets {}", shown(key))));
        }
    }
    Ok(())
}

struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = split(self.0);
        self.0 = record.as_ref().map_or(&[], |(_, rest)| rest);
        let Some((record, _)) = record else {
            return Some(Err(invalid("an extended header is malformed")));
        };
        Some(Ok(record))
    }
}

type Record<'a> = (&'a [u8], &'a [u8]);

fn split(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(&bytes[..space]).ok()?).ok()?;
    if length > bytes.len() || length < space + 3 {
        return None;
    }
    let body = bytes[space + 1..length].strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    (equals > 0).then_some(((&body[..equals], &body[equals + 1..]), &bytes[length..]))
}

fn once<T>(slot: &mut Option<T>, key: &str, value: T) -> Result<(), Error> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid(format!("an extended header sets {key} twice"))),
    }
}

fn text(value: &[u8]) -> Result<Vec<u8>, Error> {
    if value.contains(&0) || value.is_empty() {
        return Err(invalid("a name in an extended header is empty or has a NUL byte"));
    }
    Ok(value.to_vec())
}

fn number(value: &[u8]) -> Result<u64, Error> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value)
        .ok()
        .filter(|_| digits)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| invalid("an extended header has a number that is none, or too large"))
}

/// Seconds with an optional fraction, possibly negative.
fn time(value: &[u8]) -> Result<(i64, i64), Error> {
    let fail = || invalid("an extended header has a time that is none");
    let text = std::str::from_utf8(value).map_err(|_| fail())?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = seconds.strip_prefix('-').unwrap_or(seconds);
    if unsigned.is_empty() || !digits(unsigned) || !digits(fraction) {
        return Err(fail());
    }
    let clamped = if seconds.starts_with('-') { 0 } else { i64::MAX };
    let seconds = seconds.parse().unwrap_or(clamped);
    let nanos = format!("{:0<9}", fraction.get(..fraction.len().min(9)).unwrap_or_default());
    Ok((seconds, nanos.parse().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse(&bytes), check_global(&bytes));
        }

        #[test]
        fn what_looks_like_records_is_read_or_refused(text in "[0-9]{1,3} [a-z.]{0,9}=?[0-9a-z.-]{0,9}\n?") {
            let _ = parse(text.as_bytes());
        }
    }

    #[test]
    fn reads_records_of_both_kinds() {
        let pax = parse(b"12 path=a/b\n13 mtime=1.5\n25 SCHILY.xattr.user.a=\0\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(b"a/b".as_slice()));
        assert_eq!(pax.mtime, Some((1, 500_000_000)));
        assert_eq!(pax.xattrs, [(b"user.a".to_vec(), vec![0])]);
        assert_eq!(parse(b"14 mtime=-12.5\n".as_slice()).err().map(|_| ()), Some(()));
        assert_eq!(parse(b"15 mtime=-12.5\n").unwrap().mtime, Some((-12, 500_000_000)));
    }

    #[test]
    fn refuses_what_two_readers_could_read_differently() {
        for bad in [
            b"12 path=a/b".as_slice(),
            b"99 path=a/b\n",
            b"2 \n",
            b"+12 path=a/b\n",
            b"12 path=a/b\n12 path=a/c\n",
            b"12 path=a\0b\n",
            b"10 size=-1\n",
            b"26 size=9999999999999999999\n",
            b"10 size=1a\n",
            b"8 path=\n",
            b"7 =abc\n",
            b"22 GNU.sparse.major=1\n",
            b"11 mtime=1e\n",
        ] {
            assert_eq!(parse(bad).unwrap_err().code(), "IMAGE_LAYER_INVALID", "{bad:?}");
        }
        assert!(check_global(b"12 path=a/b\n").is_err());
        assert!(check_global(b"13 comment=x\n").is_ok());
    }
}
