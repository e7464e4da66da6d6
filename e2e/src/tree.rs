//! A process and everything that descends from it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// Longest wait for the end of what was killed.
const LIMIT: Duration = Duration::from_secs(30);

/// Kills `root` and all of its descendants as if at one moment: all are stopped first, so that
/// none sees the end of another and cleans up after it. Waits until each has ended.
pub(crate) fn kill(root: u32) -> Result<()> {
    let root = Pid::from_raw(i32::try_from(root)?).context("not a process id")?;
    let mut all = Vec::new();
    // Again while forks come to light that happened before their parents were stopped. A process
    // whose parent stands still is not reaped, so no number can be somebody else's by now.
    loop {
        let new: Vec<Pid> = below(root).into_iter().filter(|pid| !all.contains(pid)).collect();
        if new.is_empty() {
            break;
        }
        for pid in &new {
            signal(*pid, Signal::STOP)?;
        }
        all.extend(new);
    }
    let mut ends = Vec::new();
    for pid in &all {
        match pidfd_open(*pid, PidfdFlags::empty()) {
            Ok(pidfd) => ends.push(pidfd),
            Err(Errno::SRCH) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    for pid in all.iter().rev() {
        signal(*pid, Signal::KILL)?;
    }
    let limit = Timespec::try_from(LIMIT)?;
    for pidfd in &ends {
        let ended = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&limit))?;
        ensure!(ended == 1, "a killed process still runs");
    }
    Ok(())
}

/// The process and its descendants, ancestors first.
fn below(root: Pid) -> Vec<Pid> {
    let mut all = Vec::new();
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        all.push(pid);
        let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
        for task in tasks.into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok());
            next.extend(pids.filter_map(Pid::from_raw));
        }
    }
    all
}

fn signal(pid: Pid, signal: Signal) -> Result<()> {
    match kill_process(pid, signal) {
        // It has ended meanwhile.
        Err(Errno::SRCH) => Ok(()),
        other => Ok(other?),
    }
}
