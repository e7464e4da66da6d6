//! Giving the groups below a group their controllers (version 2).
//!
//! A group with processes in it can give none, unless it is the root of the machine
//! (cgroups(7), "no internal processes"). In a container the platform's own processes are in the
//! group that looks like the root, so they are moved into a group beside those of the instances,
//! where they stay.

use std::fs;
use std::io;
use std::path::Path;

use crate::Error;

/// The group that the processes of an occupied group are moved to.
const INIT: &str = "ebb-init";
/// Times that the processes are looked for: one may fork while the others are moved.
const MOVES: u32 = 10;

/// What stands in the way of controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing.
    Clear,
    /// Processes, which can be moved.
    Occupied,
}

/// Enables `controllers` for the groups below `dir`, moving processes away if that is needed.
///
/// # Errors
/// [`Error::Unsupported`] with what can be done about it.
pub(crate) fn enable(dir: &Path, controllers: &[&str]) -> Result<(), Error> {
    let lacking = lacking(dir, controllers);
    let enabled = match write(dir, '+', &lacking) {
        Err(error) if is_occupied(dir, &error) => {
            move_processes(dir).and_then(|()| write(dir, '+', &lacking))
        }
        other => other,
    };
    enabled.map_err(|error| refused(dir, &error))
}

/// Finds out whether [`enable`] would work, and leaves everything as it was.
///
/// # Errors
/// As [`enable`].
pub(crate) fn rehearse(dir: &Path, controllers: &[&str]) -> Result<Way, Error> {
    let lacking = lacking(dir, controllers);
    match write(dir, '+', &lacking) {
        Ok(()) => {
            // Refused only when somebody has made use of them meanwhile.
            let _ = write(dir, '-', &lacking);
            Ok(Way::Clear)
        }
        Err(error) if is_occupied(dir, &error) => {
            processes(dir).map_err(|error| refused(dir, &error))?;
            Ok(Way::Occupied)
        }
        Err(error) => Err(refused(dir, &error)),
    }
}

fn refused(dir: &Path, error: &io::Error) -> Error {
    Error::Unsupported(format!(
        "limit instances: the control group {} gives its groups no controllers ({error}); run the \
         platform in a group of its own that it may write: Delegate=yes in a systemd unit, a \
         private cgroup namespace and a writable /sys/fs/cgroup in a container",
        dir.display()
    ))
}

/// Those of `controllers` that are not enabled.
fn lacking<'a>(dir: &Path, controllers: &[&'a str]) -> Vec<&'a str> {
    let enabled = fs::read_to_string(dir.join("cgroup.subtree_control")).unwrap_or_default();
    let is_lacking = |name: &&str| !enabled.split_whitespace().any(|one| one == *name);
    controllers.iter().copied().filter(is_lacking).collect()
}

fn write(dir: &Path, sign: char, controllers: &[&str]) -> io::Result<()> {
    if controllers.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = controllers.iter().map(|name| format!("{sign}{name}")).collect();
    fs::write(dir.join("cgroup.subtree_control"), all.join(" "))
}

/// Whether `error` is about processes in `dir`. The root of the machine, the only group without a
/// type, may have them.
fn is_occupied(dir: &Path, error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY) && dir.join("cgroup.type").exists()
}

/// Processes in the group itself.
fn processes(dir: &Path) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(dir.join("cgroup.procs"))?;
    let all: Vec<String> = text.lines().map(str::to_owned).collect();
    // The kernel's way to say that a process is outside of our process id namespace.
    if all.iter().any(|pid| pid == "0") {
        return Err(io::Error::other("it holds processes of another process id namespace"));
    }
    Ok(all)
}

fn move_processes(dir: &Path) -> io::Result<()> {
    let init = dir.join(INIT);
    match fs::create_dir(&init) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for _ in 0..MOVES {
        let all = processes(dir)?;
        if all.is_empty() {
            break;
        }
        for pid in all {
            match fs::write(init.join("cgroup.procs"), &pid) {
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                other => other?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Ends what the test started and removes what it made, also when it fails.
    struct Made {
        dir: PathBuf,
        root: PathBuf,
        added: Vec<&'static str>,
        child: std::process::Child,
    }

    impl Drop for Made {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
            for dir in [self.dir.join(INIT), self.dir.clone()] {
                let _ = super::super::remove(&dir);
            }
            let _ = write(&self.root, '-', &self.added);
        }
    }

    /// With any controller that this machine's version 2 tree has.
    fn made(name: &str) -> Option<(Made, &'static str)> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
        let root = PathBuf::from(mount.split(' ').nth(1)?);
        let here = fs::read_to_string(root.join("cgroup.controllers")).ok()?;
        let known = ["memory", "pids", "hugetlb", "io", "misc"];
        let controller = known.into_iter().find(|k| here.split_whitespace().any(|h| h == *k))?;
        let added = lacking(&root, &[controller]);
        write(&root, '+', &added).ok()?;
        let dir = root.join(format!("ebb-test-{name}-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        fs::write(dir.join("cgroup.procs"), child.id().to_string()).unwrap();
        Some((Made { dir, root, added, child }, controller))
    }

    #[test]
    fn processes_in_the_way_are_moved() {
        let Some((made, controller)) = made("delegate") else {
            println!(
                "NOT RUN: processes_in_the_way_are_moved: no version 2 tree with a controller, or not root"
            );
            return;
        };
        let error = write(&made.dir, '+', &[controller]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
        assert_eq!(rehearse(&made.dir, &[controller]).unwrap(), Way::Occupied);
        assert_eq!(lacking(&made.dir, &[controller]), [controller]);
        enable(&made.dir, &[controller]).unwrap();
        assert!(lacking(&made.dir, &[controller]).is_empty());
        let moved = fs::read_to_string(made.dir.join(INIT).join("cgroup.procs")).unwrap();
        assert_eq!(moved.trim(), made.child.id().to_string());
        enable(&made.dir, &[controller]).unwrap();
        assert_eq!(rehearse(&made.dir, &[controller]).unwrap(), Way::Clear);
    }

    #[test]
    fn a_controller_that_is_not_there_is_refused_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let error = enable(&dir.path().join("none"), &["memory"]).unwrap_err().to_string();
        assert!(error.contains("Delegate=yes"), "{error}");
    }
}
