//! One request: who asked, with which parameters, and which form of answer it wants.

use std::sync::Arc;

use http::HeaderMap;
use http::header::ACCEPT;

use crate::app::App;
use crate::auth::Principal;
use crate::registry::Kind;
use crate::status::Failure;

/// One request, authorised.
pub(crate) struct Context {
    pub(crate) app: Arc<App>,
    pub(crate) principal: Principal,
    /// Unique; in the answer's `Audit-Id`, and in the commit.
    pub(crate) request_id: String,
    pub(crate) query: Query,
    pub(crate) table: bool,
}

/// The objects that a request is about.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) kind: &'static Kind,
    /// None for a cluster-scoped kind, or for all namespaces.
    pub(crate) namespace: Option<String>,
    /// None for the collection.
    pub(crate) name: Option<String>,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind)
    }
}

impl Target {
    /// The namespace part of the key.
    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    /// The name; empty for the collection.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// The key of the object.
    pub(crate) fn key(&self) -> String {
        self.kind.key(self.namespace(), self.name())
    }
}

/// Query parameters, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses what follows the `?`.
    pub(crate) fn parse(query: &str) -> Result<Self, Failure> {
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name, true)?, decode(value, true)?))
            })
            .collect::<Result<_, Failure>>()
            .map(Self)
    }

    /// The first value of a parameter that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, value)| value.as_str())
    }

    /// A parameter that is a whole number, not negative.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    Failure::bad_request(
                        "INVALID_PARAMETER",
                        format!("{name}={text:?} is not a whole number of 0 or more"),
                    )
                })
            })
            .transpose()
    }

    /// A parameter that is `true` or `false`; absent means false.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.get(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(Failure::bad_request(
                "INVALID_PARAMETER",
                format!("{name}={other:?} is neither true nor false"),
            )),
        }
    }

    /// Whether to do everything but the commit (`dryRun=All`).
    pub(crate) fn dry_run(&self) -> Result<bool, Failure> {
        match self.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(Failure::bad_request(
                "INVALID_PARAMETER",
                format!("dryRun={other:?} is not known: All is allowed"),
            )),
        }
    }
}

/// Undoes percent-encoding; `+` is a space in a query only.
pub(crate) fn decode(text: &str, query: bool) -> Result<String, Failure> {
    let invalid = || {
        Failure::bad_request("INVALID_PARAMETER", format!("{text:?} is not percent-encoded UTF-8"))
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'%' => {
                let digits = tail.get(..2).and_then(|d| std::str::from_utf8(d).ok());
                let digits = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
                bytes.push(byte.ok_or_else(invalid)?);
                rest = &tail[2..];
            }
            b'+' if query => bytes.push(b' '),
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| invalid())
}

/// Whether the client would rather have a table: the first media range that we can serve decides.
/// JSON is the answer to everything else, also to clients that ask for protobuf first.
pub(crate) fn wants_table(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let json = matches!(parts.next(), Some("application/json" | "*/*" | "application/*"));
            let parts: Vec<&str> = parts.collect();
            let form = parts.iter().find_map(|part| part.strip_prefix("as="));
            match form {
                Some("Table") if json && parts.contains(&"v=v1") => Some(true),
                None if json => Some(false),
                _ => None,
            }
        })
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding() {
        assert_eq!(decode("a%2Fb+c", true).unwrap(), "a/b c");
        assert_eq!(decode("a+c", false).unwrap(), "a+c");
        for bad in ["%", "%2", "%zz", "%+1", "%ff", "%é"] {
            assert!(decode(bad, true).is_err(), "{bad}");
        }
    }

    #[test]
    fn parameters() {
        let query = Query::parse("limit=5&watch=true&x&labelSelector=a%3Db&limit=6").unwrap();
        assert_eq!(query.number("limit").unwrap(), Some(5));
        assert!(query.flag("watch").unwrap());
        assert!(!query.flag("x").unwrap());
        assert_eq!(query.get("labelSelector"), Some("a=b"));
        assert!(Query::parse("limit=-1").unwrap().number("limit").is_err());
        assert!(Query::parse("dryRun=Some").unwrap().dry_run().is_err());
    }

    #[test]
    fn the_first_form_that_is_served_wins() {
        for (accept, table) in [
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", true),
            ("application/json, application/json;as=Table;v=v1;g=meta.k8s.io", false),
            ("application/vnd.kubernetes.protobuf,application/json", false),
            (
                "application/vnd.kubernetes.protobuf;as=Table;v=v1, application/json;as=Table;v=v1",
                true,
            ),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", false),
            ("*/*", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(wants_table(&headers), table, "{accept}");
        }
    }
}
