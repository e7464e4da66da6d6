//! What kubectl sent, sent again without kubectl.
//!
//! The requests in `captured/*.http` were written down by `cargo xtask capture`. They are sent in
//! order to a fresh platform, and the shape of what it answers is compared with `*.answers`. With
//! `EBB_WRITE_ANSWERS=1` those files are written instead: read the difference before committing it.

mod shape;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use ebb_e2e::api::ApiConnection;
use ebb_e2e::capture::Exchange;
use ebb_e2e::{Platform, now};
use serde_json::Value;

use crate::support::can_run;

const WRITE: &str = "EBB_WRITE_ANSWERS";
/// Longest wait for something to become ready.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

/// What was answered to one request.
struct Answer {
    /// As compared.
    shape: String,
    /// The whole document, for requests that refer to it; null when it is a stream.
    document: Value,
}

/// Sends a request. Of a stream that does not end, only the beginning is read.
fn send(platform: &Platform, exchange: &Exchange) -> Result<Answer> {
    let mut api = platform.api()?.open()?;
    let Exchange { method, path, headers, body, .. } = exchange;
    let (head, mut pieces) = api.start_raw(method, path, headers, body)?;
    let content_type = head.header("content-type").unwrap_or("no type").to_owned();
    let mut shape = format!("{} {content_type}\n", head.status);
    if let Some(warning) = head.header("warning") {
        shape += &["Warning: ", warning, "\n"].concat();
    }
    if path.contains("watch=true") {
        return Ok(Answer { shape, document: Value::Null });
    }
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.piece()? {
        bytes.extend_from_slice(&piece);
        if path.contains("follow=true") && bytes.contains(&b'\n') {
            break;
        }
    }
    let document = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    if document.is_null() {
        let text = String::from_utf8_lossy(&bytes);
        shape.push_str(&shape::text(text.lines().next().unwrap_or_default()));
        shape.push('\n');
    } else {
        shape.push_str(&serde_yaml_ng::to_string(&shape::document(path, &document))?);
    }
    Ok(Answer { shape, document })
}

/// Waits until everything at the path is ready, as the captured `kubectl wait` did.
fn until_ready(api: &mut ApiConnection, path: &str) -> Result<()> {
    let path = path.split('?').next().unwrap_or_default();
    let end = now() + PATIENCE;
    while now() < end {
        let list = api.get(path)?;
        let items = list["items"].as_array().context("no items")?;
        let ready = |object: &Value| {
            let conditions = object["status"]["conditions"].as_array();
            let mut conditions = conditions.into_iter().flatten();
            conditions.any(|c| c["type"] == "Ready" && c["status"] == "True")
        };
        if !items.is_empty() && items.iter().all(ready) {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    anyhow::bail!("{path} did not become ready")
}

/// Sends the requests of a file; answers what came back, as text.
fn replay(requests: &Path) -> Result<String> {
    let platform = Platform::start()?;
    platform.load_hello()?;
    let exchanges = Exchange::read_all(&std::fs::read_to_string(requests)?)?;
    ensure!(!exchanges.is_empty(), "no requests in {}", requests.display());
    let (mut documents, mut said) = (Vec::new(), String::new());
    for exchange in &exchanges {
        let place = || format!("{}: {} {}", exchange.command, exchange.method, exchange.path);
        let filled = exchange.filled(&documents).with_context(place)?;
        let answer = send(&platform, &filled).with_context(place)?;
        if filled.command.starts_with("kubectl wait") {
            let path = filled.path.split('?').next().unwrap_or_default();
            if path.ends_with("/services") || path.ends_with("/pods") {
                until_ready(&mut platform.api()?.open()?, path)?;
            }
        }
        let Exchange { command, method, path, .. } = exchange;
        said += &["### ", command, "\n", method, " ", path, "\n", &answer.shape, "\n"].concat();
        documents.push(answer.document);
    }
    platform.stop()?;
    Ok(said)
}

/// The first section in which two texts differ.
fn difference(expected: &str, said: &str) -> Option<String> {
    let sections = |text: &str| text.split("### ").map(str::to_owned).collect::<Vec<_>>();
    let (expected, said) = (sections(expected), sections(said));
    let count = (expected.len(), said.len());
    let different = expected.iter().zip(&said).find(|(expected, said)| expected != said);
    match different {
        Some((expected, said)) => Some(format!("expected\n{expected}\nand was answered\n{said}")),
        None => (count.0 != count.1).then(|| format!("{} answers, not {}", count.1, count.0)),
    }
}

fn judge(test: &str, name: &str) {
    if !can_run(test) {
        return;
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("captured");
    let said = replay(&dir.join(format!("{name}.http"))).unwrap();
    let path = dir.join(format!("{name}.answers"));
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(path, said).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    if let Some(difference) = difference(&expected, &said) {
        panic!("{name}: {difference}\n{WRITE}=1 writes the answers anew");
    }
}

#[test]
fn what_kubectl_sent_about_core_objects_is_answered() {
    judge("what_kubectl_sent_about_core_objects_is_answered", "core");
}

#[test]
fn what_kubectl_sent_about_services_is_answered() {
    judge("what_kubectl_sent_about_services_is_answered", "services");
}
