//! The end of an instance: the record, the removal of everything, the last word.

use ebb_kit::Clock;
use ebb_model::engine::{ExitRecord, State};

use super::Running;
use crate::linux::protocol::Report;
use crate::linux::shim::{complain, record, wait_for};

/// Time that a daemon has to acknowledge the exit, in microseconds.
const LINGER_US: u64 = 10_000_000;

impl Running<'_> {
    /// Ends the instance; answers the exit code of the shim.
    pub(super) fn end(mut self) -> i32 {
        self.sandbox.kill();
        wait_for(&self.sandbox.init);
        // Every process is gone: what is in the pipes is all that there will ever be.
        self.outputs.drain(self.clock.now());
        let record = self.record();
        let dir = self.cell.run_dir.join("exits");
        if let Err(error) = record::write(&dir, &self.id, &record) {
            complain(self.sandbox.slot, &format!("write the exit record: {error}"));
        }
        self.state = State::Exited;
        let Running { sandbox, daemon, .. } = self;
        let slot = sandbox.slot;
        let removed = sandbox.remove();
        if let Err(error) = &removed {
            complain(slot, &error.to_string());
        }
        daemon.finish(record, LINGER_US);
        i32::from(removed.is_err())
    }

    fn record(&mut self) -> ExitRecord {
        let group = &self.sandbox.group;
        let oom = group.oom_kills() > 0;
        let (code, signal) = self.exit.unwrap_or((None, Some(libc::SIGKILL)));
        if oom && !self.oom_told {
            self.oom_told = true;
            self.daemon.say(Report::Oom);
        }
        let group = &self.sandbox.group;
        ExitRecord {
            code,
            signal,
            oom,
            start_failure: self.failure.take(),
            peak_memory_bytes: group.peak_memory_bytes(),
            cpu_ns: group.cpu_ns(),
            ended: self.clock.now(),
        }
    }
}
