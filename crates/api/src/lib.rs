//! The native door: a Kubernetes-shaped API server over the stores. The only crate that knows the
//! HTTP shapes of resources.
//!
//! **What it is.** TLS with the platform's own certificate authority, one admin token, and the
//! verbs of the Kubernetes API (get, list, watch, create, update, every form of patch, server-side
//! apply, delete) for a registry of kinds, with tables, discovery and OpenAPI. Besides: container
//! logs, the number of instances as `scale`, reviews of what one may do (`access`), and under
//! `ebb.dev/v1` images and explanations.
//!
//! **What it is not.** It decides nothing. It writes what was asked for, once, atomically and
//! checked; controllers act on it. A status that a client sends with an object is dropped: it is
//! written by controllers straight through the store, and by clients through the `status`
//! subresource. Exec, attach and port-forward are not there.
//!
//! Every Knative kind is written by people, with one exception: a Revision is made by its
//! Configuration, so it cannot be created here, only its labels and annotations can be changed
//! (`REVISION_IMMUTABLE`), and one that a Route names cannot be deleted. What a Service owns can be
//! changed like anything else; controllers put it back.
//!
//! **How it works.** A connection is accepted and decrypted by `server`; a request goes through
//! `dispatch`, always in the same order: `route` turns method and path into a typed `Route`,
//! `auth` turns the header into a principal, `authorize` is asked about it, `priority` gives it a
//! seat or lets it wait, and only then one function of `verbs` runs. A change that turns out to make
//! its object is asked about once more, as a creation. A panic is caught and answered (`panics`).
//! Lists and watches copy stored bytes (`raw`) and are sent as they are read. Bodies are JSON, YAML
//! or, for Kubernetes' own kinds, protobuf (`protobuf`). Writes pass the pipeline of [`admission`]:
//! decode strictly (`decode`), default, validate, then the policies and quotas that the platform
//! hooked in. Then the write is attributed to its field manager (`apply` is the algorithm,
//! `verbs::writer` brings it the objects), and one store commit with the preconditions that make
//! it safe ends it. A write that changes nothing commits nothing.
//!
//! Adding a kind is one file under `kinds` with its type, columns, defaults and validation, and
//! one line in `registry`.
//!
//! **Entry points.** [`Api::new`], [`Api::run`], [`tls::Authority`], [`kubeconfig::write`],
//! [`routes`].

#![forbid(unsafe_code)]

mod accept;
mod access;
pub mod admission;
mod app;
mod apply;
pub mod auth;
mod body;
mod config;
mod context;
mod decode;
mod discovery;
mod dispatch;
mod document;
mod entropy;
mod error;
mod explain;
mod gzip;
mod health;
mod images;
mod kinds;
pub mod kubeconfig;
mod leftover;
mod log;
mod meta;
mod openapi;
mod owners;
mod panics;
mod patch;
mod platform;
mod priority;
mod private;
mod protobuf;
mod raw;
mod registry;
mod route;
mod schema;
mod select;
mod server;
mod status;
mod storage;
mod table;
pub mod tls;
mod turns;
mod verbs;

pub use app::Deps;
pub use body::Body;
pub use config::Config;
pub use entropy::seed_this_thread;
pub use error::Error;
pub use platform::{Explanation, Platform};
pub use registry::resources;
pub use route::{RouteInfo, routes};
pub use server::{Api, Direct, Handle};
