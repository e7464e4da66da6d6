//! Rollout: from a new revision to one that has shown that it can serve.
//!
//! Tag to digest, pin, pull, one instance started even when nothing routes to it yet, then `Ready`
//! is true or false. Each step is recorded in the revision before the next one begins, so that a
//! restarted daemon goes on where it was. What may pass by itself (a registry that is down) is
//! tried again until the progress deadline; what cannot (an image that does not exist) is not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ebb_kit::{Backoff, Shutdown};
use ebb_model::knative::{ContainerImage, Revision, RevisionStatus};
use ebb_model::{Digest, Fault, Kind, Reference, RevisionKey, Timestamp, key};

use crate::conditions::{FALSE, Verdict};
use crate::error::Error;
use crate::events::{Level, Subject};
use crate::failure::Failure;
use crate::keys::ServiceKey;
use crate::objects::{self, Changes};
use crate::reconcile::settings;
use crate::shared::Shared;
use crate::{instance_spec, meta, prepare, reasons, revision};

/// Waits between tries of a step that may pass by itself.
const TRY_AGAIN: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_mins(1) };
/// Time beyond the deadline that an instance gets to tell that it did not become ready in time.
const SLACK: Duration = Duration::from_secs(5);
/// Reasons that a change of secrets or config maps can remove.
const CURABLE: [(&str, &[&str]); 2] = [
    ("secrets", &["SECRET_NOT_FOUND", "SECRET_NOT_TEXT"]),
    ("configmaps", &["CONFIGMAP_NOT_FOUND"]),
];

/// Owner of the pins of a revision's images.
pub(crate) fn pin_owner(revision: &RevisionKey) -> String {
    format!("revision:{revision}")
}

/// Rollouts that are under way, with what calls each of them off.
#[derive(Default)]
pub(crate) struct Rollouts {
    running: Mutex<BTreeMap<RevisionKey, Shutdown>>,
}

impl Rollouts {
    pub(crate) fn is_running(&self, revision: &RevisionKey) -> bool {
        self.lock().contains_key(revision)
    }

    /// Calls a rollout off. It ends soon, and the service is reconciled when it has.
    pub(crate) fn call_off(&self, revision: &RevisionKey) {
        if let Some(shutdown) = self.lock().get(revision) {
            shutdown.call();
        }
    }

    fn begin(&self, revision: &RevisionKey, parent: &Shutdown) -> Option<Shutdown> {
        let mut running = self.lock();
        if running.contains_key(revision) {
            return None;
        }
        let shutdown = parent.child();
        running.insert(revision.clone(), shutdown.clone());
        Some(shutdown)
    }

    fn end(&self, revision: &RevisionKey) {
        self.lock().remove(revision);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RevisionKey, Shutdown>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rolls the revision out in the background, unless that is under way.
pub(crate) fn ensure(shared: &Arc<Shared>, service: &Subject, revision: &RevisionKey) {
    let Some(off) = shared.rollouts.begin(revision, &shared.shutdown) else { return };
    let rollout = Rollout {
        shared: shared.clone(),
        service: service.clone(),
        key: revision.clone(),
        deadline: shared.clock.now().plus(shared.config.progress_deadline),
    };
    shared.tasks.spawn("control-rollout", async move {
        tokio::select! {
            biased;
            () = off.wait() => {}
            () = rollout.run() => {}
        }
        rollout.shared.rollouts.end(&rollout.key);
        let service = ServiceKey::new(&rollout.service.namespace, &rollout.service.name);
        rollout.shared.services.add(service);
    });
}

/// Gives revisions of the namespace, or of all, that failed for want of what `resource` holds
/// another try.
pub(crate) async fn cure(
    shared: &Shared,
    resource: &str,
    namespace: Option<&str>,
) -> Result<(), Error> {
    let Some((_, curable)) = CURABLE.iter().find(|(of, _)| *of == resource) else { return Ok(()) };
    let prefix = match namespace {
        Some(namespace) => key::namespaced(objects::SERVING, "revisions", namespace),
        None => key::all(objects::SERVING, "revisions"),
    };
    // Few have failed so, and reading what is no such is most of the work.
    let named = |data: &[u8]| curable.iter().any(|code| contains(data, code.as_bytes()));
    for stored in objects::list_those::<Revision>(&*shared.store, &prefix, named).await? {
        let verdict = revision::verdict(&stored.object);
        let cured = verdict.reason.is_some_and(|reason| curable.contains(&reason.as_str()));
        if verdict.status != FALSE || !cured {
            continue;
        }
        let mut revision = stored.object;
        let message = "a secret or config map changed: trying again";
        let verdict = Verdict::unknown(reasons::DEPLOYING, message);
        let status = revision.status.get_or_insert_default();
        revision::set_progress(&mut status.conditions, &verdict, shared.clock.now());
        let mut changes = Changes::default();
        let key = objects::revision_key(meta::namespace(&revision), meta::name(&revision));
        changes.update(key, stored.version, &revision)?;
        changes.apply(&*shared.store).await?;
    }
    Ok(())
}

fn contains(data: &[u8], text: &[u8]) -> bool {
    data.windows(text.len()).any(|window| window == text)
}

/// Code of a revision that did not become ready in time.
const TOO_LATE: &str = "PROGRESS_DEADLINE_EXCEEDED";

/// Why a try ended without success.
enum Stop {
    /// The revision is gone.
    Gone,
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

struct Rollout {
    shared: Arc<Shared>,
    service: Subject,
    key: RevisionKey,
    deadline: Timestamp,
}

impl Rollout {
    /// Tries until the revision is ready or has failed, or is gone.
    async fn run(&self) {
        let mut tries = 0;
        let mut before: Option<Failure> = None;
        loop {
            let Some(revision) = self.read().await else { return };
            if revision::verdict(&revision).status != crate::conditions::UNKNOWN {
                return;
            }
            let failure = match self.attempt(revision).await {
                Ok(()) => return self.succeed().await,
                Err(Stop::Gone) => return,
                // The last try is cut short by the deadline: what the tries before it failed of
                // says more than that.
                Err(Stop::Failed(failure)) if failure.code == TOO_LATE => {
                    before.take().unwrap_or(failure)
                }
                Err(Stop::Failed(failure)) => failure,
            };
            let left = self.deadline.since(self.shared.clock.now());
            if !failure.transient || left.is_zero() {
                return self.fail(failure).await;
            }
            tracing::info!(revision = %self.key, code = failure.code, tries, "trying again");
            self.hesitate(&failure).await;
            before = Some(failure);
            let wait = TRY_AGAIN.wait(tries, self.shared.ids.jitter());
            tries += 1;
            tokio::time::sleep(wait.min(left)).await;
        }
    }

    /// One try of every step that is left.
    async fn attempt(&self, mut revision: Revision) -> Result<(), Stop> {
        let resolved = revision.status.as_ref().map_or(0, |s| s.container_statuses.len());
        if resolved < revision.spec.containers.len() {
            let images = self.resolve(&revision).await?;
            let pulling = Verdict::unknown(reasons::PULLING_IMAGE, "pulling the image");
            let now = self.shared.clock.now();
            let written = self.write(|status| {
                status.container_statuses.clone_from(&images);
                revision::set_progress(&mut status.conditions, &pulling, now);
            });
            revision = written.await.ok_or(Stop::Gone)?;
        }
        self.pull(&revision).await?;
        let now = self.shared.clock.now();
        let starting = Verdict::unknown(reasons::DEPLOYING, "starting the first instance");
        let written = self.write(|status| {
            revision::set_progress(&mut status.conditions, &starting, now);
        });
        written.await.ok_or(Stop::Gone)?;
        let left = self.left();
        let time = self.shared.config.start_timeout.min(left);
        let spec = prepare::make(&self.shared, &revision, time.as_millis()).await;
        let spec = spec.map_err(Failure::from)?;
        let settings = settings(&self.service, &revision, (false, None));
        let answer = self.shared.fleet.validate(&self.key, settings, spec);
        match tokio::time::timeout(left.saturating_add(SLACK), answer).await {
            Ok(Ok(outcome)) => Ok(outcome?),
            Ok(Err(_)) => Err(Stop::Gone),
            Err(_) => Err(self.too_late(None).into()),
        }
    }

    /// Asks the registry for the digest of each container's image.
    async fn resolve(&self, revision: &Revision) -> Result<Vec<ContainerImage>, Failure> {
        let mut images = Vec::new();
        for container in &revision.spec.containers {
            let text = container.image.as_deref().unwrap_or_default();
            let reference: Reference = text.parse().map_err(|fault: Fault| Failure::from(fault))?;
            let digest = self.digest(revision, reference.clone()).await?;
            images.push(ContainerImage {
                name: instance_spec::container_name(container).to_owned(),
                image_digest: reference.pinned(digest).to_string(),
            });
        }
        Ok(images)
    }

    async fn digest(&self, revision: &Revision, reference: Reference) -> Result<Digest, Failure> {
        let name = reference.to_string();
        let pull = prepare::pull(&self.shared, revision, reference).await?;
        let limit = self.shared.config.resolve_timeout;
        let resolved = tokio::time::timeout(limit, self.shared.images.resolve(&pull)).await;
        if let Ok(digest) = resolved {
            return digest.map_err(|error| Fault::from(error).into());
        }
        let seconds = limit.as_secs();
        let message = format!("the registry did not say within {seconds} s which image {name} is");
        Err(Fault::new("REGISTRY_UNAVAILABLE", Kind::Timeout, message).into())
    }

    /// Pins and pulls each container's image. The digests are recorded before, so whoever removes
    /// the revision knows what to unpin.
    async fn pull(&self, revision: &Revision) -> Result<(), Failure> {
        let images = revision.status.as_ref().map(|status| status.container_statuses.clone());
        for image in images.unwrap_or_default() {
            let reference: Reference =
                image.image_digest.parse().map_err(|fault: Fault| Failure::from(fault))?;
            if let Some(digest) = &reference.digest {
                let pinned = self.shared.images.pin(digest, &pin_owner(&self.key)).await;
                pinned.map_err(|error| Failure::from(Fault::from(error)))?;
            }
            let pull = prepare::pull(&self.shared, revision, reference).await?;
            match tokio::time::timeout(self.left(), self.shared.images.pull(&pull)).await {
                Ok(done) => done.map_err(|error| Failure::from(Fault::from(error)))?,
                Err(_) => return Err(self.too_late(Some("pulling the image"))),
            }
        }
        Ok(())
    }

    fn left(&self) -> Duration {
        self.deadline.since(self.shared.clock.now())
    }

    fn too_late(&self, doing: Option<&str>) -> Failure {
        let message = format!(
            "the revision did not become ready within {} s{}: see its events and the output of \
             its instance",
            self.shared.config.progress_deadline.as_secs(),
            doing.map(|doing| format!(" ({doing})")).unwrap_or_default()
        );
        Failure::new(TOO_LATE, message)
    }

    async fn succeed(&self) {
        let now = self.shared.clock.now();
        let counts = self.shared.fleet.counts(&self.key);
        let written = self.write(|status| {
            revision::set_replicas(status, counts, now);
            revision::set_health(&mut status.conditions, &Verdict::ok(), now);
        });
        if written.await.is_some() {
            let message = format!("{} is ready", self.key.name);
            self.tell(Level::Normal, reasons::REVISION_READY, &message);
        }
    }

    async fn fail(&self, failure: Failure) {
        tracing::info!(revision = %self.key, code = failure.code, message = failure.message,
            "the revision failed");
        self.shared.fleet.retire(&self.key);
        let now = self.shared.clock.now();
        let verdict = Verdict::failed(&failure.code, failure.message.clone());
        let of_instance = self.shared.fleet.has(&self.key);
        let written = self.write(|status| {
            revision::set_replicas(status, (0, 0), now);
            if of_instance {
                revision::set_health(&mut status.conditions, &verdict, now);
            } else {
                revision::set_progress(&mut status.conditions, &verdict, now);
            }
        });
        if let Some(revision) = written.await {
            let subject = Subject::new("Revision", &revision.metadata);
            let events = &self.shared.events;
            events.record(&subject, Level::Warning, &failure.code, &failure.message);
            let message = format!("{}: {}", self.key.name, failure.message);
            self.tell(Level::Warning, &failure.code, &message);
        }
    }

    /// Says why it is not ready yet, while it is tried again.
    async fn hesitate(&self, failure: &Failure) {
        let now = self.shared.clock.now();
        let message = format!("{}; trying again", failure.message);
        let verdict = Verdict::unknown(&failure.code, message.clone());
        self.write(|status| revision::set_progress(&mut status.conditions, &verdict, now)).await;
        let message = format!("{}: {message}", self.key.name);
        self.tell(Level::Warning, &failure.code, &message);
    }

    fn tell(&self, level: Level, reason: &str, message: &str) {
        self.shared.events.record(&self.service, level, reason, message);
    }

    /// The revision; none when it is gone. A store that does not answer is asked again.
    async fn read(&self) -> Option<Revision> {
        let key = objects::revision_key(&self.key.namespace, &self.key.name);
        let mut tries = 0;
        loop {
            match objects::read::<Revision>(&*self.shared.store, &key).await {
                Ok(stored) => return stored.map(|stored| stored.object),
                Err(error) => self.shared.pause(&error, &mut tries).await,
            }
        }
    }

    /// Changes the revision's status, however often that has to be tried. None: it is gone.
    async fn write(&self, change: impl Fn(&mut RevisionStatus)) -> Option<Revision> {
        revision::write_status(&self.shared, &self.key, change).await
    }
}
