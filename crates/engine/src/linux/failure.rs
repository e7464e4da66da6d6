//! Failures with the step that failed: the kernel's number alone helps nobody.

use std::io;

use ebb_model::engine::StartFailure;

use crate::Error;

/// Longest message of a failure, in bytes. Names in it come from images; a report of it must fit
/// into one packet, which may be 64 KiB.
const MESSAGE_MAX: usize = 8 * 1024;

/// `text`, cut to at most `most` bytes, with a sign that it is.
pub(crate) fn cut(text: &str, most: usize) -> std::borrow::Cow<'_, str> {
    const SIGN: &str = "...";
    if text.len() <= most {
        return text.into();
    }
    let end = text.floor_char_boundary(most.saturating_sub(SIGN.len()));
    format!("{}{SIGN}", &text[..end]).into()
}

/// Makes an [`Error::System`] out of what the kernel said about `step`.
pub(crate) fn step<E: Into<io::Error>>(step: impl Into<String>) -> impl FnOnce(E) -> Error {
    move |source| Error::System { step: step.into(), source: source.into() }
}

/// Why an instance could not be started, on its way to the exit record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Failure {
    /// A failure with a stable code. A message that is too long is cut.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        let message = match cut(&message, MESSAGE_MAX) {
            std::borrow::Cow::Borrowed(_) => message,
            std::borrow::Cow::Owned(cut) => cut,
        };
        Self { code, message }
    }

    /// A failure of ours: the sandbox could not be made.
    pub(crate) fn sandbox(message: impl Into<String>) -> Self {
        Self::new("SANDBOX_FAILED", message)
    }
}

/// Makes a `SANDBOX_FAILED` out of what the kernel said about `what`.
pub(crate) fn sandbox<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Failure {
    move |error| Failure::sandbox(format!("{}: {}", what.into(), error.into()))
}

impl From<Failure> for StartFailure {
    fn from(failure: Failure) -> Self {
        Self { code: failure.code.to_owned(), message: failure.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "...");
        assert_eq!(cut("aéßcdef", 6), "aé...");
        let failure = Failure::new("X", "é".repeat(100_000));
        assert!(failure.message.len() <= MESSAGE_MAX && failure.message.ends_with("é..."));
        assert_eq!(Failure::sandbox("short").message, "short");
    }
}
