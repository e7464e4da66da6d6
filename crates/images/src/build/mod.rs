//! Makes OCI images without any other tool: for the demo, end-to-end tests and benchmarks.
//!
//! ```no_run
//! use ebb_images::build::{ImageBuilder, Layer};
//!
//! let program = std::fs::read("hello")?;
//! let digest = ImageBuilder::new()
//!     .layer(Layer::new().file("/hello", program, 0o755).dir("/tmp", 0o1777))
//!     .entrypoint(["/hello"])
//!     .expose(8080)
//!     .write_archive("hello.tar".as_ref(), &"localhost/hello:1".parse()?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The same input gives the same bytes: entries are sorted and every time is the epoch. A layer is
//! held in memory, so this is not for images of many gigabytes.

mod layer;

use std::collections::BTreeMap;
use std::path::Path;

use ebb_model::{Digest, Reference};
use serde_json::json;
use sha2::{Digest as _, Sha256};

pub use layer::{Compression, Layer};

use crate::Error;
use crate::error::storage;
use crate::manifest::{Descriptor, Index, Manifest, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Platform};

/// Annotation of an index entry with the whole reference, as containerd and docker write it.
pub(crate) const FULL_NAME: &str = "io.containerd.image.name";
/// Annotation of an index entry with the tag (OCI image specification, "annotations").
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Collects layers and configuration of one image.
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    layers: Vec<Layer>,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
    env: Vec<String>,
    ports: BTreeMap<String, serde_json::Value>,
    user: String,
    working_dir: String,
    labels: BTreeMap<String, String>,
    stop_signal: String,
    platform: Platform,
}

/// A finished image: its blobs, and which one is the manifest.
#[derive(Clone, Debug)]
pub struct Built {
    /// Digest of the manifest.
    pub digest: Digest,
    /// The manifest, with its media type and size.
    manifest: Descriptor,
    /// Every blob, the manifest included, by digest.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Default for ImageBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl ImageBuilder {
    /// An image for linux/amd64 without layers and without command.
    pub fn new() -> Self {
        Self {
            layers: Vec::new(),
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            env: Vec::new(),
            ports: BTreeMap::new(),
            user: String::new(),
            working_dir: String::new(),
            labels: BTreeMap::new(),
            stop_signal: String::new(),
            platform: Platform {
                os: "linux".to_owned(),
                architecture: "amd64".to_owned(),
                variant: None,
            },
        }
    }

    /// Adds a layer above those that are there.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// `Entrypoint`.
    #[must_use]
    pub fn entrypoint<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.entrypoint = words.into_iter().map(Into::into).collect();
        self
    }

    /// `Cmd`.
    #[must_use]
    pub fn cmd<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.cmd = words.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a variable to `Env`.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Adds a TCP port to `ExposedPorts`.
    #[must_use]
    pub fn expose(mut self, port: u16) -> Self {
        self.ports.insert(format!("{port}/tcp"), json!({}));
        self
    }

    /// `User`.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// `WorkingDir`.
    #[must_use]
    pub fn workdir(mut self, dir: &str) -> Self {
        dir.clone_into(&mut self.working_dir);
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// `StopSignal`.
    #[must_use]
    pub fn stop_signal(mut self, signal: &str) -> Self {
        signal.clone_into(&mut self.stop_signal);
        self
    }

    /// For which machine the image says it is, such as `linux` and `arm64`.
    #[must_use]
    pub fn platform(mut self, os: &str, architecture: &str) -> Self {
        os.clone_into(&mut self.platform.os);
        architecture.clone_into(&mut self.platform.architecture);
        self
    }

    /// Makes every blob.
    pub fn build(&self) -> Result<Built, Error> {
        let mut blobs = BTreeMap::new();
        let (mut layers, mut diff_ids) = (Vec::new(), Vec::new());
        for layer in &self.layers {
            let packed = layer.pack().map_err(|error| storage("packing a layer", &error))?;
            diff_ids.push(packed.diff_id);
            layers.push(add(&mut blobs, packed.compression.media_type(), packed.bytes));
        }
        let config = add(&mut blobs, OCI_CONFIG, json_bytes(&self.config(&diff_ids))?);
        let manifest = Manifest {
            schema_version: 2,
            media_type: OCI_MANIFEST.to_owned(),
            artifact_type: None,
            config,
            layers,
        };
        let mut descriptor = add(&mut blobs, OCI_MANIFEST, json_bytes(&manifest)?);
        descriptor.platform = Some(self.platform.clone());
        Ok(Built { digest: descriptor.digest.clone(), manifest: descriptor, blobs })
    }

    /// Writes an OCI archive: a tar of an OCI layout with one image under the name `reference`.
    /// Answers the digest of the image manifest.
    pub fn write_archive(&self, path: &Path, reference: &Reference) -> Result<Digest, Error> {
        let built = self.build()?;
        let fail = |error: std::io::Error| storage("writing an image archive", &error);
        let file = std::fs::File::create(path).map_err(fail)?;
        let mut tar = tar::Builder::new(std::io::BufWriter::new(file));
        for (name, bytes) in built.members(reference)? {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            header.set_mtime(0);
            tar.append_data(&mut header, name, bytes.as_slice()).map_err(fail)?;
        }
        let writer = tar.into_inner().map_err(fail)?;
        writer.into_inner().map_err(|error| fail(error.into_error()))?;
        Ok(built.digest)
    }

    /// Writes an OCI layout directory, which is made when it is not there. Answers the digest of
    /// the image manifest.
    pub fn write_layout(&self, dir: &Path, reference: &Reference) -> Result<Digest, Error> {
        let built = self.build()?;
        let fail = |error: std::io::Error| storage("writing an image layout", &error);
        std::fs::create_dir_all(dir.join("blobs/sha256")).map_err(fail)?;
        for (name, bytes) in built.members(reference)? {
            std::fs::write(dir.join(name), bytes).map_err(fail)?;
        }
        Ok(built.digest)
    }

    fn config(&self, diff_ids: &[Digest]) -> serde_json::Value {
        let mut run = json!({
            "Env": self.env, "Entrypoint": self.entrypoint, "Cmd": self.cmd,
            "ExposedPorts": self.ports, "Labels": self.labels,
        });
        for (name, value) in [
            ("User", &self.user),
            ("WorkingDir", &self.working_dir),
            ("StopSignal", &self.stop_signal),
        ] {
            if !value.is_empty() {
                run[name] = json!(value);
            }
        }
        json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": self.platform.architecture,
            "os": self.platform.os,
            "config": run,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        })
    }
}

impl Built {
    /// The files of an OCI layout, by their path in it.
    fn members(&self, reference: &Reference) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut entry = self.manifest.clone();
        entry.annotations.insert(FULL_NAME.to_owned(), reference.to_string());
        if let Some(tag) = &reference.tag {
            entry.annotations.insert(REF_NAME.to_owned(), tag.clone());
        }
        let index =
            Index { schema_version: 2, media_type: OCI_INDEX.to_owned(), manifests: vec![entry] };
        let mut members = vec![
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), json_bytes(&index)?),
        ];
        for (digest, bytes) in &self.blobs {
            members.push((format!("blobs/sha256/{}", digest.hex()), bytes.clone()));
        }
        Ok(members)
    }
}

fn add(blobs: &mut BTreeMap<Digest, Vec<u8>>, media_type: &str, bytes: Vec<u8>) -> Descriptor {
    let digest = Digest::from_sha256(Sha256::digest(&bytes).into());
    let descriptor = Descriptor::new(media_type, digest.clone(), bytes.len() as u64);
    blobs.insert(digest, bytes);
    descriptor
}

fn json_bytes(value: &impl serde::Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| {
        crate::error::config_invalid(format!("the image cannot be written: {error}"))
    })
}
