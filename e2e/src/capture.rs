//! Requests of real clients, kept as text and sent again without the clients.
//!
//! [`proxy`] writes down what a client sends; [`Exchange`] is one request of it as it is kept. What
//! an earlier answer said (a uid, a version, the name of a Pod) is kept as a reference to that
//! answer, `{{3/metadata/uid}}`, and filled in again from the answers of the moment.

pub mod proxy;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Headers that are kept: those on which the answer depends.
const KEPT: [&str; 2] = ["accept", "content-type"];
/// Begins a request in a file; the command that sent it follows.
const MARK: &str = "### ";
/// Header that says that a body is kept as base64.
const BASE64: &str = "Body-Base64";

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The command that sent it.
    pub command: String,
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The kept headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Exchange {
    /// Leaves only what is kept of the headers.
    pub fn keep_headers(&mut self) {
        self.headers.retain(|(name, _)| KEPT.contains(&name.to_ascii_lowercase().as_str()));
    }

    /// Puts references in place of what `answers` said, one answer per earlier request.
    pub fn refer(&mut self, answers: &[Value]) {
        self.path = refer(&self.path, answers);
        if let Ok(body) = std::str::from_utf8(&self.body) {
            self.body = refer(body, answers).into_bytes();
        }
    }

    /// The request with the references filled in from `answers`.
    ///
    /// # Errors
    /// When an answer does not say what it is asked for.
    pub fn filled(&self, answers: &[Value]) -> Result<Self> {
        let mut filled = Self { path: fill(&self.path, answers)?, ..self.clone() };
        if let Ok(body) = std::str::from_utf8(&self.body) {
            filled.body = fill(body, answers)?.into_bytes();
        }
        Ok(filled)
    }

    /// As it is kept.
    pub fn write(&self) -> String {
        let Self { command, method, path, headers, body } = self;
        let mut text = format!("{MARK}{command}\n{method} {path}\n");
        for (name, value) in headers {
            text += &[name, ": ", value, "\n"].concat();
        }
        // Protobuf with nothing but text in it is UTF-8 as well.
        let readable = std::str::from_utf8(body).ok().filter(|body| !body.contains('\0'));
        match readable {
            Some("") => {}
            Some(body) => text += &["\n", body.trim_end(), "\n"].concat(),
            None => text += &[BASE64, ": ", &STANDARD.encode(body), "\n"].concat(),
        }
        text.push('\n');
        text
    }

    /// Reads the requests of a file.
    pub fn read_all(text: &str) -> Result<Vec<Self>> {
        let sections = text.split(MARK).skip(1);
        sections.map(|section| Self::read(section).with_context(|| section.to_owned())).collect()
    }

    fn read(section: &str) -> Result<Self> {
        let (head, body) = section.split_once("\n\n").context("no blank line")?;
        let mut lines = head.lines();
        let command = lines.next().context("no command")?.to_owned();
        let (method, path) = lines.next().and_then(|l| l.split_once(' ')).context("no path")?;
        let mut body = body.trim_end().as_bytes().to_vec();
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(": ").context("not a header")?;
            if name == BASE64 {
                body = STANDARD.decode(value)?;
            } else {
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        let (method, path) = (method.to_owned(), path.to_owned());
        Ok(Self { command, method, path, headers, body })
    }
}

/// Fields whose values differ between two runs and come back in later requests.
fn varies(field: &str, value: &str) -> bool {
    match field {
        "uid" => value.len() > 8,
        "creationTimestamp" | "serverRelativeURL" => !value.is_empty(),
        // Named after an instance.
        "name" => value.rsplit_once('-').is_some_and(|(revision, id)| {
            let number = revision.rsplit('-').next().unwrap_or_default();
            id.len() == 8 && number.len() == 5 && number.bytes().all(|b| b.is_ascii_digit())
        }),
        _ => false,
    }
}

fn refer(text: &str, answers: &[Value]) -> String {
    let mut text = text.to_owned();
    // The newest answer that said it is the one that the client had it from.
    for (at, answer) in answers.iter().enumerate().rev() {
        let mut said = Vec::new();
        leaves(answer, "", &mut said);
        for (pointer, field, value) in said {
            let reference = format!("{{{{{at}{pointer}}}}}");
            if varies(&field, &value) {
                text = text.replace(&value, &reference);
            }
            let (before, after) = surroundings(&field);
            for before in before {
                let (from, to) = (format!("{before}{value}"), format!("{before}{reference}"));
                if let Some(start) = text.strip_suffix(&from) {
                    text = format!("{start}{to}");
                }
                for after in after {
                    text = text.replace(&format!("{from}{after}"), &format!("{to}{after}"));
                }
            }
        }
    }
    text
}

/// Where a short value of this field may come back, as what may stand before and after it;
/// elsewhere the same text may be anything.
fn surroundings(field: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match field {
        "resourceVersion" => (
            &[
                "resourceVersion=",
                "\"resourceVersion\":\"",
                // Of a JSON patch.
                "\"path\":\"/metadata/resourceVersion\",\"value\":\"",
            ],
            &["&", "\""],
        ),
        "kubernetes.io/hostname" => {
            (&["/nodes/", "/leases/", "name%3D", "Name%3D", "uid%3D"], &["?", "&", "%2C"])
        }
        _ => (&[], &[]),
    }
}

/// Every text in a JSON value: its pointer, the name of its field, and itself.
fn leaves(value: &Value, pointer: &str, found: &mut Vec<(String, String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                if let Value::String(text) = value {
                    found.push((pointer, name.clone(), text.clone()));
                } else {
                    leaves(value, &pointer, found);
                }
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                leaves(item, &format!("{pointer}/{at}"), found);
            }
        }
        _ => {}
    }
}

fn fill(text: &str, answers: &[Value]) -> Result<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (reference, after) = after.split_once("}}").context("an open reference")?;
        let (at, pointer) = reference.split_at(reference.find('/').unwrap_or(reference.len()));
        // Bodies in JSON may have such braces of their own.
        let Ok(at) = at.parse::<usize>() else {
            filled += &[before, "{{", reference, "}}"].concat();
            rest = after;
            continue;
        };
        let said = answers.get(at).and_then(|answer| answer.pointer(pointer)?.as_str());
        filled.push_str(before);
        filled.push_str(said.with_context(|| format!("no answer said {reference}"))?);
        rest = after;
    }
    Ok(filled + rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_said_is_kept_as_a_reference() {
        let answer = json!({"items": [{"metadata": {
            "uid": "01hzuniqueuid", "resourceVersion": "12", "name": "hello-00001-abcdefgh",
        }}]});
        let mut exchange = Exchange {
            command: "kubectl x".into(),
            method: "PATCH".into(),
            path: "/p/hello-00001-abcdefgh?uid=01hzuniqueuid&limit=12&resourceVersion=12".into(),
            headers: vec![("Accept".into(), "application/json".into())],
            body: br#"{"metadata":{"resourceVersion":"12"},"replicas":{"a":{"b":12}}}"#.to_vec(),
        };
        let sent = exchange.clone();
        exchange.refer(&[Value::Null, answer.clone()]);
        assert!(exchange.path.contains("limit=12"), "{exchange:?}");
        assert!(!exchange.path.contains("uniqueuid"), "{exchange:?}");
        let read = Exchange::read_all(&exchange.write()).unwrap();
        assert_eq!(read, std::slice::from_ref(&exchange));
        assert_eq!(read[0].filled(&[Value::Null, answer]).unwrap(), sent);
        assert!(read[0].filled(&[]).is_err());
    }

    #[test]
    fn bytes_are_kept_as_base64() {
        let exchange = Exchange {
            command: "kubectl create".into(),
            method: "POST".into(),
            path: "/".into(),
            headers: Vec::new(),
            body: b"k8s\0text".to_vec(),
        };
        assert_eq!(Exchange::read_all(&exchange.write()).unwrap(), [exchange]);
    }
}
