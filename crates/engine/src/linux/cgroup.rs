//! Control groups: limits, usage, freezing and killing, on version 2 and, where the controllers are
//! still there, on version 1.
//!
//! Every cell has a directory `ebb-<cell>` in each hierarchy, with one directory per sandbox below.
//! On a hybrid machine the version 2 tree has no controllers but still gives what version 1 never
//! had: birth into a group (`CLONE_INTO_CGROUP`), `cgroup.kill` and a freezer that does not block.

pub(crate) mod delegate;
mod group;
mod leavings;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use self::group::{Group, Limits};
use crate::Error;
use crate::linux::failure::step;

/// Controllers that limits need.
pub(crate) const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];
/// Tries to remove a directory whose last process has just gone, and the time between them. The
/// kernel removes the process from its group a moment after its end can be seen.
const REMOVE_TRIES: u32 = 200;
const REMOVE_PAUSE: Duration = Duration::from_millis(1);

/// Name of the group of a cell's shims.
pub(crate) const SHIMS: &str = "shims";

/// Where the hierarchies of this machine are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    /// Version 2 tree.
    pub(crate) unified: Option<PathBuf>,
    /// Whether the version 2 tree has all of `CONTROLLERS`.
    pub(crate) unified_controls: bool,
    /// Version 1 trees by controller; only those that the version 2 tree does not replace.
    pub(crate) memory: Option<PathBuf>,
    pub(crate) cpu: Option<PathBuf>,
    pub(crate) cpuacct: Option<PathBuf>,
    pub(crate) pids: Option<PathBuf>,
    pub(crate) freezer: Option<PathBuf>,
}

impl Hierarchies {
    /// Finds them in the table of mounts.
    ///
    /// # Errors
    /// [`Error::System`] when the table cannot be read; [`Error::Unsupported`] when memory cannot
    /// be limited, because an instance without that limit could take the machine down.
    pub(crate) fn detect() -> Result<Self, Error> {
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(step("read the mounts"))?;
        let mut found = Self::from_mounts(&mounts);
        if let Some(unified) = &found.unified {
            let here = fs::read_to_string(unified.join("cgroup.controllers")).unwrap_or_default();
            let has = |name: &&str| here.split_whitespace().any(|one| one == *name);
            found.unified_controls = CONTROLLERS.iter().all(has);
        }
        if found.unified_controls {
            let unified = found.unified.take();
            found = Self { unified, unified_controls: true, ..Self::default() };
        } else if found.unified.is_some() {
            // It freezes and counts processor time in every group, without a controller.
            (found.freezer, found.cpuacct) = (None, None);
        }
        if !found.unified_controls && found.memory.is_none() {
            let what = "limit memory: no control group hierarchy has the memory controller";
            return Err(Error::Unsupported(what.into()));
        }
        Ok(found)
    }

    fn from_mounts(mounts: &str) -> Self {
        let mut found = Self::default();
        for line in mounts.lines() {
            let mut fields = line.split(' ').skip(1);
            let (Some(path), Some(kind), Some(options)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let path = || Some(PathBuf::from(path));
            let has = |name: &str| kind == "cgroup" && options.split(',').any(|one| one == name);
            if kind == "cgroup2" && found.unified.is_none() {
                found.unified = path();
            }
            let trees = [
                ("memory", &mut found.memory),
                ("cpu", &mut found.cpu),
                ("cpuacct", &mut found.cpuacct),
                ("pids", &mut found.pids),
                ("freezer", &mut found.freezer),
            ];
            for (name, tree) in trees {
                if has(name) && tree.is_none() {
                    *tree = path();
                }
            }
        }
        found
    }

    /// Makes the directories of a cell.
    pub(crate) fn make_cell(&self, cell: &str) -> Result<(), Error> {
        if let (Some(unified), true) = (&self.unified, self.unified_controls) {
            delegate::enable(unified, &CONTROLLERS)?;
        }
        for dir in self.cell_dirs(cell) {
            match fs::create_dir(&dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(step(format!("make control group {}", dir.display()))(error));
                }
                _ => {}
            }
        }
        if self.unified_controls {
            for dir in self.cell_dirs(cell) {
                delegate::enable(&dir, &CONTROLLERS)?;
            }
        }
        Ok(())
    }

    /// Moves this process into the group of the shims, where it was not born in it.
    pub(crate) fn join_shims(&self, cell: &str) -> io::Result<()> {
        if self.unified.is_some() {
            return Ok(());
        }
        self.cell_dirs(cell).iter().try_for_each(|dir| {
            let tasks = dir.join(SHIMS).join("tasks");
            fs::OpenOptions::new().write(true).open(tasks)?.write_all(b"0")
        })
    }

    /// Kills what runs in the groups of a cell and removes them. One that is not there is fine.
    pub(crate) fn remove_cell(&self, cell: &str) -> Result<(), Error> {
        for dir in self.cell_dirs(cell) {
            for child in directories_in(&dir) {
                kill_all(&child);
                remove(&child)?;
            }
            remove(&dir)?;
        }
        Ok(())
    }

    /// The directory of `name` in the cell in every hierarchy, each once.
    pub(crate) fn cell_dirs(&self, cell: &str) -> Vec<PathBuf> {
        self.trees().into_iter().map(|tree| tree.join(format!("ebb-{cell}"))).collect()
    }

    /// The mount points of all hierarchies, each once.
    fn trees(&self) -> Vec<PathBuf> {
        let trees =
            [&self.unified, &self.memory, &self.cpu, &self.cpuacct, &self.pids, &self.freezer];
        let mut all: Vec<PathBuf> = trees.into_iter().flatten().cloned().collect();
        all.dedup(); // `cpu,cpuacct` is one hierarchy on most machines
        all
    }
}

fn directories_in(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Kills every process in the group `dir`, by the group where the kernel can, else one by one.
pub(crate) fn kill_all(dir: &Path) {
    if fs::write(dir.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    let _ = fs::write(dir.join("freezer.state"), "THAWED"); // a frozen process does not die
    let processes = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.lines().filter_map(|line| line.parse().ok()) {
        let _ = crate::sys::signal::send(pid, libc::SIGKILL); // it may have ended meanwhile
    }
}

/// Removes the group `dir`, waiting a moment for processes that are just ending.
pub(crate) fn remove(dir: &Path) -> Result<(), Error> {
    for _ in 0..REMOVE_TRIES {
        match fs::remove_dir(dir) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => pause(REMOVE_PAUSE),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => {
                return other.map_err(step(format!("remove control group {}", dir.display())));
            }
        }
    }
    let busy = io::Error::from_raw_os_error(libc::EBUSY);
    Err(step(format!("remove control group {}", dir.display()))(busy))
}

/// Sleeps; for processes without a runtime.
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_version_1_trees_and_the_empty_version_2_tree() {
        let mounts = "\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
";
        let found = Hierarchies::from_mounts(mounts);
        assert_eq!(found.unified, Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(found.memory, Some("/sys/fs/cgroup/memory".into()));
        assert_eq!(found.cpu, found.cpuacct);
        assert_eq!(found.freezer, None);
        assert_eq!(found.cell_dirs("abcdef").len(), 4);
    }

    #[test]
    fn finds_a_version_2_machine() {
        let found = Hierarchies::from_mounts("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
        assert_eq!(found.unified, Some("/sys/fs/cgroup".into()));
        assert_eq!(found.memory, None);
    }
}
