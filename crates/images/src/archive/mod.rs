//! Reads what is in an image archive: an OCI layout (directory or tar) or the output of
//! `docker save`. Everything is checked here that can be checked without unpacking a layer.

mod docker;
mod source;

use std::path::Path;

use ebb_model::{Digest, Reference};
use sha2::{Digest as _, Sha256};

pub(crate) use source::Source;

use crate::Error;
use crate::build::{FULL_NAME, REF_NAME};
use crate::error::{config_invalid, corrupt_archive, no_archive};
use crate::image_config::{self, Config};
use crate::manifest::{self, Descriptor, Document, Manifest};
use crate::shown::shown;

/// One image of an archive.
pub(crate) struct ArchiveImage {
    /// Digest of the manifest.
    pub(crate) digest: Digest,
    /// The manifest as bytes: those of the archive, or those made from a docker archive.
    pub(crate) manifest_bytes: Vec<u8>,
    /// The configuration, read.
    pub(crate) config: Config,
    /// Names that the archive gives it, or the one that the caller gave.
    pub(crate) names: Vec<Reference>,
    /// Member of the archive that holds each blob of the manifest.
    pub(crate) members: Vec<(Descriptor, String)>,
}

/// Every image of the archive at `path`. `name` overrides the name when there is one image.
pub(crate) fn read_images(
    path: &Path,
    name: Option<&Reference>,
) -> Result<Vec<ArchiveImage>, Error> {
    let source = Source::open(path, &std::env::temp_dir())?;
    images(&source, name)
}

/// Every image of an open archive.
pub(crate) fn images(
    source: &Source,
    name: Option<&Reference>,
) -> Result<Vec<ArchiveImage>, Error> {
    let mut images = match source.read("index.json", manifest::BYTES_MAX)? {
        Some(index) => layout(source, &index)?,
        None => docker::images(source)?,
    };
    if let Some(name) = name {
        let [image] = images.as_mut_slice() else {
            return Err(no_archive("a name can be given only to an archive that holds one image")
                .hint("load it without a name: the archive names its images itself"));
        };
        image.names = vec![Reference { digest: None, ..name.clone() }];
    }
    match images.iter().find(|image| image.names.is_empty()) {
        Some(image) => Err(Error::new(
            "IMAGE_REFERENCE_INVALID",
            ebb_model::Kind::Invalid,
            format!("the archive does not name the image {}", image.digest),
        )
        .hint("give a name, such as localhost/app:1")),
        None => Ok(images),
    }
}

/// The images of an OCI layout (OCI image specification, "image layout").
fn layout(source: &Source, index: &[u8]) -> Result<Vec<ArchiveImage>, Error> {
    let index = match manifest::parse(index, manifest::OCI_INDEX)? {
        Document::Index(index) => index,
        Document::Manifest(_) => return Err(no_archive("index.json of the archive is no index")),
    };
    let mut images: Vec<ArchiveImage> = Vec::new();
    for entry in &index.manifests {
        let (descriptor, bytes, manifest) = resolve(source, entry)?;
        let names = names(entry)?;
        if let Some(same) = images.iter_mut().find(|image| image.digest == descriptor.digest) {
            same.names.extend(names);
            continue;
        }
        let read = blob(source, &manifest.config)?;
        let config = image_config::parse(&read)?;
        manifest.check(&config)?;
        let blobs = manifest.layers.iter().chain([&manifest.config]);
        let members = blobs.map(|blob| (blob.clone(), path_of(&blob.digest))).collect();
        let digest = descriptor.digest;
        images.push(ArchiveImage { digest, manifest_bytes: bytes, config, names, members });
    }
    if images.is_empty() {
        return Err(no_archive("the archive holds no image"));
    }
    Ok(images)
}

/// The manifest that an entry of the top index stands for: itself, or the one of this platform in
/// the index that it names.
fn resolve(source: &Source, entry: &Descriptor) -> Result<(Descriptor, Vec<u8>, Manifest), Error> {
    let mut descriptor = entry.clone();
    for _ in 0..manifest::DEPTH_MAX {
        let bytes = blob(source, &descriptor)?;
        match manifest::parse(&bytes, &descriptor.media_type)? {
            Document::Manifest(manifest) => return Ok((descriptor, bytes, manifest)),
            Document::Index(index) => descriptor = index.choose()?.clone(),
        }
    }
    Err(no_archive("indexes are nested too deep"))
}

/// A document of the archive, with digest and size verified.
fn blob(source: &Source, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
    let digest = &descriptor.digest;
    let bytes = source
        .read(&path_of(digest), manifest::BYTES_MAX)?
        .ok_or_else(|| corrupt_archive(format!("{digest} is not in the archive")))?;
    let actual = Digest::from_sha256(Sha256::digest(&bytes).into());
    if actual != *digest || bytes.len() as u64 != descriptor.size {
        return Err(corrupt_archive(format!("{digest} in the archive has the digest {actual}")));
    }
    Ok(bytes)
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The name that an index entry carries. `ref.name` alone is usually a tag only, which is no name.
fn names(entry: &Descriptor) -> Result<Vec<Reference>, Error> {
    let full = entry.annotations.get(FULL_NAME);
    let short = entry.annotations.get(REF_NAME).filter(|name| name.contains(['/', ':']));
    match full.or(short) {
        Some(name) => Ok(vec![image_name(name)?]),
        None => Ok(Vec::new()),
    }
}

/// A name that an archive gives an image.
fn image_name(text: &str) -> Result<Reference, Error> {
    let name: Reference = text.parse().map_err(|_| {
        let text = shown(text);
        config_invalid(format!("the archive names its image {text}, which is no image name"))
            .hint("give the image another tag, save the archive again, and load that")
    })?;
    Ok(Reference { digest: None, ..name })
}
