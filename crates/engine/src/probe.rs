//! What this machine can do, found out by doing it, for `ebb doctor`.
//!
//! Every probe leaves the machine as it was: namespaces end with the child or thread that has
//! them, mounts are never attached, files and groups are removed. A probe says what is there, or
//! what is lost without it.

mod groups;
mod kernel;
mod network;
mod storage;

use std::path::Path;

/// How it stands with something that the platform can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is there.
    Ok,
    /// It is not there; something else takes its place, at a cost.
    Fallback,
    /// It is not there, and instances cannot run without it.
    Missing,
}

/// What was found out about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What was asked for.
    pub name: &'static str,
    /// Whether it is there.
    pub state: State,
    /// What was found; where it is missing, what that costs. One sentence for people.
    pub detail: String,
}

/// Asks about everything. `data` is the platform's data directory; while it does not exist yet,
/// its nearest parent is asked about.
pub fn run(data: &Path) -> Vec<Probe> {
    let existing = data.ancestors().find(|path| path.is_dir()).unwrap_or_else(|| Path::new("/"));
    let mut all = kernel::all();
    all.extend(groups::all());
    all.extend(network::all());
    all.extend(storage::all(existing));
    all
}

impl Probe {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Ok, detail: detail.into() }
    }

    fn fallback(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Fallback, detail: detail.into() }
    }

    fn missing(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Missing, detail: detail.into() }
    }

    /// Needed: there, or missing with what was said.
    fn needed<E: std::fmt::Display>(
        name: &'static str,
        answer: Result<(), E>,
        without: &str,
    ) -> Self {
        match answer {
            Ok(()) => Self::ok(name, "works"),
            Err(error) => Self::missing(name, format!("{error}: {without}")),
        }
    }

    /// Good to have: there, or replaced at a cost.
    fn good<E: std::fmt::Display>(
        name: &'static str,
        answer: Result<(), E>,
        without: &str,
    ) -> Self {
        match answer {
            Ok(()) => Self::ok(name, "works"),
            Err(error) => Self::fallback(name, format!("{error}: {without}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Mounts and groups of this thread's probes; other tests may have theirs.
    fn left() -> Vec<String> {
        let thread = rustix::thread::gettid().as_raw_nonzero();
        let name = format!("ebb-probe-{}-{thread}", std::process::id());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mut left: Vec<String> =
            mounts.lines().filter(|line| line.contains(&name)).map(str::to_owned).collect();
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            let dir = Path::new(root).join(&name);
            left.extend(dir.exists().then(|| dir.display().to_string()));
        }
        left
    }

    #[test]
    fn everything_is_asked_once_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let all = run(&dir.path().join("not/yet"));
        for probe in &all {
            println!("{:?} {}: {}", probe.state, probe.name, probe.detail);
            assert!(!probe.detail.is_empty(), "{}", probe.name);
        }
        let names: BTreeSet<_> = all.iter().map(|probe| probe.name).collect();
        assert_eq!(names.len(), all.len());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(left(), [""; 0]);
    }

    /// Instances run in the tests of this crate, so nothing that they need can be missing where
    /// these pass.
    #[test]
    fn what_the_tests_use_is_found() {
        let all = run(Path::new("/var/lib/ebb"));
        for name in ["user namespace", "network namespace", "veth", "nf_tables", "seccomp"] {
            let probe = all.iter().find(|probe| probe.name == name).unwrap();
            assert_eq!(probe.state, State::Ok, "{}", probe.detail);
        }
    }
}
