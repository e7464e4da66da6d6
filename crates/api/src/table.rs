//! Tables: the columns that `kubectl get` shows, made by the server.

use ebb_model::Timestamp;
use serde_json::{Value, json};

use crate::context::Query;
use crate::registry::Kind;
use crate::status::Failure;

/// One column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// `string` or `integer`.
    pub(crate) type_: &'static str,
    /// 0 is shown always, 1 with `-o wide`.
    pub(crate) priority: u8,
    pub(crate) description: &'static str,
}

/// A text column that is always shown.
pub(crate) const fn column(name: &'static str, description: &'static str) -> Column {
    Column { name, type_: "string", priority: 0, description }
}

/// A text column of `-o wide`.
pub(crate) const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { name, type_: "string", priority: 1, description }
}

/// A number column that is always shown.
pub(crate) const fn number(name: &'static str, description: &'static str) -> Column {
    Column { name, type_: "integer", priority: 0, description }
}

/// The first column of every kind.
pub(crate) const NAME: Column = column("Name", "Name of the object, unique in its namespace.");
/// The last column of most kinds.
pub(crate) const AGE: Column = column("Age", "Time since the object was created.");

/// How much of each object a row carries (`includeObject`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    /// From the query; the metadata when it says nothing, as in Kubernetes.
    pub(crate) fn of(query: &Query) -> Result<Self, Failure> {
        match query.get("includeObject") {
            Some("None") => Ok(Self::None),
            None | Some("Metadata") => Ok(Self::Metadata),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(Failure::bad_request(
                "INVALID_PARAMETER",
                format!(
                    "includeObject={other:?} is not known: None, Metadata or Object is allowed"
                ),
            )),
        }
    }
}

/// A table of `objects`. `columns` is false for the later events of a watch: the client knows them.
pub(crate) fn table(
    kind: &Kind,
    objects: &[Value],
    metadata: &Value,
    include: Include,
    columns: bool,
    now: Timestamp,
) -> Value {
    let rows = objects.iter().map(|object| {
        let mut row = json!({ "cells": (kind.cells)(object, now) });
        match include {
            Include::None => {}
            Include::Metadata => {
                row["object"] = partial(object);
            }
            Include::Object => row["object"] = object.clone(),
        }
        row
    });
    from_rows(kind.columns, &rows.collect::<Vec<_>>(), metadata, columns)
}

/// The object without anything but its metadata.
pub(crate) fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}

/// A table of rows that are made already.
pub(crate) fn from_rows(
    columns: &[Column],
    rows: &[Value],
    metadata: &Value,
    with_columns: bool,
) -> Value {
    let definitions = if with_columns { definitions(columns) } else { json!([]) };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

/// What clients are told of the columns.
pub(crate) fn definitions(columns: &[Column]) -> Value {
    columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            json!({
                "name": column.name,
                "type": column.type_,
                "format": if index == 0 { "name" } else { "" },
                "description": column.description,
                "priority": column.priority,
            })
        })
        .collect()
}

/// A text of an object by JSON pointer; empty when it is not there.
pub(crate) fn at(object: &Value, pointer: &str) -> Value {
    match object.pointer(pointer) {
        Some(Value::String(text)) => json!(text),
        Some(Value::Number(number)) => json!(number.to_string()),
        _ => json!(""),
    }
}

/// A number of an object by JSON pointer; 0 when it is not there.
pub(crate) fn count(object: &Value, pointer: &str) -> Value {
    json!(object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0))
}

/// Time since the RFC 3339 time at `pointer`.
pub(crate) fn age(object: &Value, pointer: &str, now: Timestamp) -> Value {
    let then = object.pointer(pointer).and_then(Value::as_str);
    let then = then.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let Some(then) = then else { return json!("<unknown>") };
    let seconds = now.to_jiff().as_second().saturating_sub(then.as_second());
    json!(human(seconds))
}

/// A duration in the short form of kubectl: two units where the first is small.
fn human(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 != 0 => format!("{minutes}m{}s", seconds % 60),
        120..10_800 => format!("{minutes}m"),
        10_800..28_800 if minutes % 60 != 0 => format!("{hours}h{}m", minutes % 60),
        10_800..172_800 => format!("{hours}h"),
        172_800..691_200 if hours % 24 != 0 => format!("{days}d{}h", hours % 24),
        172_800..63_072_000 => format!("{days}d"),
        _ if days < 365 * 8 && days % 365 != 0 => format!("{}y{}d", days / 365, days % 365),
        _ => format!("{}y", days / 365),
    }
}

/// `status`, `reason` of the condition of this type.
pub(crate) fn condition<'a>(object: &'a Value, type_: &str) -> (&'a str, &'a str) {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|c| c["type"] == type_);
    let text =
        |field: &str| found.and_then(|condition| condition[field].as_str()).unwrap_or_default();
    (text("status"), text("reason"))
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn ages_read_as_in_kubectl() {
        for (seconds, text) in [
            (-5, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (3_600, "60m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (86_400, "24h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (63_072_000, "2y"),
            (64_000_000, "2y10d"),
        ] {
            assert_eq!(human(seconds), text, "{seconds}");
        }
    }
}
