//! The group of one sandbox, by descriptors.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags};

use super::{Hierarchies, remove};
use crate::Error;
use crate::linux::failure::step;

/// Period of the processor limit: 100 ms, the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;
/// Processor limits below this are refused by the kernel: 1 ms per period (`min_cfs_quota_period`).
const CPU_QUOTA_MIN_US: u64 = 1_000;

/// Share of the processors when they are contended: the same for every group.
const CPU_WEIGHT: &str = "100";

/// What a sandbox may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of memory, tmpfs included. No swap.
    pub(crate) memory_bytes: u64,
    /// Thousandths of a processor.
    pub(crate) cpu_milli: u64,
}

/// The group of one sandbox in every hierarchy.
#[derive(Debug)]
pub(crate) struct Group {
    hierarchies: Hierarchies,
    unified: Option<Dir>,
    memory: Option<Dir>,
    cpu: Option<Dir>,
    cpuacct: Option<Dir>,
    pids: Option<Dir>,
    freezer: Option<Dir>,
    dirs: Vec<PathBuf>,
    /// The processor limit that is set, in thousandths.
    cpu_milli: Cell<Option<u64>>,
}

#[derive(Debug)]
struct Dir(OwnedFd);

impl Group {
    /// Makes the group `name` of `cell`, with room for `pids_max` processes and threads.
    pub(crate) fn make(
        hierarchies: &Hierarchies,
        cell: &str,
        name: &str,
        pids_max: u32,
    ) -> Result<Self, Error> {
        let dirs: Vec<PathBuf> =
            hierarchies.cell_dirs(cell).into_iter().map(|dir| dir.join(name)).collect();
        for dir in &dirs {
            rustix::fs::mkdir(dir, Mode::from_raw_mode(0o755))
                .map_err(step(format!("make control group {}", dir.display())))?;
        }
        let open = |tree: &Option<PathBuf>| -> Result<Option<Dir>, Error> {
            let Some(tree) = tree else { return Ok(None) };
            let path = tree.join(format!("ebb-{cell}")).join(name);
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = rustix::fs::open(&path, flags, Mode::empty())
                .map_err(step(format!("open control group {}", path.display())))?;
            Ok(Some(Dir(fd)))
        };
        let group = Self {
            unified: open(&hierarchies.unified)?,
            memory: open(&hierarchies.memory)?,
            cpu: open(&hierarchies.cpu)?,
            cpuacct: open(&hierarchies.cpuacct)?,
            pids: open(&hierarchies.pids)?,
            freezer: open(&hierarchies.freezer)?,
            hierarchies: hierarchies.clone(),
            dirs,
            cpu_milli: Cell::new(None),
        };
        if let Some(pids) = group.control(group.pids.as_ref()) {
            pids.write("pids.max", &pids_max.to_string()).map_err(step("limit processes"))?;
        }
        group.bound().map_err(step("bound a control group"))?;
        Ok(group)
    }

    /// Bounds that are the same for every group; only version 2 has them.
    fn bound(&self) -> io::Result<()> {
        let Some(dir) = &self.unified else { return Ok(()) };
        // Nobody makes groups below it.
        dir.write_if_there("cgroup.max.descendants", "0")?;
        if self.hierarchies.unified_controls {
            dir.write_if_there("cpu.weight", CPU_WEIGHT)?;
        }
        Ok(())
    }

    /// Directory in the version 2 tree that a process can be born in.
    pub(crate) fn birth(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(|dir| dir.0.as_fd())
    }

    /// Files that a process writes `0` to, to join the version 1 groups. A thread that moves
    /// itself by `tasks` avoids the kernel's global lock, which `cgroup.procs` takes.
    pub(crate) fn doors(&self) -> Result<Vec<OwnedFd>, Error> {
        let mut trees = vec![&self.memory, &self.cpu, &self.pids, &self.freezer];
        if self.hierarchies.cpu != self.hierarchies.cpuacct {
            trees.push(&self.cpuacct);
        }
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        trees
            .into_iter()
            .flatten()
            .map(|dir| {
                rustix::fs::openat(&dir.0, "tasks", flags, Mode::empty())
                    .map_err(step("open the tasks of a control group"))
            })
            .collect()
    }

    /// Sets the limits of memory and processor time.
    pub(crate) fn limit(&self, limits: Limits) -> io::Result<()> {
        let memory = limits.memory_bytes.to_string();
        if self.hierarchies.unified_controls {
            let Some(dir) = &self.unified else { return Ok(()) };
            dir.write("memory.max", &memory)?;
            dir.write("memory.oom.group", "1")?;
            dir.write_if_there("memory.swap.max", "0")?;
        } else if let Some(dir) = &self.memory {
            dir.write("memory.limit_in_bytes", &memory)?;
            // With the same limit for memory and swap together nothing can be swapped out.
            dir.write_if_there("memory.memsw.limit_in_bytes", &memory)?;
        }
        self.limit_cpu(limits.cpu_milli)
    }

    /// Sets the limit of processor time, in thousandths of a processor, if it is not set already.
    pub(crate) fn limit_cpu(&self, milli: u64) -> io::Result<()> {
        if self.cpu_milli.get() == Some(milli) {
            return Ok(());
        }
        let quota = (milli * CPU_PERIOD_US / 1000).max(CPU_QUOTA_MIN_US);
        if let (true, Some(dir)) = (self.hierarchies.unified_controls, &self.unified) {
            dir.write("cpu.max", &format!("{quota} {CPU_PERIOD_US}"))?;
        } else if let Some(dir) = &self.cpu {
            dir.write("cpu.cfs_quota_us", &quota.to_string())?;
        }
        self.cpu_milli.set(Some(milli));
        Ok(())
    }

    /// Kills every process in it. `false` when the kernel cannot do that by group.
    pub(crate) fn kill(&self) -> bool {
        self.unified.as_ref().is_some_and(|dir| dir.write("cgroup.kill", "1").is_ok())
    }

    /// Takes its processor time away, or gives it back.
    pub(crate) fn freeze(&self, frozen: bool) -> io::Result<()> {
        if let Some(dir) = &self.unified {
            return dir.write("cgroup.freeze", if frozen { "1" } else { "0" });
        }
        match &self.freezer {
            Some(dir) => dir.write("freezer.state", if frozen { "FROZEN" } else { "THAWED" }),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Memory in use, in bytes; 0 when unknown.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.number("memory.current", "memory.usage_in_bytes")
    }

    /// Largest memory use, in bytes; 0 when unknown (`memory.peak` is there since Linux 5.19).
    pub(crate) fn peak_memory_bytes(&self) -> u64 {
        self.number("memory.peak", "memory.max_usage_in_bytes")
    }

    /// Processes that the kernel killed for memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let Some(dir) = self.control(self.memory.as_ref()) else { return 0 };
        let file =
            if self.hierarchies.unified_controls { "memory.events" } else { "memory.oom_control" };
        dir.read(file).map_or(0, |text| field(&text, "oom_kill"))
    }

    /// A descriptor that is ready (priority data on version 2, readable on version 1) when
    /// [`Group::oom_kills`] may have changed.
    pub(crate) fn oom_watch(&self) -> io::Result<OwnedFd> {
        let dir = self.control(self.memory.as_ref()).ok_or(io::ErrorKind::Unsupported)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        if self.hierarchies.unified_controls {
            return Ok(rustix::fs::openat(&dir.0, "memory.events", flags, Mode::empty())?);
        }
        let control = rustix::fs::openat(&dir.0, "memory.oom_control", flags, Mode::empty())?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let line = format!("{} {}", bell.as_raw_fd(), control.as_raw_fd());
        dir.write("cgroup.event_control", &line)?;
        Ok(bell)
    }

    /// Processor time used so far, in nanoseconds; 0 when unknown.
    pub(crate) fn cpu_ns(&self) -> u64 {
        if let Some(dir) = &self.unified {
            return dir.read("cpu.stat").map_or(0, |text| field(&text, "usage_usec") * 1000);
        }
        let Some(dir) = &self.cpuacct else { return 0 };
        dir.read("cpuacct.usage").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Removes it; every process in it must have been killed.
    pub(crate) fn remove(self) -> Result<(), Error> {
        let dirs = self.dirs.clone();
        drop(self);
        dirs.iter().try_for_each(|dir| remove(dir))
    }

    fn control<'a>(&'a self, version_1: Option<&'a Dir>) -> Option<&'a Dir> {
        if self.hierarchies.unified_controls { self.unified.as_ref() } else { version_1 }
    }

    fn number(&self, version_2: &str, version_1: &str) -> u64 {
        let Some(dir) = self.control(self.memory.as_ref()) else { return 0 };
        let file = if self.hierarchies.unified_controls { version_2 } else { version_1 };
        dir.read(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }
}

impl Dir {
    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let written = rustix::fs::openat(&self.0, file, flags, Mode::empty())
            .and_then(|fd| rustix::io::write(fd, text.as_bytes()));
        match written {
            Ok(_) => Ok(()),
            Err(errno) => {
                let error = io::Error::from(errno);
                Err(io::Error::new(error.kind(), format!("{file}: {error}")))
            }
        }
    }

    fn write_if_there(&self, file: &str, text: &str) -> io::Result<()> {
        match self.write(file, text) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn read(&self, file: &str) -> io::Result<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.0, file, flags, Mode::empty())?;
        let mut buffer = vec![0u8; 8192];
        let read = rustix::io::read(fd, &mut buffer)?;
        buffer.truncate(read);
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }
}

/// The number after `name ` at the start of a line.
fn field(text: &str, name: &str) -> u64 {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_field() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(field(text, "oom_kill"), 3);
        assert_eq!(field(text, "oom"), 0);
    }
}
