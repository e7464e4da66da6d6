//! Annotations that decide something: Knative's knobs of the autoscaler.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{fault, unsupported};
use crate::Fault;
use crate::scaling::{AUTOMATIC, MANUAL, MANUAL_COUNT, MANUAL_MAX, SCALING_MODE};

/// Annotation of a revision template: instances that always run. Also accepted as `minScale`.
pub const MIN_SCALE: &str = "autoscaling.knative.dev/min-scale";
/// Annotation of a revision template: instances at most, 0 for no limit. Also `maxScale`.
pub const MAX_SCALE: &str = "autoscaling.knative.dev/max-scale";
/// Annotation of a revision template: instances started at deployment. Also `initialScale`.
pub const INITIAL_SCALE: &str = "autoscaling.knative.dev/initial-scale";
/// Annotation of a revision template: time without demand until an instance is taken away.
pub const WINDOW: &str = "autoscaling.knative.dev/window";

const AUTOSCALING: &str = "autoscaling.knative.dev/";
/// Largest scale that is believed: more instances than that is a slip of the finger.
const SCALE_MAX: u64 = 10_000;
/// Bounds of Knative's stable window.
const WINDOW_MIN: Duration = Duration::from_secs(6);
const WINDOW_MAX: Duration = Duration::from_hours(1);

/// Prefixes of annotations and labels that mean something in Knative; one that is not known here
/// would change nothing, and its author would not learn of it.
const MEANINGFUL: &[&str] = &[
    AUTOSCALING,
    "networking.knative.dev/",
    "features.knative.dev/",
    "queue.sidecar.serving.knative.dev/",
    "serving.knative.dev/",
];
/// Those that say who did something and decide nothing, and those set by controllers.
const HARMLESS: &[&str] = &[
    "serving.knative.dev/creator",
    "serving.knative.dev/lastModifier",
    "serving.knative.dev/service",
    "serving.knative.dev/configuration",
    "serving.knative.dev/configurationGeneration",
    "serving.knative.dev/revision",
];

/// What is wrong with the annotations or labels of a Service itself.
pub(super) fn service(annotations: &BTreeMap<String, String>, field: &str) -> Vec<Fault> {
    let found = annotations.keys().filter(|key| meaningful(key)).map(|key| {
        let at = format!("{field}[{key}]");
        if key.starts_with(AUTOSCALING) {
            fault(
                "INVALID_ANNOTATION",
                at,
                "autoscaling annotations must be put under \
                 \"spec.template.metadata.annotations\" to work",
            )
        } else {
            unsupported(at, "remove it")
        }
    });
    found.collect()
}

/// What is wrong with the scaling mode of a Service.
pub(super) fn scaling(annotations: &BTreeMap<String, String>, field: &str) -> Vec<Fault> {
    let mode = annotations.get(SCALING_MODE).map(String::as_str);
    let count = annotations.get(MANUAL_COUNT).map(String::as_str);
    let refuse = |key: &str, message: String| {
        vec![fault("INVALID_ANNOTATION", format!("{field}[{key}]"), message)]
    };
    match (mode, count) {
        (None | Some(AUTOMATIC), None) => Vec::new(),
        (Some(MANUAL), Some(count)) => {
            let digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
            if digits && count.parse().is_ok_and(|count: u32| count <= MANUAL_MAX) {
                return Vec::new();
            }
            let allowed = format!("a whole number from 0 to {MANUAL_MAX} is allowed");
            refuse(MANUAL_COUNT, format!("invalid value: {count}: {allowed}"))
        }
        (Some(MANUAL), None) => {
            let message = format!("required value: {SCALING_MODE} is {MANUAL}: give the number");
            refuse(MANUAL_COUNT, message)
        }
        (None | Some(AUTOMATIC), Some(_)) => {
            let message = format!("means nothing unless {SCALING_MODE} is {MANUAL}: remove it");
            refuse(MANUAL_COUNT, message)
        }
        (Some(other), _) => {
            let message = format!("invalid value: {other}: {AUTOMATIC} or {MANUAL} is allowed");
            refuse(SCALING_MODE, message)
        }
    }
}

fn meaningful(key: &str) -> bool {
    MEANINGFUL.iter().any(|prefix| key.starts_with(prefix)) && !HARMLESS.contains(&key)
}

/// What is wrong with the annotations or labels of a revision template.
pub fn template(annotations: &BTreeMap<String, String>, field: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let (mut min, mut max) = (None, None);
    for (key, value) in annotations.iter().filter(|(key, _)| meaningful(key)) {
        let at = format!("{field}[{key}]");
        let checked = match key.strip_prefix(AUTOSCALING) {
            Some("min-scale" | "minScale") => scale(value, &at, 0).map(|n| min = Some(n)),
            Some("max-scale" | "maxScale") => scale(value, &at, 0).map(|n| max = Some(n)),
            Some("initial-scale" | "initialScale") => initial(value, &at),
            Some("window") => window(value, &at),
            _ => Err(unsupported(
                at,
                "remove it; min-scale, max-scale, initial-scale and window are supported",
            )),
        };
        faults.extend(checked.err());
    }
    if let (Some(min), Some(max)) = (min, max)
        && max != 0
        && min > max
    {
        let message = format!("max-scale={max} is less than min-scale={min}");
        faults.push(fault("INVALID_ANNOTATION", format!("{field}[{MAX_SCALE}]"), message));
    }
    faults
}

fn scale(value: &str, at: &str, least: u64) -> Result<u64, Fault> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    match value.parse::<u64>() {
        Ok(scale) if digits && (least..=SCALE_MAX).contains(&scale) => Ok(scale),
        Ok(scale) if digits => {
            let message = format!("expected {least} <= {scale} <= {SCALE_MAX}");
            Err(fault("INVALID_ANNOTATION", at, message))
        }
        _ => {
            let message = format!("invalid value: {value}: a whole number is allowed");
            Err(fault("INVALID_ANNOTATION", at, message))
        }
    }
}

/// One instance is started at deployment, to see whether it becomes ready (features row A13).
fn initial(value: &str, at: &str) -> Result<(), Fault> {
    match scale(value, at, 1)? {
        1 => Ok(()),
        _ => Err(unsupported(at, "write 1 or leave it out; min-scale keeps more running")),
    }
}

fn window(value: &str, at: &str) -> Result<(), Fault> {
    let Some(window) = parse_duration(value) else {
        let message = format!("invalid value: {value}: a duration such as 60s or 1m30s is allowed");
        return Err(fault("INVALID_ANNOTATION", at, message));
    };
    if (WINDOW_MIN..=WINDOW_MAX).contains(&window) {
        return Ok(());
    }
    Err(fault("INVALID_ANNOTATION", at, format!("expected 6s <= {value} <= 1h0m0s")))
}

/// Reads a duration as Go writes it, such as `1m30s`, `1.5h` or `500ms`; none when it is not one
/// or is negative. (Go, package `time`, `ParseDuration`.)
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut nanos) = (text, 0u128);
    if rest.is_empty() || rest.len() > 64 {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        nanos = nanos.checked_add(scaled(number, unit)?)?;
        rest = tail;
    }
    Some(Duration::from_nanos(u64::try_from(nanos).ok()?))
}

/// `number` (with an optional fraction) times `unit`, rounded down.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || fraction.len() > 15 {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u128>().ok()? };
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? };
    let power = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    whole.checked_mul(unit)?.checked_add(part.checked_mul(unit)? / power)
}
