//! What happened, line by line, and what should not have.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use ebb_model::InstanceId;
use tokio::time::Instant;

use crate::lock;

/// Lines that are shown before a violation.
const TAIL: usize = 50;

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the invariant.
    pub invariant: &'static str,
    /// What was seen.
    pub what: String,
    /// Step of the run.
    pub step: u32,
    /// Virtual time since the start, in milliseconds.
    pub at_ms: u128,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, what, step, at_ms } = self;
        write!(f, "{invariant}: {what} (step {step}, virtual time {at_ms} ms)")
    }
}

/// The trace of one run. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Trace {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    start: Instant,
    step: u32,
    lines: Vec<String>,
    violations: Vec<Violation>,
    names: BTreeMap<InstanceId, String>,
    counts: BTreeMap<String, u32>,
}

impl Trace {
    /// An empty trace that begins now. Needs a runtime.
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                start: Instant::now(),
                step: 0,
                lines: Vec::new(),
                violations: Vec::new(),
                names: BTreeMap::new(),
                counts: BTreeMap::new(),
            })),
        }
    }

    /// The next step begins.
    pub(crate) fn step(&self, step: u32) {
        lock(&self.inner).step = step;
    }

    /// Something happened.
    pub(crate) fn log(&self, what: impl AsRef<str>) {
        let mut inner = lock(&self.inner);
        let ms = inner.start.elapsed().as_millis();
        let line = format!("{:>4} {ms:>9} {}", inner.step, what.as_ref());
        inner.lines.push(line);
    }

    /// Something happened that must not.
    pub(crate) fn violation(&self, invariant: &'static str, what: String) {
        self.log(format!("VIOLATION {invariant}: {what}"));
        let mut inner = lock(&self.inner);
        let (step, at_ms) = (inner.step, inner.start.elapsed().as_millis());
        inner.violations.push(Violation { invariant, what, step, at_ms });
    }

    /// Whether something happened that must not.
    pub(crate) fn broken(&self) -> bool {
        !lock(&self.inner).violations.is_empty()
    }

    /// What must not have happened.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        lock(&self.inner).violations.clone()
    }

    /// Every line.
    pub(crate) fn lines(&self) -> Vec<String> {
        lock(&self.inner).lines.clone()
    }

    /// The lines up to the first violation.
    pub(crate) fn tail(&self) -> Vec<String> {
        let inner = lock(&self.inner);
        let lines = &inner.lines;
        let end = lines.iter().position(|line| line.contains(" VIOLATION "));
        let end = end.map_or(lines.len(), |at| at + 1);
        lines[end.saturating_sub(TAIL)..end].to_vec()
    }

    /// A name for an instance that does not change when identities are made otherwise: its
    /// revision, and its number among the revision's.
    pub(crate) fn instance(&self, id: &InstanceId, revision: &str) -> String {
        let mut inner = lock(&self.inner);
        if let Some(name) = inner.names.get(id) {
            return name.clone();
        }
        let count = inner.counts.entry(revision.to_owned()).or_default();
        *count += 1;
        let name = format!("{revision}#{count}");
        inner.names.insert(id.clone(), name.clone());
        name
    }

    /// The name of an instance that was seen before.
    pub(crate) fn known(&self, id: &InstanceId) -> String {
        lock(&self.inner).names.get(id).cloned().unwrap_or_else(|| "unknown".to_owned())
    }

    /// The name of the instance that a pod shows.
    pub(crate) fn by_pod(&self, pod: &str) -> String {
        let inner = lock(&self.inner);
        let shown = |(id, name): &(&InstanceId, &String)| {
            let revision = name.rsplit_once('#').map_or("", |(revision, _)| revision);
            let revision = revision.rsplit_once('/').map_or(revision, |(_, name)| name);
            id.pod_name(revision) == pod
        };
        inner.names.iter().find(shown).map_or("unknown", |(_, name)| name).to_owned()
    }
}

/// Hash of the lines: FNV-1a, 64 bits.
pub(crate) fn hash(lines: &[String]) -> u64 {
    let bytes = lines.iter().flat_map(|line| line.bytes().chain([b'\n']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
