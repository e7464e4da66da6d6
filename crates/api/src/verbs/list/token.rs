//! Where the next page of a list starts: given to the client as an opaque text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::status::Failure;

/// Where the next page starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Continue {
    /// The version that all pages show; 0 for whatever is newest.
    pub(super) version: u64,
    /// Key of the last object of the page before.
    pub(super) after: String,
    /// How many objects follow at that version; none where selectors leave some out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) remaining: Option<u64>,
}

impl Continue {
    pub(super) fn encode(&self) -> Result<String, Failure> {
        let json =
            serde_json::to_vec(self).map_err(|error| Failure::internal(error.to_string()))?;
        Ok(URL_SAFE_NO_PAD.encode(json))
    }

    /// # Errors
    /// 400 for what is no token of a list over keys with `prefix`.
    pub(super) fn decode(token: &str, prefix: &str) -> Result<Self, Failure> {
        let decoded = URL_SAFE_NO_PAD.decode(token).ok();
        let decoded = decoded.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        // A token for another collection would be harmless, as the prefix is ours; it is refused
        // because it can only be a mistake.
        decoded.filter(|from| from.after.starts_with(prefix)).ok_or_else(Self::invalid)
    }

    /// 400 for what this server did not give out.
    pub(super) fn invalid() -> Failure {
        Failure::bad_request(
            "INVALID_CONTINUE",
            "continue is not valid: it is not a token that this list gave out",
        )
    }
}
