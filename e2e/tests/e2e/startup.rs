//! `ebb up` on a machine that does not let it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use ebb_e2e::platform::{Ran, binary, run, up};
use ebb_e2e::{Options, Platform};
use tempfile::TempDir;

use crate::support::can_run;

/// Checks that `ebb up` ended by itself with this error.
fn refused(ran: &Ran, code: &str, exit: i32) {
    assert_eq!(ran.code, Some(exit), "{ran:?}");
    assert_eq!(ran.json().unwrap()["error"]["code"], code, "{ran:?}");
    assert!(ran.json().unwrap()["error"]["hint"].is_string(), "{ran:?}");
}

#[test]
fn a_data_directory_has_one_platform() {
    if !can_run("a_data_directory_has_one_platform") {
        return;
    }
    let platform = Platform::start().unwrap();
    let dir = TempDir::new().unwrap();
    refused(&run(&mut up(dir.path(), platform.data_dir())).unwrap(), "DATA_DIR_IN_USE", 7);
    // The first one is not disturbed.
    platform.ebb(&["services", "list"]).unwrap().ok().unwrap();
    platform.stop().unwrap();
}

#[test]
fn what_the_machine_does_not_allow_is_said() {
    if !can_run("what_the_machine_does_not_allow_is_said") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let path = dir.path();
    refused(&run(&mut up(path, Path::new("/proc/ebb"))).unwrap(), "DATA_DIR_UNWRITABLE", 4);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = up(path, &path.join("data"));
    refused(&run(command.args(["--gateway", &address])).unwrap(), "PORT_TAKEN", 7);

    let mut command = up(path, &path.join("data"));
    let ran = run(command.env("EBB_GATEWAY__LISTN", "x")).unwrap();
    refused(&ran, "CONFIG_UNKNOWN_KEY", 5);
    assert!(ran.stdout.contains("gateway.listen"), "the nearest key is named: {ran:?}");

    // A copy that everybody may run, as a user who may do little.
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    let copy = path.join("ebb");
    std::fs::copy(binary(), &copy).unwrap();
    let mut command = Command::new(&copy);
    let ran = run(command.args(["up", "-o", "json"]).uid(65534).gid(65534)).unwrap();
    refused(&ran, "NOT_ROOT", 4);
}

/// A small tmpfs that goes away with the test.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(dir.path());
        run(&mut mount).unwrap().ok().unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it to the last byte.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.path().join("ballast")).unwrap();
        let error = std::io::copy(&mut std::io::repeat(1), &mut file).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(run(Command::new("umount").arg(self.path())));
    }
}

#[test]
fn a_full_disk_is_said_at_start() {
    if !can_run("a_full_disk_is_said_at_start") {
        return;
    }
    let (disk, dir) = (SmallDisk::new("1m"), TempDir::new().unwrap());
    disk.fill();
    let ran = run(&mut up(dir.path(), &disk.path().join("data"))).unwrap();
    refused(&ran, "DISK_FULL", 9);
}

#[test]
fn a_disk_that_fills_up_is_said_on_writes() {
    if !can_run("a_disk_that_fills_up_is_said_on_writes") {
        return;
    }
    let disk = SmallDisk::new("64m");
    let options = Options { data_dir: Some(disk.path().join("data")), ..Options::default() };
    let platform = Platform::start_with(&options).unwrap();
    let image = platform.load_hello().unwrap();
    platform.ebb(&["deploy", "hello", "--image", image]).unwrap().ok().unwrap();
    disk.fill();
    let archive = platform.scratch().join("hello.tar");
    let ran = platform.ebb(&["images", "load", archive.to_str().unwrap(), "--name", "again:1"]);
    let ran = ran.unwrap();
    assert_eq!(ran.code, Some(9), "{ran:?}");
    assert!(ran.stderr.starts_with("error[DISK_FULL]: "), "{ran:?}");
    // What runs goes on, and with room again everything does.
    assert_eq!(platform.get("hello", "/").unwrap().status(), 200);
    std::fs::remove_file(disk.path().join("ballast")).unwrap();
    platform.ebb(&["deploy", "other", "--image", image]).unwrap().ok().unwrap();
    platform.stop().unwrap();
}
