//! What must hold however a request is answered.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use http::StatusCode;
use serde_json::Value;

use crate::case::Case;
use crate::door::{Answer, Door};
use crate::objects;

/// Longest time for an answer, in milliseconds of wall time: far more than any takes.
const SLOW_MS: u64 = 5_000;
/// Codes that may come with a status of 500 or more: the client asked for what is not there yet.
const LATER: [&str; 1] = ["VERSION_IN_FUTURE"];
/// Causes that clients know by Kubernetes' own names for them.
const KUBERNETES_CAUSES: [&str; 2] = ["FieldManagerConflict", "NamespaceTerminating"];
/// Words that only our insides know.
const INSIDES: [&str; 6] = ["panicked", ".rs:", "/src/", "sqlite", "unwrap()", "RUST_BACKTRACE"];

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which one: stays the same while a case is made smaller.
    pub promise: &'static str,
    /// How.
    pub how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.how)
    }
}

/// How a case went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is no HTTP, so it was not sent.
    NotSent,
    /// It was refused.
    Refused,
    /// It was answered.
    Done,
    /// It wrote an object, which was read back.
    Written,
}

fn broken(promise: &'static str, how: impl Into<String>) -> Broken {
    Broken { promise, how: how.into() }
}

/// Sends `case` and checks everything that must hold.
///
/// # Errors
/// When the harness itself fails, not the door.
pub async fn run(door: &Door, case: &Case) -> Result<Result<Outcome, Broken>> {
    let before = door.versions().await?;
    let Some(answer) = door.ask(case).await else { return Ok(Ok(Outcome::NotSent)) };
    let after = door.versions().await?;
    if answer.took_ms > SLOW_MS {
        return Ok(Err(broken("answers in time", format!("{} ms", answer.took_ms))));
    }
    if answer.status.as_u16() >= 400 {
        let judged = refusal(case, &answer).and_then(|()| unchanged(before, after, "a failure"));
        return Ok(judged.map(|()| Outcome::Refused));
    }
    let reads =
        matches!(case.method.as_str(), "GET" | "HEAD") || case.parameter("dryRun") == Some("All");
    if reads {
        return Ok(unchanged(before, after, "a read or rehearsal").map(|()| Outcome::Done));
    }
    match written(case, &answer) {
        Some(object) => Ok(read_back(door, case, &object).await?.map(|()| Outcome::Written)),
        None => Ok(Ok(Outcome::Done)),
    }
}

fn unchanged(before: (u64, u64), after: (u64, u64), what: &str) -> Result<(), Broken> {
    if before == after {
        return Ok(());
    }
    Err(broken("nothing is written", format!("{what} wrote: versions {before:?} became {after:?}")))
}

/// A refusal is a Status with a documented code.
fn refusal(case: &Case, answer: &Answer) -> Result<(), Broken> {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let Some(status) = answer.json() else {
        return Err(broken("a failure is a Status", format!("{}: {text:?}", answer.status)));
    };
    let causes = status["details"]["causes"].as_array().cloned().unwrap_or_default();
    let codes: Vec<&str> = causes.iter().filter_map(|cause| cause["reason"].as_str()).collect();
    let whole = status["kind"] == "Status"
        && status["status"] == "Failure"
        && status["code"] == answer.status.as_u16()
        && status["reason"].is_string()
        && status["message"].as_str().is_some_and(|message| !message.is_empty());
    if !whole || codes.is_empty() {
        return Err(broken("a failure is a Status", text));
    }
    if answer.status.is_server_error() && !codes.iter().all(|code| LATER.contains(code)) {
        return Err(broken("no failure is ours", text));
    }
    let unknown = |code: &&&str| !KUBERNETES_CAUSES.contains(code) && !documented(code);
    if let Some(unknown) = codes.iter().find(unknown) {
        return Err(broken("every code has a page", format!("{unknown}: {text}")));
    }
    let sent = String::from_utf8_lossy(&case.body);
    let tells = |word: &&&str| {
        text.contains(**word) && !sent.contains(**word) && !case.target().contains(**word)
    };
    if let Some(word) = INSIDES.iter().find(tells) {
        return Err(broken("nothing is told of our insides", format!("{word:?}: {text}")));
    }
    let allowed = answer.headers.contains_key("allow");
    if answer.status == StatusCode::METHOD_NOT_ALLOWED && !allowed {
        return Err(broken("405 says what is allowed", text));
    }
    Ok(())
}

/// Whether the code has a page in the reference.
fn documented(code: &str) -> bool {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/errors");
    let plain = code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    plain && pages.join(format!("{code}.md")).is_file()
}

/// An object that was written: where it is, and what it is.
struct Written {
    path: String,
    collection: Option<String>,
    object: Value,
    /// Whether the answer is the object itself, not a table of it.
    whole: bool,
}

/// What the case wrote, when it is an object that can be read again.
fn written(case: &Case, answer: &Answer) -> Option<Written> {
    let object = answer.json()?;
    let collections = ebb_api::routes();
    let path = case.path.trim_end_matches('/').to_owned();
    let accept = case.headers.iter().any(|(name, value)| name == "accept" && value.contains("as="));
    match case.method.as_str() {
        "POST" => {
            let name = object["metadata"]["name"].as_str()?;
            let plural = path.rsplit('/').next()?;
            let readable = collections.iter().any(|route| {
                route.method == http::Method::GET
                    && route.path.ends_with(&format!("/{plural}/{{name}}"))
            });
            readable.then(|| Written {
                path: format!("{path}/{name}"),
                collection: Some(path.clone()),
                object: object.clone(),
                whole: !accept,
            })
        }
        "PUT" | "PATCH" => {
            let part = ["/status", "/scale"].iter().any(|part| path.ends_with(part));
            let collection = path.rsplit_once('/').map(|(collection, _)| collection.to_owned());
            let collection = collection.filter(|_| !part);
            Some(Written { path, collection, object, whole: !accept })
        }
        _ => None,
    }
}

/// Reads the object again, finds it in its list, and puts it where it is: which changes nothing.
async fn read_back(door: &Door, case: &Case, written: &Written) -> Result<Result<(), Broken>> {
    let read = ask(door, "GET", &written.path, "", Vec::new()).await?;
    // What waited for its last finalizer is gone with it.
    let going = written.object["metadata"]["deletionTimestamp"].is_string();
    if read.status == StatusCode::NOT_FOUND && (going || !written.whole) {
        return Ok(Ok(()));
    }
    let Some(object) = read.json().filter(|_| read.status == StatusCode::OK) else {
        let text = String::from_utf8_lossy(&read.body).into_owned();
        return Ok(Err(broken("what was written can be read", format!("{}: {text}", read.status))));
    };
    if written.whole && object != written.object {
        let how = format!("answered {}\nread     {object}", written.object);
        return Ok(Err(broken("what was written is what is read", how)));
    }
    let Some(collection) = &written.collection else { return Ok(Ok(())) };
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let selector = format!("fieldSelector=metadata.name%3D{name}");
    let list =
        ask(door, "GET", collection, &selector, Vec::new()).await?.json().unwrap_or_default();
    let mut listed = list["items"].as_array().cloned().unwrap_or_default();
    for item in &mut listed {
        // A list says once for all of them what they are.
        item["kind"] = object["kind"].clone();
        item["apiVersion"] = object["apiVersion"].clone();
    }
    if listed != [object.clone()] {
        let how = format!("read {object}\nlist {list}");
        return Ok(Err(broken("what was written is listed", how)));
    }
    put_again(door, case, written, &object).await
}

async fn put_again(
    door: &Door,
    case: &Case,
    written: &Written,
    object: &Value,
) -> Result<Result<(), Broken>> {
    let puts = ebb_api::routes()
        .into_iter()
        .any(|route| route.method == http::Method::PUT && same_shape(&route.path, &written.path));
    if !puts {
        return Ok(Ok(()));
    }
    let before = door.versions().await?;
    let manager = case.parameter("fieldManager").unwrap_or("fuzz");
    let query = format!("fieldValidation=Strict&fieldManager={manager}");
    let body = object.to_string().into_bytes();
    let again = ask(door, "PUT", &written.path, &query, body).await?;
    let text = String::from_utf8_lossy(&again.body).into_owned();
    if again.status != StatusCode::OK {
        return Ok(Err(broken("what was written can be put again", text)));
    }
    if door.versions().await? != before {
        let how = format!("was {object}\nis  {text}");
        return Ok(Err(broken("putting the same changes nothing", how)));
    }
    Ok(Ok(()))
}

/// Whether `path` is one of the route `route`.
fn same_shape(route: &str, path: &str) -> bool {
    let (route, path): (Vec<_>, Vec<_>) = (route.split('/').collect(), path.split('/').collect());
    let same = |(a, b): (&&str, &&str)| a.starts_with('{') || a == b;
    route.len() == path.len() && route.iter().zip(&path).all(same)
}

async fn ask(door: &Door, method: &str, path: &str, query: &str, body: Vec<u8>) -> Result<Answer> {
    let query = if query.is_empty() { Vec::new() } else { vec![query.to_owned()] };
    let mut case = objects::create(path, &Value::Null);
    case = Case { method: method.to_owned(), query, body, ..case };
    door.ask(&case).await.with_context(|| format!("{method} {path} is not HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_pages() {
        assert!(documented("INVALID_NAME"));
        assert!(!documented("NO_SUCH_CODE_AT_ALL") && !documented("../README"));
    }

    #[test]
    fn routes_are_recognised() {
        let route = "/api/v1/namespaces/{namespace}/configmaps/{name}";
        assert!(same_shape(route, "/api/v1/namespaces/default/configmaps/a"));
        assert!(!same_shape(route, "/api/v1/namespaces/default/configmaps"));
        assert!(!same_shape(route, "/api/v1/namespaces/default/secrets/a"));
    }
}
