//! The unpack loop without any confinement.

use std::fs::File;

use async_trait::async_trait;
use ebb_model::Kind;

use crate::{Confine, Error, UnpackJob, UnpackReport};

/// Unpacks on a thread of the calling process, with its rights and without limits on memory and
/// time. For tests and for images that one built oneself; **not for hostile images**: a fault in
/// the unpacker is then a fault of the whole process. It needs root, because files get their owners.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unconfined;

#[async_trait]
impl Confine for Unconfined {
    async fn unpack(&self, job: UnpackJob) -> Result<UnpackReport, Error> {
        // The thread goes on when this future is dropped, and keeps what is to be kept.
        let work = move || {
            let _keep = job.keep;
            super::unpack(File::from(job.blob), job.target, &job.compression)
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| {
            Error::new("UNPACK_FAILED", Kind::Internal, format!("unpacking ended: {error}"))
                .hint("report this with the message")
        })?
    }
}
