//! What the daemon asks for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use ebb_model::InstanceId;
use rustix::fs::{Mode, OFlags};

use super::{REFILL_AFTER_US, Spawner};
use crate::linux::protocol::{self, Order, Report, Request};
use crate::linux::shim::monotonic_us;

/// Start locks and exit records that are kept. A repeated start of an older id is not noticed;
/// the daemon never repeats an id.
const STARTED_MAX: usize = 10_000;
/// Time that instances have to end at a reset before their shims are killed, in microseconds.
const RESET_US: u64 = 10_000_000;

impl Spawner {
    pub(super) fn hear_daemon(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        let Some(socket) = &daemon.socket else { return };
        match protocol::receive::<Request>(socket) {
            Ok(Some((request, descriptors))) => self.carry_out(request, descriptors),
            // A message that nobody understands comes from nobody that we started.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::error!(%error, "the daemon said something that is not understood");
                daemon.kill();
            }
            // It has ended, or is about to: the signal tells how.
            Ok(None) | Err(_) => daemon.socket = None,
        }
    }

    fn carry_out(&mut self, request: Request, descriptors: Vec<OwnedFd>) {
        match request {
            Request::Start { id } => {
                let Ok([spec, daemon]) = <[OwnedFd; 2]>::try_from(descriptors) else { return };
                if let Err(refusal) = self.start(&id, &spec, &daemon) {
                    // A daemon that is gone needs no answer.
                    let _ = protocol::send(&daemon, &refusal, &[]);
                }
            }
            Request::Confined { args } => self.run_confined(args, descriptors),
            Request::Reset => {
                self.sandboxes.end_used();
                self.resetting.extend(descriptors);
                self.reset_until_us = Some(monotonic_us() + RESET_US);
                self.answer_reset();
            }
        }
    }

    /// Says that every instance has ended once that is so. The confined processes of the daemon
    /// before have then ended, too: they hear its end.
    pub(super) fn answer_reset(&mut self) {
        if self.sandboxes.used() > 0 || !self.confined.is_empty() {
            return;
        }
        self.reset_until_us = None;
        for waiting in self.resetting.drain(..) {
            // A daemon that is gone waits no more.
            let _ = protocol::send(&waiting, &Report::Done { number: 0 }, &[]);
        }
    }

    /// Hands a sandbox to the instance `id`; the shim answers on `daemon`.
    fn start(&mut self, id: &str, spec: &OwnedFd, daemon: &OwnedFd) -> Result<(), Report> {
        let asked_us = monotonic_us();
        if self.stopping.is_some() {
            return Err(Report::NoRoom("the platform is stopping".into()));
        }
        self.lock_start(id)?;
        self.refill_at_us = self.refill_at_us.max(asked_us + REFILL_AFTER_US);
        let order = Order::Start { asked_us };
        // One of the reserve may have failed; the next is tried.
        while let Some(sandbox) = self.sandboxes.take() {
            let sent = protocol::send(&sandbox.socket, &order, &[spec.as_fd(), daemon.as_fd()]);
            self.sandboxes.keep(sandbox);
            if sent.is_ok() {
                return Ok(());
            }
        }
        let sandbox = self.fork_shim().map_err(|error| Report::NoRoom(error.to_string()))?;
        let sent = protocol::send(&sandbox.socket, &order, &[spec.as_fd(), daemon.as_fd()]);
        self.sandboxes.keep(sandbox);
        sent.map_err(|error| Report::NoRoom(format!("a new sandbox ended at once: {error}")))
    }

    /// Makes sure that `id` is started once.
    fn lock_start(&mut self, id: &str) -> Result<(), Report> {
        // The id becomes a file name here and below.
        if InstanceId::parse(id).is_err() {
            return Err(Report::NoRoom(format!("{id:?} is not an instance id")));
        }
        let path = self.config.run_dir.join("attempts").join(id);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        match rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)) {
            Ok(_) => {}
            Err(rustix::io::Errno::EXIST) => return Err(Report::Repeated),
            Err(errno) => return Err(Report::NoRoom(format!("lock the start: {errno}"))),
        }
        self.started.push_back(id.to_owned());
        if self.started.len() > STARTED_MAX
            && let Some(oldest) = self.started.pop_front()
        {
            // What cannot be removed now goes with the directory.
            let _ = std::fs::remove_file(self.config.run_dir.join("attempts").join(&oldest));
            let exit = self.config.run_dir.join("exits").join(format!("{oldest}.json"));
            let _ = std::fs::remove_file(exit);
        }
        Ok(())
    }
}
