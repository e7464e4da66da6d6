//! What a layer may have at most. A number here is a limit of this platform, chosen far above what
//! real images have and far below what would hurt a machine.

/// Entries of one layer.
pub(crate) const ENTRIES_MAX: u64 = 1_000_000;
/// Bytes of a path (`PATH_MAX`).
pub(crate) const PATH_MAX: usize = 4096;
/// Bytes of one name in a path (`NAME_MAX`).
pub(crate) const COMPONENT_MAX: usize = 255;
/// Names in a path.
pub(crate) const DEPTH_MAX: usize = 256;
/// Bytes of the uncompressed archive.
pub(crate) const ARCHIVE_MAX: u64 = 20 << 30;
/// Bytes of one file.
pub(crate) const FILE_MAX: u64 = 10 << 30;
/// Uncompressed bytes for one compressed byte.
pub(crate) const RATIO_MAX: u64 = 1000;
/// Uncompressed bytes from which on the ratio counts.
pub(crate) const RATIO_FROM: u64 = 10 << 20;
/// Bytes of all extended attributes of one entry, names included.
pub(crate) const XATTRS_MAX: usize = 64 << 10;
/// Bytes of a PAX header or of a GNU long name.
pub(crate) const EXTENSION_MAX: u64 = 1 << 20;
/// Window of a zstd frame: 2^27 bytes are 128 MiB.
pub(crate) const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Members of a gzip stream.
pub(crate) const GZIP_MEMBERS_MAX: u64 = 10_000;
/// Symbolic links that one path may lead through (`MAXSYMLINKS`).
pub(crate) const LINKS_MAX: u32 = 40;
/// Largest user or group id: what the id map of an instance covers.
pub(crate) const ID_MAX: u64 = 65_535;
/// Bytes of directory paths that are remembered until their modes are set.
pub(crate) const REMEMBERED_MAX: usize = 64 << 20;
/// Opaque directories, which travel in the report.
pub(crate) const OPAQUE_MAX: usize = 10_000;
/// Bytes of the paths of opaque directories.
pub(crate) const OPAQUE_BYTES_MAX: usize = 512 << 10;
/// Warnings in the report.
pub(crate) const WARNINGS_MAX: usize = 100;
