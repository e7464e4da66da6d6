//! The data plane: holds a request, asks for an instance, speaks straight to it.
//!
//! What is here: HTTP/1.1 from clients to instances. A request is routed by its `Host`, its
//! revision is picked by the shares of the route, and it is given to the instance with the
//! fewest requests, within the revision's concurrency. When no instance can take it, it is held,
//! first come first served, until one can, until its time is over, or until its client goes
//! away. Bodies stream both ways without being collected; whoever reads slowly slows the sender.
//!
//! What is deliberately absent: the decision how many instances there should be, and their
//! starts and stops. The gateway tells its [`Activator`] that it holds a request, is told by its
//! [`Handle`] which instances are ready, and counts exactly what it holds and has in flight. TLS,
//! HTTP/2 and path routing are not here yet.
//!
//! # How it works
//!
//! One task per client connection does everything: the `gate` reads strictly what may be a
//! request, hyper parses it, `forward` finds it a place (`revision`) and sends it over a
//! connection (`upstream`) that is polled by the same task, and `reply` streams the response
//! back. So a request that finds a ready instance wakes no other task. Whatever a request
//! occupies is a guard, given back on every way out: answered, failed, timed out, aborted by the
//! client, or lost in a panic.
//!
//! Routes are one immutable `route::Table` that is swapped as a whole. Each revision has one
//! short lock for its instances, its queue and its counters.
//!
//! # What the gateway answers itself
//!
//! JSON `{"error":{"code","status","message","request_id"}}` with the header `Ebb-Reason`:
//! `NO_ROUTE`, `REVISION_NOT_READY`, `OVERLOADED`, `TIMEOUT`, `UPSTREAM_CLOSED`,
//! `UPSTREAM_INVALID`; and, closing the connection, `MALFORMED_REQUEST`, `HEADERS_TOO_LARGE`,
//! `URI_TOO_LONG`, `HEADER_TIMEOUT`, `CONNECT_UNSUPPORTED`, `EXPECTATION_FAILED`,
//! `HTTP_VERSION_UNSUPPORTED`. Held requests can also fail with the code that control gives.
//!
//! # Entry points
//!
//! [`Gateway::new`] gives the part and its [`Handle`]; [`Gateway::run`] serves.

#![forbid(unsafe_code)]

mod answer;
mod body;
mod config;
mod connection;
mod deadline;
mod error;
mod forward;
mod gate;
mod gateway;
mod headers;
mod ids;
mod instance;
mod names;
mod reply;
mod revision;
mod route;
mod seam;
mod shared;
mod upstream;

pub use config::Config;
pub use error::Error;
pub use gateway::{Gateway, Handle};
pub use seam::Activator;
