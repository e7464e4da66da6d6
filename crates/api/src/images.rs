//! Images of the platform under `ebb.dev/v1`: list, load an archive, remove a name.

use std::path::Path;

use ebb_model::image::ImageSummary;
use ebb_model::{Digest, Fault, Reference};
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::body::{self, Body, Sent};
use crate::context::{Context, View};
use crate::status::Failure;
use crate::table::{self, Column, NAME, column};

/// The platform's own API group.
pub(crate) const GROUP: &str = "ebb.dev";
/// Its version.
pub(crate) const VERSION: &str = "v1";

const COLUMNS: &[Column] = &[
    NAME,
    column("Digest", "Digest of the image manifest."),
    column("Size", "Bytes of manifest, configuration and compressed layers."),
    column("Age", "Time since the image became complete here."),
];

/// Answers every image.
pub(crate) async fn list(context: &Context) -> Result<Response<Body>, Failure> {
    let images = context.app.deps.images.list().await.map_err(Fault::from)?;
    Ok(answer(context, StatusCode::OK, &images))
}

fn answer(context: &Context, status: StatusCode, images: &[ImageSummary]) -> Response<Body> {
    let items: Vec<Value> = images.iter().map(object).collect();
    // Images are not versioned objects; 0 is what Kubernetes calls "any version".
    let metadata = json!({ "resourceVersion": "0" });
    if !matches!(context.view, View::Table(_)) {
        let list = json!({
            "kind": "ImageList",
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "metadata": metadata,
            "items": items,
        });
        return body::json(status, &list);
    }
    let now = context.app.deps.clock.now();
    let rows = items.iter().zip(images).map(|(item, image)| {
        let name = match &image.reference {
            Some(reference) => reference.to_string(),
            None => "<none>".to_owned(),
        };
        let digest = &image.digest.hex()[..12];
        let age = table::age(item, "/metadata/creationTimestamp", now);
        json!({ "cells": [name, digest, image.size_bytes.to_string(), age], "object": item })
    });
    body::json(status, &table::from_rows(COLUMNS, &rows.collect::<Vec<_>>(), &metadata, true))
}

/// An image as an object: its summary, with what every Kubernetes object has.
fn object(image: &ImageSummary) -> Value {
    let mut value = json!(image);
    value["kind"] = json!("Image");
    value["apiVersion"] = json!(format!("{GROUP}/{VERSION}"));
    value["metadata"] = json!({
        "name": format!("sha256-{}", image.digest.hex()),
        "creationTimestamp": image.created.to_rfc3339_seconds(),
    });
    value
}

fn reference(context: &Context, parameter: &str) -> Result<Option<Reference>, Failure> {
    let text = context.query.get(parameter);
    Ok(text.map(str::parse::<Reference>).transpose()?)
}

/// The image to remove. A digest alone means every name of it: only the digest of a reference that
/// has one decides which image is meant.
fn target(context: &Context) -> Result<Option<(String, Reference)>, Failure> {
    let Some(text) = context.query.get("reference") else { return Ok(None) };
    if let Ok(digest) = text.parse::<Digest>() {
        let reference = "localhost/any".parse::<Reference>()?.pinned(digest.clone());
        return Ok(Some((digest.to_string(), reference)));
    }
    let reference: Reference = text.parse()?;
    Ok(Some((reference.to_string(), reference)))
}

/// Takes in an archive that is sent as the body, and answers what it tagged.
pub(crate) async fn load(context: &Context, mut archive: Sent) -> Result<Response<Body>, Failure> {
    let loaded = receive_and_load(context, &mut archive).await;
    if loaded.is_err() {
        // A client that is still sending would see a broken connection instead of the answer.
        discard(&mut archive, context.app.max_upload_bytes).await;
    }
    Ok(answer(context, StatusCode::CREATED, &loaded?))
}

/// Reads and drops the rest of a body, as far as one may be uploaded.
async fn discard(archive: &mut Sent, most: u64) {
    let mut read = 0u64;
    while let Some(Ok(frame)) = archive.frame().await {
        let length = frame.data_ref().map_or(0, bytes::Bytes::len);
        read = read.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        if read > most {
            return;
        }
    }
}

async fn receive_and_load(
    context: &Context,
    archive: &mut Sent,
) -> Result<Vec<ImageSummary>, Failure> {
    let name = reference(context, "name")?;
    // Removed when it goes out of scope, whatever happens until then.
    let file = tempfile::Builder::new()
        .prefix("upload-")
        .tempfile_in(&context.app.uploads)
        .map_err(|error| upload_failed(&error))?;
    receive(context, archive, &file).await?;
    take_in(context, file.path(), name.as_ref()).await
}

async fn take_in(
    context: &Context,
    path: &Path,
    name: Option<&Reference>,
) -> Result<Vec<ImageSummary>, Failure> {
    let loaded = context.app.deps.images.load(path, name).await;
    Ok(loaded.map_err(Fault::from)?)
}

async fn receive(
    context: &Context,
    archive: &mut Sent,
    file: &tempfile::NamedTempFile,
) -> Result<(), Failure> {
    let limit = context.app.max_upload_bytes;
    let mut received = 0u64;
    let handle = file.as_file().try_clone().map_err(|error| upload_failed(&error))?;
    let mut writer = tokio::fs::File::from_std(handle);
    while let Some(frame) = archive.frame().await {
        let frame = frame.map_err(|error| {
            let message = format!("the archive could not be read to its end: {error}");
            Failure::bad_request("BODY_INCOMPLETE", message)
        })?;
        let Some(chunk) = frame.data_ref() else { continue };
        received = received.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
        if received > limit {
            return Err(Failure::too_large(limit));
        }
        writer.write_all(chunk).await.map_err(|error| upload_failed(&error))?;
    }
    writer.flush().await.map_err(|error| upload_failed(&error))
}

fn upload_failed(error: &std::io::Error) -> Failure {
    use ebb_model::Kind;
    let (code, kind) = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            ("DISK_FULL", Kind::Exhausted)
        }
        _ => ("STORAGE_UNAVAILABLE", Kind::Unavailable),
    };
    Fault::new(code, kind, format!("the archive could not be kept: {error}")).into()
}

/// Removes the name given as `reference`, and what nothing needs then.
pub(crate) async fn delete(context: &Context) -> Result<Response<Body>, Failure> {
    let Some((name, reference)) = target(context)? else {
        return Err(Failure::bad_request(
            "INVALID_PARAMETER",
            "the parameter reference is missing: it names the image to remove",
        ));
    };
    let freed = context.app.deps.images.prune(Some(&reference)).await.map_err(Fault::from)?;
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "message": format!("removed {name}, {freed} bytes are free again"),
        "details": { "name": name, "group": GROUP, "kind": "images" },
        "freedBytes": freed,
        "code": 200,
    });
    Ok(body::json(StatusCode::OK, &status))
}
