//! What several tests need.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ebb_images::local::{Config, Local};
use ebb_images::registry::Retries;
use ebb_images::unpack::Unconfined;
use ebb_images::{Confine, Error, Pull, UnpackJob, UnpackReport};
use ebb_kit::{Backoff, SystemClock};
use ebb_model::Reference;

/// A store that waits next to nothing between tries.
pub(crate) fn local(dir: &Path) -> Local {
    let mut config = Config::new(dir);
    let backoff = Backoff { first: Duration::from_millis(1), most: Duration::from_millis(2) };
    config.retries = Retries { tries: 4, backoff, total_wait: Duration::from_secs(3) };
    Local::open(config, Arc::new(Unconfined), Arc::new(SystemClock::new())).unwrap()
}

pub(crate) fn pull(reference: &Reference) -> Pull {
    Pull {
        namespace: "default".to_owned(),
        reference: reference.clone(),
        docker_configs: Vec::new(),
    }
}

/// Unpacks into `target`, which is made.
pub(crate) async fn unpack(
    blob: &[u8],
    compression: &str,
    target: &Path,
) -> Result<UnpackReport, Error> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), blob).unwrap();
    std::fs::create_dir_all(target).unwrap();
    let job = UnpackJob {
        blob: std::fs::File::open(file.path()).unwrap().into(),
        target: std::fs::File::open(target).unwrap().into(),
        compression: compression.to_owned(),
        keep: Box::new(()),
    };
    Unconfined.unpack(job).await
}

/// Everything about a tree that must not change, in a stable order.
pub(crate) fn snapshot(dir: &Path) -> String {
    let mut lines = String::new();
    walk(dir, &mut lines);
    lines
}

fn walk(path: &Path, lines: &mut String) {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    let content = match () {
        () if metadata.is_file() => std::fs::read(path).unwrap(),
        () if metadata.is_symlink() => {
            std::fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec()
        }
        () => Vec::new(),
    };
    writeln!(
        lines,
        "{} {:o} {}:{} {} {} {content:?}",
        path.display(),
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.nlink(),
        metadata.mtime(),
    )
    .unwrap();
    if metadata.is_dir() {
        let mut entries: Vec<_> =
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for entry in &entries {
            walk(entry, lines);
        }
    }
}
