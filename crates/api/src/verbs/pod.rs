//! Deletes a Pod: it is marked, its instance is told to end, and it goes with that.

use std::time::Duration;

use ebb_model::Timestamp;
use ebb_model::k8s::apimachinery::pkg::apis::meta::v1::Time;
use ebb_store::{Record, Write};
use serde::Deserialize;
use serde_json::{Value, json};

use super::delete::{self, Outcome};
use super::delete_options::Options;
use crate::context::{Context, Target};
use crate::status::Failure;
use crate::{meta, storage};

/// What the deletion of a Pod does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It goes at once.
    Remove,
    /// It goes in so many seconds at the latest, counted from then.
    Mark { since: Timestamp, seconds: u64 },
    /// It goes already, and no later than that was asked for.
    Pending,
}

/// Marks the Pod and stops its instance, as Kubernetes does: in the time that the client gives, or
/// else in that of the Pod. A Pod that goes already can only be made to go sooner.
pub(super) async fn stop(
    context: &Context,
    target: &Target,
    options: &Options,
    record: &Record,
    mut pod: Value,
) -> Result<Outcome, Failure> {
    let step = step(&pod, options.period_s, context.app.deps.clock.now());
    let uid = meta::text(&pod, "uid").map(str::to_owned);
    // One commit holds the deletion to the Pod that the preconditions were checked for.
    let key = record.key.clone();
    let outcome = match step {
        Step::Remove => {
            let gone = Write::Delete { key };
            delete::write(context, target, options, record, gone, pod).await?
        }
        Step::Mark { since, seconds } => {
            let until = since.plus(Duration::from_secs(seconds));
            pod["metadata"]["deletionTimestamp"] = json!(until.to_rfc3339_seconds());
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(seconds);
            let put = Write::Put { key, value: storage::value(target.kind, &pod) };
            delete::write(context, target, options, record, put, pod).await?
        }
        Step::Pending => Outcome::Marked(pod),
    };
    if matches!(outcome, Outcome::Changed) {
        return Ok(outcome);
    }
    if !options.dry_run {
        let period = match step {
            Step::Remove => Some(Duration::ZERO),
            _ => options.period_s.map(|seconds| Duration::from_secs(u64::from(seconds))),
        };
        let platform = &context.app.deps.platform;
        let stopped = platform.stop_pod(target.namespace(), target.name(), uid.as_deref(), period);
        match stopped.await {
            // It went by itself meanwhile, which is what was asked for.
            Err(fault) if fault.code == "POD_NOT_FOUND" => {}
            other => other?,
        }
    }
    match outcome {
        Outcome::Gone(pod) | Outcome::Marked(pod) => Ok(Outcome::Gone(pod)),
        Outcome::Changed => Ok(Outcome::Changed),
    }
}

fn step(pod: &Value, asked: Option<u32>, now: Timestamp) -> Step {
    let asked = asked.map(u64::from);
    let phase = pod["status"]["phase"].as_str();
    if asked == Some(0) || matches!(phase, Some("Succeeded" | "Failed")) {
        return Step::Remove;
    }
    if !meta::deleting(pod) {
        let own = pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(0);
        return Step::Mark { since: now, seconds: asked.unwrap_or(own) };
    }
    let before = pod["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap_or(0);
    let Some(seconds) = asked.filter(|asked| *asked < before) else { return Step::Pending };
    let until = Time::deserialize(&pod["metadata"]["deletionTimestamp"]).ok();
    let until = until.and_then(|until| u64::try_from(until.0.as_microsecond()).ok());
    let since = until.map(|until| until.saturating_sub(before.saturating_mul(1_000_000)));
    Step::Mark { since: since.map_or(now, Timestamp::from_micros), seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_asked_for_or_that_of_the_pod_and_only_gets_shorter() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let pod = |metadata: Value, phase: &str| {
            json!({"metadata": metadata, "status": {"phase": phase},
                   "spec": {"terminationGracePeriodSeconds": 10}})
        };
        let mark = |seconds| Step::Mark { since: now, seconds };
        let going = json!({"deletionTimestamp": now.plus(Duration::from_secs(30)).to_rfc3339_seconds(),
                           "deletionGracePeriodSeconds": 30});
        let later = now.plus(Duration::from_secs(20));
        for (metadata, phase, asked, at, want) in [
            (json!({}), "Running", None, now, mark(10)),
            (json!({}), "Running", Some(1), now, mark(1)),
            (json!({}), "Pending", Some(60), now, mark(60)),
            (json!({}), "Running", Some(0), now, Step::Remove),
            (json!({}), "Succeeded", Some(60), now, Step::Remove),
            (json!({}), "Failed", None, now, Step::Remove),
            (going.clone(), "Running", None, later, Step::Pending),
            (going.clone(), "Running", Some(30), later, Step::Pending),
            (going.clone(), "Running", Some(25), later, mark(25)),
            (going, "Running", Some(0), later, Step::Remove),
        ] {
            let pod = pod(metadata, phase);
            assert_eq!(step(&pod, asked, at), want, "{pod} {asked:?}");
        }
    }
}
