//! The reconcilers: from what is declared to what runs.
//!
//! What is here: Service to Configuration, Revision and Route; the rollout of a revision; the
//! decisions about how many instances run, carried out; Pod, Event and Node objects; removal of
//! what nothing needs or owns; namespaces that are deleted. What is deliberately absent: HTTP, images' and engines' insides, and the
//! rules themselves, which are pure functions in `ebb-rules`.
//!
//! # How it works
//!
//! Everything follows one pattern: observe, decide, act, record. Three loops do it.
//!
//! - **Names** (`reconcile`). A Service, its Configuration and its Route have one name, and so
//!   have a Configuration or Route that somebody made alone; the name is what is reconciled. A
//!   change in the store puts it into a queue; a worker reads everything of that name, `plan`s
//!   (pure), writes the difference in one commit that holds only if nothing changed meanwhile,
//!   and brings routes, rollouts and fleet in line. It can be repeated at any time, so a conflict
//!   or a failing store means: again, later. What a Service owns is put back when a client
//!   changes or deletes it; what it finds and does not own it leaves alone and says `NotOwned`.
//!   A Route that stands alone may name Configurations and Revisions of others: `followers`
//!   remembers which, so that their changes wake it, and `routes` knows who gets its requests.
//! - **Rollouts** (`rollout`). Each new revision is taken from tag to digest to a first instance
//!   that became ready, or to the code of what prevented that. The service keeps its latest ready
//!   revision all the while.
//! - **Fleet** (`fleet`). One small state per revision. A held request, an engine event or a time
//!   that a decision named wakes it; `ebb_rules::scale` decides; instances are started and stopped.
//!   Nothing is read from or written to a store between a request and the start of its instance.
//!
//! Beside them, for objects of every kind: `changes` follows both stores whole and feeds **garbage
//! collection** (`garbage`: what has lost its owners goes; `ebb_rules::collect` decides) and the
//! **emptying of namespaces** (`namespaces`). What Services own is removed by the loop of names
//! alone, in its order; garbage collection only wakes it. Every name and every object with owners
//! is looked at again within ten minutes although nothing told to (`resync`), which writes nothing
//! when nothing differs. Reasons of conditions and Events stand in one table (`reasons`).
//!
//! Pods, Events, the Node and replica counts are written behind, from books in memory
//! (`pods`, `events`); so is what `ebb explain` shows (`explain`). The books and queues
//! are bounded by the number of objects that exist.
//!
//! Entry points: [`Control::new`], [`Control::run`], [`Handle`]. The gateway is reached through
//! [`DataPlane`].

#![forbid(unsafe_code)]

mod seam;

mod config;
mod error;

mod control;
mod handle;
mod shared;

mod configuration;
mod plan;
mod reconcile;
mod revision;
mod route;
mod watch;

mod env;
mod instance_spec;
mod policy;
mod prepare;
mod rollout;

mod failure;
mod fleet;
mod followers;

mod events;
mod explain;
mod nodes;
mod pods;
mod routes;

mod changes;
mod garbage;
mod generic;
mod namespaces;
mod reasons;
mod resync;

mod conditions;
mod ids;
mod keys;
mod meta;
mod objects;
mod queue;

pub use config::{Config, NodeConfig};
pub use control::{Control, Deps};
pub use explain::Explanation;
pub use handle::Handle;
pub use seam::DataPlane;
