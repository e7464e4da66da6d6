//! Takes in archives. From an untrusted archive only content comes, never a path on disk.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use ebb_model::image::ImageSummary;
use ebb_model::{Digest, Reference};
use sha2::{Digest as _, Sha256};

use super::pull::Origin;
use super::{Inner, files, state};
use crate::Error;
use crate::archive::{self, ArchiveImage, Source};
use crate::error::{corrupt_archive, storage};
use crate::manifest::Descriptor;

impl Inner {
    pub(super) fn load(
        &self,
        path: &Path,
        name: Option<&Reference>,
    ) -> Result<Vec<ImageSummary>, Error> {
        let source = Source::open(path, &self.paths.temp())?;
        let images = archive::images(&source, name)?;
        for image in &images {
            self.take(&source, image)?;
        }
        let state = self.lock();
        let tagged = images.iter().flat_map(|image| {
            image.names.iter().filter_map(|name| state.summary(Some(name), &image.digest))
        });
        Ok(tagged.collect())
    }

    /// Stores every blob of one image, and tags it at the very end.
    fn take(&self, source: &Source, image: &ArchiveImage) -> Result<(), Error> {
        let blobs = image.members.iter().map(|(blob, _)| blob.digest.clone());
        let _busy = self.busy(blobs.chain([image.digest.clone()]));
        for (blob, member) in &image.members {
            self.copy(source, blob, member)?;
        }
        files::write(&self.paths, &self.paths.blob(&image.digest), &image.manifest_bytes)
            .map_err(|error| storage("writing a manifest", &error))?;
        let read = state::read_image(&self.paths, &image.digest)?;
        self.record(&image.digest, read, &Origin::Loaded(&image.names))
    }

    fn copy(&self, source: &Source, blob: &Descriptor, member: &str) -> Result<(), Error> {
        let path = self.paths.blob(&blob.digest);
        if path.exists() {
            return Ok(());
        }
        let fail = |error| storage("writing a blob", &error);
        let digest = &blob.digest;
        let mut section = source
            .section(member)?
            .ok_or_else(|| corrupt_archive(format!("{digest} is not in the archive")))?;
        if section.len() != blob.size {
            return Err(corrupt_archive(format!("{digest} in the archive has a wrong size")));
        }
        let scratch = self.paths.scratch();
        let mut file = File::create_new(scratch.path()).map_err(fail)?;
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; 256 << 10]);
        loop {
            let read = section
                .read(&mut buffer)
                .map_err(|error| corrupt_archive(format!("{digest} cannot be read: {error}")))?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            file.write_all(&buffer[..read]).map_err(fail)?;
        }
        let actual = Digest::from_sha256(hash.finalize().into());
        if actual != *digest {
            return Err(corrupt_archive(format!(
                "{digest} in the archive has the digest {actual}"
            )));
        }
        file.sync_all().map_err(fail)?;
        scratch.publish(&path).map_err(fail)
    }
}
