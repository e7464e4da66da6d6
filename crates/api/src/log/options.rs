//! What of the output is wanted: checked by the rules of Kubernetes' `PodLogOptions`.

use ebb_model::engine::LogStream;
use ebb_model::{Fault, Kind as FaultKind, Timestamp};

use crate::context::{Query, Target};
use crate::status::Failure;

/// What of the output is wanted.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) container: Option<String>,
    pub(super) follow: bool,
    pub(super) previous: bool,
    pub(super) timestamps: bool,
    /// So many of the last lines.
    pub(super) tail: Option<u64>,
    pub(super) since: Option<Timestamp>,
    /// Bytes at most.
    pub(super) limit: Option<u64>,
    /// The one output that is wanted; none for both.
    pub(super) stream: Option<LogStream>,
}

impl Options {
    /// # Errors
    /// 400 for what is no number, time or truth value; 422 for values that are out of range or do
    /// not go together.
    pub(super) fn of(query: &Query, target: &Target, now: Timestamp) -> Result<Self, Failure> {
        // There is no connection behind this one whose certificate could be looked at.
        query.flag("insecureSkipTLSVerifyBackend")?;
        let mut faults = Vec::new();
        let mut fault = |field: &str, message: String| {
            faults.push(Fault::new("INVALID_PARAMETER", FaultKind::Invalid, message).at(field));
        };
        let mut number = |field: &str, least: i64| {
            let value = signed(query, field)?;
            if let Some(value) = value.filter(|value| *value < least) {
                let must = if least == 0 { "greater than or equal to 0" } else { "greater than 0" };
                fault(field, format!("Invalid value: {value}: must be {must}"));
            }
            Ok::<_, Failure>(value.and_then(|value| u64::try_from(value).ok()))
        };
        let tail = number("tailLines", 0)?;
        let limit = number("limitBytes", 1)?;
        let seconds = number("sinceSeconds", 1)?;
        let time = query.get("sinceTime").map(time).transpose()?;
        if seconds.is_some() && time.is_some() {
            let why = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
            fault("sinceSeconds", why.to_owned());
        }
        let stream = match query.get("stream") {
            None | Some("All") => None,
            Some("Stdout") => Some(LogStream::Stdout),
            Some("Stderr") => Some(LogStream::Stderr),
            Some(other) => {
                let allowed = "supported values: \"All\", \"Stderr\", \"Stdout\"";
                fault("stream", format!("Unsupported value: {other:?}: {allowed}"));
                None
            }
        };
        if stream.is_some() && tail.is_some() {
            let why = "Forbidden: `tailLines` and specific `stream` are mutually exclusive for now";
            fault("tailLines", why.to_owned());
        }
        if !faults.is_empty() {
            return Err(Failure::invalid_options("PodLogOptions", "", target.name(), faults));
        }
        let ago = |seconds: u64| {
            let micros = now.as_micros().saturating_sub(seconds.saturating_mul(1_000_000));
            Timestamp::from_micros(micros)
        };
        Ok(Self {
            container: query.get("container").map(str::to_owned),
            follow: query.flag("follow")?,
            previous: query.flag("previous")?,
            timestamps: query.flag("timestamps")?,
            tail,
            since: time.or_else(|| seconds.map(ago)),
            limit,
            stream,
        })
    }
}

/// A whole number that may be out of range.
fn signed(query: &Query, field: &str) -> Result<Option<i64>, Failure> {
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            let message = format!("{field}={text:?} is not a whole number");
            Failure::bad_request("INVALID_PARAMETER", message)
        })
    };
    query.get(field).map(parse).transpose()
}

/// An RFC 3339 time; one before 1970 is as good as 1970.
fn time(text: &str) -> Result<Timestamp, Failure> {
    let time = text.parse::<jiff::Timestamp>().map_err(|_| {
        let message = format!("sinceTime={text:?} is not an RFC 3339 time");
        Failure::bad_request("INVALID_PARAMETER", message)
    })?;
    Ok(Timestamp::from_micros(u64::try_from(time.as_microsecond()).unwrap_or(0)))
}
