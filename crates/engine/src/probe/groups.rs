//! Control groups.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::Probe;
use crate::linux::cgroup::delegate::{self, Way};
use crate::linux::cgroup::{CONTROLLERS, Hierarchies};
use crate::sys;

pub(super) fn all() -> Vec<Probe> {
    let hierarchies = match Hierarchies::detect() {
        Ok(hierarchies) => hierarchies,
        Err(error) => {
            let why = format!("{error}: mount the cgroup2 file system at /sys/fs/cgroup");
            return vec![Probe::missing("control groups", why)];
        }
    };
    let mut all = vec![layout(&hierarchies)];
    if let Some(root) = &hierarchies.unified {
        if hierarchies.unified_controls {
            all.push(controllers(root));
        }
        all.extend(trial(root));
    }
    all
}

fn layout(found: &Hierarchies) -> Probe {
    const NAME: &str = "control groups";
    if found.unified.is_some() && found.unified_controls {
        return Probe::ok(NAME, "version 2 with the memory, cpu and pids controllers");
    }
    let old = [
        ("memory", &found.memory),
        ("cpu", &found.cpu),
        ("pids", &found.pids),
        // The version 2 tree freezes every group, without a controller.
        ("freezer", if found.unified.is_some() { &found.unified } else { &found.freezer }),
    ];
    let there = |wanted: bool| -> Vec<&str> {
        old.iter().filter(|(_, dir)| dir.is_some() == wanted).map(|(name, _)| *name).collect()
    };
    let (there, lacking) = (there(true), there(false));
    let kind = if found.unified.is_some() { "hybrid" } else { "version 1" };
    let limits = if lacking.is_empty() {
        "the limits are there, but one instance's disk cache can slow others".to_owned()
    } else {
        format!("without limits for {}", lacking.join(", "))
    };
    Probe::fallback(NAME, format!("{kind}, with {}: {limits}", there.join(", ")))
}

/// Whether the groups of instances get their controllers, asked by enabling them.
fn controllers(root: &Path) -> Probe {
    const NAME: &str = "enabling controllers";
    match delegate::rehearse(root, &CONTROLLERS) {
        Ok(Way::Clear) => Probe::ok(NAME, "works"),
        Ok(Way::Occupied) => {
            let place = root.display();
            let cost = "at the start they are moved into a group ebb-init below it, and stay there";
            Probe::fallback(NAME, format!("there are processes in {place} itself: {cost}"))
        }
        Err(error) => Probe::missing(NAME, error.to_string()),
    }
}

/// A group of ours that is removed at the end.
struct Trial(PathBuf);

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// What a group of version 2 can do, asked of one of our own.
fn trial(root: &Path) -> Vec<Probe> {
    let dir = root.join(format!("ebb-probe-{}-{}", std::process::id(), thread()));
    if let Err(error) = fs::create_dir(&dir) {
        return vec![Probe::missing("making a group", format!("{}: {error}", dir.display()))];
    }
    let trial = Trial(dir);
    let has = |file: &str| {
        fs::symlink_metadata(trial.0.join(file)).map(drop).map_err(|error| error.to_string())
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let born = rustix::fs::open(&trial.0, flags, Mode::empty())
        .map_err(std::io::Error::from)
        .and_then(|group| sys::probe::park(0, Some(group.as_fd())).map(drop));
    vec![
        Probe::good("cgroup.kill", has("cgroup.kill"), "processes are killed one by one"),
        Probe::good("cgroup.freeze", has("cgroup.freeze"), "instances are frozen by version 1"),
        Probe::good("clone3 into a group", born, "a process joins its group after it was made"),
    ]
}

/// Tests ask on several threads at once.
fn thread() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}
