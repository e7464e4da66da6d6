//! Server-side apply: sets of fields, who owns them, and merging. Pure; the verbs bring the
//! objects.
//!
//! Objects are looked into by the merge view of their kind ([`crate::schema::Node`]). The meaning
//! is that of Kubernetes: see its reference on server-side apply.

pub(crate) mod cap;
pub(crate) mod compare;
pub(crate) mod element;
pub(crate) mod last_applied;
pub(crate) mod managers;
pub(crate) mod merge;
pub(crate) mod set;
pub(crate) mod walk;
pub(crate) mod write;

#[cfg(test)]
mod tests;
