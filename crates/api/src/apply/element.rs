//! One step of a path in an object, and its text in `FieldsV1`.

use std::fmt;

use serde_json::{Map, Value};

/// One step from a value to one below it. Values inside are canonical JSON texts, so that steps
/// have an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Element {
    /// A field of an object or a key of a map.
    Field(String),
    /// An element of a list that is known by the values of its keys, in the order of their names.
    Key(Vec<(String, String)>),
    /// An element of a set.
    Value(String),
    /// An element of any other list.
    Index(usize),
}

impl Element {
    /// The field of this name.
    pub(crate) fn field(name: impl Into<String>) -> Self {
        Self::Field(name.into())
    }

    /// The list element with these key values.
    pub(crate) fn key<'a>(keys: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Self {
        let mut keys: Vec<(String, String)> =
            keys.into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect();
        keys.sort();
        Self::Key(keys)
    }

    /// The element of a set.
    pub(crate) fn value(value: &Value) -> Self {
        Self::Value(value.to_string())
    }

    /// As in `FieldsV1`.
    pub(crate) fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => {
                let keys: Vec<String> = keys
                    .iter()
                    .map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())))
                    .collect();
                format!("k:{{{}}}", keys.join(","))
            }
            Self::Value(value) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    /// From `FieldsV1`; None for a text that is not a step.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let (form, rest) = text.split_once(':')?;
        Some(match form {
            "f" => Self::field(rest),
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(rest).ok()?;
                if keys.is_empty() {
                    return None;
                }
                Self::key(keys.iter().map(|(name, value)| (name.as_str(), value)))
            }
            "v" => Self::value(&serde_json::from_str(rest).ok()?),
            "i" => Self::Index(rest.parse().ok()?),
            _ => return None,
        })
    }
}

/// As in messages: `.spec`, `[name="a"]`, `[="x"]`, `[0]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let keys: Vec<String> =
                    keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(f, "[{}]", keys.join(","))
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}
