//! Carrying out what was decided.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ebb_engine::{Io, LogQuery, Open};
use ebb_kit::Backoff;
use ebb_model::engine::{ExitRecord, InstanceSpec, LogRecord, StartPhases};
use ebb_model::routing::Endpoint;
use ebb_model::scaling::DecisionRecord;
use ebb_model::{Fault, InstanceId, Kind, RevisionKey, Timestamp};

use super::unit::Verdict;
use super::{Outstanding, Step};
use crate::events::Level;
use crate::failure::{self, Failure};
use crate::pods::Template;
use crate::prepare;
use crate::reasons;
use crate::shared::Shared;

/// Lines of an application's last output that are read.
const LINES: u64 = 5;
/// Time for reading them.
const READ: Duration = Duration::from_secs(2);
/// Time for the event of an end to arrive.
const EVENT: Duration = Duration::from_secs(1);
/// Waits between tries to stop an instance that the engine could not stop.
const STOP: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(30) };

/// The time that an instance gets to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    /// For its requests.
    pub(crate) limit: Duration,
    /// For itself after that, between SIGTERM and kill.
    pub(crate) grace: Duration,
    /// When all of it is over, if somebody said so. Requests then get what is left beside `grace`,
    /// and it gets what they left.
    pub(crate) until: Option<Timestamp>,
}

impl Time {
    /// Time for the requests, from now.
    fn for_requests(self, now: Timestamp) -> Duration {
        let left = self.until.map(|until| until.since(now).saturating_sub(self.grace));
        left.map_or(self.limit, |left| left.min(self.limit))
    }

    /// Time between SIGTERM and kill, from now.
    fn for_itself(self, now: Timestamp) -> Duration {
        self.until.map_or(self.grace, |until| until.since(now))
    }
}

/// What has to be done.
pub(crate) enum Effect {
    // Order matters where effects come together: what a request waits for goes first.
    /// Decide again at this time.
    WakeAt(Timestamp),
    /// Keep this decision.
    Decided(DecisionRecord),
    /// Make what instances are started from.
    Prepare {
        epoch: u64,
    },
    Start {
        id: InstanceId,
        spec: Arc<InstanceSpec>,
    },
    Started(InstanceId),
    Ready {
        id: InstanceId,
        phases: StartPhases,
        endpoint: Option<SocketAddr>,
    },
    RemoveEndpoint(InstanceId),
    /// Let the instance finish its requests, then stop it.
    Drain {
        id: InstanceId,
        time: Time,
    },
    Ended {
        id: InstanceId,
        record: Option<ExitRecord>,
    },
    /// It ended by itself: find out what it said, and tell.
    Diagnose {
        id: InstanceId,
        failure: Failure,
        verdict: Option<Verdict>,
    },
    /// Tell that instances cannot be started.
    Report {
        failure: Failure,
    },
    Verdict(Verdict, Result<(), Failure>),
    /// Answer what waits. Clients read the message: it says nothing about the inside.
    FailHeld {
        code: String,
        message: &'static str,
    },
    /// Nothing of the revision runs any more.
    Gone,
}

/// Carries out everything, in the order in which it was decided. Nothing here waits: what takes
/// time becomes a task.
pub(crate) fn perform(shared: &Arc<Shared>, _: Outstanding) {
    shared.fleet.outbox.work_off(|step| carry_out(shared, step));
}

fn carry_out(shared: &Arc<Shared>, step: Step) {
    let Step { revision, template, effects } = step;
    for effect in effects {
        match effect {
            Effect::WakeAt(at) => shared.fleet.queue.add_at(revision.clone(), at),
            Effect::Decided(decision) => decided(shared, &template, &revision, decision),
            Effect::Prepare { epoch } => prepare::spawn(shared, revision.clone(), epoch),
            Effect::Start { id, spec } => {
                shared.pods.created(&id, &template);
                start(shared, id, spec);
            }
            Effect::Started(id) => shared.pods.started(&id),
            Effect::Ready { id, phases, endpoint } => {
                shared.explain.ready(&id, phases);
                if let Some(address) = endpoint {
                    let endpoint = Endpoint { id: id.clone(), address };
                    shared.data_plane.add_endpoint(&revision, endpoint);
                }
                shared.pods.ready(&id, endpoint);
                shared.replicas_changed(&revision);
            }
            Effect::RemoveEndpoint(id) => shared.data_plane.remove_endpoint(&revision, &id),
            Effect::Drain { id, time } => {
                shared.pods.stopping(&id);
                drain(shared, &revision, id, time);
            }
            Effect::Ended { id, record } => {
                shared.explain.ended(&id);
                shared.pods.ended(&id, record);
                shared.replicas_changed(&revision);
            }
            Effect::Diagnose { id, failure, verdict } => {
                diagnose(shared, &template, id, failure, verdict);
            }
            Effect::Report { failure } => report(shared, &template, &failure),
            Effect::Verdict(verdict, outcome) => {
                // The rollout that asked may have been called off.
                let _ = verdict.send(outcome);
            }
            Effect::FailHeld { code, message } => {
                shared.data_plane.fail_held(&revision, &code, message);
            }
            Effect::Gone => {
                shared.explain.forget_revision(&revision);
                shared.services.add(template.service.clone());
            }
        }
    }
}

/// Keeps a decision, and shows one that changes something as an event.
fn decided(
    shared: &Shared,
    template: &Template,
    revision: &RevisionKey,
    mut decision: DecisionRecord,
) {
    let DecisionRecord { have, want, rule, why, .. } = &decision;
    tracing::debug!(%revision, have, want, rule, why, "decided");
    if have != want {
        let message = format!("{}: {have} to {want} instances ({rule})", revision.name);
        shared.events.record(&template.subject, Level::Normal, reasons::SCALED, &message);
    }
    decision.revision.clone_from(&revision.name);
    shared.explain.decided(&template.service, decision);
}

/// Tells the engine to start an instance. One whose start is under way at shutdown is stopped
/// once it was answered, because a stop that came before it found nothing.
fn start(shared: &Arc<Shared>, id: InstanceId, spec: Arc<InstanceSpec>) {
    let (shared, tasks) = (shared.clone(), shared.tasks.clone());
    tasks.spawn("control-start", async move {
        if shared.fleet.is_closed() {
            return;
        }
        let name = id.pod_name(&spec.name);
        let spec = InstanceSpec { name, ..InstanceSpec::clone(&spec) };
        shared.explain.told(&id, shared.clock.now());
        let outstanding = match shared.engine.start(&id, spec).await {
            Ok(()) if shared.fleet.is_closed() => {
                if let Err(error) = shared.engine.stop(&id, Duration::ZERO).await {
                    tracing::warn!(instance = %id, %error, "could not be stopped");
                }
                return;
            }
            Ok(()) => shared.fleet.start_taken(&id),
            Err(error) => {
                tracing::warn!(instance = %id, %error, "the engine could not start an instance");
                // Told first: the end that the stop brings about is not the failure.
                let kind = error.kind();
                let failure = Failure::from(Fault::from(error));
                if let Some(outstanding) = shared.fleet.start_failed(&id, failure) {
                    perform(&shared, outstanding);
                }
                undo(&shared, &id, kind).await;
                return;
            }
        };
        if let Some(outstanding) = outstanding {
            perform(&shared, outstanding);
        }
    });
}

/// A start that was not answered may have happened all the same: nothing may run that nobody
/// knows of. One that was refused did not happen.
async fn undo(shared: &Arc<Shared>, id: &InstanceId, failed: Kind) {
    if matches!(failed, Kind::Invalid | Kind::Exhausted) {
        return;
    }
    if let Err(error) = shared.engine.stop(id, Duration::ZERO).await {
        tracing::warn!(instance = %id, %error, "could not be stopped, trying again");
        keep_stopping(shared, id.clone());
    }
}

/// Stops an instance that nobody here knows, however often that has to be tried.
pub(crate) fn keep_stopping(shared: &Arc<Shared>, id: InstanceId) {
    let (shared, tasks) = (shared.clone(), shared.tasks.clone());
    tasks.spawn("control-stop", async move {
        tokio::select! {
            biased;
            () = stop(&shared, &id, Duration::ZERO) => {}
            () = shared.shutdown.wait() => {}
        }
    });
}

/// Lets an instance finish its requests, then stops it. At shutdown everything is stopped anyway.
fn drain(shared: &Arc<Shared>, revision: &RevisionKey, id: InstanceId, time: Time) {
    let (shared, revision) = (shared.clone(), revision.clone());
    let tasks = shared.tasks.clone();
    tasks.spawn("control-stop", async move {
        let stopped = async {
            let limit = time.for_requests(shared.clock.now());
            shared.data_plane.drain_endpoint(&revision, &id, limit).await;
            stop(&shared, &id, time.for_itself(shared.clock.now())).await;
        };
        tokio::select! {
            biased;
            () = shared.shutdown.wait() => {}
            () = stopped => {}
        }
    });
}

/// Stops an instance, however often that has to be tried, and says that it is gone.
async fn stop(shared: &Arc<Shared>, id: &InstanceId, grace: Duration) {
    let mut tries = 0;
    while let Err(error) = shared.engine.stop(id, grace).await {
        tracing::warn!(instance = %id, %error, tries, "the engine could not stop an instance");
        let wait = STOP.wait(tries, shared.ids.jitter());
        tries += 1;
        tokio::time::sleep(wait).await;
    }
    // Its end is told by an event, which carries the exit record. Only should that be lost:
    tokio::time::sleep(EVENT).await;
    if let Some(outstanding) = shared.fleet.ended(id, None) {
        perform(shared, outstanding);
    }
}

/// Finds out what the application said before it ended by itself, and tells.
fn diagnose(
    shared: &Arc<Shared>,
    template: &Arc<Template>,
    id: InstanceId,
    mut failure: Failure,
    verdict: Option<Verdict>,
) {
    let (shared, template) = (shared.clone(), template.clone());
    let tasks = shared.tasks.clone();
    tasks.spawn("control-diagnose", async move {
        let records = tokio::time::timeout(READ, last_output(&shared, &id)).await;
        if let Some(output) = failure::output(&records.unwrap_or_default()) {
            failure.message = format!("{}; last output: {output}", failure.message);
        }
        if let Some(pod) = shared.pods.subject(&id) {
            shared.events.record(&pod, Level::Warning, &failure.code, &failure.message);
        }
        match verdict {
            // A rollout that was told tells it further; it may have been called off.
            Some(verdict) => drop(verdict.send(Err(failure))),
            None => report(&shared, &template, &failure),
        }
    });
}

async fn last_output(shared: &Shared, id: &InstanceId) -> Vec<LogRecord> {
    let mut records = Vec::new();
    let Some(container) = shared.pods.container(id) else { return records };
    let query = LogQuery { tail: Some(LINES), ..LogQuery::default() };
    let opened = shared.engine.open(id, &container, Open::Logs(query)).await;
    if let Ok(Io::Logs(mut lines)) = opened {
        while let Some(record) = lines.recv().await {
            records.push(record);
        }
    }
    records
}

/// Records a failure as an event of the service.
fn report(shared: &Shared, template: &Template, failure: &Failure) {
    let revision = template.revision.metadata.name.as_deref().unwrap_or_default();
    let message = format!("{revision}: {}", failure.message);
    shared.events.record(&template.subject, Level::Warning, &failure.code, &message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_time_is_for_requests_and_for_the_end() {
        let at = |s: u64| Timestamp::from_micros(s * 1_000_000);
        let s = Duration::from_secs;
        let time = |until| Time { limit: s(300), grace: s(10), until };
        for (until, now, finish, end) in [
            (None, 5, 300, 10),
            (Some(at(65)), 5, 50, 60),
            (Some(at(6)), 5, 0, 1),
            (Some(at(5)), 5, 0, 0),
            (Some(at(5)), 7, 0, 0),
            (Some(at(1005)), 5, 300, 1000),
        ] {
            let time = time(until);
            assert_eq!((time.for_requests(at(now)), time.for_itself(at(now))), (s(finish), s(end)));
        }
    }
}
