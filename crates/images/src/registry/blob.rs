//! Downloads of blobs: verified on the way, resumed where they broke off.

use std::path::Path;

use ebb_model::Digest;
use futures_util::StreamExt;
use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::retry::{Failure, Tries};
use super::session::Session;
use crate::Error;
use crate::error::{corrupt, storage};
use crate::manifest::Descriptor;

/// A file that is being downloaded.
struct Sink {
    file: tokio::fs::File,
    hash: Sha256,
    written: u64,
}

impl Sink {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).await.map_err(|error| storage("writing a blob", &error))?;
        self.hash.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    async fn restart(&mut self) -> Result<(), Error> {
        let fail = |error| storage("writing a blob", &error);
        self.file.set_len(0).await.map_err(fail)?;
        self.file.rewind().await.map_err(fail)?;
        self.hash = Sha256::new();
        self.written = 0;
        Ok(())
    }
}

impl Session<'_> {
    /// Downloads a blob to the new file `path` and makes it durable there. The file is verified
    /// when this succeeds; it may be left there when it fails.
    pub(crate) async fn blob(&self, blob: &Descriptor, path: &Path) -> Result<(), Error> {
        let fail = |error| storage("writing a blob", &error);
        // Here and not on another thread, which would make the file after whoever dropped this
        // future has cleared up.
        let file = std::fs::File::create_new(path).map_err(fail)?.into();
        let mut sink = Sink { file, hash: Sha256::new(), written: 0 };
        let mut tries = Tries::new(self.registry.retries);
        while let Err(failure) = self.part(blob, &mut sink).await {
            tries.wait(failure).await?;
        }
        let actual = Digest::from_sha256(sink.hash.finalize().into());
        if actual != blob.digest {
            let wanted = &blob.digest;
            return Err(corrupt(format!("the blob {wanted} came with the digest {actual}")));
        }
        sink.file.sync_all().await.map_err(fail)
    }

    /// One try: everything that is missing.
    async fn part(&self, blob: &Descriptor, sink: &mut Sink) -> Result<(), Failure> {
        let mut headers = HeaderMap::new();
        if sink.written > 0 {
            let range = format!("bytes={}-", sink.written);
            headers.extend(HeaderValue::from_str(&range).ok().map(|range| (RANGE, range)));
        }
        let response = self.get(&format!("blobs/{}", blob.digest), &headers).await?;
        self.place(&response, sink).await?;
        let short = || corrupt(format!("the blob {} is truncated", blob.digest));
        let expected = blob.size - sink.written;
        if response.content_length().is_some_and(|length| length != expected) {
            let digest = &blob.digest;
            return Err(Failure::last(corrupt(format!("the blob {digest} has a wrong size"))));
        }
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| Failure::again(short()))?;
            if sink.written + chunk.len() as u64 > blob.size {
                let digest = &blob.digest;
                return Err(Failure::last(corrupt(format!("the blob {digest} is too long"))));
            }
            sink.write(&chunk).await?;
        }
        if sink.written < blob.size {
            return Err(Failure::again(short()));
        }
        Ok(())
    }

    /// Makes the file end where the answer begins.
    async fn place(&self, response: &Response, sink: &mut Sink) -> Result<(), Failure> {
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = response.headers().get(CONTENT_RANGE);
                let start = format!("bytes {}-", sink.written);
                if range.is_some_and(|range| range.as_bytes().starts_with(start.as_bytes())) {
                    return Ok(());
                }
                sink.restart().await?;
                Err(Failure::again(corrupt("the registry sent another part than was asked for")))
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                sink.restart().await?;
                Err(Failure::again(corrupt("the registry does not have the rest of a blob")))
            }
            // A server may ignore the range and send everything.
            _ if sink.written > 0 => Ok(sink.restart().await?),
            _ => Ok(()),
        }
    }
}
