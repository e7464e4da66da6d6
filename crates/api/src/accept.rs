//! Which language an answer is written in: JSON, or YAML for those who ask for it first.

use http::header::{ACCEPT, CONTENT_TYPE, ETAG, HeaderValue};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;

use crate::auth::Verb;
use crate::body::{self, Body};
use crate::registry::Subresource;
use crate::route::Route;
use crate::status::Failure;

/// Largest answer that is written as YAML, in bytes of JSON: it has to be read whole first.
const MAX_YAML_BYTES: usize = 16 << 20;

/// The language of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Json,
    Yaml,
    /// None that the client takes and we have.
    None,
}

/// The first language that the client takes and we have.
pub(crate) fn language(headers: &HeaderMap) -> Language {
    let mut values = headers.get_all(ACCEPT).iter().peekable();
    if values.peek().is_none() {
        return Language::Json;
    }
    let ranges = values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let mut ranges = ranges.map(str::trim).filter(|range| !range.is_empty()).peekable();
    if ranges.peek().is_none() {
        return Language::Json;
    }
    let found = ranges.find_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let plain = || !range.contains("as=");
        match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "application/json" | "application/*" | "*/*" => Some(Language::Json),
            "application/yaml" if plain() => Some(Language::Yaml),
            _ => None,
        }
    });
    found.unwrap_or(Language::None)
}

/// Whether the route can answer in that language.
///
/// # Errors
/// 406 for objects in a language that there is not, and for a watch in any but JSON.
pub(crate) fn check(language: Language, route: &Route) -> Result<(), Failure> {
    let Route::Objects { verb, target } = route else { return Ok(()) };
    if target.subresource == Some(Subresource::Log) {
        return Ok(());
    }
    match (language, verb) {
        (Language::Json, _) => Ok(()),
        (_, Verb::Watch) => Err(Failure::not_acceptable("application/json")),
        (Language::Yaml, _) => Ok(()),
        (Language::None, _) => Err(Failure::not_acceptable("application/json, application/yaml")),
    }
}

/// The answer as YAML. What is not JSON, and documents that clients keep, stay as they are.
pub(crate) async fn yaml(response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    let json = headers.get(CONTENT_TYPE).is_some_and(|type_| type_ == "application/json");
    if !json || headers.contains_key(ETAG) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let bytes = match Limited::new(body, MAX_YAML_BYTES).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Failure::not_acceptable("application/json (it is too long for YAML)")
                .into_response();
        }
        Err(error) => {
            let message = format!("the answer broke off: {error}");
            return Failure::internal(message).into_response();
        }
    };
    let written = serde_json::from_slice::<Value>(&bytes)
        .ok()
        .and_then(|value| serde_yaml_ng::to_string(&value).ok());
    let Some(text) = written else {
        return Failure::internal("the answer cannot be written as YAML").into_response();
    };
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
    let whole = body::bytes(head.status, text.into(), "application/yaml");
    Response::from_parts(head, whole.into_body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_language_that_there_is_wins() {
        for (accept, want) in [
            ("", Language::Json),
            ("*/*", Language::Json),
            ("text/html, application/xml;q=0.9, */*;q=0.8", Language::Json),
            ("application/vnd.kubernetes.protobuf, application/json", Language::Json),
            ("application/json, application/yaml", Language::Json),
            ("application/yaml, application/json", Language::Yaml),
            ("Application/YAML", Language::Yaml),
            ("application/yaml;as=Table;v=v1, application/json", Language::Json),
            ("text/plain", Language::None),
            ("application/vnd.kubernetes.protobuf", Language::None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(language(&headers), want, "{accept}");
        }
        assert_eq!(language(&HeaderMap::new()), Language::Json);
    }
}
