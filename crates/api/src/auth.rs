//! Who is asking, and whether they may.

use std::fmt;
use std::path::Path;

use ebb_model::{Fault, Kind};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::{Error, private};

/// How every header that asks to act as somebody else begins, in lower case.
const IMPERSONATE: &str = "impersonate-";

/// The admin's bearer token: 32 random bytes as 64 hex digits, in a file of mode 0600.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Loads the token from `path`, or makes one at the first start.
    ///
    /// # Errors
    /// `API_FILE_UNUSABLE`; `API_TOKEN_INVALID` when the file holds something else.
    pub fn load_or_create(path: &Path) -> Result<Self, Error> {
        if let Some(text) = private::read(path)? {
            let text = text.trim();
            let ok = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
            return if ok { Ok(Self(text.to_owned())) } else { Err(Error::Token(path.to_owned())) };
        }
        let token = hex(&rand::random::<[u8; 32]>());
        private::write(path, &format!("{token}\n"))?;
        Ok(Self(token))
    }

    /// The 64 hex digits, for a kubeconfig. Never logged.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Recognises principals. Keeps the hash of the token, not the token.
#[derive(Clone, Debug)]
pub(crate) struct Authenticator {
    admin: [u8; 32],
}

impl Authenticator {
    pub(crate) fn new(admin: &Token) -> Self {
        Self { admin: Sha256::digest(admin.reveal()).into() }
    }

    /// The principal of a request by its `Authorization` header; anonymous when there is none.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for a header that is not a known token: a wrong token is not anonymous.
    /// `PERMISSION_DENIED` when somebody else is to be acted as: the answer would be the asker's.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, Fault> {
        let principal = self.bearer(headers)?;
        let other = headers.iter().find(|(name, _)| name.as_str().starts_with(IMPERSONATE));
        match other {
            Some((_, value)) if principal == Principal::Admin => Err(cannot_act_as(value)),
            _ => Ok(principal),
        }
    }

    fn bearer(&self, headers: &HeaderMap) -> Result<Principal, Fault> {
        let Some(header) = headers.get(AUTHORIZATION) else { return Ok(Principal::Anonymous) };
        let given = header.as_bytes();
        let token = match given.split_at_checked(7) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token,
            _ => return Err(unauthenticated()),
        };
        let hash: [u8; 32] = Sha256::digest(token.trim_ascii()).into();
        // Every byte is compared, and only hashes are: the time says nothing about the token.
        let differs = hash.iter().zip(&self.admin).fold(0, |acc, (a, b)| acc | (a ^ b));
        if differs == 0 { Ok(Principal::Admin) } else { Err(unauthenticated()) }
    }
}

fn cannot_act_as(other: &HeaderValue) -> Fault {
    let other = String::from_utf8_lossy(other.as_bytes());
    let message = format!(
        "users {other:?} is forbidden: User \"admin\" cannot impersonate anybody: there is one user"
    );
    Fault::new("PERMISSION_DENIED", Kind::Denied, message)
}

fn unauthenticated() -> Fault {
    Fault::new("UNAUTHENTICATED", Kind::Denied, "Unauthorized")
        .hint("send the token of the kubeconfig that the platform wrote")
}

/// Who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Nobody in particular.
    Anonymous,
    /// The holder of the admin token.
    Admin,
}

impl Principal {
    /// Name in audit records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "system:anonymous",
            Self::Admin => "admin",
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read many.
    List,
    /// Follow changes.
    Watch,
    /// Make one.
    Create,
    /// Replace one.
    Update,
    /// Change parts of one.
    Patch,
    /// Remove one.
    Delete,
    /// Remove many.
    DeleteCollection,
}

impl Verb {
    /// As in Kubernetes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// What it is to be done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// Health and version: open to everybody, so that a load balancer can ask.
    Open,
    /// Discovery documents.
    Discovery,
    /// Objects.
    Object {
        /// API group, empty for core.
        group: &'a str,
        /// Plural, with `/subresource` where there is one.
        resource: String,
        /// Namespace; none for all of them or for a cluster-scoped kind.
        namespace: Option<&'a str>,
        /// Name; none for the whole collection.
        name: Option<&'a str>,
    },
}

/// Whether `principal` may do `verb` to `resource`. Asked for every request before anything of it
/// is done, and again when a change turns out to be a creation. The admin may do everything;
/// everybody else only what is open.
///
/// # Errors
/// `UNAUTHENTICATED` for an anonymous principal.
pub fn authorize(principal: Principal, verb: Verb, resource: &Resource<'_>) -> Result<(), Fault> {
    match (principal, resource) {
        (_, Resource::Open) if verb == Verb::Get => Ok(()),
        (Principal::Admin, _) => Ok(()),
        (Principal::Anonymous, _) => Err(unauthenticated()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[test]
    fn only_the_token_is_the_admin() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        let token = Token::load_or_create(&path).unwrap();
        assert_eq!(Token::load_or_create(&path).unwrap().reveal(), token.reveal());
        let auth = Authenticator::new(&token);
        let asks = |value: &str| auth.authenticate(&headers(value));
        assert_eq!(asks(&format!("Bearer {}", token.reveal())).unwrap(), Principal::Admin);
        assert_eq!(asks(&format!("bearer {} ", token.reveal())).unwrap(), Principal::Admin);
        for wrong in ["Bearer", "Bearer ", "Bearer x", "Basic YTpi", token.reveal(), ""] {
            assert_eq!(asks(wrong).unwrap_err().code, "UNAUTHENTICATED", "{wrong}");
        }
        assert_eq!(auth.authenticate(&HeaderMap::new()).unwrap(), Principal::Anonymous);
        assert!(!format!("{token:?}").contains(token.reveal()));
    }

    #[test]
    fn nobody_acts_as_somebody_else() {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::load_or_create(&dir.path().join("admin.token")).unwrap();
        let auth = Authenticator::new(&token);
        for header in ["Impersonate-User", "impersonate-group", "Impersonate-Extra-scopes"] {
            let mut asked = headers(&format!("Bearer {}", token.reveal()));
            asked.insert(http::HeaderName::try_from(header).unwrap(), "bob".parse().unwrap());
            let refused = auth.authenticate(&asked).unwrap_err();
            assert_eq!((refused.code.as_str(), refused.kind), ("PERMISSION_DENIED", Kind::Denied));
            assert!(refused.message.contains("\"bob\""), "{}", refused.message);
            asked.remove(AUTHORIZATION);
            assert_eq!(auth.authenticate(&asked).unwrap(), Principal::Anonymous);
        }
    }

    #[test]
    fn a_spoiled_token_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        std::fs::write(&path, "").unwrap();
        assert_eq!(Token::load_or_create(&path).unwrap_err().code(), "API_TOKEN_INVALID");
    }
}
