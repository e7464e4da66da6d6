//! One request from head to answer: who asks, what for, may they, then the verb.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;

use crate::app::App;
use crate::auth::{Principal, Verb, authorize};
use crate::body::{self, Body};
use crate::context::{Context, Query, Target, wants_table};
use crate::route::{self, Route};
use crate::status::Failure;
use crate::{discovery, explain, images, log, verbs};

/// Answers a request. Never fails: a failure is an answer too.
pub(crate) async fn handle(app: Arc<App>, request: Request<Incoming>) -> Response<Body> {
    let id = ulid::Ulid::from_parts(app.deps.clock.now().as_micros() / 1_000, rand::random());
    let id = id.to_string().to_lowercase();
    let (parts, body) = request.into_parts();
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let answer = serve(app, id.clone(), parts, body).await;
    let mut response = answer.unwrap_or_else(Failure::into_response);
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
    body: Incoming,
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
    let table = wants_table(&parts.headers);
    let context = Context { app, principal, request_id, query, table };
    answer(&context, route, &parts, body).await
}

async fn answer(
    context: &Context,
    route: Route,
    parts: &Parts,
    body: Incoming,
) -> Result<Response<Body>, Failure> {
    match route {
        Route::Version => Ok(discovery::version()),
        Route::Health => Ok(body::text(http::StatusCode::OK, "ok")),
        Route::Discovery(document) => Ok(discovery::answer(&document, &parts.headers)),
        Route::Objects { verb, target } => objects(context, verb, &target, parts, body).await,
        Route::PodLog { target } => log::read(context, &target).await,
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
    body: Incoming,
) -> Result<Response<Body>, Failure> {
    match verb {
        Verb::Get => return verbs::get::get(context, target).await,
        Verb::List => return verbs::list::list(context, target).await,
        Verb::Watch => return verbs::watch::watch(context, target).await,
        Verb::Create | Verb::Update | Verb::Patch | Verb::Delete => {}
    }
    let content_type = parts.headers.get(CONTENT_TYPE).map(|v| v.to_str().unwrap_or("?"));
    let content_type = content_type.and_then(|text| text.split(';').next()).map(str::trim);
    let bytes = body::read(body, context.app.max_body_bytes).await?;
    match verb {
        Verb::Create => verbs::create::create(context, target, content_type, &bytes).await,
        Verb::Update => verbs::update::update(context, target, content_type, &bytes).await,
        Verb::Patch => verbs::patch::patch(context, target, content_type, &bytes).await,
        _ => verbs::delete::delete(context, target, content_type, &bytes).await,
    }
}

impl Context {
    /// Who asks, for the commit.
    pub(crate) fn actor(&self) -> String {
        Principal::name(self.principal).to_owned()
    }
}
