//! Parameters of the operations, in path and query.

use serde_json::{Value, json};

use crate::auth::Verb;
use crate::registry::{Kind, Subresource};

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    /// As in the request.
    pub(super) name: &'static str,
    /// Whether it stands in the path; else in the query.
    pub(super) path: bool,
    /// Whether a request without it is refused.
    pub(super) required: bool,
    /// `string`, `integer` or `boolean`.
    pub(super) type_: &'static str,
    /// Every allowed value; empty for any.
    pub(super) values: &'static [&'static str],
    /// What a text looks like, as a regular expression; empty for any.
    pub(super) pattern: &'static str,
    /// Most letters of a text; 0 for any number of them.
    pub(super) longest: u32,
    /// Least value of a number.
    pub(super) least: u32,
    /// What it does, in one sentence.
    pub(super) about: &'static str,
}

impl Parameter {
    /// Says in a schema which values are taken.
    pub(super) fn limits(&self, schema: &mut Value) {
        if self.type_ == "integer" {
            schema["minimum"] = json!(self.least);
            schema["format"] = json!("int64");
        }
        if !self.values.is_empty() {
            schema["enum"] = json!(self.values);
        }
        if !self.pattern.is_empty() {
            schema["pattern"] = json!(self.pattern);
        }
        if self.longest > 0 {
            schema["maxLength"] = json!(self.longest);
        }
    }
}

/// Anything in the query.
const QUERY: Parameter = Parameter {
    name: "",
    path: false,
    required: false,
    type_: "string",
    values: &[],
    pattern: "",
    longest: 0,
    least: 0,
    about: "",
};

/// Text in the query.
pub(super) const fn text(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, about, ..QUERY }
}

const fn one_of(
    name: &'static str,
    values: &'static [&'static str],
    about: &'static str,
) -> Parameter {
    Parameter { name, values, about, ..QUERY }
}

const fn number(name: &'static str, least: u32, about: &'static str) -> Parameter {
    Parameter { name, type_: "integer", least, about, ..QUERY }
}

const fn flag(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, type_: "boolean", about, ..QUERY }
}

/// Name of the object, in the path.
pub(super) const NAME: Parameter = Parameter {
    path: true,
    required: true,
    pattern: "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
    longest: 253,
    ..text("name", "Name of the object.")
};
/// Its namespace, in the path.
pub(super) const NAMESPACE: Parameter = Parameter {
    pattern: "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    longest: 63,
    ..Parameter { name: "namespace", about: "Namespace of the object.", ..NAME }
};

const DRY_RUN: Parameter = one_of("dryRun", &["All"], "All: do everything but the commit.");
const MANAGER: Parameter = Parameter {
    pattern: "^[ -~]*$",
    longest: 128,
    ..text("fieldManager", "Who writes, for the record of who owns which field.")
};
const WRITE: &[Parameter] = &[
    DRY_RUN,
    MANAGER,
    one_of(
        "fieldValidation",
        &["Ignore", "Strict", "Warn"],
        "What to do about fields that are unknown or occur twice.",
    ),
];
const FORCE: Parameter = flag("force", "Take over fields that others own; for apply only.");
const SELECT: &[Parameter] = &[
    text("continue", "Where the next page starts, as the last one said."),
    text("fieldSelector", "Which objects, by field."),
    text("labelSelector", "Which objects, by label."),
    number("limit", 0, "How many at most in one answer."),
    text("resourceVersion", "Version of the answer, see resourceVersionMatch."),
    one_of("resourceVersionMatch", &["Exact", "NotOlderThan"], "How resourceVersion is meant."),
    number("timeoutSeconds", 0, "Seconds until a watch ends."),
];
const LIST: &[Parameter] = &[
    flag("allowWatchBookmarks", "Tell the version of a watch now and then."),
    flag("sendInitialEvents", "Start a watch with what is there."),
    flag("watch", "Follow changes instead."),
];
const DELETE: &[Parameter] = &[
    DRY_RUN,
    number("gracePeriodSeconds", 0, "Seconds until it is ended without asking."),
    one_of(
        "propagationPolicy",
        &["Background", "Foreground", "Orphan"],
        "What becomes of what the object owns.",
    ),
];
const LOG: &[Parameter] = &[
    text("container", "Which container."),
    flag("follow", "Go on until the container ends."),
    number("limitBytes", 1, "How many bytes at most."),
    flag("previous", "What the container before this one wrote."),
    number("sinceSeconds", 1, "Not older than so many seconds."),
    text("sinceTime", "Not older than this RFC 3339 time."),
    one_of("stream", &["All", "Stderr", "Stdout"], "Which output."),
    number("tailLines", 0, "The last lines only."),
    flag("timestamps", "Start every line with its time."),
];
const GET: &[Parameter] = &[text("resourceVersion", "The answer is not older than this version.")];

/// Parameters of `verb` of a kind or of a part of it.
pub(super) fn of(kind: &Kind, verb: Verb, part: Option<Subresource>) -> Vec<Parameter> {
    let mut all = Vec::new();
    if !matches!(verb, Verb::List | Verb::Create | Verb::DeleteCollection) {
        all.push(NAME);
    }
    if kind.namespaced {
        all.push(NAMESPACE);
    }
    match verb {
        Verb::Get if part == Some(Subresource::Log) => all.extend(LOG),
        Verb::Get => all.extend(GET),
        Verb::List | Verb::Watch => {
            all.extend(LIST);
            all.extend(SELECT);
        }
        Verb::Create | Verb::Update => all.extend(WRITE),
        Verb::Patch => {
            all.extend(WRITE);
            all.push(FORCE);
        }
        Verb::Delete => all.extend(DELETE),
        Verb::DeleteCollection => {
            all.extend(DELETE);
            all.extend(SELECT);
        }
    }
    all
}
