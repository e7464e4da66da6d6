//! How a revision scales and how its requests are held, from its spec and annotations.

use std::time::Duration;

use ebb_model::knative::Revision;
use ebb_model::routing::RequestPolicy;
use ebb_model::scaling::ScalePolicy;

/// Requests that one instance takes at once when nothing is said.
const CONCURRENCY: u32 = 80;
/// Instances at most when nothing is said.
const MAX_SCALE: u32 = 100;
/// Requests held for a revision at once.
const HOLD_LIMIT: u32 = 10_000;
/// Seconds from a request's arrival to the end of its response when nothing is said.
const TIMEOUT_S: u64 = 300;
/// Idle window when nothing is said, and its bounds, as in Knative.
const IDLE: Duration = Duration::from_mins(1);
const IDLE_MIN: Duration = Duration::from_secs(6);
const IDLE_MAX: Duration = Duration::from_hours(1);
/// Time between SIGTERM and kill when nothing is said.
const GRACE_S: u64 = 10;

const PREFIX: &str = "autoscaling.knative.dev/";

/// How the revision scales, given the instances of its own that somebody asked for by hand.
pub(crate) fn scale(revision: &Revision, manual: Option<u32>) -> ScalePolicy {
    let number = |names: [&str; 2], default| {
        annotation(revision, names).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let idle = annotation(revision, ["window", "window"])
        .and_then(parse_duration)
        .unwrap_or(IDLE)
        .clamp(IDLE_MIN, IDLE_MAX);
    ScalePolicy {
        min: number(["min-scale", "minScale"], 0),
        max: number(["max-scale", "maxScale"], MAX_SCALE),
        concurrency: concurrency(revision),
        idle_ms: u64::try_from(idle.as_millis()).unwrap_or(u64::MAX),
        manual,
    }
}

/// Instances of a revision that takes `percent` of the requests of a Service whose scaling is
/// manual: its share of them. Cloud Run divides by traffic too; rounded up, so that no revision
/// takes requests without an instance.
pub(crate) fn share(manual: u32, percent: u8) -> u32 {
    let share = (u64::from(manual) * u64::from(percent.min(100))).div_ceil(100);
    u32::try_from(share).unwrap_or(u32::MAX)
}

/// How the revision's requests are held and sent.
pub(crate) fn request(revision: &Revision) -> RequestPolicy {
    RequestPolicy {
        concurrency: concurrency(revision),
        timeout_ms: seconds(revision.spec.timeout_seconds, TIMEOUT_S).saturating_mul(1000),
        hold_limit: HOLD_LIMIT,
    }
}

/// Time between SIGTERM and kill, in milliseconds.
pub(crate) fn grace_ms(revision: &Revision) -> u64 {
    seconds(revision.spec.termination_grace_period_seconds, GRACE_S).saturating_mul(1000)
}

fn concurrency(revision: &Revision) -> u32 {
    let wanted = revision.spec.container_concurrency;
    wanted.and_then(|n| u32::try_from(n).ok()).unwrap_or(CONCURRENCY)
}

fn seconds(wanted: Option<i64>, default: u64) -> u64 {
    wanted.and_then(|n| u64::try_from(n).ok()).unwrap_or(default)
}

fn annotation<'a>(revision: &'a Revision, names: [&str; 2]) -> Option<&'a str> {
    let annotations = revision.metadata.annotations.as_ref()?;
    names.iter().find_map(|name| annotations.get(&format!("{PREFIX}{name}"))).map(String::as_str)
}

/// Parses a duration as Go writes it, such as `90s`, `1m30s` or `1.5h`.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let tail = &rest[end..];
        let (unit, scale) = [("ms", 0.001), ("h", 3600.0), ("m", 60.0), ("s", 1.0)]
            .into_iter()
            .find(|(unit, _)| tail.starts_with(unit))?;
        total = total.checked_add(Duration::try_from_secs_f64(number * scale).ok()?)?;
        rest = &tail[unit.len()..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(annotations: &[(&str, &str)]) -> Revision {
        let mut revision = Revision::default();
        revision.metadata.annotations = Some(
            annotations.iter().map(|(k, v)| (format!("{PREFIX}{k}"), (*v).to_owned())).collect(),
        );
        revision
    }

    #[test]
    fn defaults() {
        let want = ScalePolicy { min: 0, max: 100, concurrency: 80, idle_ms: 60_000, manual: None };
        assert_eq!(scale(&Revision::default(), None), want);
        let want = RequestPolicy { concurrency: 80, timeout_ms: 300_000, hold_limit: 10_000 };
        assert_eq!(request(&Revision::default()), want);
        assert_eq!(grace_ms(&Revision::default()), 10_000);
    }

    #[test]
    fn annotations_by_both_spellings() {
        let new =
            scale(&revision(&[("min-scale", "2"), ("max-scale", "5"), ("window", "30s")]), None);
        let old =
            scale(&revision(&[("minScale", "2"), ("maxScale", "5"), ("window", "30s")]), None);
        assert_eq!(
            new,
            ScalePolicy { min: 2, max: 5, concurrency: 80, idle_ms: 30_000, manual: None }
        );
        assert_eq!(new, old);
    }

    #[test]
    fn the_window_stays_within_its_bounds() {
        for (text, ms) in [
            ("1s", 6_000),
            ("6s", 6_000),
            ("1m30s", 90_000),
            ("1.5m", 90_000),
            ("2h", 3_600_000),
            ("90", 60_000),
            ("x", 60_000),
            ("", 60_000),
        ] {
            assert_eq!(scale(&revision(&[("window", text)]), None).idle_ms, ms, "{text}");
        }
    }

    #[test]
    fn a_manual_number_is_shared_by_traffic_and_nobody_is_left_without() {
        for (manual, percents, want) in [
            (0, &[100][..], &[0][..]),
            (3, &[100], &[3]),
            (4, &[50, 50], &[2, 2]),
            (1, &[90, 10], &[1, 1]),
            (10, &[90, 10, 0], &[9, 1, 0]),
            (1000, &[33, 67], &[330, 670]),
        ] {
            let shares: Vec<u32> = percents.iter().map(|p| share(manual, *p)).collect();
            assert_eq!(shares, want, "{manual} {percents:?}");
        }
    }

    #[test]
    fn concurrency_zero_means_no_limit() {
        let mut revision = Revision::default();
        revision.spec.container_concurrency = Some(0);
        assert_eq!(scale(&revision, None).concurrency, 0);
        assert_eq!(request(&revision).concurrency, 0);
    }
}
