//! One request after the other, from a seed.

use ebb_api::RouteInfo;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::bodies::{self, Sent};
use crate::case::Case;
use crate::mutate::{self, pick};
use crate::schemas::Schemas;
use crate::{objects, queries};

/// Names that objects get, so that requests meet.
const NAMES: &[&str] = &["hello", "hello", "hello", "hello", "hello", "a", "b", "c", "other"];
/// Names that new objects get.
const NEW: &[&str] = &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "other", "hello"];
/// Namespaces that are asked for.
const NAMESPACES: &[&str] =
    &["default", "default", "default", "default", "default", "default", "other", "absent"];

/// Methods that a route may not have.
const METHODS: &[&str] = &["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "BREW"];

/// Makes requests.
pub struct Generator {
    rng: StdRng,
    routes: Vec<RouteInfo>,
    /// Routes that take an object or a change of one.
    writes: Vec<RouteInfo>,
    schemas: Schemas,
}

impl Generator {
    /// The generator with this seed: the same requests for the same seed.
    pub fn new(seed: u64, schemas: Schemas) -> Self {
        let routes = ebb_api::routes();
        let writes = |route: &&RouteInfo| matches!(route.method.as_str(), "POST" | "PUT" | "PATCH");
        let writes = routes.iter().filter(writes).cloned().collect();
        Self { rng: StdRng::seed_from_u64(seed), routes, writes, schemas }
    }

    /// The next request.
    pub fn next_case(&mut self) -> Case {
        let rng = &mut self.rng;
        let most = if rng.random_bool(0.6) { &self.writes } else { &self.routes };
        let route = pick(rng, most).clone();
        let namespace = mostly(rng, NAMESPACES);
        let name = mostly(rng, if route.method == http::Method::POST { NEW } else { NAMES });
        let path = route.path.replace("{namespace}", &queries::encode(&namespace));
        let path = path.replace("{name}", &queries::encode(&name));
        let mut method = route.method.to_string();
        if rng.random_bool(0.04) {
            method = (*pick::<&str>(rng, METHODS)).into();
        }
        let sent = match method.as_str() {
            "POST" | "PUT" | "PATCH" => self.body(&route.path, &method, &name),
            "DELETE" => bodies::delete_options(rng),
            _ => Sent { type_: String::new(), bytes: Vec::new() },
        };
        let rng = &mut self.rng;
        let mut query = queries::query(rng);
        if sent.type_ == "application/apply-patch+yaml" && rng.random_bool(0.9) {
            query.push(format!("fieldManager={}", pick(rng, &["a", "b"])));
        }
        let mut headers = headers(rng);
        if !sent.type_.is_empty() {
            headers.push(("content-type".to_owned(), sent.type_));
        }
        let path = if rng.random_bool(0.03) { spoiled(rng, &path) } else { path };
        Case { method, path, query, headers, body: sent.bytes }
    }

    fn body(&mut self, path: &str, method: &str, name: &str) -> Sent {
        let mut parts = path.trim_end_matches("/{name}").rsplit('/');
        let last = parts.next().unwrap_or_default();
        let plural = match last {
            "status" => parts.nth(1).unwrap_or_default(),
            other => other,
        };
        let mut object = self.object(plural, name);
        let rng = &mut self.rng;
        for _ in 0..*pick(rng, &[0, 0, 0, 1, 1, 2, 4]) {
            mutate::tree(rng, &mut object);
        }
        if method == "PATCH" {
            let type_ = *pick(rng, bodies::PATCHES);
            bodies::patch(rng, type_, &object)
        } else {
            bodies::whole(rng, &object)
        }
    }

    /// An object as somebody wrote it, or as the schema has it.
    fn object(&mut self, plural: &str, name: &str) -> Value {
        let rng = &mut self.rng;
        let written = objects::of(plural, name).filter(|_| rng.random_bool(0.85));
        let object = written.or_else(|| self.schemas.object(rng, plural, name));
        let object = object.or_else(|| objects::of(plural, name));
        object.unwrap_or_else(|| json!({"metadata": {"name": name}}))
    }
}

fn mostly(rng: &mut StdRng, all: &[&str]) -> String {
    if rng.random_bool(0.03) { mutate::text(rng) } else { (*pick(rng, all)).to_owned() }
}

fn headers(rng: &mut StdRng) -> Vec<(String, String)> {
    let accept = *pick(
        rng,
        &[
            "",
            "",
            "application/json",
            "*/*",
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
            "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json",
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
            "application/vnd.kubernetes.protobuf,application/json",
            "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
            "text/plain",
            ";;;,,,",
            "application/json;as=Table;v=v9;g=x",
        ],
    );
    let mut headers = Vec::new();
    if !accept.is_empty() {
        headers.push(("accept".to_owned(), accept.to_owned()));
    }
    if rng.random_bool(0.05) {
        let (name, value) = *pick(
            rng,
            &[
                ("if-none-match", "\"x\""),
                ("if-match", "*"),
                ("range", "bytes=0-0"),
                ("content-encoding", "gzip"),
                ("transfer-encoding", "chunked"),
                ("expect", "100-continue"),
                ("upgrade", "websocket"),
                ("impersonate-user", "root"),
                ("x-http-method-override", "DELETE"),
            ],
        );
        headers.push((name.to_owned(), value.to_owned()));
    }
    headers
}

fn spoiled(rng: &mut StdRng, path: &str) -> String {
    let part = queries::encode(&mutate::text(rng));
    match rng.random_range(0..5) {
        0 => format!("{path}/"),
        1 => format!("{path}/{part}"),
        2 => path.replacen('/', "//", 1),
        3 => format!("/{part}{path}"),
        _ => {
            let parts: Vec<&str> = path.split('/').collect();
            let at = rng.random_range(0..parts.len());
            let parts =
                parts.iter().enumerate().map(|(index, old)| if index == at { &part } else { *old });
            format!("/{}", parts.collect::<Vec<_>>().join("/").trim_start_matches('/'))
        }
    }
}
