//! Images: where they come from, how they are kept, and how hostile ones are unpacked.
//!
//! What is here:
//!
//! - [`ImageStore`], the seam that the rest of the platform sees: resolve a name to a digest, pull
//!   it, tell how to build its root filesystem, pin and prune;
//! - [`local::Local`], the content store on disk, and [`sim::SimImages`], its simulated twin; both
//!   pass [`conformance`];
//! - [`registry`], a client for any OCI registry;
//! - [`unpack`], the loop that runs in a confined process and makes a layer's tree;
//! - [`build`], which makes images for the demo, tests and benchmarks.
//!
//! What is deliberately absent: nothing here mounts, makes a namespace or runs a program of an
//! image. The confinement of the unpacker comes from outside, through [`Confine`]. Whether an
//! image has a command is for the one who runs it to ask.
//!
//! How it works: a name is resolved once, against loaded tags first and then the registry, and
//! from there on everything goes by digest. A pull downloads what is missing, verifies each byte
//! by digest while it arrives, hands each layer to a confined process, compares the digest of what
//! came out with the image's configuration, marks opaque directories, and only then gives the tree
//! its name. So a name on disk is whole, and whoever sees it needs to check nothing.
//!
//! What is untrusted: the registry, the archive, and every byte of the image. Documents are read
//! with limits, and strictly: where two readers could understand them differently they are
//! refused. No path on disk ever comes from an image, except below the directory of its own layer,
//! where everything is done by descriptor.

#![forbid(unsafe_code)]

mod archive;
pub mod build;
pub mod conformance;
mod error;
mod image_config;
pub mod local;
mod manifest;
pub mod registry;
mod seam;
mod shown;
pub mod sim;
pub mod unpack;

pub use error::Error;
pub use seam::{Confine, ImageStore, Pull, UnpackJob, UnpackReport};
