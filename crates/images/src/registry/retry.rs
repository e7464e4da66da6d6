//! When to try again, and when to stop.

use std::time::Duration;

use ebb_kit::Backoff;
use ebb_model::{Kind, Timestamp};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::Error;

/// Why one try failed, and whether another one can help.
pub(super) struct Failure {
    /// What the caller gets when no further try is made.
    pub(super) error: Box<Error>,
    /// Whether another try can help.
    pub(super) again: bool,
    /// What the server said about how long to wait.
    pub(super) after: Option<Duration>,
}

impl Failure {
    /// A failure that no further try changes.
    pub(super) fn last(error: Error) -> Self {
        Self { error: Box::new(error), again: false, after: None }
    }

    /// A failure that a further try may change.
    pub(super) fn again(error: Error) -> Self {
        Self { error: Box::new(error), again: true, after: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::last(error)
    }
}

/// How often and how long one request is tried.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// Tries at most, the first included.
    pub tries: u32,
    /// Waits between them.
    pub backoff: Backoff,
    /// Waiting at most, all waits of a request together. A server that asks for more is not asked
    /// again.
    pub total_wait: Duration,
}

impl Default for Retries {
    /// Five tries and 60 s: longer than a registry needs to restart, and shorter than people wait.
    fn default() -> Self {
        let backoff = Backoff { first: Duration::from_millis(250), most: Duration::from_secs(10) };
        Self { tries: 5, backoff, total_wait: Duration::from_mins(1) }
    }
}

/// Counts the tries of one request.
pub(super) struct Tries {
    retries: Retries,
    made: u32,
    waited: Duration,
}

impl Tries {
    pub(super) const fn new(retries: Retries) -> Self {
        Self { retries, made: 0, waited: Duration::ZERO }
    }

    /// Waits until the next try, or answers the error when there is none.
    pub(super) async fn wait(&mut self, failure: Failure) -> Result<(), Error> {
        self.made += 1;
        let jitter = self.retries.backoff.wait(self.made - 1, rand::random::<f64>());
        // A server that names a time gets that time, plus jitter so that not all come at once.
        let wait = failure.after.map_or(jitter, |after| after.saturating_add(jitter));
        let bound = failure.after.unwrap_or(jitter);
        if !failure.again
            || self.made >= self.retries.tries
            || self.waited.saturating_add(bound) > self.retries.total_wait
        {
            return Err(*failure.error);
        }
        tracing::debug!(error = %failure.error, wait_ms = wait.as_millis(), "trying again");
        self.waited += wait;
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// What an answer that is no success means.
pub(super) fn status(
    status: StatusCode,
    headers: &HeaderMap,
    what: &str,
    now: Timestamp,
) -> Failure {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::last(
            Error::new(
                "IMAGE_PULL_DENIED",
                Kind::Denied,
                format!("the registry denies access to {what}"),
            )
            .hint("check the name, and give credentials with an image pull secret"),
        ),
        StatusCode::NOT_FOUND => Failure::last(crate::error::not_found(&what)),
        StatusCode::TOO_MANY_REQUESTS => {
            let after = retry_after(headers, now);
            let seconds = after.map(|after| format!("; retry after {} s", after.as_secs()));
            let message =
                format!("the registry limits the rate{}: {what}", seconds.unwrap_or_default());
            let error = Error::new("REGISTRY_RATE_LIMITED", Kind::Exhausted, message)
                .hint("wait, or pull with credentials that have a higher limit");
            Failure { after, ..Failure::again(error) }
        }
        status if status.is_server_error() => {
            let error = unavailable(format!("the registry answered {status} for {what}"));
            Failure { after: retry_after(headers, now), ..Failure::again(error) }
        }
        status => Failure::last(unavailable(format!("the registry answered {status} for {what}"))),
    }
}

/// The registry cannot be used now.
pub(crate) fn unavailable(message: impl Into<String>) -> Error {
    Error::new("REGISTRY_UNAVAILABLE", Kind::Unavailable, message)
        .hint("check that the registry runs and can be reached from this machine")
}

/// `Retry-After` in seconds or as a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    let micros = u64::try_from(date.timestamp().as_microsecond()).ok()?;
    Some(Timestamp::from_micros(micros).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = Timestamp::from_micros(1_445_412_480_000_000); // 2015-10-21T07:28:00Z
        let after = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, now).map(|after| after.as_secs())
        };
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("Wed, 21 Oct 2015 07:29:30 GMT"), Some(90));
        assert_eq!(after("Wed, 21 Oct 2015 07:00:00 GMT"), Some(0));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-5"), None);
    }

    #[tokio::test]
    async fn tries_end_by_number_by_time_and_by_kind() {
        let backoff = Backoff { first: Duration::from_millis(1), most: Duration::from_millis(1) };
        let retries = Retries { tries: 3, backoff, ..Retries::default() };
        let again = || Failure::again(unavailable("x"));
        let mut tries = Tries::new(retries);
        assert!(tries.wait(again()).await.is_ok());
        assert!(tries.wait(again()).await.is_ok());
        assert!(tries.wait(again()).await.is_err());
        let mut tries = Tries::new(retries);
        assert!(tries.wait(Failure::last(unavailable("x"))).await.is_err());
        let long = Failure { after: Some(Duration::from_hours(1)), ..again() };
        assert!(Tries::new(retries).wait(long).await.is_err());
    }
}
