//! Every process of a platform is killed at once: out of memory, or a `pkill -9`.

use std::path::Path;

use ebb_e2e::platform::{run, up};
use ebb_e2e::{Options, Platform, leaks};
use tempfile::TempDir;

use crate::support::can_run;

/// A data directory that outlives its platform.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    fn start(&self) -> Platform {
        let key = self.dir.path().join("key").display().to_string();
        let flags = vec!["--key-file".to_owned(), key];
        Platform::start_with(&Options { data_dir: Some(self.data()), flags }).unwrap()
    }
}

fn serves(platform: &Platform) {
    let image = platform.load_hello().unwrap();
    platform.ebb(&["deploy", "hello", "--image", image]).unwrap().ok().unwrap();
    assert_eq!(platform.get("hello", "/").unwrap().status(), 200);
}

/// Whether processes of the platform are in one of its control groups.
fn runs(cell: &str) -> bool {
    let root = Path::new("/sys/fs/cgroup");
    let trees = std::fs::read_dir(root).unwrap().flatten().map(|tree| tree.path());
    let groups = trees.chain([root.to_owned()]).map(|tree| tree.join(format!("ebb-{cell}")));
    groups.flat_map(|group| std::fs::read_dir(group).into_iter().flatten().flatten()).any(|group| {
        std::fs::read(group.path().join("cgroup.procs")).is_ok_and(|text| !text.is_empty())
    })
}

fn kill(platform: Platform) -> String {
    let cell = platform.cell.clone();
    platform.kill().unwrap();
    assert!(!runs(&cell), "all have ended");
    cell
}

#[test]
fn another_platform_clears_what_a_killed_one_left() {
    if !can_run("another_platform_clears_what_a_killed_one_left") {
        return;
    }
    let place = Place::new();
    let bystander = Platform::start().unwrap();
    serves(&bystander);
    let dead = place.start();
    serves(&dead);
    let cell = kill(dead);
    let other = Platform::start().unwrap();
    assert_eq!(leaks::of(&cell, &place.data()), [""; 0]);
    serves(&other);
    other.stop().unwrap();
    // Whoever lives is not disturbed by any of this.
    assert_eq!(bystander.get("hello", "/").unwrap().status(), 200);
    bystander.stop().unwrap();
    // And the dead one comes back on what was cleared.
    let again = place.start();
    assert_eq!(again.cell, cell);
    assert_eq!(again.get("hello", "/").unwrap().status(), 200);
    again.stop().unwrap();
}

#[test]
fn a_killed_platform_starts_again_and_serves() {
    if !can_run("a_killed_platform_starts_again_and_serves") {
        return;
    }
    let place = Place::new();
    let first = place.start();
    serves(&first);
    let cell = kill(first);
    // Killed again before anything was asked of it, and once more while it serves.
    let second = place.start();
    assert_eq!(second.cell, cell);
    kill(second);
    let third = place.start();
    assert_eq!(third.get("hello", "/").unwrap().status(), 200);
    kill(third);
    let last = place.start();
    assert_eq!(last.get("hello", "/").unwrap().status(), 200);
    last.ebb(&["services", "list"]).unwrap().ok().unwrap();
    last.stop().unwrap();
}

#[test]
fn a_copy_of_a_running_platform_is_refused() {
    if !can_run("a_copy_of_a_running_platform_is_refused") {
        return;
    }
    let platform = Platform::start().unwrap();
    serves(&platform);
    let dir = TempDir::new().unwrap();
    let copy = dir.path().join("data");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(platform.data_dir().join("cell"), copy.join("cell")).unwrap();
    let ran = run(&mut up(dir.path(), &copy)).unwrap();
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert!(ran.stderr.contains("CELL_IN_USE") || ran.stdout.contains("CELL_IN_USE"), "{ran:?}");
    // The first one is not disturbed.
    assert_eq!(platform.get("hello", "/").unwrap().status(), 200);
    platform.stop().unwrap();
}
