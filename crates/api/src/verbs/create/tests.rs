use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ebb_engine::sim::{Sim, SimConfig};
use ebb_images::sim::SimImages;
use ebb_kit::{Clock, Shutdown, SystemClock};
use ebb_model::{Fault, InstanceId};
use ebb_store::memory::Memory;
use serde_json::json;

use super::*;
use crate::admission::hooks::Hooks;
use crate::app::{App, Deps};
use crate::auth::{Authenticator, Principal, Token};
use crate::context::{Query, View};
use crate::priority::Priority;
use crate::registry::Kind;
use crate::verbs::{apply, update};
use crate::{Config, Explanation, Platform};

struct NoPods;

#[async_trait]
impl Platform for NoPods {
    async fn explain(&self, _namespace: &str, _service: &str) -> Option<Explanation> {
        None
    }

    async fn stop_pod(
        &self,
        _namespace: &str,
        _pod: &str,
        _uid: Option<&str>,
        _period: Option<Duration>,
    ) -> Result<(), Fault> {
        Ok(())
    }

    async fn instance_of_pod(&self, _ns: &str, _pod: &str) -> Option<(InstanceId, String)> {
        None
    }
}

/// A door over empty stores with the namespace `default`.
async fn door() -> Arc<App> {
    let dir = tempfile::tempdir().unwrap();
    let token = Token::load_or_create(&dir.path().join("token")).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let deps = Deps {
        store: Arc::new(Memory::new()),
        live: Arc::new(Memory::new()),
        images: Arc::new(SimImages::new()),
        engine: Arc::new(Sim::new(SimConfig::default(), Arc::clone(&clock))),
        platform: Arc::new(NoPods),
        clock: Arc::clone(&clock),
        hooks: Hooks::default(),
    };
    let config = Config::default();
    let app = Arc::new(App {
        hooks: deps.hooks.clone(),
        deps,
        auth: Authenticator::new(&token),
        under_way: Arc::default(),
        turns: Arc::default(),
        priority: Priority::new(&config, &clock),
        uploads: dir.path().to_owned(),
        max_body_bytes: config.max_body_bytes,
        max_upload_bytes: config.max_upload_bytes,
        shutdown: Shutdown::new(),
    });
    namespace::ensure_default(&app).await.unwrap();
    app
}

/// A request that was allowed already, whatever it asked for.
fn request(app: &Arc<App>, principal: Principal) -> Context {
    Context {
        app: Arc::clone(app),
        principal,
        request_id: "r".to_owned(),
        query: Query::parse("fieldManager=one").unwrap(),
        view: View::Whole,
        seat: None,
        agent: String::new(),
    }
}

fn target(kind: &'static Kind, name: Option<&str>) -> Target {
    let (namespace, name) = (Some("default".to_owned()), name.map(str::to_owned));
    Target { kind, namespace, name, subresource: None }
}

#[tokio::test]
async fn who_may_change_may_not_make() {
    let app = door().await;
    let (patcher, admin) = (request(&app, Principal::Anonymous), request(&app, Principal::Admin));
    let map = target(&kinds::configmap::KIND, Some("a"));
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let config = config.to_string();
    let lease = target(&kinds::lease::KIND, Some("l"));
    let body = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}).to_string();

    let refused = apply::apply(&patcher, &map, config.as_bytes()).await.err().unwrap();
    assert_eq!(refused.status, 401, "{}", refused.message);
    let refused = update::update(&patcher, &lease, None, body.as_bytes()).await.err().unwrap();
    assert_eq!(refused.status, 401, "{}", refused.message);
    for key in [map.key(), lease.key()] {
        assert!(app.deps.store.get(&key).await.unwrap().is_none(), "{key}");
    }

    assert_eq!(apply::apply(&admin, &map, config.as_bytes()).await.unwrap().status(), 201);
    let made = update::update(&admin, &lease, None, body.as_bytes()).await.unwrap();
    assert_eq!(made.status(), 201);
    let changed = apply::apply(&patcher, &map, config.as_bytes()).await.unwrap();
    assert_eq!(changed.status(), 200, "what is there is changed, which was allowed");
}

#[tokio::test]
async fn names_that_are_all_taken_are_a_conflict() {
    let app = door().await;
    let admin = request(&app, Principal::Admin);
    let maps = target(&kinds::configmap::KIND, None);
    let body = json!({"metadata": {"generateName": "a-"}}).to_string();
    // The same chance each time: every request first tries the names of those before it.
    for _ in 0..NAME_TRIES {
        crate::entropy::seed_this_thread(7);
        let made = create(&admin, &maps, None, body.as_bytes()).await.unwrap();
        assert_eq!(made.status(), 201);
    }
    crate::entropy::seed_this_thread(7);
    let refused = create(&admin, &maps, None, body.as_bytes()).await.err().unwrap();
    assert_eq!((refused.status.as_u16(), refused.reason), (409, "AlreadyExists"));
}
