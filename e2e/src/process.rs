//! Children that end when their owner does.

use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// A child process that is killed, by its own process id, when this value goes away.
#[derive(Debug)]
pub struct Guarded(Child);

impl Guarded {
    /// Starts `command`.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_owned();
        let child = command.spawn().with_context(|| format!("cannot run {}", name.display()))?;
        Ok(Self(child))
    }

    /// The child.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends `signal`. A child that has ended already is left alone.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.0.try_wait()?.is_none()
            && let Some(pid) = pid(&self.0)
        {
            kill_process(pid, signal)?;
        }
        Ok(())
    }

    /// Waits for the end, at most `limit`; none when it still runs.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        if let Some(status) = self.0.try_wait()? {
            return Ok(Some(status));
        }
        let pid = pid(&self.0).context("the child has no process id")?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let limit = Timespec::try_from(limit)?;
        poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit))?;
        Ok(self.0.try_wait()?)
    }

    /// SIGTERM, then SIGKILL after `limit`. Answers how it ended.
    pub fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        if let Some(status) = self.wait(limit)? {
            return Ok(status);
        }
        self.0.kill()?;
        Ok(self.0.wait()?)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Whether `program` can be found.
pub fn has(program: &str) -> bool {
    path_of(program).is_some()
}

/// Where `program` is, on the search path or in a system directory.
pub fn path_of(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}
