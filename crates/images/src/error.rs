//! What can go wrong with an image.

use ebb_model::{Fault, Kind};

use crate::Pull;

/// A failure around an image: a stable code, what it means, and a sentence.
///
/// One struct instead of an enum: every variant would be rendered the same way, and callers
/// distinguish failures by kind only.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Error(#[from] pub Fault);

impl Error {
    /// A failure with a stable code.
    pub fn new(code: &str, kind: Kind, message: impl Into<String>) -> Self {
        Self(Fault::new(code, kind, message))
    }

    /// What it means for the caller.
    pub const fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Stable code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The same failure, saying what to do.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self(self.0.hint(hint))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        error.0
    }
}

/// A file of this store could not be read or written: `DISK_FULL`, or `STORAGE_UNAVAILABLE`.
pub(crate) fn storage(doing: &str, error: &std::io::Error) -> Error {
    use rustix::io::Errno;
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC | Errno::DQUOT) => {
            Error::new("DISK_FULL", Kind::Exhausted, format!("the disk is full while {doing}"))
                .hint("free space, or remove images that nothing uses with `ebb images rm`")
        }
        _ => Error::new(
            "STORAGE_UNAVAILABLE",
            Kind::Unavailable,
            format!("the image store failed while {doing}: {error}"),
        )
        .hint("check the disk and the file system of the data directory"),
    }
}

/// What a registry sent does not have the digest or size that it was asked for by.
pub(crate) fn corrupt(message: impl Into<String>) -> Error {
    Error::new("IMAGE_CORRUPT", Kind::Invalid, message)
        .hint("pull again; if it stays, push the image again")
}

/// The same of an archive, where another try cannot help.
pub(crate) fn corrupt_archive(message: impl Into<String>) -> Error {
    corrupt(message).hint(SAVE)
}

/// A layer that arrived as it was sent, and was wrong before: another try cannot help either.
pub(crate) fn corrupt_layer(message: impl Into<String>) -> Error {
    corrupt(message).hint("build the image again, and push it or save the archive again")
}

/// A limit of this platform, not of the image format.
pub(crate) fn too_large(what: &str, limit: u64, actual: u64) -> Error {
    let message = format!("{what} is {actual}, and at most {limit} is allowed");
    Error::new("IMAGE_TOO_LARGE", Kind::Invalid, message)
        .hint("make the image smaller, or split what is too large")
}

/// Not an image that can run here.
pub(crate) fn unsupported(message: impl Into<String>) -> Error {
    Error::new("IMAGE_UNSUPPORTED", Kind::Invalid, message)
        .hint("make the image again with a current tool such as docker, podman or skopeo")
}

/// A file that no image can be loaded from.
pub(crate) fn no_archive(message: impl Into<String>) -> Error {
    unsupported(message).hint(SAVE)
}

/// How to get an archive that can be loaded.
const SAVE: &str = "save the archive again with `docker save` or `skopeo copy ... oci-archive:FILE`, and load that";

/// The configuration or manifest contradicts itself or the specification.
pub(crate) fn config_invalid(message: impl Into<String>) -> Error {
    Error::new("IMAGE_CONFIG_INVALID", Kind::Invalid, message)
        .hint("correct what the message names, and build the image again")
}

/// No such image, here or at the registry.
pub(crate) fn not_found(what: &impl std::fmt::Display) -> Error {
    Error::new("IMAGE_NOT_FOUND", Kind::NotFound, format!("image {what} was not found"))
        .hint("check the name and the tag, and that the image was pushed")
}

/// There is nothing of that name to remove.
pub(crate) fn not_here(what: &impl std::fmt::Display) -> Error {
    not_found(what).hint("`ebb images list` shows what there is, by name and by digest")
}

/// Something still needs the image.
pub(crate) fn in_use(what: &impl std::fmt::Display) -> Error {
    Error::new("IMAGE_IN_USE", Kind::Conflict, format!("image {what} is in use"))
        .hint("delete the services that run it first")
}

/// A pull names its image by digest; a name alone is a mistake of the caller.
pub(crate) fn no_digest(pull: &Pull) -> Error {
    Error::new(
        "IMAGE_REFERENCE_INVALID",
        Kind::Invalid,
        format!("{} has no digest: an image is pulled by digest only", pull.reference),
    )
    .hint("write NAME@sha256:...")
}
