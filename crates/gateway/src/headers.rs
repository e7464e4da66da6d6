//! Which header fields pass, in both directions.
//!
//! Taken from requests: hop-by-hop fields (RFC 9110, 7.6.1) and those that `Connection` names;
//! `Forwarded`, `X-Forwarded-*` and `X-Real-IP`, because a client can write anything there; the
//! platform's own `K-*`, `Knative-*` and `Ebb-*`; and spellings of all these with `_` for `-`,
//! which many frameworks cannot tell apart. Put in: `Forwarded`, `X-Forwarded-For`, `-Host`,
//! `-Proto` and `X-Request-Id`. `Host` is passed on unchanged.
//!
//! Taken from responses: hop-by-hop fields, `Alt-Svc` (only the gateway knows where else it
//! listens) and `Ebb-*`. Put in: `X-Request-Id`.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use http::header::{
    CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

use crate::names::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REQUEST_ID};

/// What is said about one client in every request of its connection.
pub(crate) struct Client {
    address: HeaderValue,
    node: String,
    /// The `Forwarded` value for the host that was asked for last: nearly always the same.
    forwarded: Mutex<Option<(HeaderValue, HeaderValue)>>,
}

impl Client {
    pub(crate) fn new(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let text = address.to_string();
        let node = if address.is_ipv6() { format!("\"[{text}]\"") } else { text.clone() };
        let address = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("unknown"));
        Self { address, node, forwarded: Mutex::new(None) }
    }

    fn forwarded(&self, host: &HeaderValue) -> HeaderValue {
        let mut last = self.forwarded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last_host, value)) = &*last
            && last_host == host
        {
            return value.clone();
        }
        let text = host.to_str().unwrap_or_default();
        let value = format!("for={};host=\"{text}\";proto=http", self.node);
        let value =
            HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("for=unknown"));
        *last = Some((host.clone(), value.clone()));
        value
    }
}

/// What a request asked for with hop-by-hop fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// It understands trailers.
    pub(crate) trailers: bool,
    /// It wants to change to this protocol.
    pub(crate) upgrade: Option<HeaderValue>,
}

/// Makes a client's header fields those of the request to the instance.
pub(crate) fn to_instance(
    headers: &mut HeaderMap,
    host: &HeaderValue,
    client: &Client,
    request_id: &HeaderValue,
) -> Asked {
    let asked = asked(headers);
    strip(headers, is_kept_from_instances);
    headers.insert(FORWARDED, client.forwarded(host));
    headers.insert(X_FORWARDED_FOR, client.address.clone());
    headers.insert(X_FORWARDED_HOST, host.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(X_REQUEST_ID, request_id.clone());
    if asked.trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    asked
}

/// Makes an instance's header fields those of the response to the client.
pub(crate) fn to_client(headers: &mut HeaderMap, request_id: HeaderValue) {
    strip(headers, is_kept_from_clients);
    headers.insert(X_REQUEST_ID, request_id);
}

/// Asks for an upgrade, or grants one.
pub(crate) fn put_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

fn asked(headers: &HeaderMap) -> Asked {
    let trailers = headers.get(TE).is_some_and(|te| has_token(te.as_bytes(), b"trailers"));
    let upgrade = headers.get(UPGRADE).filter(|protocol| {
        let connection = headers.get_all(CONNECTION);
        connection.iter().any(|value| has_token(value.as_bytes(), b"upgrade"))
            // The gateway does not speak HTTP/2 here, and must not let a client speak it past it.
            && !has_token(protocol.as_bytes(), b"h2c")
    });
    Asked { trailers, upgrade: upgrade.cloned() }
}

fn has_token(list: &[u8], token: &[u8]) -> bool {
    tokens(list).any(|t| t.eq_ignore_ascii_case(token))
}

fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Removes every field whose name is `kept`, and those that `Connection` names. Most messages
/// have none of them: then nothing is allocated.
fn strip(headers: &mut HeaderMap, kept: fn(&str) -> bool) {
    let mut gone: Vec<HeaderName> = Vec::new();
    for name in headers.keys() {
        if kept(name.as_str()) {
            gone.push(name.clone());
        }
    }
    if gone.contains(&CONNECTION) {
        for value in headers.get_all(CONNECTION) {
            let named = tokens(value.as_bytes()).filter_map(|t| HeaderName::from_bytes(t).ok());
            // Without these the request would be another one.
            gone.extend(named.filter(|name| *name != HOST && *name != CONTENT_LENGTH));
        }
    }
    for name in gone {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &str) -> bool {
    match name.as_bytes().first() {
        Some(b'c') => name == CONNECTION,
        Some(b'k') => name == "keep-alive",
        Some(b'p') => {
            matches!(name, "proxy-connection" | "proxy-authenticate" | "proxy-authorization")
        }
        Some(b't') => name == TE || name == TRANSFER_ENCODING,
        Some(b'u') => name == UPGRADE,
        Some(b'h') => name == "http2-settings",
        _ => false,
    }
}

fn is_kept_from_instances(name: &str) -> bool {
    if name.contains('_') {
        let dashed = name.replace('_', "-");
        return is_ours(&dashed) || is_hop_by_hop(&dashed) || is_framing(&dashed);
    }
    is_hop_by_hop(name) || is_ours(name) || name == "expect"
}

/// Names that decide where a message ends or where it goes; only their right spelling does.
fn is_framing(dashed: &str) -> bool {
    matches!(dashed, "content-length" | "transfer-encoding" | "x-request-id")
}

fn is_ours(name: &str) -> bool {
    match name.as_bytes().first() {
        Some(b'x') => name.starts_with("x-forwarded-") || name == "x-real-ip",
        Some(b'f') => name == FORWARDED,
        Some(b'k') => name.starts_with("k-") || name.starts_with("knative-"),
        Some(b'e') => name.starts_with("ebb-"),
        _ => false,
    }
}

fn is_kept_from_clients(name: &str) -> bool {
    is_hop_by_hop(name) || name == "alt-svc" || name.starts_with("ebb-")
}
