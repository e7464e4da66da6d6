//! Futures of the engine that are dropped before they are done.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::Duration;

use ebb_engine::Engine;
use ebb_model::engine::{EngineEventKind, State};
use tokio::sync::oneshot;

use crate::harness::{Ctx, id, next};

/// A fresh directory, and what a confined process is given: it has no file of its own here.
pub(crate) fn target(ctx: &Ctx, name: &str) -> (PathBuf, Vec<OwnedFd>) {
    let target = ctx.dir.join(name);
    std::fs::create_dir(&target).unwrap();
    let fds = vec![File::open("/dev/null").unwrap().into(), File::open(&target).unwrap().into()];
    (target, fds)
}

/// Waits until the confined process has begun and holds its lock.
pub(crate) async fn runs(target: &Path) {
    while !target.join("begun").exists() {
        tokio::task::yield_now().await;
    }
}

/// Polls `work` so often, unless it ends before, and drops it.
async fn drop_after<T>(polls: u32, work: impl Future<Output = T>) {
    let mut work = Box::pin(work);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Pending if left == 0 => Poll::Ready(()),
            other => other.map(|_| ()),
        }
    })
    .await;
}

async fn yields(count: u32) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// Tells when it is dropped.
struct Told(Option<oneshot::Sender<()>>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.take().map(|told| told.send(()));
    }
}

/// The process of a dropped future is ended, and what it was given to keep lives as long as it.
pub(crate) async fn confined(ctx: Ctx) {
    // Before it is asked for, while it is made, and while it runs.
    for round in 0..16_u32 {
        let (target, fds) = target(&ctx, &format!("target{round}"));
        let (told, gone) = oneshot::channel();
        let kept = Box::new(Told(Some(told)));
        let args = ["linger".to_owned()];
        let work = ctx.engine.confined(&args, fds, kept);
        let enough = async {
            match round {
                0 => {}
                1..15 => yields(1 << round).await,
                _ => runs(&target).await,
            }
        };
        tokio::select! {
            // The first one is not even begun.
            output = work, if round > 0 => panic!("it ended: {output:?}"),
            () = enough => {}
        }
        gone.await.unwrap();
        // It locks a file as long as it lives, and fills the directory.
        if let Ok(lock) = File::open(target.join("lock")) {
            lock.try_lock().unwrap();
        }
        std::fs::remove_dir_all(&target).unwrap();
    }
    // And others are run as ever.
    let (target, fds) = target(&ctx, "target");
    let output = ctx.engine.confined(&["write".into()], fds, Box::new(())).await.unwrap();
    assert_eq!(output.code, Some(7));
    assert!(target.join("made").exists());
}

/// An instance whose start was dropped midway is watched, listed and can be stopped.
pub(crate) async fn start(ctx: Ctx) {
    let mut events = ctx.events().await;
    // Rarely one is done at its first poll; not all eight.
    for number in 1..=8 {
        let mut spec = ctx.spec(&["serve", "8080"]);
        spec.containers[0].port = Some(8080);
        let id = id(number);
        drop_after(1, ctx.engine.start(&id, spec)).await;
        while !matches!(next(&mut events).await.what, EngineEventKind::Ready { .. }) {}
        ctx.engine.stop(&id, Duration::from_secs(5)).await.unwrap();
        while !matches!(next(&mut events).await.what, EngineEventKind::Exited(_)) {}
        let list = ctx.engine.list().await.unwrap();
        let status = list.iter().find(|status| status.id == id).unwrap();
        assert_eq!(status.state, State::Exited);
    }
}

/// A stop that was dropped is carried out, or was never begun.
pub(crate) async fn stop(ctx: Ctx) {
    let mut events = ctx.events().await;
    for polls in 0..4 {
        let id = ctx.start(polls, ctx.spec(&["sleep"])).await;
        while !matches!(next(&mut events).await.what, EngineEventKind::Ready { .. }) {}
        drop_after(polls, ctx.engine.stop(&id, Duration::from_secs(5))).await;
        if polls == 0 {
            ctx.engine.stop(&id, Duration::from_secs(5)).await.unwrap();
        }
        while !matches!(next(&mut events).await.what, EngineEventKind::Exited(_)) {}
    }
}
