//! What clients ask of the door.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ebb_model::key;
use serde_json::{Value as Json, json};

use crate::acked::MARK;
use crate::daemon::Reply;
use crate::objects::SERVING;
use crate::world::World;

/// Tries of a client that reads, changes and writes, when somebody else was faster.
const TRIES: u32 = 3;

/// Which object: mostly a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_field_names)] // an object's name is called so
pub(crate) struct Name {
    pub(crate) namespace: String,
    pub(crate) name: String,
    resource: &'static str,
}

impl Name {
    /// A Service.
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned(), resource: "services" }
    }

    /// The object of another kind that has the same name.
    pub(crate) fn of(self, resource: &'static str) -> Self {
        Self { resource, ..self }
    }

    fn group(&self) -> &'static str {
        if self.resource == "configmaps" { "" } else { SERVING }
    }

    /// Fields by which a manifest says of which kind it is.
    fn kind(&self) -> (&'static str, &'static str) {
        match self.resource {
            "configmaps" => ("v1", "ConfigMap"),
            "configurations" => ("serving.knative.dev/v1", "Configuration"),
            "routes" => ("serving.knative.dev/v1", "Route"),
            _ => ("serving.knative.dev/v1", "Service"),
        }
    }

    /// Its collection at the door.
    pub(crate) fn collection(&self) -> String {
        let base = if self.group().is_empty() {
            "/api/v1".to_owned()
        } else {
            format!("/apis/{SERVING}/v1")
        };
        format!("{base}/namespaces/{}/{}", self.namespace, self.resource)
    }

    /// The object at the door.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    /// The object in the store.
    pub(crate) fn key(&self) -> String {
        key::object(self.group(), self.resource, &self.namespace, &self.name)
    }

    /// The key under which its writes are remembered: none where the platform may remove or
    /// change it by itself, as it has an owner or the name of one.
    fn tracked(&self) -> Option<String> {
        let tracked = match self.resource {
            "configurations" => ["solo", "duo"].contains(&self.name.as_str()),
            "routes" => ["front", "side"].contains(&self.name.as_str()),
            "configmaps" => self.name != "y",
            _ => true,
        };
        tracked.then(|| self.key())
    }

    /// What the keys of its collection begin with.
    fn prefix(&self) -> String {
        key::namespaced(self.group(), self.resource, &self.namespace)
    }

    /// The host of its requests.
    pub(crate) fn host(&self) -> String {
        format!("{}.{}.localhost", self.name, self.namespace)
    }

    /// A manifest of it with these fields and annotations.
    fn manifest(&self, mut fields: Json, annotations: Json) -> Json {
        let (version, kind) = self.kind();
        fields["apiVersion"] = json!(version);
        fields["kind"] = json!(kind);
        fields["metadata"]["name"] = json!(self.name);
        fields["metadata"]["annotations"] = annotations;
        fields
    }
}

/// Everybody who asks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Client {
    world: Arc<World>,
    marks: Arc<AtomicU64>,
}

impl Client {
    /// Of this world.
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world, marks: Arc::default() }
    }

    fn mark(&self) -> u64 {
        self.marks.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Sends what is made with a mark, and remembers whether it was acknowledged.
    async fn write(
        &self,
        (method, path): (&str, &str),
        key: Option<String>,
        make: impl FnOnce(&str) -> Json,
    ) -> Reply {
        self.write_by(MARK, (method, path), key, make).await
    }

    /// As [`Client::write`], with the mark under another annotation, which nobody else writes.
    async fn write_by(
        &self,
        annotation: &'static str,
        (method, path): (&str, &str),
        key: Option<String>,
        make: impl FnOnce(&str) -> Json,
    ) -> Reply {
        let mark = self.mark();
        let body = make(&mark.to_string());
        let Some(key) = key else { return self.world.call(method, path, &body).await };
        let (acked, key) = (&self.world.acked, (key.as_str(), annotation));
        acked.begin(key, mark);
        let reply = self.world.call(method, path, &body).await;
        match reply.status {
            _ if reply.ok() => acked.written(key, mark, &reply.body),
            Some(400..500) => acked.refused(key, mark),
            // It may have happened.
            _ => {}
        }
        reply
    }

    /// Makes an object with these fields.
    async fn create(&self, name: &Name, fields: Json) -> Reply {
        let path = name.collection();
        let make = |mark: &str| name.manifest(fields, json!({MARK: mark}));
        self.write(("POST", &path), name.tracked(), make).await
    }

    /// Applies a manifest as one of several managers, each of which has an annotation of its own.
    pub(crate) async fn apply(&self, name: &Name, manager: &'static str, fields: Json) -> Reply {
        let path = format!("{}?fieldManager={manager}&force=true", name.path());
        let own = if manager == "one" { "sim.test/one" } else { "sim.test/two" };
        let make = |mark: &str| name.manifest(fields, json!({own: mark}));
        self.write_by(own, ("APPLY", &path), name.tracked(), make).await
    }

    /// Asks for this number of instances, whatever requests need.
    pub(crate) async fn scale(&self, name: &Name, count: u64) -> Reply {
        self.world.by_hand(name);
        let path = format!("{}/scale", name.path());
        self.world.call("PATCH", &path, &json!({"spec": {"replicas": count}})).await
    }

    /// Removes everything of its kind in its namespace.
    pub(crate) async fn delete_collection(&self, name: &Name) -> Reply {
        let prefix = name.prefix();
        let begun = self.world.acked.removing_kind(&prefix);
        let reply = self.world.call("DELETE", &name.collection(), &Json::Null).await;
        if reply.ok() {
            for (key, begun) in begun {
                self.world.acked.removed(&key, begun);
            }
        }
        reply
    }

    /// Changes an object by a merge patch.
    pub(crate) async fn patch(&self, name: &Name, mut patch: Json) -> Reply {
        let at = name.path();
        let make = |mark: &str| {
            patch["metadata"]["annotations"][MARK] = json!(mark);
            patch
        };
        self.write(("PATCH", &at), name.tracked(), make).await
    }

    /// Reads an object, changes it and writes it back, again while somebody else is faster.
    pub(crate) async fn update(&self, name: &Name, change: impl Fn(&mut Json)) -> Reply {
        let mut reply = Reply::default();
        for _ in 0..TRIES {
            let path = name.path();
            let read = self.world.call("GET", &path, &Json::Null).await;
            if !read.ok() {
                return read;
            }
            let mut object = read.body;
            change(&mut object);
            let make = |mark: &str| {
                object["metadata"]["annotations"][MARK] = json!(mark);
                object
            };
            reply = self.write(("PUT", &path), name.tracked(), make).await;
            if reply.status != Some(409) {
                break;
            }
        }
        reply
    }

    /// Makes the Service or Configuration, or gives it this template.
    pub(crate) async fn deploy(&self, name: &Name, template: Json) -> Reply {
        self.put(name, json!({"spec": {"template": template}})).await
    }

    /// Makes the object, or gives it these fields.
    pub(crate) async fn put(&self, name: &Name, fields: Json) -> Reply {
        let reply = self.create(name, fields.clone()).await;
        if reply.status != Some(409) {
            return reply;
        }
        self.patch(name, fields).await
    }

    /// Removes an object, with this propagation.
    pub(crate) async fn delete(&self, name: &Name, propagation: &str) -> Reply {
        let key = name.tracked();
        let begun = key.as_deref().map(|key| self.world.acked.removing(key));
        let path = format!("{}?propagationPolicy={propagation}", name.path());
        let reply = self.world.call("DELETE", &path, &Json::Null).await;
        if reply.ok()
            && let Some((key, begun)) = key.zip(begun)
        {
            self.world.acked.removed(&key, begun);
        }
        reply
    }

    /// Makes a Namespace.
    pub(crate) async fn create_namespace(&self, name: &str) -> Reply {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.world.call("POST", "/api/v1/namespaces", &body).await
    }

    /// Removes a Namespace and everything in it.
    pub(crate) async fn delete_namespace(&self, name: &str) -> Reply {
        self.world.acked.removing_all(name);
        let path = format!("/api/v1/namespaces/{name}");
        self.world.call("DELETE", &path, &Json::Null).await
    }

    /// Makes a Secret with this value under `key`, or gives it the value.
    pub(crate) async fn secret(&self, namespace: &str, name: &str, value: &str) -> Reply {
        let path = format!("/api/v1/namespaces/{namespace}/secrets");
        let data = json!({"key": value});
        let body = json!({"apiVersion": "v1", "kind": "Secret",
                          "metadata": {"name": name}, "stringData": data});
        let reply = self.world.call("POST", &path, &body).await;
        if reply.status != Some(409) {
            return reply;
        }
        let change = json!({"stringData": data});
        self.world.call("PATCH", &format!("{path}/{name}"), &change).await
    }

    /// Removes a Secret.
    pub(crate) async fn delete_secret(&self, namespace: &str, name: &str) -> Reply {
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
        self.world.call("DELETE", &path, &Json::Null).await
    }
}

/// A template of one image.
pub(crate) fn template(image: &str) -> Json {
    json!({"spec": {"containers": [{"image": image}]}})
}
