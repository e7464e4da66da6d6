//! A door over in-memory stores, with a few objects in it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use ebb_api::admission::hooks::Hooks;
use ebb_api::{Api, Body, Config, Deps, Direct, Explanation, Handle, Platform};
use ebb_engine::sim::{Sim, SimConfig};
use ebb_images::sim::SimImages;
use ebb_kit::{Clock, Shutdown, SystemClock};
use ebb_model::{Fault, InstanceId};
use ebb_store::memory::Memory;
use ebb_store::{Commit, Store};
use futures_util::FutureExt as _;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::case::Case;
use crate::objects;

/// Frames that are read of an answer that goes on.
const FRAMES_MAX: usize = 200;

/// Controllers that know nothing.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Platform for Nobody {
    async fn explain(&self, _namespace: &str, service: &str) -> Option<Explanation> {
        (service == objects::NAME).then(Explanation::default)
    }

    async fn stop_pod(
        &self,
        _namespace: &str,
        _pod: &str,
        _uid: Option<&str>,
        _period: Option<std::time::Duration>,
    ) -> Result<(), Fault> {
        Ok(())
    }

    async fn instance_of_pod(&self, _namespace: &str, _pod: &str) -> Option<(InstanceId, String)> {
        None
    }
}

/// A door without a network.
pub struct Door {
    direct: Direct,
    handle: Handle,
    store: Arc<dyn Store>,
    live: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
    // Last, so that it is removed after everything else has ended.
    _dir: tempfile::TempDir,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, or the beginning of one that goes on.
    pub body: Bytes,
    /// Wall time until then, in milliseconds.
    pub took_ms: u64,
}

impl Answer {
    /// The body as JSON, if it is.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl Door {
    /// A door with an object of each kind that people write, and what controllers would write.
    pub async fn open() -> Result<Self> {
        // Somebody else of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir()?;
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        let live: Arc<dyn Store> = Arc::new(Memory::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let deps = Deps {
            store: Arc::clone(&store),
            live: Arc::clone(&live),
            images: Arc::new(SimImages::new()),
            engine: Arc::new(Sim::new(SimConfig::default(), Arc::clone(&clock))),
            platform: Arc::new(Nobody),
            clock: Arc::clone(&clock),
            hooks: Hooks::default(),
        };
        let config = Config { dir: dir.path().join("api"), ..Config::default() };
        let (api, handle) = Api::new(config, deps)?;
        let shutdown = Shutdown::new();
        let direct = api.direct(&shutdown).await?;
        let door = Self { direct, handle, store, live, clock, shutdown, _dir: dir };
        door.restock().await?;
        Ok(door)
    }

    /// Makes what a door starts with, as far as it is not there any more.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn restock(&self) -> Result<()> {
        for (path, object) in objects::declared() {
            let made = self.ask(&objects::create(path, &object)).await.context("not HTTP")?;
            // What is going is not there and not free for a while.
            let fine = matches!(made.status.as_u16(), 201 | 403 | 409);
            let text = String::from_utf8_lossy(&made.body).into_owned();
            anyhow::ensure!(fine, "{path}: {text}");
        }
        for (live, key, object) in objects::observed() {
            let store = if live { &self.live } else { &self.store };
            if store.get(&key).await?.is_none() {
                let writes = vec![ebb_store::json::put(&key, &object)?];
                store.commit(Commit { writes, ..Commit::default() }).await?;
            }
        }
        Ok(())
    }

    /// Sends a case; none when it is not HTTP at all.
    pub async fn ask(&self, case: &Case) -> Option<Answer> {
        let request = case.request(self.handle.token())?;
        let start = self.clock.now().as_micros();
        let answered = async {
            let (parts, body) = self.direct.call(request).await.into_parts();
            (parts, beginning(body).await)
        };
        // What a server would survive ends no program here either.
        let answered = AssertUnwindSafe(answered).catch_unwind().await;
        let took_ms = self.clock.now().as_micros().saturating_sub(start) / 1_000;
        Some(match answered {
            Ok((parts, body)) => {
                Answer { status: parts.status, headers: parts.headers, body, took_ms }
            }
            Err(panic) => Answer {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                headers: HeaderMap::new(),
                body: Bytes::from(format!("it panicked: {}", message(&*panic))),
                took_ms,
            },
        })
    }

    /// Newest versions of both stores.
    ///
    /// # Errors
    /// When a store fails, which these do not.
    pub async fn versions(&self) -> Result<(u64, u64)> {
        let declared = self.store.scan("/", None, None, 1).await?.version;
        let live = self.live.scan("/", None, None, 1).await?.version;
        Ok((declared, live))
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shutdown.call();
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let fixed = || panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(fixed).unwrap_or_default()
}

/// The first frames of a body; a watch may go on for ever.
async fn beginning(mut body: Body) -> Bytes {
    let mut bytes = BytesMut::new();
    for _ in 0..FRAMES_MAX {
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    bytes.extend_from_slice(data);
                }
            }
            _ => break,
        }
    }
    bytes.freeze()
}
