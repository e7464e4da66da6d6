//! Groups that cells have, living or dead, and removing those of a dead one.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Hierarchies, directories_in, remove};
use crate::Error;
use crate::linux::net::check_cell;

impl Hierarchies {
    /// Every cell that has a group in any hierarchy.
    pub(crate) fn cells(&self) -> BTreeSet<String> {
        let groups = self.trees().into_iter().flat_map(|tree| directories_in(&tree));
        let cell = |dir: PathBuf| {
            let name = dir.file_name()?.to_str()?;
            name.strip_prefix("ebb-").filter(|cell| check_cell(cell).is_ok()).map(str::to_owned)
        };
        groups.filter_map(cell).collect()
    }

    /// Whether a process is in a group of `cell`, or that cannot be known.
    pub(crate) fn is_occupied(&self, cell: &str) -> bool {
        self.cell_dirs(cell).iter().any(|dir| is_occupied(dir))
    }

    /// Removes the groups of a cell in which no process is; unlike [`Hierarchies::remove_cell`] it
    /// kills nothing, and fails when there is a process after all.
    ///
    /// # Errors
    /// [`Error::System`].
    pub(crate) fn remove_empty_cell(&self, cell: &str) -> Result<(), Error> {
        for dir in self.cell_dirs(cell) {
            for child in directories_in(&dir) {
                remove(&child)?;
            }
            remove(&dir)?;
        }
        Ok(())
    }
}

/// Both versions list the processes of a group itself in this file, not those of the groups below.
/// A process that has ended is not listed, one that belongs to another process id namespace is, as
/// 0.
fn is_occupied(dir: &Path) -> bool {
    match fs::read_to_string(dir.join("cgroup.procs")) {
        Ok(text) if text.trim().is_empty() => directories_in(dir).iter().any(|d| is_occupied(d)),
        Ok(_) => true,
        // Removed meanwhile, or just now (`ENODEV`).
        Err(error) => {
            error.kind() != io::ErrorKind::NotFound && error.raw_os_error() != Some(libc::ENODEV)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Trees of files in the place of control groups, so that every layout can be shown.
    fn trees(names: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let trees = names.iter().map(|name| dir.path().join(name)).collect();
        (dir, trees)
    }

    fn group(tree: &Path, path: &str, processes: &str) {
        let dir = tree.join(path);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("cgroup.procs"), processes).unwrap();
    }

    fn version_2(tree: &Path) -> Hierarchies {
        Hierarchies {
            unified: Some(tree.to_owned()),
            unified_controls: true,
            ..Hierarchies::default()
        }
    }

    fn hybrid(trees: &[PathBuf]) -> Hierarchies {
        Hierarchies {
            unified: Some(trees[0].clone()),
            memory: Some(trees[1].clone()),
            pids: Some(trees[2].clone()),
            ..Hierarchies::default()
        }
    }

    #[test]
    fn cells_are_found_in_every_layout() {
        let (_dir, trees) = trees(&["unified", "memory", "pids"]);
        group(&trees[0], "ebb-aaaaaa/shims", "");
        group(&trees[1], "ebb-bbbbbb", "");
        for other in ["ebb-init", "ebb-test-x-1", "ebb-AAAAAA", "ebb-aaaaaa0", "user.slice"] {
            group(&trees[2], other, "");
        }
        let cells = |all: &Hierarchies| all.cells().into_iter().collect::<Vec<_>>();
        assert_eq!(cells(&hybrid(&trees)), ["aaaaaa", "bbbbbb"]);
        assert_eq!(cells(&version_2(&trees[0])), ["aaaaaa"]);
        let version_1 = Hierarchies { unified: None, ..hybrid(&trees) };
        assert_eq!(cells(&version_1), ["bbbbbb"]);
        assert!(cells(&version_2(&trees[0].join("none"))).is_empty());
    }

    #[test]
    fn a_process_anywhere_occupies_a_cell() {
        let (_dir, trees) = trees(&["unified", "memory", "pids"]);
        for tree in &trees {
            for path in ["ebb-aaaaaa", "ebb-aaaaaa/shims", "ebb-aaaaaa/s0"] {
                group(tree, path, "");
            }
        }
        let all = hybrid(&trees);
        assert!(!all.is_occupied("aaaaaa") && !all.is_occupied("bbbbbb"));
        // In one hierarchy only, and at every depth; "0" is a process of somewhere else.
        for (tree, path, text) in [
            (0, "ebb-aaaaaa/shims", "17\n"),
            (2, "ebb-aaaaaa/s0", "0\n"),
            (1, "ebb-aaaaaa", "1\n2\n"),
            (1, "ebb-aaaaaa/s0/deeper", "5\n"),
        ] {
            group(&trees[tree], path, text);
            assert!(all.is_occupied("aaaaaa"), "{path}");
            assert_eq!(version_2(&trees[0]).is_occupied("aaaaaa"), tree == 0);
            group(&trees[tree], path, "");
            assert!(!all.is_occupied("aaaaaa"));
        }
    }

    /// The real thing, in whatever this machine has: version 1 trees and the version 2 tree, which
    /// is enough to see what the kernel refuses.
    #[test]
    fn groups_without_processes_go_and_others_stay() {
        let here = Hierarchies::detect();
        let root = rustix::process::geteuid().is_root();
        let (Ok(here), true) = (here, root) else {
            println!(
                "NOT RUN: groups_without_processes_go_and_others_stay: no groups, or not root"
            );
            return;
        };
        let cell = format!("{:06x}", 0x00d0_0000 | (std::process::id() & 0xffff));
        let mut layouts = vec![here.clone()];
        if let Some(unified) = &here.unified {
            layouts.push(version_2(unified));
            layouts.push(Hierarchies { unified: None, ..here.clone() });
        }
        for layout in layouts.iter().filter(|layout| !layout.cell_dirs(&cell).is_empty()) {
            let groups: Vec<PathBuf> =
                layout.cell_dirs(&cell).iter().map(|dir| dir.join("s0")).collect();
            for dir in &groups {
                fs::create_dir_all(dir).unwrap();
            }
            assert!(layout.cells().contains(&cell) && !layout.is_occupied(&cell));
            let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
            let last = groups.last().unwrap();
            let moved = fs::write(last.join("cgroup.procs"), child.id().to_string());
            let occupied = layout.is_occupied(&cell);
            let refused = layout.remove_empty_cell(&cell);
            let lives = child.try_wait().unwrap().is_none();
            child.kill().unwrap();
            child.wait().unwrap();
            let removed = layout.remove_empty_cell(&cell);
            // Judged last, so that nothing is left when it fails.
            moved.unwrap();
            assert!(occupied && refused.is_err() && lives);
            removed.unwrap();
            assert!(!layout.cells().contains(&cell));
        }
    }
}
