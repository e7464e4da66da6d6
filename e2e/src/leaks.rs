//! What a platform may have left on the machine after its end.
//!
//! Everything outside a data directory is named after the platform's cell, so the names alone say
//! whose it was.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Everything that is still there of the platform with this cell and data directory.
pub fn of(cell: &str, data_dir: &Path) -> Vec<String> {
    let mut left = Vec::new();
    left.extend(processes(cell));
    left.extend(mounts(cell, data_dir));
    let mut groups = Vec::new();
    cgroups(Path::new("/sys/fs/cgroup"), &format!("ebb-{cell}"), 3, &mut groups);
    left.extend(groups);
    left.extend(links(cell));
    left.extend(tables(cell));
    let run = format!("/run/ebb/{cell}");
    if Path::new(&run).exists() {
        left.push(format!("directory {run}"));
    }
    left
}

/// Processes that were handed the platform's configuration, and their forks.
fn processes(cell: &str) -> Vec<String> {
    let mark = format!("\"cell\":\"{cell}\"");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let names_it = ["cmdline", "environ"].iter().any(|file| {
            let text = fs::read(entry.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&text).contains(&mark)
        });
        if names_it {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            found.push(format!("process {} ({})", entry.file_name().display(), name.trim()));
        }
    }
    found
}

fn mounts(cell: &str, data_dir: &Path) -> Vec<String> {
    let data_dir = data_dir.to_string_lossy();
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let ours = |point: &str| {
        let below = point.strip_prefix(&*data_dir).is_some_and(|rest| rest.starts_with('/'));
        below || point.contains(&format!("/run/ebb/{cell}"))
    };
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter(|point| ours(point)).map(|point| format!("mount {point}")).collect()
}

fn cgroups(dir: &Path, name: &str, depth: u32, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir && entry.file_name().to_string_lossy().starts_with(name) {
            found.push(format!("cgroup {}", entry.path().display()));
        } else if is_dir && depth > 1 {
            cgroups(&entry.path(), name, depth - 1, found);
        }
    }
}

fn links(cell: &str) -> Vec<String> {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name.starts_with(&format!("eb{cell}")))
        .map(|n| format!("link {n}"))
        .collect()
}

/// Tables of nftables. Without the `nft` command they cannot be listed; `cargo xtask test` installs it.
fn tables(cell: &str) -> Vec<String> {
    let Some(nft) = crate::process::path_of("nft") else { return Vec::new() };
    let listing = Command::new(nft).args(["list", "tables"]).output();
    let text = listing.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
    let text = text.unwrap_or_default();
    let ours = text.lines().filter(|line| line.ends_with(&format!(" ebb_{cell}")));
    ours.map(|line| format!("nftables {line}")).collect()
}
