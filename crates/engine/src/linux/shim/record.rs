//! The exit record on disk: what is known about the end of an instance even when nobody listened.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ebb_model::engine::ExitRecord;

/// Writes the record of instance `id` below `dir`: complete and on the disk, or not there.
pub(super) fn write(dir: &Path, id: &str, record: &ExitRecord) -> io::Result<()> {
    let bytes = serde_json::to_vec(record)?;
    let (temporary, last) = (dir.join(format!(".{id}.tmp")), dir.join(format!("{id}.json")));
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(temporary, last)
}
