//! JSON objects from optional fields of messages.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_pb::apimachinery::pkg::apis::meta::v1 as pb;
use serde_json::{Map, Value};

use super::malformed;
use crate::status::Failure;

/// An object under construction. What a message leaves out, or writes as the empty value because
/// Go has no other way to leave it out, stays away.
#[derive(Debug, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The object, which may be empty.
    pub(super) fn object(self) -> Value {
        Value::Object(self.0)
    }

    /// A text that is not empty.
    pub(super) fn text(self, name: &str, text: Option<String>) -> Self {
        self.plain(name, text.filter(|text| !text.is_empty()))
    }

    /// Anything that is there.
    pub(super) fn plain(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.into());
        }
        self
    }

    /// A list that is not empty.
    pub(super) fn list(self, name: &str, items: Vec<impl Into<Value>>) -> Self {
        let items: Vec<Value> = items.into_iter().map(Into::into).collect();
        self.plain(name, (!items.is_empty()).then_some(items))
    }

    /// A map of texts that is not empty.
    pub(super) fn texts(self, name: &str, map: BTreeMap<String, String>) -> Self {
        let map: Map<String, Value> =
            map.into_iter().map(|(key, text)| (key, text.into())).collect();
        self.plain(name, (!map.is_empty()).then_some(map))
    }

    /// A map of bytes that is not empty, in base64 as JSON has it.
    pub(super) fn bytes(self, name: &str, map: BTreeMap<String, Vec<u8>>) -> Self {
        let map = map.into_iter().map(|(key, bytes)| (key, STANDARD.encode(bytes)));
        self.texts(name, map.collect())
    }

    /// A time in whole seconds.
    pub(super) fn time(self, name: &str, time: Option<pb::Time>) -> Result<Self, Failure> {
        let time = time.unwrap_or_default();
        let text = time_text(time.seconds, None, "%Y-%m-%dT%H:%M:%SZ")?;
        Ok(self.text(name, text))
    }

    /// A time in microseconds.
    pub(super) fn micro_time(
        self,
        name: &str,
        time: Option<pb::MicroTime>,
    ) -> Result<Self, Failure> {
        let time = time.unwrap_or_default();
        let text = time_text(time.seconds, time.nanos, "%Y-%m-%dT%H:%M:%S.%6fZ")?;
        Ok(self.text(name, text))
    }
}

/// A time without any field is Go's zero time: no time at all.
fn time_text(
    seconds: Option<i64>,
    nanos: Option<i32>,
    form: &str,
) -> Result<Option<String>, Failure> {
    let ((Some(_), _) | (_, Some(_))) = (seconds, nanos) else { return Ok(None) };
    let time = jiff::Timestamp::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
        .map_err(|error| malformed(format!("a time is out of range: {error}")))?;
    Ok(Some(time.strftime(form).to_string()))
}
