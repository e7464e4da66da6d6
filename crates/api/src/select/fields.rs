//! Field selectors: `FIELD=VALUE`, `FIELD==VALUE` or `FIELD!=VALUE`, separated by commas. In a
//! value a backslash stands before a comma, an equals sign or another backslash.

use crate::registry::Kind;

/// What every kind can be selected by.
const KNOWN: [&str; 2] = ["metadata.name", "metadata.namespace"];

/// Field, whether it shall be equal, and the value.
pub(super) type Term = (String, bool, String);

/// # Errors
/// What is wrong, in Kubernetes' words.
pub(super) fn parse(kind: &Kind, text: &str) -> Result<Vec<Term>, String> {
    let parts = split(text);
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.map(|part| term(kind, text, part)).collect()
}

fn term(kind: &Kind, text: &str, part: &str) -> Result<Term, String> {
    let found = part.char_indices().find_map(|(at, _)| {
        let rest = &part[at..];
        let operators = [("!=", false), ("==", true), ("=", true)];
        let (operator, equal) = operators.into_iter().find(|(o, _)| rest.starts_with(*o))?;
        Some((part[..at].trim(), equal, rest[operator.len()..].trim()))
    });
    let Some((field, equal, value)) = found else {
        return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
    };
    if !KNOWN.contains(&field) && !kind.fields.contains(&field) {
        // Kinds with fields of their own say it shorter.
        return Err(if kind.fields.is_empty() {
            format!(
                "{field:?} is not a known field selector: only \"metadata.name\", \
                 \"metadata.namespace\""
            )
        } else {
            format!("field label not supported: {field}")
        });
    }
    Ok((field.to_owned(), equal, unescape(value)?))
}

/// Parts between commas, except those behind a backslash.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescape(value: &str) -> Result<String, String> {
    let (mut plain, mut rest) = (String::with_capacity(value.len()), value.chars());
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some(c @ ('\\' | ',' | '=')) => plain.push(c),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return Err(format!("invalid escape sequence: \\{other}"));
                }
            },
            '=' => return Err(format!("unescaped = in value: {value}")),
            c => plain.push(c),
        }
    }
    Ok(plain)
}
