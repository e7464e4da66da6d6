//! Beginning with nothing, and leaving nothing.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::WaitOptions;

use super::{Spawner, SpawnerConfig};
use crate::Error;
use crate::linux::cgroup::{self, Hierarchies};
use crate::linux::failure::step;
use crate::linux::net;
use crate::linux::shim::monotonic_us;

/// Time that shims have to remove their sandboxes, in microseconds.
const SHIMS_US: u64 = 10_000_000;
/// The platform is the last to be killed for memory; -1000 would be never.
const OOM_SCORE: &str = "-900";
/// Directories below the run directory.
const DIRECTORIES: [&str; 2] = ["attempts", "exits"];

/// Ends and removes what a killed spawner of the same cell left.
pub(super) fn remove_leftovers(cell: &str, hierarchies: &Hierarchies) -> Result<(), Error> {
    hierarchies.remove_cell(cell)?;
    net::cleanup_leftovers(cell)
}

/// Makes the directories, empty.
pub(super) fn make_directories(config: &SpawnerConfig) -> Result<(), Error> {
    remove_tree(&config.run_dir)?;
    for name in DIRECTORIES {
        make(&config.run_dir.join(name))?;
    }
    make(&config.log_dir)
}

/// So that the platform survives what its instances do.
pub(super) fn protect_from_oom() {
    // Not allowed on some hosts: then the platform is as likely a victim as others.
    if let Err(error) = fs::write("/proc/self/oom_score_adj", OOM_SCORE) {
        tracing::debug!(%error, "the score for being killed for memory stays");
    }
}

fn make(dir: &std::path::Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(dir)
        .map_err(step(format!("make the directory {}", dir.display())))
}

fn remove_tree(dir: &std::path::Path) -> Result<(), Error> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(step(format!("remove the directory {}", dir.display()))),
    }
}

impl Spawner {
    /// Ends everything of the cell and removes it.
    pub(super) fn tear_down(mut self) -> Result<(), Error> {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
        }
        self.sandboxes.end_all();
        let until_us = monotonic_us() + SHIMS_US;
        while !(self.sandboxes.none() && self.confined.is_empty()) {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let pid = pid.as_raw_nonzero().get();
                    if self.confined.remove(&pid).is_none() {
                        self.sandbox_ended(pid, status.exit_status());
                    }
                }
                Ok(None) if monotonic_us() < until_us => cgroup::pause(Duration::from_millis(1)),
                Ok(None) | Err(_) => break,
            }
        }
        let Self { cell, network, shims_group, config, .. } = self;
        // Whoever is left is killed with its group.
        shims_group.kill();
        let groups = cell.hierarchies.remove_cell(&cell.name);
        let network = network.teardown();
        let run_dir = remove_tree(&config.run_dir);
        groups.and(network).and(run_dir)
    }
}
