//! Names in a layer: checked once, then only used component by component.

use super::limits::{COMPONENT_MAX, DEPTH_MAX, PATH_MAX};
use super::{invalid, shown};
use crate::Error;
use crate::error::too_large;

/// The components of a member's name, relative to the root: no `.`, no `..`, none empty, no NUL.
/// A leading `/` counts for nothing. The root itself has no components.
pub(super) fn components(path: &[u8]) -> Result<Vec<&[u8]>, Error> {
    if path.is_empty() {
        return Err(invalid("an entry has an empty name"));
    }
    if path.len() > PATH_MAX {
        return Err(too_large("a path in a layer", PATH_MAX as u64, path.len() as u64));
    }
    if path.contains(&0) {
        return Err(invalid(format!("the name {} has a NUL byte", shown(path))));
    }
    let mut components = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(invalid(format!("the name {} contains ..", shown(path)))),
            part if part.len() > COMPONENT_MAX => {
                return Err(too_large(
                    "a name in a layer",
                    COMPONENT_MAX as u64,
                    part.len() as u64,
                ));
            }
            part => components.push(part),
        }
    }
    if components.len() > DEPTH_MAX {
        let actual = components.len() as u64;
        return Err(too_large("the depth of a path in a layer", DEPTH_MAX as u64, actual));
    }
    Ok(components)
}

/// What the last component of a name asks for (OCI image specification, "whiteouts").
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leaf<'a> {
    /// An ordinary name.
    Name(&'a [u8]),
    /// Removes this name of the layers below.
    Whiteout(&'a [u8]),
    /// Hides everything that the layers below have in the parent.
    Opaque,
    /// Bookkeeping of AUFS, which docker skips as well.
    Aufs,
}

const WHITEOUT: &[u8] = b".wh.";

/// Reads the last component and refuses names that hide a whiteout.
pub(super) fn leaf(name: &[u8]) -> Result<Leaf<'_>, Error> {
    let Some(rest) = name.strip_prefix(WHITEOUT) else { return Ok(Leaf::Name(name)) };
    match rest {
        b".wh..opq" => Ok(Leaf::Opaque),
        b"" | b"." | b".." => Err(invalid(format!("{} is not a valid whiteout", shown(name)))),
        rest if rest.starts_with(WHITEOUT) => Ok(Leaf::Aufs),
        rest => Ok(Leaf::Whiteout(rest)),
    }
}

/// Whether a directory on the way has the name of a whiteout.
pub(super) fn is_whiteout(component: &[u8]) -> bool {
    component.starts_with(WHITEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_and_stay_below() {
        assert_eq!(components(b"/a//./b/").unwrap(), [b"a".as_slice(), b"b"]);
        assert!(components(b"./").unwrap().is_empty());
        assert_eq!(components(b"a\\..\\b").unwrap().len(), 1);
        for bad in [b"".as_slice(), b"..", b"a/../b", b"/..", b"a/..", b"a\0b"] {
            assert_eq!(components(bad).unwrap_err().code(), "IMAGE_LAYER_INVALID", "{bad:?}");
        }
        for big in [vec![b'a'; 256], b"a/".repeat(257), vec![b'/'; 4097]] {
            assert_eq!(components(&big).unwrap_err().code(), "IMAGE_TOO_LARGE");
        }
        assert!(components(&[b'a'; 255]).is_ok());
        assert!(components(&b"a/".repeat(256)).is_ok());
    }

    #[test]
    fn whiteouts_are_told_from_names() {
        assert_eq!(leaf(b"a.wh.b").unwrap(), Leaf::Name(b"a.wh.b"));
        assert_eq!(leaf(b".wh.a").unwrap(), Leaf::Whiteout(b"a"));
        assert_eq!(leaf(b".wh..wh..opq").unwrap(), Leaf::Opaque);
        assert_eq!(leaf(b".wh..wh.plnk").unwrap(), Leaf::Aufs);
        for bad in [b".wh.".as_slice(), b".wh..", b".wh..."] {
            assert!(leaf(bad).is_err());
        }
    }
}
