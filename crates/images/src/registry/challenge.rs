//! What a registry asks for with 401 (`WWW-Authenticate`, RFC 9110 section 11.6.1, and the
//! distribution project's token specification).

/// How to identify.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With a token that `realm` gives out.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
    /// With name and password.
    Basic,
}

/// Reads the challenges of a header; a token is preferred to a password.
pub(super) fn parse(header: &str) -> Option<Challenge> {
    let mut found = None;
    let mut rest = header.trim_start();
    while !rest.is_empty() {
        let end = rest.find([' ', ',']).unwrap_or(rest.len());
        let scheme = &rest[..end];
        let (parameters, after) = parameters(&rest[end..]);
        rest = after;
        let get = |name: &str| {
            let value = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            value.map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = get("realm")
        {
            return Some(Challenge::Bearer { realm, service: get("service"), scope: get("scope") });
        }
        if scheme.eq_ignore_ascii_case("basic") {
            found = Some(Challenge::Basic);
        }
    }
    found
}

/// The `name=value` pairs up to the next scheme, and what follows.
fn parameters(mut text: &str) -> (Vec<(String, String)>, &str) {
    let mut pairs = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        let end = text.find(['=', ' ', ',']).unwrap_or(text.len());
        // A word without `=` is the next scheme.
        let Some(value) = text[end..].strip_prefix('=') else { return (pairs, text) };
        let name = text[..end].to_owned();
        let (value, after) = if let Some(quoted) = value.strip_prefix('"') {
            unquote(quoted)
        } else {
            let end = value.find([',', ' ']).unwrap_or(value.len());
            (value[..end].to_owned(), &value[end..])
        };
        pairs.push((name, value));
        text = after;
    }
}

fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_header_ends(text in r#"[a-zA-Z=", \\é]{0,60}"#) {
            let _ = parse(&text);
        }
    }

    #[test]
    fn reads_what_registries_send() {
        let bearer = |scope: Option<&str>| Challenge::Bearer {
            realm: "https://auth.example/token".to_owned(),
            service: Some("r.example".to_owned()),
            scope: scope.map(ToOwned::to_owned),
        };
        let scope = "repository:a/b:pull,push";
        let text = format!(
            r#"Bearer realm="https://auth.example/token",service="r.example",scope="{scope}""#
        );
        assert_eq!(parse(&text), Some(bearer(Some(scope))));
        assert_eq!(
            parse(
                r#"Basic realm="x, y", bearer Realm=https://auth.example/token, service=r.example"#
            ),
            Some(bearer(None))
        );
        assert_eq!(parse(r#"Basic realm="a \" b""#), Some(Challenge::Basic));
        assert_eq!(parse("Negotiate"), None);
        assert_eq!(parse("Negotiate, Basic"), Some(Challenge::Basic));
        assert_eq!(parse("Bearer"), None);
        assert_eq!(
            parse("Bearer realm=\"open"),
            Some(Challenge::Bearer { realm: "open".to_owned(), service: None, scope: None })
        );
        assert_eq!(parse(""), None);
    }
}
