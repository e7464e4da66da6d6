//! Error kinds and the one form in which a failure leaves the platform.

use serde::{Deserialize, Serialize};

/// What a failure means for the caller, whatever caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// The request itself is wrong; repeating it cannot help.
    Invalid,
    /// The named thing does not exist.
    NotFound,
    /// The state does not allow it now: exists already, changed meanwhile, wrong version.
    Conflict,
    /// The caller may not do this.
    Denied,
    /// A limit, quota or the machine's capacity is used up.
    Exhausted,
    /// Something needed is not reachable now; repeating later can help.
    Unavailable,
    /// A deadline passed.
    Timeout,
    /// A fault of ours.
    Internal,
}

impl Kind {
    /// The HTTP status that this kind is answered with by default.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Denied => 403,
            Self::Exhausted => 429,
            Self::Unavailable => 503,
            Self::Timeout => 504,
            Self::Internal => 500,
        }
    }

    /// The exit code of the `ebb` command for this kind.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Unavailable => 3,
            Self::Denied => 4,
            Self::Invalid => 5,
            Self::NotFound => 6,
            Self::Conflict => 7,
            Self::Timeout => 8,
            Self::Exhausted => 9,
        }
    }
}

/// A failure as it leaves the platform: each door renders its client's own shape from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Stable code in upper snake case; documented in `docs/reference/errors/<CODE>.md`.
    pub code: String,
    /// What it means for the caller.
    pub kind: Kind,
    /// What was wrong, where, and what is allowed. One sentence for people.
    pub message: String,
    /// Path of the wrong field, such as `spec.template.spec.containers[0].image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What to do about it. One sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Fault {
    /// A fault without field and hint.
    pub fn new(code: &str, kind: Kind, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), kind, message: message.into(), field: None, hint: None }
    }

    /// The same fault, naming the wrong field.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same fault, saying what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
