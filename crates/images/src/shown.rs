//! Text of others in our sentences: it may hold control characters for a terminal, and be long.

use std::fmt::Display;

/// Characters of foreign text in one sentence.
const SHOWN_MAX: usize = 200;

/// A name from an archive or a registry, quoted: escaped, and at most 200 characters of it.
pub(crate) fn shown(name: impl AsRef<[u8]>) -> String {
    let name = name.as_ref();
    // A character has at most four bytes; the rest need not be looked at.
    let cut = &name[..name.len().min(4 * SHOWN_MAX)];
    let text = String::from_utf8_lossy(cut);
    let short: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    format!("\"{short}\"{}", dots(name.len() > cut.len(), &text, SHOWN_MAX))
}

/// Foreign text that is a sentence itself: escaped, at most 200 characters, not quoted.
pub(crate) fn plain(text: &impl Display) -> String {
    plain_up_to(SHOWN_MAX, text)
}

/// The same with at most `most` characters.
pub(crate) fn plain_up_to(most: usize, text: &impl Display) -> String {
    let text = text.to_string();
    let mut short = String::new();
    for character in text.chars().take(most) {
        match character {
            // They stay: what is quoted in it already must not be escaped twice.
            '"' | '\'' | '\\' => short.push(character),
            other => short.extend(other.escape_debug()),
        }
    }
    format!("{short}{}", dots(false, &text, most))
}

/// Why a document is no JSON of the right form. The parser quotes the document, and the position
/// comes last in its text, so that it would be cut off first.
pub(crate) fn json(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    format!("line {} column {}: {}", error.line(), error.column(), plain(&what))
}

fn dots(cut: bool, text: &str, most: usize) -> &'static str {
    if cut || text.chars().nth(most).is_some() { "..." } else { "" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn terminals_are_left_alone() {
        assert_eq!(shown("a/b c.d"), "\"a/b c.d\"");
        assert_eq!(plain(&shown("\"\x07")), "\"\\\"\\u{7}\"");
        assert_eq!(shown(b"\x1b[2Ja\xff\0\n"), "\"\\u{1b}[2Ja\u{fffd}\\0\\n\"");
        assert_eq!(plain(&"\u{202e}it's\u{9b}"), "\\u{202e}it's\\u{9b}");
        assert_eq!(shown("a".repeat(200)), format!("\"{}\"", "a".repeat(200)));
        assert_eq!(shown("a".repeat(5000)), format!("\"{}\"...", "a".repeat(200)));
        assert_eq!(plain(&"a".repeat(201)), format!("{}...", "a".repeat(200)));
    }

    #[test]
    fn a_document_is_quoted_with_its_position() {
        let bad = format!("{{\"a\": \"\\u001b{}\"}}", "x".repeat(1000));
        let error = serde_json::from_str::<std::collections::BTreeMap<String, u8>>(&bad);
        let text = json(&error.unwrap_err());
        assert!(text.starts_with("line 1 column "), "{text}");
        assert!(text.len() < 300 && !text.contains('\u{1b}'), "{text}");
    }

    proptest! {
        #[test]
        fn nothing_shown_has_control_characters(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let text = shown(&bytes);
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert!(text.len() < 2100);
        }
    }
}
