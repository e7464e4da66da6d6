//! Claims a data directory for one platform, and knows its cell.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ebb_model::{Fault, Kind};
use rustix::fs::{FlockOperation, flock};

/// A data directory that belongs to this process until the lock is closed.
#[derive(Debug)]
pub struct Claim {
    /// Six hex digits that name everything of this platform outside the data directory.
    pub cell: String,
    /// The lock; whoever inherits it holds the claim.
    pub lock: File,
}

/// Makes the directory where needed, locks it, and reads or draws its cell.
///
/// # Errors
/// `DATA_DIR_UNWRITABLE`, `DATA_DIR_IN_USE`, `DISK_FULL`.
pub fn data_dir(dir: &Path) -> Result<Claim, Fault> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| unwritable(dir, &error))?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(dir.join("lock"))
        .map_err(|error| unwritable(dir, &error))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        Fault::new(
            "DATA_DIR_IN_USE",
            Kind::Conflict,
            format!("another ebb runs on the data directory {}", dir.display()),
        )
        .hint("stop it, or give this one its own --data-dir")
    })?;
    let cell = cell(dir)?;
    Ok(Claim { cell, lock })
}

/// The cell of a data directory, drawn at random at the first start.
fn cell(dir: &Path) -> Result<String, Fault> {
    let path = dir.join("cell");
    let mut text = String::new();
    match File::open(&path).and_then(|mut file| file.read_to_string(&mut text)) {
        Ok(_) if is_cell(text.trim()) => return Ok(text.trim().to_owned()),
        Ok(_) => {
            return Err(Fault::new(
                "DATA_DIR_INVALID",
                Kind::Invalid,
                format!("{} does not hold six hex digits", path.display()),
            )
            .hint("restore the file from a backup, or start with a fresh --data-dir"));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(unwritable(dir, &error)),
    }
    let cell: String =
        (0..6).map(|_| char::from(b"0123456789abcdef"[rand::random_range(0..16)])).collect();
    write_durably(&path, cell.as_bytes(), 0o600).map_err(|error| unwritable(dir, &error))?;
    Ok(cell)
}

fn is_cell(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Where the key of a cell is kept unless the configuration says otherwise.
pub fn default_key_file(cell: &str) -> PathBuf {
    PathBuf::from(format!("/etc/ebb/{cell}.key"))
}

fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn unwritable(dir: &Path, error: &std::io::Error) -> Fault {
    if error.kind() == std::io::ErrorKind::StorageFull {
        return Fault::new(
            "DISK_FULL",
            Kind::Exhausted,
            format!("no space is left for the data directory {}", dir.display()),
        )
        .hint("free some space, or give another --data-dir");
    }
    Fault::new(
        "DATA_DIR_UNWRITABLE",
        Kind::Denied,
        format!("the data directory {} cannot be written: {error}", dir.display()),
    )
    .hint("give a --data-dir that root can write")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_platform_per_directory_and_one_cell_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let first = data_dir(dir.path()).unwrap();
        assert!(is_cell(&first.cell));
        assert_eq!(data_dir(dir.path()).unwrap_err().code, "DATA_DIR_IN_USE");
        let cell = first.cell.clone();
        drop(first);
        assert_eq!(data_dir(dir.path()).unwrap().cell, cell);
    }

    #[test]
    fn what_is_not_a_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(data_dir(&file).unwrap_err().code, "DATA_DIR_UNWRITABLE");
        std::fs::write(dir.path().join("cell"), "../../").unwrap();
        assert_eq!(data_dir(dir.path()).unwrap_err().code, "DATA_DIR_INVALID");
    }
}
