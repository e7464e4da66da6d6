//! Which devices instances may open: the harmless ones, whatever else finds its way into their
//! /dev. A second wall behind the mount options (`nodev`) and the missing CAP_MKNOD.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::sys::bpf::{self, Instruction};

/// What an instance may open: character devices by major and minor number; no minor means all
/// (`Documentation/admin-guide/devices.txt` of Linux).
pub const ALLOWED: [(&str, u32, Option<u32>); 8] = [
    ("null", 1, Some(3)),
    ("zero", 1, Some(5)),
    ("full", 1, Some(7)),
    ("random", 1, Some(8)),
    ("urandom", 1, Some(9)),
    ("tty", 5, Some(0)),
    ("ptmx", 5, Some(2)),
    ("pts", 136, None),
];

/// Lets processes in the control group `group`, and in all groups below it, open and make no other
/// devices than [`ALLOWED`]. On version 2 by a program, on version 1 (a group of the `devices`
/// controller) by its list. Doing it twice is no error.
///
/// # Errors
/// What the kernel said; `NotFound` for a directory that is no control group.
pub fn restrict(group: &Path) -> io::Result<()> {
    if group.join("devices.deny").exists() {
        return restrict_by_list(group);
    }
    if !group.join("cgroup.procs").exists() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let group = rustix::fs::open(group, flags, Mode::empty())?;
    let program = bpf::load_device_program(&program())?;
    bpf::attach_device_program(group.as_fd(), program.as_fd())
}

fn restrict_by_list(group: &Path) -> io::Result<()> {
    fs::write(group.join("devices.deny"), "a")?;
    for (_, major, minor) in ALLOWED {
        let minor = minor.map_or_else(|| "*".to_owned(), |minor| minor.to_string());
        fs::write(group.join("devices.allow"), format!("c {major}:{minor} rwm"))?;
    }
    Ok(())
}

/// The program: its argument points to kind and access, major and minor number, four bytes each
/// (`struct bpf_cgroup_dev_ctx`); it answers 1 for yes and 0 for no.
fn program() -> Vec<Instruction> {
    const CHARACTER: i32 = 2;
    const LOAD: u8 = 0x61;
    const AND: u8 = 0x54;
    const SET: u8 = 0xb7;
    const JUMP_IF: u8 = 0x15;
    const JUMP_UNLESS: u8 = 0x55;
    const EXIT: u8 = 0x95;
    const ARGUMENT: u8 = 1 << 4;
    const ANSWER: u8 = 0;
    const KIND: u8 = 2;
    const MAJOR: u8 = 3;
    const MINOR: u8 = 4;
    let op = |code, registers, offset, constant| Instruction { code, registers, offset, constant };
    let answer = |yes| [op(SET, ANSWER, 0, yes), op(EXIT, 0, 0, 0)];
    let mut all = vec![
        op(LOAD, KIND | ARGUMENT, 0, 0),
        // The access is in the upper half.
        op(AND, KIND, 0, 0xffff),
        op(LOAD, MAJOR | ARGUMENT, 4, 0),
        op(LOAD, MINOR | ARGUMENT, 8, 0),
        op(JUMP_IF, KIND, 2, CHARACTER),
    ];
    all.extend(answer(0));
    for (_, major, minor) in ALLOWED {
        let skip = if minor.is_some() { 3 } else { 2 };
        all.push(op(JUMP_UNLESS, MAJOR, skip, major.cast_signed()));
        if let Some(minor) = minor {
            all.push(op(JUMP_UNLESS, MINOR, 2, minor.cast_signed()));
        }
        all.extend(answer(1));
    }
    all.extend(answer(0));
    all
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A group of ours that is removed at the end.
    struct Group(std::path::PathBuf);

    impl Drop for Group {
        fn drop(&mut self) {
            let _ = fs::remove_dir(&self.0);
        }
    }

    /// Whether a shell in the group may open a device.
    fn opens(group: &Group, device: &str) -> bool {
        let script =
            format!("echo $$ > {}/cgroup.procs && exec 3< /dev/{device}", group.0.display());
        let status = Command::new("sh").args(["-c", &script]).output();
        status.is_ok_and(|output| output.status.success())
    }

    fn check(root: &str) {
        let group = Group(Path::new(root).join(format!("ebb-devices-{}", std::process::id())));
        if fs::create_dir(&group.0).is_err() {
            println!("NOT RUN: devices, in {root}: there are no control groups");
            return;
        }
        if !group.0.join("devices.deny").exists() && !group.0.join("cgroup.kill").exists() {
            println!("NOT RUN: devices, in {root}: it is neither version 2 nor has the controller");
            return;
        }
        // The console's log can be opened before, and not after.
        assert!(opens(&group, "zero") && opens(&group, "kmsg"), "{root}");
        for _ in 0..2 {
            restrict(&group.0).unwrap();
            assert!(opens(&group, "zero") && opens(&group, "urandom"), "{root}");
            assert!(!opens(&group, "kmsg"), "{root}");
        }
    }

    #[test]
    fn a_group_opens_the_harmless_devices_only() {
        check("/sys/fs/cgroup/unified");
        check("/sys/fs/cgroup/devices");
        check("/sys/fs/cgroup");
    }

    #[test]
    fn what_is_no_group_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(restrict(dir.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
