//! The life of one instance.

mod act;
mod end;

use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use ebb_kit::{Clock, SystemClock};
use ebb_model::engine::{InstanceSpec, StartFailure, StartPhases, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::make::{CPU_DEFAULT_MILLI, Sandbox};
use super::outbox::Outbox;
use super::outputs::Outputs;
use super::probe::Probe;
use super::{Cell, monotonic_us};
use crate::linux::cgroup::Limits;
use crate::linux::failure::{Failure, sandbox};
use crate::linux::init;
use crate::linux::logs::write::Writer;
use crate::linux::protocol::{self, InitOrder, InitReport, Order, Report, Start};
use crate::linux::rootfs::{Root, memory_bytes, writable_bytes};

/// What a sandbox is told to become.
pub(super) struct Birth {
    /// Memory file with the [`Start`].
    pub(super) spec: OwnedFd,
    /// Connection to the daemon.
    pub(super) daemon: OwnedFd,
    /// When the spawner was asked, in microseconds of the monotonic clock.
    pub(super) asked_us: u64,
}

/// A running instance.
struct Running<'a> {
    cell: &'a Cell,
    clock: &'a SystemClock,
    sandbox: Sandbox,
    id: String,
    spec: InstanceSpec,
    spawner: Option<OwnedFd>,
    daemon: Outbox,
    outputs: Outputs,
    oom: Option<OwnedFd>,
    oom_told: bool,
    probe: Option<Probe>,
    state: State,
    phases: StartPhases,
    /// When the last finished phase of the start ended.
    phase_us: u64,
    start_until_us: u64,
    kill_at_us: Option<u64>,
    failure: Option<StartFailure>,
    exit: Option<(Option<i32>, Option<i32>)>,
}

/// Runs the instance and removes everything of it; answers the exit code of the shim.
pub(super) fn run(
    cell: &Rc<Cell>,
    spawner: OwnedFd,
    sandbox: Sandbox,
    birth: Birth,
    clock: &SystemClock,
) -> i32 {
    let began_us = monotonic_us();
    let Birth { spec, daemon, asked_us } = birth;
    let start = spec.try_clone().and_then(protocol::read_file::<Start>);
    let Ok(start) = start else { return i32::from(sandbox.remove().is_err()) };
    let mut running = Running {
        cell,
        clock,
        sandbox,
        id: start.id,
        start_until_us: began_us + start.spec.start_timeout_ms.saturating_mul(1000),
        spec: start.spec,
        spawner: Some(spawner),
        daemon: Outbox::new(daemon),
        outputs: Outputs::new(cell.logs),
        oom: None,
        oom_told: false,
        probe: None,
        state: State::Starting,
        phases: StartPhases { create_us: began_us - asked_us, ..StartPhases::default() },
        phase_us: began_us,
        kill_at_us: None,
        failure: None,
        exit: None,
    };
    if let Err(failure) = running.begin(&spec) {
        running.failure = Some(failure.into());
        running.sandbox.kill();
    }
    drop(spec);
    running.daemon.say(Report::Accepted);
    running.watch();
    running.end()
}

impl Running<'_> {
    /// Mounts the root file system and has the init go on; everything that can wait comes after.
    fn begin(&mut self, spec: &OwnedFd) -> Result<(), Failure> {
        let Some(container) = self.spec.containers.first() else {
            return Err(Failure::sandbox("the spec has no container"));
        };
        let limits = Limits {
            memory_bytes: memory_bytes(container),
            cpu_milli: container.limits.get("cpu").copied().unwrap_or(CPU_DEFAULT_MILLI),
        };
        // Nothing of the image runs before its limits are there.
        self.sandbox.group.limit(limits).map_err(sandbox("set the limits"))?;
        let root = self.sandbox.writable.mount(&Root {
            lowers: &container.rootfs.lowers,
            users: self.sandbox.users.as_fd(),
            size_bytes: writable_bytes(container),
            hostname: init::hostname(&self.spec.name),
            address: self.sandbox.address,
            read_only: container.read_only,
        })?;
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(sandbox("make a pipe"));
        let ((out, out_end), (err, err_end)) = (pipe()?, pipe()?);
        let descriptors = [spec.as_fd(), root.as_fd(), out_end.as_fd(), err_end.as_fd()];
        protocol::send(self.sandbox.channel(), &InitOrder::Run, &descriptors)
            .map_err(sandbox("order the first process to run"))?;
        for end in [&out, &err] {
            rustix::io::ioctl_fionbio(end, true).map_err(sandbox("watch the outputs"))?;
        }
        let dir = self.cell.log_dir.join(&self.id);
        // An instance whose output cannot be kept still runs: what it prints is thrown away.
        let logs = Writer::make(dir, self.cell.logs, self.clock.now()).ok();
        self.outputs.begin([out, err], logs);
        self.oom = self.sandbox.group.oom_watch().ok();
        Ok(())
    }

    /// Looks after it until its first process has ended.
    fn watch(&mut self) {
        while self.exit.is_none() {
            if let Err(error) = self.turn() {
                self.failure =
                    Some(Failure::sandbox(format!("watch the instance: {error}")).into());
                self.sandbox.kill();
                return;
            }
        }
    }

    fn turn(&mut self) -> std::io::Result<()> {
        let now_us = monotonic_us();
        let (ready, timeout) = (self.interests(now_us), self.timeout(now_us));
        let mut polled: Vec<PollFd<'_>> =
            ready.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        protocol::retry(|| poll(&mut polled, timeout.as_ref()))?;
        let hot: Vec<Source> = ready
            .iter()
            .zip(&polled)
            .filter(|(_, polled)| !polled.revents().is_empty())
            .map(|((source, ..), _)| *source)
            .collect();
        // Output first: what was printed before the end is there before the end is known.
        for source in hot {
            match source {
                Source::Output(number) => {
                    self.outputs.read(number, self.clock.now(), monotonic_us());
                }
                Source::Init => self.hear_init(),
                Source::Daemon => {
                    if let Some(command) = self.daemon.go_on() {
                        self.obey(&command);
                    }
                }
                Source::Spawner => self.hear_spawner(),
                Source::Oom => self.look_for_oom(),
                Source::Probe => self.go_on_probing(true),
            }
        }
        self.go_on_probing(false);
        self.look_at_the_clock();
        Ok(())
    }

    fn interests(&self, now_us: u64) -> Vec<(Source, BorrowedFd<'_>, PollFlags)> {
        let mut all = Vec::with_capacity(8);
        let outputs = self.outputs.interests(now_us);
        all.extend(outputs.map(|(number, fd)| (Source::Output(number), fd, PollFlags::IN)));
        all.push((Source::Init, self.sandbox.channel(), PollFlags::IN));
        let daemon = self.daemon.interest().map(|(fd, flags)| (Source::Daemon, fd, flags));
        let spawner = self.spawner.as_ref().map(|fd| (Source::Spawner, fd.as_fd(), PollFlags::IN));
        let flags =
            if self.cell.hierarchies.unified_controls { PollFlags::PRI } else { PollFlags::IN };
        let oom = self.oom.as_ref().map(|fd| (Source::Oom, fd.as_fd(), flags));
        let probe = self.probe.as_ref().and_then(Probe::socket);
        let probe = probe.map(|fd| (Source::Probe, fd.as_fd(), PollFlags::OUT));
        all.extend([daemon, spawner, oom, probe].into_iter().flatten());
        all
    }

    fn timeout(&self, now_us: u64) -> Option<Timespec> {
        let starting = (self.state == State::Starting).then_some(self.start_until_us);
        let probe = self.probe.as_ref().map(Probe::due_us);
        let outputs = self.outputs.due_us(now_us);
        let due_us = [starting, probe, self.kill_at_us, outputs].into_iter().flatten().min()?;
        let wait_us = due_us.saturating_sub(now_us);
        Timespec::try_from(std::time::Duration::from_micros(wait_us)).ok()
    }

    fn look_at_the_clock(&mut self) {
        let now_us = monotonic_us();
        if self.kill_at_us.is_some_and(|at| now_us >= at) {
            self.kill_at_us = None;
            self.sandbox.kill();
        }
        if self.state == State::Starting && now_us >= self.start_until_us {
            self.failure.get_or_insert_with(|| never_ready(&self.spec).into());
            self.state = State::Stopping;
            self.probe = None;
            self.sandbox.kill();
        }
    }

    fn hear_init(&mut self) {
        match protocol::receive::<InitReport>(self.sandbox.channel()) {
            Ok(Some((InitReport::Started { rooted_us, executed_us }, _))) => {
                self.phases.rootfs_us = rooted_us.saturating_sub(self.phase_us);
                self.phases.start_us = executed_us.saturating_sub(rooted_us).max(1);
                self.phase_us = executed_us;
                self.started();
            }
            Ok(Some((InitReport::Failed(failure), _))) => {
                self.failure.get_or_insert(failure);
                self.exit = Some((None, None));
            }
            Ok(Some((InitReport::Exited { code, signal }, _))) => self.exit = Some((code, signal)),
            Ok(Some((InitReport::Prepared, _))) => {}
            // It was killed with everything else.
            Ok(None) | Err(_) => self.exit = Some((None, Some(libc::SIGKILL))),
        }
    }

    fn started(&mut self) {
        self.daemon.say(Report::Started);
        match self.spec.containers.first().and_then(|container| container.port) {
            Some(port) => {
                let to = SocketAddrV4::new(self.sandbox.address, port);
                self.probe = Some(Probe::new(to, self.phase_us));
                self.go_on_probing(false);
            }
            None => self.ready(None),
        }
    }

    fn go_on_probing(&mut self, socket_ready: bool) {
        let Some(probe) = &mut self.probe else { return };
        if probe.go_on(socket_ready, monotonic_us()) {
            let endpoint = SocketAddr::V4(probe.to);
            self.probe = None;
            self.ready(Some(endpoint));
        }
    }

    fn ready(&mut self, endpoint: Option<SocketAddr>) {
        self.phases.ready_us = monotonic_us() - self.phase_us;
        if self.state == State::Starting {
            self.state = State::Ready;
        }
        self.daemon.say(Report::Ready { endpoint, phases: self.phases });
    }

    fn look_for_oom(&mut self) {
        if let Some(oom) = &self.oom {
            let mut buffer = [0u8; 4096];
            // Reading makes it quiet until the next time.
            let _ = rustix::fs::seek(oom, rustix::fs::SeekFrom::Start(0));
            let _ = rustix::io::read(oom, &mut buffer);
        }
        if self.sandbox.group.oom_kills() == 0 {
            return;
        }
        if !self.oom_told {
            self.oom_told = true;
            self.daemon.say(Report::Oom);
        }
        // Half an instance helps nobody; version 2 kills it whole by itself.
        self.sandbox.kill();
    }

    fn hear_spawner(&mut self) {
        let Some(spawner) = &self.spawner else { return };
        match protocol::receive::<Order>(spawner) {
            Ok(Some((Order::End, _))) => {
                self.state = State::Stopping;
                self.sandbox.kill();
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => self.spawner = None,
        }
    }
}

/// Where something happened.
#[derive(Clone, Copy, Debug)]
enum Source {
    Output(usize),
    Init,
    Daemon,
    Spawner,
    Oom,
    Probe,
}

fn never_ready(spec: &InstanceSpec) -> Failure {
    let port = spec.containers.first().and_then(|container| container.port);
    let after = spec.start_timeout_ms;
    Failure::new(
        "NEVER_READY",
        match port {
            Some(port) => format!(
                "nothing accepted connections on port {port} within {after} ms of the start; the \
                 program must listen on 0.0.0.0:{port} (not on 127.0.0.1)"
            ),
            None => format!("the program was not executed within {after} ms"),
        },
    )
}
