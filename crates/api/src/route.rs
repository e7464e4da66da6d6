//! Method and path to a typed route, or the failure that says why there is none.

use http::Method;

use crate::auth::{Resource, Verb};
use crate::context::{Query, Target, decode};
use crate::registry::{self, KINDS, Kind, Subresource};
use crate::status::Failure;
use crate::{health, images, kinds};
use ebb_model::name;

/// What a request asks for.
#[derive(Debug)]
pub(crate) enum Route {
    /// `/version`.
    Version,
    /// `/healthz`, `/livez`, `/readyz`, and their only check.
    Health(&'static str),
    /// Discovery and OpenAPI documents.
    Discovery(Discovery),
    /// A verb of a kind or of one of its subresources.
    Objects { verb: Verb, target: Target },
    /// The images of the platform: list, load (create), delete.
    Images { verb: Verb },
    /// Why a Service has the instances that it has.
    Explain { target: Target },
}

/// Bytes of the longest name of anything (RFC 1123 subdomain).
const MAX_NAME: usize = 253;
/// Where Kubernetes has the definitions of kinds that were added to it.
const CUSTOM_KINDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A document that describes the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// `/`: the paths of everything that is no object.
    Index,
    /// `/api`: versions of the core group.
    Core,
    /// `/apis`: every other group.
    Groups,
    /// `/apis/<group>`.
    Group(&'static str),
    /// `/api/v1` or `/apis/<group>/<version>`: its resources.
    Resources(&'static str, &'static str),
    /// [`CUSTOM_KINDS`]: the kinds that were added at run time, which are none.
    CustomKinds,
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`: the list of documents.
    OpenApiV3,
    /// One of them.
    OpenApiV3Group(&'static str, &'static str),
}

impl Route {
    /// What `authorize` is asked about.
    pub(crate) fn access(&self) -> (Verb, Resource<'_>) {
        match self {
            Self::Version | Self::Health(_) => (Verb::Get, Resource::Open),
            Self::Discovery(_) => (Verb::Get, Resource::Discovery),
            Self::Objects { verb, target } => (*verb, object(target, target.resource())),
            Self::Explain { target } => (Verb::Get, object(target, "services/explain".to_owned())),
            Self::Images { verb } => {
                let (group, resource) = (images::GROUP, "images".to_owned());
                (*verb, Resource::Object { group, resource, namespace: None, name: None })
            }
        }
    }
}

/// What is written when the object of `target` is made, for `authorize`.
pub(crate) fn made(target: &Target) -> Resource<'_> {
    object(target, target.resource())
}

fn object(target: &Target, resource: String) -> Resource<'_> {
    Resource::Object {
        group: target.kind.group,
        resource,
        namespace: target.namespace.as_deref(),
        name: target.name.as_deref(),
    }
}

/// One route, for documentation and for tests that must miss none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// HTTP method.
    pub method: Method,
    /// Path with `{namespace}` and `{name}` where they go.
    pub path: String,
    /// Whether everybody may ask.
    pub open: bool,
}

/// Every route of the door.
pub fn routes() -> Vec<RouteInfo> {
    let mut all = documents();
    all.extend(KINDS.iter().flat_map(|kind| kind_routes(kind)));
    all.push(get("/apis/ebb.dev/v1/namespaces/{namespace}/services/{name}/explain", false));
    for (method, path) in [
        (Method::GET, "/apis/ebb.dev/v1/images"),
        (Method::DELETE, "/apis/ebb.dev/v1/images"),
        (Method::POST, "/apis/ebb.dev/v1/images/load"),
    ] {
        all.push(RouteInfo { method, path: path.to_owned(), open: false });
    }
    all
}

fn get(path: &str, open: bool) -> RouteInfo {
    RouteInfo { method: Method::GET, path: path.to_owned(), open }
}

/// The routes that are no objects.
pub(crate) fn documents() -> Vec<RouteInfo> {
    let mut all = vec![get("/version", true)];
    for path in health::PATHS {
        all.extend([get(&format!("/{path}"), true), get(&format!("/{path}/ping"), true)]);
    }
    let documents = ["/", "/api", "/apis", CUSTOM_KINDS, "/openapi/v2", "/openapi/v3"];
    all.extend(documents.map(|path| get(path, false)));
    for (group, version) in registry::group_versions() {
        let root = root(group, version);
        all.push(get(&root, false));
        all.push(get(&format!("/openapi/v3{root}"), false));
        if !group.is_empty() {
            all.push(get(&format!("/apis/{group}"), false));
        }
    }
    all
}

fn kind_routes(kind: &Kind) -> Vec<RouteInfo> {
    let root = root(kind.group, kind.version);
    let everywhere = format!("{root}/{}", kind.plural);
    let collection = if kind.namespaced {
        format!("{root}/namespaces/{{namespace}}/{}", kind.plural)
    } else {
        everywhere.clone()
    };
    let mut all = Vec::new();
    for verb in kind.verbs {
        let path = match verb {
            Verb::Create | Verb::List | Verb::DeleteCollection => collection.clone(),
            Verb::Watch => everywhere.clone(),
            _ => format!("{collection}/{{name}}"),
        };
        all.push(RouteInfo { method: method(*verb), path, open: false });
    }
    for subresource in kind.subresources {
        let path = format!("{collection}/{{name}}/{}", subresource.as_str());
        all.extend(subresource.verbs().iter().map(|verb| RouteInfo {
            method: method(*verb),
            path: path.clone(),
            open: false,
        }));
    }
    all
}

/// `/api/v1` or `/apis/<group>/<version>`.
pub(crate) fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

const fn method(verb: Verb) -> Method {
    match verb {
        Verb::Get | Verb::List | Verb::Watch => Method::GET,
        Verb::Create => Method::POST,
        Verb::Update => Method::PUT,
        Verb::Patch => Method::PATCH,
        Verb::Delete | Verb::DeleteCollection => Method::DELETE,
    }
}

/// The route of a request.
///
/// # Errors
/// 404 for an unknown path, 405 for an unknown method, 400 for a name that cannot be one.
pub(crate) fn resolve(method: &Method, path: &str, query: &Query) -> Result<Route, Failure> {
    let trimmed = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
    let parts = trimmed
        .strip_prefix('/')
        .unwrap_or(trimmed)
        .split('/')
        .map(|part| decode(part, false))
        .collect::<Result<Vec<String>, Failure>>()?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let missing = || Failure::no_such_path(path);
    let (group, version, rest) = match parts.as_slice() {
        ["version"] => return read_only(method, Route::Version),
        ["healthz"] | ["healthz", "ping"] => return read_only(method, Route::Health("healthz")),
        ["livez"] | ["livez", "ping"] => return read_only(method, Route::Health("livez")),
        ["readyz"] | ["readyz", "ping"] => return read_only(method, Route::Health("readyz")),
        _ if trimmed == CUSTOM_KINDS && !query.flag("watch")? => {
            return read_only(method, Route::Discovery(Discovery::CustomKinds));
        }
        ["api", "v1", rest @ ..] if !rest.is_empty() => ("", "v1", rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => {
            let found = discovery(&parts).ok_or_else(missing)?;
            return read_only(method, Route::Discovery(found));
        }
    };
    if group == images::GROUP
        && version == images::VERSION
        && let Some(route) = own(method, rest)?
    {
        return Ok(route);
    }
    objects(method, group, version, rest, query)?.ok_or_else(missing)
}

fn read_only(method: &Method, route: Route) -> Result<Route, Failure> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(route);
    }
    Err(Failure::method_not_allowed("GET, HEAD", "this document can only be read"))
}

fn discovery(parts: &[&str]) -> Option<Discovery> {
    let known = |group: &str, version: &str| {
        registry::group_versions().into_iter().find(|(g, v)| *g == group && *v == version)
    };
    Some(match parts {
        [""] => Discovery::Index,
        ["api"] => Discovery::Core,
        ["apis"] => Discovery::Groups,
        ["openapi", "v2"] => Discovery::OpenApiV2,
        ["openapi", "v3"] => Discovery::OpenApiV3,
        ["api", version] => known("", version).map(|(g, v)| Discovery::Resources(g, v))?,
        ["apis", group] => {
            let mut all = registry::group_versions().into_iter();
            Discovery::Group(all.find(|(g, _)| !g.is_empty() && g == group)?.0)
        }
        ["apis", group, version] if !group.is_empty() => {
            known(group, version).map(|(g, v)| Discovery::Resources(g, v))?
        }
        ["openapi", "v3", "api", version] => {
            known("", version).map(|(g, v)| Discovery::OpenApiV3Group(g, v))?
        }
        ["openapi", "v3", "apis", group, version] if !group.is_empty() => {
            known(group, version).map(|(g, v)| Discovery::OpenApiV3Group(g, v))?
        }
        _ => return None,
    })
}

/// The routes under `ebb.dev/v1`.
fn own(method: &Method, rest: &[&str]) -> Result<Option<Route>, Failure> {
    let verb = match (rest, method) {
        (["images"], &Method::GET) => Verb::List,
        (["images"], &Method::DELETE) => Verb::Delete,
        (["images", "load"], &Method::POST) => Verb::Create,
        (["images"], _) => {
            let message = "images are listed with GET and removed with DELETE";
            return Err(Failure::method_not_allowed("GET, DELETE", message));
        }
        (["images", "load"], _) => {
            return Err(Failure::method_not_allowed("POST", "an archive is sent with POST"));
        }
        (["namespaces", namespace, "services", service, "explain"], _) => {
            let target = Target {
                kind: &kinds::service::KIND,
                namespace: Some(checked(namespace, "namespace")?),
                name: Some(checked(service, "name")?),
                subresource: None,
            };
            return read_only(method, Route::Explain { target }).map(Some);
        }
        _ => return Ok(None),
    };
    Ok(Some(Route::Images { verb }))
}

fn objects(
    method: &Method,
    group: &str,
    version: &str,
    rest: &[&str],
    query: &Query,
) -> Result<Option<Route>, Failure> {
    let (namespace, plural, name, subresource) = match rest {
        ["namespaces", namespace, plural, name, sub] => {
            (Some(*namespace), *plural, Some(*name), Some(*sub))
        }
        ["namespaces", name, sub] if cluster_scoped_part(group, version, sub) => {
            (None, "namespaces", Some(*name), Some(*sub))
        }
        ["namespaces", namespace, plural, name] => (Some(*namespace), *plural, Some(*name), None),
        ["namespaces", namespace, plural] => (Some(*namespace), *plural, None, None),
        [plural, name, sub] => (None, *plural, Some(*name), Some(*sub)),
        [plural, name] => (None, *plural, Some(*name), None),
        [plural] => (None, *plural, None, None),
        _ => return Ok(None),
    };
    let Some(kind) = registry::find(group, version, plural) else { return Ok(None) };
    let everywhere = kind.namespaced && namespace.is_none();
    if (!kind.namespaced && namespace.is_some()) || (everywhere && name.is_some()) {
        return Ok(None);
    }
    let subresource = match subresource {
        None => None,
        Some(text) => match kind.subresources.iter().find(|known| known.as_str() == text) {
            None => return not_served(kind, text),
            known => known.copied(),
        },
    };
    let target = Target {
        kind,
        namespace: namespace.map(|text| checked(text, "namespace")).transpose()?,
        name: name.map(|text| existing(kind, text)).transpose()?,
        subresource,
    };
    let verb = match subresource {
        Some(subresource) => verb_of_part(method, &target, subresource)?,
        None => verb(method, &target, everywhere, query)?,
    };
    Ok(Some(Route::Objects { verb, target }))
}

/// A part that `kind` does not have here. What Kubernetes has there and people will try is refused
/// with a sentence that says so.
///
/// # Errors
/// 405 for it.
fn not_served(kind: &Kind, part: &str) -> Result<Option<Route>, Failure> {
    let known = ["attach", "exec", "portforward", "proxy", "ephemeralcontainers", "eviction"];
    if kind.plural != "pods" || !known.contains(&part) {
        return Ok(None);
    }
    let message = format!("pods/{part} is not supported: of a pod's parts, only its log is served");
    Err(Failure::method_not_allowed("", message))
}

/// Whether `namespaces/<name>/<sub>` means a part of the Namespace itself.
fn cluster_scoped_part(group: &str, version: &str, sub: &str) -> bool {
    registry::find(group, version, "namespaces")
        .is_some_and(|kind| kind.subresources.iter().any(|known| known.as_str() == sub))
}

fn verb_of_part(
    method: &Method,
    target: &Target,
    subresource: Subresource,
) -> Result<Verb, Failure> {
    let found = match *method {
        Method::GET | Method::HEAD => Some(Verb::Get),
        Method::PUT => Some(Verb::Update),
        Method::PATCH => Some(Verb::Patch),
        _ => None,
    };
    let allowed = subresource.verbs();
    found.filter(|verb| allowed.contains(verb)).ok_or_else(|| {
        let allow: Vec<String> = allowed.iter().map(|verb| method_name(*verb)).collect();
        let message = format!("{method} is not possible here for {}", target.resource());
        Failure::method_not_allowed(&allow.join(", "), message)
    })
}

fn verb(
    method: &Method,
    target: &Target,
    everywhere: bool,
    query: &Query,
) -> Result<Verb, Failure> {
    let named = target.name.is_some();
    let found = match *method {
        Method::GET | Method::HEAD if query.flag("watch")? => Some(Verb::Watch),
        Method::GET | Method::HEAD if named => Some(Verb::Get),
        Method::GET | Method::HEAD => Some(Verb::List),
        Method::POST if !named && !everywhere => Some(Verb::Create),
        Method::PUT if named => Some(Verb::Update),
        Method::PATCH if named => Some(Verb::Patch),
        Method::DELETE if named => Some(Verb::Delete),
        Method::DELETE if !everywhere => Some(Verb::DeleteCollection),
        _ => None,
    };
    if let Some(verb) = found.filter(|verb| target.kind.allows(*verb)) {
        return Ok(verb);
    }
    let place = |verb: &&Verb| match verb {
        Verb::Create | Verb::DeleteCollection => !named && !everywhere,
        Verb::List | Verb::Watch => !named,
        Verb::Get | Verb::Update | Verb::Patch | Verb::Delete => named,
    };
    let mut allowed: Vec<String> =
        target.kind.verbs.iter().filter(place).map(|verb| method_name(*verb)).collect();
    allowed.sort();
    allowed.dedup();
    let mut message = format!("{method} is not possible here for {}", target.kind.resource());
    if !target.kind.refused.is_empty() {
        message.push_str(": ");
        message.push_str(target.kind.refused);
    }
    Err(Failure::method_not_allowed(&allowed.join(", "), message))
}

fn method_name(verb: Verb) -> String {
    method(verb).to_string()
}

/// A name in a path. Whatever it is, it is never a path itself.
fn checked(text: &str, what: &str) -> Result<String, Failure> {
    name::check_subdomain(text, what)?;
    Ok(text.to_owned())
}

/// A name as far as it can be one part of a path. What has a name that none can have is not there:
/// clients ask before they create, and creating, by applying too, says what is wrong with the name.
fn existing(kind: &Kind, text: &str) -> Result<String, Failure> {
    let part = !text.bytes().all(|byte| byte == b'.')
        && text.len() <= MAX_NAME
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'%'));
    if part { Ok(text.to_owned()) } else { Err(Failure::not_found(kind, text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &str, path: &str, query: &str) -> Result<Route, u16> {
        let method = method.parse().unwrap();
        resolve(&method, path, &Query::parse(query).unwrap()).map_err(|f| f.status.as_u16())
    }

    #[test]
    fn every_listed_route_resolves_and_is_judged() {
        for route in routes() {
            let path = route.path.replace("{namespace}", "n").replace("{name}", "x");
            let resolved = resolve(&route.method, &path, &Query::default());
            let resolved = resolved.unwrap_or_else(|f| panic!("{path}: {}", f.message));
            let (_, resource) = resolved.access();
            assert_eq!(resource == Resource::Open, route.open, "{path}");
        }
    }

    #[test]
    fn what_is_not_there_is_404_and_405() {
        for (method, path, want) in [
            ("GET", "/api/v2", 404),
            ("GET", "/apis//v1", 404),
            ("GET", "/apis/nope/v1/things", 404),
            ("GET", "/api/v1/pods/p", 404),
            ("GET", "/api/v1/namespaces/n/pods/p/exec", 405),
            ("GET", "/api/v1/namespaces/n/pods/p/binding", 404),
            ("GET", "/api/v1/namespaces/n/nodes", 404),
            ("POST", "/api/v1/namespaces/n/pods", 405),
            ("POST", "/api/v1/secrets", 405),
            ("DELETE", "/api/v1/secrets", 405),
            ("PUT", "/version", 405),
            ("GET", "/api/v1/namespaces/n/secrets/..", 404),
            ("GET", "/api/v1/namespaces/n/secrets/%2e%2e", 404),
            ("GET", "/api/v1/namespaces/n/secrets/a%2Fb", 404),
            ("GET", "/api/v1/namespaces/n/secrets/a%00", 404),
            ("GET", "/api/v1/namespaces/N/secrets/a", 400),
            ("PATCH", "/api/v1/namespaces/n/secrets/%2e", 404),
            ("PATCH", "/api/v1/namespaces/n/secrets/a%25", 404),
        ] {
            assert_eq!(ask(method, path, "").unwrap_err(), want, "{method} {path}");
        }
        // Whether it can be a name is said by whoever would make it.
        assert!(ask("PATCH", "/api/v1/namespaces/n/secrets/Bad_Name", "").is_ok());
        let watch = ask("GET", "/api/v1/pods", "watch=1").unwrap();
        assert_eq!(watch.access().0, Verb::Watch);
    }
}
