//! One request: who asked, with which parameters, and which form of answer it wants.

use std::sync::Arc;

use http::HeaderMap;
use http::header::ACCEPT;

use crate::app::App;
use crate::auth::Principal;
use crate::priority::Seat;
use crate::registry::{Kind, Subresource};
use crate::status::Failure;
use crate::table::Include;

/// One request, authorised.
pub(crate) struct Context {
    pub(crate) app: Arc<App>,
    pub(crate) principal: Principal,
    /// Unique; in the answer's `Audit-Id`, and in the commit.
    pub(crate) request_id: String,
    pub(crate) query: Query,
    pub(crate) view: View,
    /// What the request takes of its level, until it is answered or its list is read.
    pub(crate) seat: Option<Arc<Seat>>,
    /// `User-Agent` of the client; empty when it sent none.
    pub(crate) agent: String,
}

/// How the objects of an answer are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Whole.
    Whole,
    /// Their metadata only: Kubernetes' `PartialObjectMetadata`.
    Metadata,
    /// As rows of a table, which carry so much of them.
    Table(Include),
}

/// The objects that a request is about.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) kind: &'static Kind,
    /// None for a cluster-scoped kind, or for all namespaces.
    pub(crate) namespace: Option<String>,
    /// None for the collection.
    pub(crate) name: Option<String>,
    /// None for the object itself.
    pub(crate) subresource: Option<Subresource>,
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

    /// Plural, with `/subresource` where there is one.
    pub(crate) fn resource(&self) -> String {
        match self.subresource {
            None => self.kind.plural.to_owned(),
            Some(subresource) => format!("{}/{}", self.kind.plural, subresource.as_str()),
        }
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

    /// Whether a parameter is there, whatever it says.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
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

    /// A parameter that is `true` or `false`; absent means false. Python's clients write `True`, and
    /// the name alone means true, as in Kubernetes.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.get(name) {
            None => Ok(self.has(name)),
            Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
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

/// How the client would rather have the objects: the first media range that we can serve decides.
/// JSON is the answer to everything else, also to clients that ask for protobuf first.
///
/// # Errors
/// 400 for an unknown `includeObject` of a table.
pub(crate) fn view(headers: &HeaderMap, query: &Query) -> Result<View, Failure> {
    let ranges = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let found = ranges.flat_map(|value| value.split(',')).find_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let json = matches!(parts.next(), Some("application/json" | "*/*" | "application/*"));
        let parts: Vec<&str> = parts.collect();
        let form = parts.iter().find_map(|part| part.strip_prefix("as="));
        let known = form.is_none() || parts.contains(&"v=v1");
        Some(form).filter(|form| json && known && form.is_none_or(|form| FORMS.contains(&form)))
    });
    Ok(match found.flatten() {
        None => View::Whole,
        Some("Table") => View::Table(Include::of(query)?),
        Some(_) => View::Metadata,
    })
}

/// The forms of `meta.k8s.io/v1` that there are besides the objects themselves.
const FORMS: [&str; 3] = ["Table", "PartialObjectMetadata", "PartialObjectMetadataList"];

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
        assert!(query.flag("x").unwrap(), "the name alone");
        assert!(!query.flag("y").unwrap());
        for (text, want) in [("True", Some(true)), ("FALSE", Some(false)), ("yes", None)] {
            let query = Query::parse(&format!("watch={text}")).unwrap();
            assert_eq!(query.flag("watch").ok(), want, "{text}");
        }
        assert_eq!(query.get("labelSelector"), Some("a=b"));
        assert!(Query::parse("limit=-1").unwrap().number("limit").is_err());
        assert!(Query::parse("dryRun=Some").unwrap().dry_run().is_err());
    }

    #[test]
    fn the_first_form_that_is_served_wins() {
        let table = View::Table(Include::Metadata);
        for (accept, want) in [
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", table),
            ("application/json, application/json;as=Table;v=v1;g=meta.k8s.io", View::Whole),
            ("application/vnd.kubernetes.protobuf,application/json", View::Whole),
            (
                "application/vnd.kubernetes.protobuf;as=Table;v=v1, application/json;as=Table;v=v1",
                table,
            ),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", View::Whole),
            ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", View::Metadata),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
                 application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
                View::Metadata,
            ),
            ("application/json;as=Nothing;g=meta.k8s.io;v=v1,application/json", View::Whole),
            ("*/*", View::Whole),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(view(&headers, &Query::default()).unwrap(), want, "{accept}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, "application/json;as=Table;v=v1".parse().unwrap());
        assert!(view(&headers, &Query::parse("includeObject=All").unwrap()).is_err());
    }
}
