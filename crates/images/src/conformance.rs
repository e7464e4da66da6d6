//! What every [`ImageStore`] must do, as tests that an implementation runs on itself.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use ebb_model::image::ImageSummary;
use ebb_model::{Digest, Reference};

use crate::build::{ImageBuilder, Layer};
use crate::{Error, ImageStore, Pull};

/// An implementation under test, with a registry that it can reach.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The store. It is empty at first.
    fn store(&self) -> Arc<dyn ImageStore>;

    /// Puts an image with the command `command` into the registry, and moves the tag to it.
    async fn publish(&self, repository: &str, tag: &str, command: &str) -> (Reference, Digest);
}

/// Runs every test, one after the other; `scratch` is an empty directory for archives.
///
/// # Panics
/// At the first promise that is not kept.
pub async fn run(subject: &dyn Subject, scratch: &Path) {
    names_are_resolved(subject).await;
    a_pull_makes_complete_for_one_namespace(subject).await;
    a_moved_tag_leaves_the_old_image_runnable(subject).await;
    an_archive_is_loaded_under_its_names(subject, scratch).await;
    pins_keep(subject, scratch).await;
    what_nobody_needs_goes(subject).await;
}

async fn names_are_resolved(subject: &dyn Subject) {
    let store = subject.store();
    let (reference, digest) = subject.publish("conformance/resolve", "1", "/a").await;
    assert_eq!(ok(store.resolve(&pull("a", &reference)).await), digest);
    let pinned = reference.pinned(digest.clone());
    assert_eq!(ok(store.resolve(&pull("a", &pinned)).await), digest);
    let absent = Reference { tag: Some("absent".to_owned()), ..reference.clone() };
    fails(store.resolve(&pull("a", &absent)).await, "IMAGE_NOT_FOUND");
    let absent = reference.pinned(Digest::from_sha256([7; 32]));
    fails(store.resolve(&pull("a", &absent)).await, "IMAGE_NOT_FOUND");
    fails(store.pull(&pull("a", &absent)).await, "IMAGE_NOT_FOUND");
    fails(store.pull(&pull("a", &reference)).await, "IMAGE_REFERENCE_INVALID");
}

async fn a_pull_makes_complete_for_one_namespace(subject: &dyn Subject) {
    let store = subject.store();
    let (reference, digest) = subject.publish("conformance/pull", "1", "/pulled").await;
    let pinned = reference.pinned(digest.clone());
    fails(store.layout("a", &digest).await, "IMAGE_NOT_FOUND");
    ok(store.pull(&pull("a", &pinned)).await);
    ok(store.pull(&pull("a", &pinned)).await);
    let layout = ok(store.layout("a", &digest).await);
    assert_eq!(layout.config.entrypoint, ["/pulled"]);
    assert!(!layout.lowers.is_empty());
    fails(store.layout("b", &digest).await, "IMAGE_NOT_FOUND");
    ok(store.pull(&pull("b", &pinned)).await);
    let other = ok(store.layout("b", &digest).await);
    assert!(other.lowers.iter().all(|lower| !layout.lowers.contains(lower)), "shared trees");
    let listed = ok(store.list().await);
    let listed: Vec<_> = listed.iter().filter(|image| image.digest == digest).collect();
    assert_eq!(listed.len(), 1);
    // It is listed by the reference that pulled it, and is removed by that or by any with its digest.
    assert_eq!(listed[0].reference.as_ref(), Some(&pinned));
    fails(store.prune(Some(&reference)).await, "IMAGE_NOT_FOUND");
    assert!(ok(store.prune(Some(&pinned)).await) > 0);
    fails(store.layout("a", &digest).await, "IMAGE_NOT_FOUND");
    assert!(ok(store.list().await).iter().all(|image| image.digest != digest));
    ok(store.pull(&pull("a", &pinned)).await);
    assert!(ok(store.prune(Some(&name("elsewhere.example/other").pinned(digest))).await) > 0);
}

async fn a_moved_tag_leaves_the_old_image_runnable(subject: &dyn Subject) {
    let store = subject.store();
    let (reference, old) = subject.publish("conformance/moved", "1", "/old").await;
    ok(store.pull(&pull("a", &reference.pinned(old.clone()))).await);
    let (_, new) = subject.publish("conformance/moved", "1", "/new").await;
    assert_ne!(old, new);
    assert_eq!(ok(store.resolve(&pull("a", &reference)).await), new);
    assert_eq!(ok(store.layout("a", &old).await).config.entrypoint, ["/old"]);
}

async fn an_archive_is_loaded_under_its_names(subject: &dyn Subject, scratch: &Path) {
    let store = subject.store();
    let name = name("localhost/loaded:1");
    let (path, digest) = archive(scratch, "loaded", &name);
    let loaded = ok(store.load(&path, None).await);
    assert_eq!(tags(&loaded), [(Some(name.clone()), digest.clone())]);
    // It is answered from the store: nothing listens where the name points.
    assert_eq!(ok(store.resolve(&pull("a", &name)).await), digest);
    ok(store.pull(&pull("a", &name.pinned(digest.clone()))).await);
    assert_eq!(ok(store.layout("a", &digest).await).config.entrypoint, ["/loaded"]);
    let other = self::name("localhost/other:2");
    assert_eq!(tags(&ok(store.load(&path, Some(&other)).await)), [(Some(other), digest)]);
    fails(store.load(&scratch.join("absent"), None).await, "IMAGE_NOT_FOUND");
}

async fn pins_keep(subject: &dyn Subject, scratch: &Path) {
    let store = subject.store();
    let name = name("localhost/pinned:1");
    let (path, digest) = archive(scratch, "pinned", &name);
    ok(store.load(&path, None).await);
    ok(store.pull(&pull("a", &name.pinned(digest.clone()))).await);
    for owner in ["one", "one", "two"] {
        ok(store.pin(&digest, owner).await);
    }
    let listed = ok(store.list().await);
    assert_eq!(listed.iter().find(|image| image.digest == digest).map(|image| image.pins), Some(2));
    fails(store.prune(Some(&name)).await, "IMAGE_IN_USE");
    ok(store.unpin(&digest, "one").await);
    ok(store.unpin(&digest, "never").await);
    fails(store.prune(Some(&name.pinned(digest.clone()))).await, "IMAGE_IN_USE");
    ok(store.unpin(&digest, "two").await);
    assert!(ok(store.prune(Some(&name)).await) > 0);
    fails(store.layout("a", &digest).await, "IMAGE_NOT_FOUND");
    fails(store.resolve(&pull("a", &name)).await, "IMAGE_NOT_FOUND");
    fails(store.prune(Some(&name)).await, "IMAGE_NOT_FOUND");
}

async fn what_nobody_needs_goes(subject: &dyn Subject) {
    let store = subject.store();
    let (kept, kept_digest) = subject.publish("conformance/kept", "1", "/kept").await;
    let (lost, lost_digest) = subject.publish("conformance/lost", "1", "/lost").await;
    ok(store.pull(&pull("a", &kept.pinned(kept_digest.clone()))).await);
    ok(store.pull(&pull("a", &lost.pinned(lost_digest.clone()))).await);
    ok(store.pin(&kept_digest, "revision").await);
    assert!(ok(store.prune(None).await) > 0);
    ok(store.layout("a", &kept_digest).await);
    fails(store.layout("a", &lost_digest).await, "IMAGE_NOT_FOUND");
    assert_eq!(ok(store.prune(None).await), 0);
    ok(store.pull(&pull("a", &lost.pinned(lost_digest.clone()))).await);
    ok(store.layout("a", &lost_digest).await);
    ok(store.unpin(&kept_digest, "revision").await);
}

fn pull(namespace: &str, reference: &Reference) -> Pull {
    Pull {
        namespace: namespace.to_owned(),
        reference: reference.clone(),
        docker_configs: Vec::new(),
    }
}

fn name(text: &str) -> Reference {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn archive(scratch: &Path, command: &str, name: &Reference) -> (std::path::PathBuf, Digest) {
    let path = scratch.join(format!("{command}.tar"));
    let command = format!("/{command}");
    let image = ImageBuilder::new()
        .layer(Layer::new().file(&command, command.as_bytes(), 0o755))
        .entrypoint([&command]);
    let digest = ok(image.write_archive(&path, name));
    (path, digest)
}

fn tags(images: &[ImageSummary]) -> Vec<(Option<Reference>, Digest)> {
    images.iter().map(|image| (image.reference.clone(), image.digest.clone())).collect()
}

fn ok<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("{}: {error}", error.code()))
}

fn fails<T: Debug>(result: Result<T, Error>, code: &str) {
    match result {
        Ok(value) => panic!("{value:?} instead of {code}"),
        Err(error) => assert_eq!(error.code(), code, "{error}"),
    }
}
