//! `docker save` archives: `manifest.json` names the configuration and the layers by path.

use std::io::Read;

use ebb_model::Digest;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::source::unreadable;
use super::{ArchiveImage, Source, image_name};
use crate::Error;
use crate::error::{config_invalid, corrupt_archive, no_archive, too_large};
use crate::image_config;
use crate::manifest::{self, Descriptor, Manifest};
use crate::shown::{json, shown};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

pub(super) fn images(source: &Source) -> Result<Vec<ArchiveImage>, Error> {
    let bytes = source.read("manifest.json", manifest::BYTES_MAX)?.ok_or_else(|| {
        no_archive(
            "the file is no OCI or docker archive: it has neither index.json nor manifest.json",
        )
    })?;
    let items: Vec<Item> = serde_json::from_slice(&bytes)
        .map_err(|error| config_invalid(format!("manifest.json is not valid: {}", json(&error))))?;
    if items.is_empty() {
        return Err(no_archive("the archive holds no image"));
    }
    items.iter().map(|item| image(source, item)).collect()
}

fn image(source: &Source, item: &Item) -> Result<ArchiveImage, Error> {
    let config_bytes = source
        .read(&item.config, manifest::BYTES_MAX)?
        .ok_or_else(|| corrupt_archive(format!("{} is not in the archive", shown(&item.config))))?;
    let config = image_config::parse(&config_bytes)?;
    let digest = Digest::from_sha256(Sha256::digest(&config_bytes).into());
    let size = config_bytes.len() as u64;
    let config_blob = Descriptor::new(manifest::OCI_CONFIG, digest, size);
    let paths = item.layers.as_deref().unwrap_or_default();
    if paths.len() > manifest::LAYERS_MAX {
        let limit = manifest::LAYERS_MAX as u64;
        return Err(too_large("the number of layers", limit, paths.len() as u64));
    }
    let mut layers = Vec::new();
    for path in paths {
        layers.push(layer(source, path)?);
    }
    let paths = paths.iter().chain([&item.config]).cloned();
    let members = layers.iter().chain([&config_blob]).cloned().zip(paths).collect();
    let manifest = Manifest {
        schema_version: 2,
        media_type: manifest::OCI_MANIFEST.to_owned(),
        artifact_type: None,
        config: config_blob,
        layers,
    };
    manifest.check(&config)?;
    let manifest_bytes = serde_json::to_vec(&manifest)
        .map_err(|error| config_invalid(format!("the manifest cannot be written: {error}")))?;
    let digest = Digest::from_sha256(Sha256::digest(&manifest_bytes).into());
    let names =
        item.repo_tags.iter().flatten().map(|tag| image_name(tag)).collect::<Result<_, _>>()?;
    Ok(ArchiveImage { digest, manifest_bytes, config, names, members })
}

/// Reads a layer once for its digest; the archive does not say how it is compressed.
fn layer(source: &Source, path: &str) -> Result<Descriptor, Error> {
    let mut section = source
        .section(path)?
        .ok_or_else(|| corrupt_archive(format!("{} is not in the archive", shown(path))))?;
    let size = section.len();
    let (mut hash, mut magic, mut buffer) = (Sha256::new(), Vec::new(), vec![0; 128 << 10]);
    loop {
        let read = section.read(&mut buffer).map_err(|error| unreadable(path, &error))?;
        if read == 0 {
            break;
        }
        if magic.is_empty() {
            magic = buffer[..read.min(4)].to_vec();
        }
        hash.update(&buffer[..read]);
    }
    let media_type = match magic.as_slice() {
        [0x1f, 0x8b, ..] => manifest::OCI_LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => manifest::OCI_LAYER_ZSTD,
        _ => manifest::OCI_LAYER,
    };
    Ok(Descriptor::new(media_type, Digest::from_sha256(hash.finalize().into()), size))
}
