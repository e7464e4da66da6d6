//! Whoever asks may go away at any time: everything is dropped at any await point, several at
//! once, and the store has to be right afterwards.
//!
//! `EBB_IMAGES_SEEDS` says how many seeds, `EBB_IMAGES_BASE` from which they are counted. Threads
//! take part, so a seed gives the same choices, not the same order of events.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::Duration;

use ebb_images::build::{Compression, ImageBuilder, Layer};
use ebb_images::local::Local;
use ebb_images::{Error, ImageStore, Pull};
use ebb_model::{Digest, Reference};
use futures_util::future::{BoxFuture, join_all};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::registry::{Reply, Server};
use crate::support::{local, pull};

const NAMESPACES: [&str; 3] = ["default", "team", "other"];
/// Seeds of a test run.
const SEEDS: u64 = 30;
/// Things that are asked for at once.
const AT_ONCE: usize = 8;
/// How often so many are.
const ROUNDS: usize = 6;
/// Polls after which something is dropped, at the most. Whatever takes more ends by itself.
const POLLS: usize = 40;

/// Time after which something is dropped in any case: a registry may say nothing.
const PATIENCE: Duration = Duration::from_millis(200);

/// An image, and where it comes from.
struct Image {
    reference: Reference,
    digest: Digest,
    /// It is loaded from here, and no registry has it.
    archive: Option<PathBuf>,
}

impl Image {
    fn pull(&self, namespace: &str) -> Pull {
        let reference = self.reference.pinned(self.digest.clone());
        Pull { namespace: namespace.to_owned(), ..pull(&reference) }
    }
}

struct World {
    server: Server,
    store: Local,
    images: Vec<Image>,
    dir: tempfile::TempDir,
}

fn layer(name: &str) -> Layer {
    let content: Vec<u8> = name.bytes().cycle().take(60_000).collect();
    Layer::new().file(format!("/{name}"), content, 0o755).compression(Compression::Zstd)
}

/// Images that share layers, from a registry and from archives.
fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let (server, store) = (Server::start(), local(&dir.path().join("store")));
    let mut images = Vec::new();
    for name in ["a", "b"] {
        let image = ImageBuilder::new().layer(layer("base")).layer(layer(name)).entrypoint(["/a"]);
        let (reference, digest, _) = server.publish(&format!("team/{name}"), "1", &image);
        images.push(Image { reference, digest, archive: None });
    }
    for name in ["c", "d"] {
        let image = ImageBuilder::new().layer(layer("base")).layer(layer(name)).entrypoint(["/a"]);
        let reference: Reference = format!("localhost/{name}:1").parse().unwrap();
        let path = dir.path().join(format!("{name}.tar"));
        let digest = image.write_archive(&path, &reference).unwrap();
        images.push(Image { reference, digest, archive: Some(path) });
    }
    World { server, store, images, dir }
}

/// Polls `work` at most `polls` times, then drops it.
async fn drop_after<T>(polls: usize, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut left) = (Box::pin(work), polls);
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

impl World {
    fn temp(&self) -> PathBuf {
        self.dir.path().join("store/temp")
    }

    /// Something, by chance.
    fn ask<'a>(&'a self, random: &mut StdRng) -> BoxFuture<'a, Result<(), Error>> {
        let (store, image) = (&self.store, self.images.choose(random).unwrap());
        let namespace = *NAMESPACES.choose(random).unwrap();
        let owner = ["x", "y"].choose(random).unwrap();
        if image.archive.is_none() && random.random_ratio(1, 4) {
            // A connection that breaks in the midst, or says nothing.
            let part = ["manifests", "blobs"].choose(random).unwrap();
            let silent = random.random_ratio(1, 8);
            self.server.next(part, Reply { silent, cut: Some(3), ..Reply::status(503) });
        }
        match random.random_range(0..10) {
            0..=4 => Box::pin(async move {
                let pull = image.pull(namespace);
                store.resolve(&pull).await?;
                store.pull(&pull).await
            }),
            5 => Box::pin(self.load(image)),
            6 => Box::pin(store.pin(&image.digest, owner)),
            7 => Box::pin(store.unpin(&image.digest, owner)),
            // Refused where it is pinned.
            8 => Box::pin(async move {
                let name = image.reference.pinned(image.digest.clone());
                store.prune(Some(&name)).await.map(drop)
            }),
            _ => Box::pin(async move { store.prune(None).await.map(drop) }),
        }
    }

    async fn load(&self, image: &Image) -> Result<(), Error> {
        let Some(path) = &image.archive else { return Ok(()) };
        self.store.load(path, None).await.map(drop)
    }

    /// Everything can be had again, by everybody.
    async fn all(&self, seed: u64) {
        for image in &self.images {
            self.load(image).await.unwrap();
            for namespace in NAMESPACES {
                let pull = image.pull(namespace);
                let pulled = self.store.pull(&pull).await;
                pulled.unwrap_or_else(|error| panic!("seed {seed}: {}: {error}", image.reference));
                self.whole(image, namespace, seed).await;
            }
        }
    }

    /// The image is complete on the disk.
    async fn whole(&self, image: &Image, namespace: &str, seed: u64) {
        let layout = self.store.layout(namespace, &image.digest).await;
        let layout = layout.unwrap_or_else(|error| panic!("seed {seed}: {namespace}: {error}"));
        let mut files = 0;
        for lower in &layout.lowers {
            for file in std::fs::read_dir(lower).unwrap() {
                let file = file.unwrap();
                assert_eq!(
                    file.metadata().unwrap().len(),
                    60_000,
                    "seed {seed}: {}",
                    lower.display()
                );
                files += 1;
            }
        }
        assert_eq!(files, 2, "seed {seed}: {namespace}: {}", image.reference);
    }
}

/// Waits until the threads that nobody waits for any more have done their work.
async fn quiet(temp: &Path, seed: u64) {
    let mut left = Vec::new();
    for _ in 0..500 {
        left = std::fs::read_dir(temp).unwrap().map(|entry| entry.unwrap().path()).collect();
        if left.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("seed {seed}: temp/ is not empty when nothing goes on: {left:?}");
}

async fn run(seed: u64) {
    let (world, mut random) = (world(), StdRng::seed_from_u64(seed));
    let (kept, namespace) =
        (world.images.choose(&mut random).unwrap(), *NAMESPACES.choose(&mut random).unwrap());
    world.store.pin(&kept.digest, "kept").await.unwrap();
    world.load(kept).await.unwrap();
    world.store.pull(&kept.pull(namespace)).await.unwrap();
    for _ in 0..ROUNDS {
        let mut asked = Vec::new();
        for _ in 0..AT_ONCE {
            let polls = random.random_range(1..POLLS);
            // Faults of the registry are refusals; what is checked comes afterwards.
            let work = drop_after(polls, world.ask(&mut random));
            asked.push(tokio::time::timeout(PATIENCE, work));
        }
        join_all(asked).await;
        world.whole(kept, namespace, seed).await;
    }
    world.server.forget();
    world.all(seed).await;
    quiet(&world.temp(), seed).await;
    // And so it is for the next process.
    let World { server, store, images, dir } = world;
    drop(store);
    let again = World { store: local(&dir.path().join("store")), server, images, dir };
    for image in &again.images {
        for namespace in NAMESPACES {
            again.whole(image, namespace, seed).await;
        }
    }
    // Unpinned and untagged, everything goes.
    for image in &again.images {
        for owner in ["x", "y", "kept"] {
            again.store.unpin(&image.digest, owner).await.unwrap();
        }
        let _ = again.store.prune(Some(&image.reference.pinned(image.digest.clone()))).await;
    }
    again.store.prune(None).await.unwrap();
    assert!(again.store.list().await.unwrap().is_empty(), "seed {seed}");
    for namespace in NAMESPACES {
        let dir = again.dir.path().join("store/layers").join(namespace);
        let left = std::fs::read_dir(&dir).unwrap().count();
        assert_eq!(left, 0, "seed {seed}: trees of {namespace} are left");
    }
    let blobs = std::fs::read_dir(again.dir.path().join("store/blobs/sha256")).unwrap().count();
    assert_eq!(blobs, 0, "seed {seed}: blobs are left");
    quiet(&again.temp(), seed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_dropped_at_whatever_point_the_store_stays_right() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let count = number("EBB_IMAGES_SEEDS").unwrap_or(SEEDS);
    let base = number("EBB_IMAGES_BASE").unwrap_or_else(|| rand::rng().random_range(0..1_000_000));
    // Past what the harness catches: a run that hangs tells, too.
    writeln!(std::io::stderr(), "drops: {count} seeds from EBB_IMAGES_BASE={base}").unwrap();
    for seed in base..base + count {
        let ended = tokio::time::timeout(Duration::from_mins(1), run(seed)).await;
        assert!(ended.is_ok(), "seed {seed} does not end");
    }
}
