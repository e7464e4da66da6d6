//! The engine of this machine: instances in namespaces, control groups and an overlay.
//!
//! Four kinds of processes, all the same program file, which [`reexec`] runs from sealed memory:
//!
//! ```text
//! spawner ── root, one thread, no parser. Forks the others, holds sockets, restarts the daemon.
//!   ├── daemon ── `Linux` lives here: asks for starts, watches, reads output. Never forks.
//!   ├── shim ── one per sandbox: makes it ahead, becomes an instance, outlives the daemon.
//!   │     └── init ── process 1 in the sandbox; executes the program, reaps.
//!   │           └── the program
//!   └── supervisor ── of one confined process that reads hostile input (`Linux::confined`).
//! ```
//!
//! A start is two messages: the daemon hands the spec (in a memory file) and one end of a fresh
//! socket to the spawner, the spawner passes both on to a shim that waits in the reserve. From
//! then on daemon and shim speak over that socket alone. What is the same for every instance
//! (namespaces, network, control group, procfs, sysfs, devices) exists by then; what is left is to
//! mount the layers, to move in, to give up every privilege and to execute.
//!
//! Nothing here is async but [`Linux`] and its parts; nothing in spawner, shim and init may panic,
//! and if it does anyway, the process ends, and with it what depends on it.

pub mod caps;
pub(crate) mod cgroup;
mod client;
pub mod devices;
mod failure;
mod inherited;
mod init;
mod logs;
pub mod net;
mod packets;
mod protocol;
pub mod reexec;
mod rootfs;
pub mod seccomp;
mod shim;
pub mod spawner;
mod users;

pub use client::{ConfinedOutput, Kept, Linux, LinuxConfig};
pub use inherited::Inherited;
pub use logs::LogLimits;
