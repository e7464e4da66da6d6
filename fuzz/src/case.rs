//! One request, as it is sent, printed and kept in a file.

use std::fmt;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde::{Deserialize, Serialize};

/// A request without its token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// HTTP method.
    pub method: String,
    /// Path.
    pub path: String,
    /// Parameters, percent-encoded already.
    pub query: Vec<String>,
    /// Headers, values in base64 when they are not text.
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(with = "text_or_base64")]
    pub body: Vec<u8>,
}

impl Case {
    /// Path and query.
    pub fn target(&self) -> String {
        if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query.join("&"))
        }
    }

    /// The request, with `token`; none when it is not HTTP at all.
    pub fn request(&self, token: &str) -> Option<Request<Bytes>> {
        let method = Method::from_bytes(self.method.as_bytes()).ok()?;
        let uri: Uri = self.target().parse().ok()?;
        let mut request = Request::builder().method(method).uri(uri);
        let headers = request.headers_mut()?;
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
        headers.insert("authorization", format!("Bearer {token}").parse().ok()?);
        request.body(Bytes::from(self.body.clone())).ok()
    }

    /// A parameter's value as it was written.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }

    /// As a file of the corpus.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.method, self.target())?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        let shown = String::from_utf8_lossy(&self.body[..self.body.len().min(4_096)]);
        write!(f, "\n{}", shown.escape_debug())
    }
}

/// A text is kept as it is, everything else in base64.
mod text_or_base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => serializer.serialize_str(&format!("text:{text}")),
            Err(_) => serializer.serialize_str(&format!("base64:{}", STANDARD.encode(bytes))),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        match (text.strip_prefix("text:"), text.strip_prefix("base64:")) {
            (Some(text), _) => Ok(text.as_bytes().to_vec()),
            (None, Some(encoded)) => STANDARD.decode(encoded).map_err(de::Error::custom),
            (None, None) => Err(de::Error::custom("neither text: nor base64:")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_sent() {
        for body in [b"{}".to_vec(), vec![0xff, 0], Vec::new()] {
            let case = Case { method: "GET".into(), path: "/x".into(), body, ..Case::default() };
            assert_eq!(serde_json::from_str::<Case>(&case.to_json()).unwrap(), case);
        }
    }

    #[test]
    fn parameters_are_found() {
        let case = Case { query: vec!["a=1".into(), "b".into()], ..Case::default() };
        assert_eq!((case.parameter("a"), case.parameter("b")), (Some("1"), Some("")));
        assert_eq!(case.parameter("c"), None);
    }
}
