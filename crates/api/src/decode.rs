//! Reading bodies strictly: JSON or YAML into a tree that remembers duplicate keys, and the tree
//! into a type that reports unknown fields.

mod nearest;
mod yaml;

use std::fmt;

use ebb_model::{Fault, Kind};
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_ignored::Path;
use serde_json::{Map, Number, Value};

use crate::status::Failure;

pub(crate) use nearest::nearest;
pub(crate) use yaml::yaml;

/// How deep objects and arrays may be nested.
const MAX_DEPTH: usize = 64;
const TOO_DEEP: &str = "nested deeper than 64 levels";
const BAD_NUMBER: &str = "not a finite number";
/// How many unknown or duplicate fields are named, each: the number of Kubernetes' own decoder.
const MAX_REPORTED: usize = 100;
/// Bytes of a path that are named. Keys are the client's, and may be as long as the body.
const MAX_PATH_BYTES: usize = 1_024;

/// A body, read.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) value: Value,
    /// Paths of keys that occurred twice in one object; the last one counts.
    pub(crate) duplicates: Vec<String>,
}

/// An object that was read as its type and written again, so that it holds known fields only.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) object: Value,
    /// Paths of the fields that the type does not have.
    pub(crate) unknown: Vec<String>,
}

/// Reads a JSON body.
///
/// # Errors
/// 400 with line and column.
pub(crate) fn json(bytes: &[u8]) -> Result<Tree, Failure> {
    let mut duplicates = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let seed = Node { path: &mut Vec::new(), duplicates: &mut duplicates };
    let value = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match value {
        Ok(value) => Ok(Tree { value, duplicates }),
        Err(error) => Err(malformed(&error.to_string())),
    }
}

fn malformed(error: &str) -> Failure {
    let code = if error.contains(TOO_DEEP) {
        "JSON_TOO_DEEP"
    } else if error.contains(BAD_NUMBER) || error.contains("number out of range") {
        "INVALID_NUMBER"
    } else {
        "INVALID_JSON"
    };
    Failure::bad_request(code, format!("the request body is not valid JSON: {error}"))
}

/// The code for a value of the wrong type: numbers have one of their own.
fn wrong_type(error: &str) -> &'static str {
    let number = [", expected i", ", expected u", ", expected f"];
    let numeric = number.iter().any(|word| {
        let after = error.split(word).nth(1).unwrap_or_default();
        after.starts_with(|c: char| c.is_ascii_digit())
    });
    let given = ["type: floating point", "type: string", "type: integer", "value: integer"];
    if numeric && given.iter().any(|word| error.contains(word)) {
        "INVALID_NUMBER"
    } else {
        "INVALID_VALUE"
    }
}

/// Reads `value` as a `T`.
///
/// # Errors
/// 400 naming the field whose value has the wrong type.
pub(crate) fn typed<T: DeserializeOwned + Serialize>(value: Value) -> Result<Decoded, Failure> {
    read::<T>(value, |error| error)
}

/// The same of what is secret: what is wrong with a value is said without the value, as clients
/// put what they are told into logs and conditions.
///
/// # Errors
/// As [`typed`].
pub(crate) fn typed_secret<T: DeserializeOwned + Serialize>(
    value: Value,
) -> Result<Decoded, Failure> {
    read::<T>(value, |error| without_value(&error))
}

fn read<T: DeserializeOwned + Serialize>(
    value: Value,
    say: fn(String) -> String,
) -> Result<Decoded, Failure> {
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    let decoded = serde_ignored::deserialize::<_, _, T>(tracked, |path| {
        if unknown.len() < MAX_REPORTED {
            unknown.push(shorten(render(&path)));
        }
    });
    let decoded = decoded.map_err(|error| {
        let path = track.path().to_string();
        let error = error.to_string();
        let code = wrong_type(&error);
        let error = not_base64(&error).unwrap_or_else(|| say(error));
        let fault = Fault::new(code, Kind::Invalid, error.clone()).at(path.clone());
        Failure::bad_body(format!("the value of {path} cannot be read: {error}"), vec![fault])
    })?;
    let object = serde_json::to_value(decoded).map_err(|e| Failure::internal(e.to_string()))?;
    Ok(Decoded { object, unknown })
}

/// The reader of base64 says what is wrong and not what it is about, and cites what may be meant to
/// be secret: where it is wrong has to do.
fn not_base64(error: &str) -> Option<String> {
    let why = error.strip_prefix("Invalid ")?.trim_end_matches('.');
    let place = why.rsplit_once(", ").map_or("", |(_, offset)| offset);
    Some(format!("it is not base64: wrong {}", if place.is_empty() { why } else { place }))
}

/// `invalid type: integer, expected a string` of the same with the integer.
fn without_value(error: &str) -> String {
    let Some((given, expected)) = error.rsplit_once(", expected ") else {
        return "it has the wrong form".to_owned();
    };
    let word = given.split(['`', '"']).next().unwrap_or_default();
    format!("{}, expected {expected}", word.trim_end())
}

/// A path as Kubernetes writes it: `spec.containers[0].image`.
fn render(path: &Path<'_>) -> String {
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", render(parent)),
        Path::Map { parent, key } => match render(parent) {
            parent if parent.is_empty() => key.clone(),
            parent => format!("{parent}.{key}"),
        },
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => render(parent),
    }
}

/// The path, or as much of it as is worth naming.
fn shorten(mut path: String) -> String {
    if path.len() > MAX_PATH_BYTES {
        path.truncate(path.floor_char_boundary(MAX_PATH_BYTES));
        path.push_str("...");
    }
    path
}

/// Reads one value of the tree.
struct Node<'a> {
    path: &'a mut Vec<String>,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain data without tags")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom(BAD_NUMBER))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        if self.path.len() >= MAX_DEPTH {
            return Err(A::Error::custom(TOO_DEEP));
        }
        let mut values = Vec::new();
        loop {
            self.path.push(format!("[{}]", values.len()));
            let node = Node { path: &mut *self.path, duplicates: &mut *self.duplicates };
            let item = items.next_element_seed(node)?;
            self.path.pop();
            match item {
                Some(item) => values.push(item),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        if self.path.len() >= MAX_DEPTH {
            return Err(A::Error::custom(TOO_DEEP));
        }
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.path.push(if self.path.is_empty() { key.clone() } else { format!(".{key}") });
            let node = Node { path: &mut *self.path, duplicates: &mut *self.duplicates };
            let value = entries.next_value_seed(node)?;
            if map.insert(key, value).is_some() && self.duplicates.len() < MAX_REPORTED {
                self.duplicates.push(shorten(self.path.concat()));
            }
            self.path.pop();
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests;
