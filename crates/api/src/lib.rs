//! The native door: a Kubernetes-shaped API server over the stores. The only crate that knows the
//! HTTP shapes of resources.
//!
//! **What it is.** TLS with the platform's own certificate authority, one admin token, and the
//! verbs of the Kubernetes API (get, list, watch, create, update, merge patch, delete) for a
//! registry of kinds, with tables, discovery and enough OpenAPI for kubectl. Besides: container
//! logs, and under `ebb.dev/v1` images and explanations.
//!
//! **What it is not.** It decides nothing. It writes what was asked for, once, atomically and
//! checked; controllers act on it. Status is written by controllers straight through the store, so
//! whatever a client sends as status is dropped. Protobuf bodies, server-side apply, JSON patch,
//! exec, attach and port-forward are refused by name.
//!
//! Every Knative kind is written by people, with one exception: a Revision is made by its
//! Configuration, so it cannot be created here, only its labels and annotations can be changed
//! (`REVISION_IMMUTABLE`), and one that a Route names cannot be deleted. What a Service owns can be
//! changed like anything else; controllers put it back.
//!
//! **How it works.** A connection is accepted and decrypted by `server`; a request goes through
//! `dispatch`, always in the same order: `route` turns method and path into a typed `Route`,
//! `auth` turns the header into a principal, `authorize` is asked once, here and nowhere else, and
//! only then one function of `verbs` runs. Writes pass `admission`: decode strictly (`decode`),
//! default, validate, then one store commit with the preconditions that make it safe.
//!
//! Adding a kind is one file under `kinds` with its type, columns, defaults and validation, and
//! one line in `registry`.
//!
//! **Entry points.** [`Api::new`], [`Api::run`], [`tls::Authority`], [`kubeconfig::write`],
//! [`routes`].

#![forbid(unsafe_code)]

mod admission;
mod app;
pub mod auth;
mod body;
mod config;
mod context;
mod decode;
mod discovery;
mod dispatch;
mod error;
mod explain;
mod images;
mod kinds;
pub mod kubeconfig;
mod log;
mod meta;
mod openapi;
mod patch;
mod platform;
mod private;
mod registry;
mod route;
mod select;
mod server;
mod status;
mod storage;
mod table;
pub mod tls;
mod verbs;

pub use app::Deps;
pub use config::Config;
pub use error::Error;
pub use platform::{Explanation, Platform};
pub use route::{RouteInfo, routes};
pub use server::{Api, Handle};
