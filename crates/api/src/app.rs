//! What every request needs.

use std::path::PathBuf;
use std::sync::Arc;

use ebb_engine::Engine;
use ebb_images::ImageStore;
use ebb_kit::{Clock, Shutdown};
use ebb_store::Store;

use crate::Platform;
use crate::admission::UnderWay;
use crate::admission::hooks::Hooks;
use crate::auth::Authenticator;
use crate::priority::Priority;
use crate::registry::{Backing, Kind};
use crate::turns::Turns;

/// The parts that the door stands on.
#[derive(Clone)]
pub struct Deps {
    /// Declared resources; seals what is marked sealed.
    pub store: Arc<dyn Store>,
    /// Pod, Node and Event: what mirrors the running machine.
    pub live: Arc<dyn Store>,
    /// Images.
    pub images: Arc<dyn ImageStore>,
    /// Runs instances; asked for logs only.
    pub engine: Arc<dyn Engine>,
    /// The controllers.
    pub platform: Arc<dyn Platform>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Policies and quotas of this platform, besides those of the configuration.
    pub hooks: Hooks,
}

/// Shared by every request.
pub(crate) struct App {
    pub(crate) deps: Deps,
    pub(crate) auth: Authenticator,
    /// Every policy and quota.
    pub(crate) hooks: Hooks,
    /// Creates under way, for the quotas.
    pub(crate) under_way: Arc<UnderWay>,
    /// Whose turn it is to change an object.
    pub(crate) turns: Arc<Turns>,
    /// Who is served now and who waits.
    pub(crate) priority: Priority,
    pub(crate) uploads: PathBuf,
    pub(crate) max_body_bytes: usize,
    pub(crate) max_upload_bytes: u64,
    /// Ends watches and followed logs.
    pub(crate) shutdown: Shutdown,
}

impl App {
    /// The store that a kind lives in.
    pub(crate) fn store(&self, kind: &Kind) -> &dyn Store {
        match kind.backing {
            Backing::Durable => self.deps.store.as_ref(),
            // What is answered is nowhere; a look for it finds nothing.
            Backing::Live | Backing::Answered => self.deps.live.as_ref(),
        }
    }
}
