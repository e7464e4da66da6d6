//! One request from head to answer: who asks, what for, may they, then the verb.

use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::request::Parts;
use http::{Request, Response};

use crate::accept::Language;
use crate::app::App;
use crate::auth::{Principal, Verb, authorize};
use crate::body::{self, Body, Sent};
use crate::context::{self, Context, Query, Target, View};
use crate::registry::Subresource;
use crate::route::{self, Route};
use crate::status::Failure;
use crate::{accept, discovery, explain, gzip, health, images, log, panics, verbs};

/// Answers a request. Never fails: a failure is an answer too.
pub(crate) async fn handle(app: Arc<App>, request: Request<Sent>) -> Response<Body> {
    let id =
        ulid::Ulid::from_parts(app.deps.clock.now().as_micros() / 1_000, crate::entropy::bits());
    let id = id.to_string().to_lowercase();
    let (parts, body) = request.into_parts();
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let coding = parts.headers.get_all(ACCEPT_ENCODING).iter().cloned();
    let coding = coding.map(|value| (ACCEPT_ENCODING, value)).collect();
    let language = accept::language(&parts.headers);
    let answer = panics::caught(&id, async {
        let answer = serve(app, id.clone(), parts, body).await;
        let answer = answer.unwrap_or_else(Failure::into_response);
        if language == Language::Yaml { accept::yaml(answer).await } else { answer }
    })
    .await;
    let mut response = gzip::answer(&coding, answer);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("audit-id", id);
    }
    let status = response.status().as_u16();
    tracing::debug!(%method, path, status, request_id = id, "answered");
    response
}

async fn serve(
    app: Arc<App>,
    request_id: String,
    parts: Parts,
    body: Sent,
) -> Result<Response<Body>, Failure> {
    let principal = app.auth.authenticate(&parts.headers)?;
    let resolved = Query::parse(parts.uri.query().unwrap_or_default()).and_then(|query| {
        route::resolve(&parts.method, parts.uri.path(), &query).map(|route| (route, query))
    });
    let (route, query) = match resolved {
        Ok(found) => found,
        Err(failure) => {
            // Somebody who may do nothing does not learn which paths there are.
            let unknown = crate::auth::Resource::Discovery;
            authorize(principal, Verb::Get, &unknown)?;
            return Err(failure);
        }
    };
    let (verb, resource) = route.access();
    authorize(principal, verb, &resource)?;
    // When the form of the answer is wrong, it is so before anything is done.
    let language = accept::language(&parts.headers);
    accept::check(language, &route)?;
    let view = match language {
        Language::Yaml => View::Whole,
        _ => context::view(&parts.headers, &query)?,
    };
    let agent =
        parts.headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    let agent = agent.unwrap_or_default().into_owned();
    let seat = app.priority.enter(&route, &query).await?;
    let context = Context { app, principal, request_id, query, view, seat, agent };
    answer(&context, route, &parts, body).await
}

async fn answer(
    context: &Context,
    route: Route,
    parts: &Parts,
    body: Sent,
) -> Result<Response<Body>, Failure> {
    match route {
        Route::Version => Ok(discovery::version()),
        Route::Health(path) => Ok(health::answer(path, &context.query)),
        Route::Discovery(document) => {
            Ok(discovery::answer(&document, &parts.headers, &context.query))
        }
        Route::Objects { verb, target } => objects(context, verb, &target, parts, body).await,
        Route::Explain { target } => explain::read(context, &target).await,
        Route::Images { verb: Verb::Create } => images::load(context, body).await,
        Route::Images { verb: Verb::Delete } => images::delete(context).await,
        Route::Images { .. } => images::list(context).await,
    }
}

async fn objects(
    context: &Context,
    verb: Verb,
    target: &Target,
    parts: &Parts,
    body: Sent,
) -> Result<Response<Body>, Failure> {
    match target.subresource {
        Some(Subresource::Log) => return log::read(context, target).await,
        Some(Subresource::Status) => {
            return verbs::status::serve(context, verb, target, parts, body).await;
        }
        Some(Subresource::Scale) => {
            return verbs::scale::serve(context, verb, target, parts, body).await;
        }
        None => {}
    }
    match verb {
        Verb::Get => return verbs::get::get(context, target).await,
        Verb::List => return verbs::list::list(context, target).await,
        Verb::Watch => return verbs::watch::watch(context, target).await,
        Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection => {}
    }
    let content_type = content_type(parts);
    let bytes = body::read(body, context.app.max_body_bytes).await?;
    if let Some(answer) = target.kind.answer {
        return verbs::review::answer(context, target, answer, content_type, &bytes);
    }
    match verb {
        Verb::Create => verbs::create::create(context, target, content_type, &bytes).await,
        Verb::Update => verbs::update::update(context, target, content_type, &bytes).await,
        Verb::Patch => verbs::patch::patch(context, target, content_type, &bytes).await,
        Verb::DeleteCollection => {
            verbs::delete_collection::delete(context, target, content_type, &bytes).await
        }
        _ => verbs::delete::delete(context, target, content_type, &bytes).await,
    }
}

/// The media type of the body, without parameters.
pub(crate) fn content_type(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let type_ = value.and_then(|text| text.split(';').next()).map(str::trim)?;
    // Media types know no case.
    Some(MEDIA_TYPES.iter().find(|known| known.eq_ignore_ascii_case(type_)).unwrap_or(&type_))
}

/// Media types of bodies that some verb takes.
const MEDIA_TYPES: [&str; 9] = [
    "application/json",
    "application/yaml",
    "application/x-yaml",
    "text/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

impl Context {
    /// Who asks, for the commit.
    pub(crate) fn actor(&self) -> String {
        Principal::name(self.principal).to_owned()
    }
}
