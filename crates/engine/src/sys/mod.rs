//! The kernel, each dangerous call behind a safe function. The only unsafe code of the project.
//!
//! What `rustix` offers safely is used directly by the modules above; here is the rest: making
//! processes, signal masks, id-mapped mounts, descriptors that arrive by number.

pub(crate) mod bpf;
pub(crate) mod caps;
pub(crate) mod fd;
pub(crate) mod mount;
pub(crate) mod netns;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod seccomp;
pub(crate) mod signal;
