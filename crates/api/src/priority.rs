//! Who is served now and who waits: a client that lists everything does not starve a deploy.
//! [`ebb_rules::fair`] decides; this keeps the levels and wakes those whose turn it is.
//!
//! There are two levels. Reads and writes of one object have many seats; reads of many objects have
//! few, and wide ones take several. What ends at once or may go on for ever takes none: health,
//! version, discovery, logs, uploads of images, and watches once they have sent what is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ebb_kit::Clock;
use ebb_model::{Fault, Kind as FaultKind};
use ebb_rules::fair::{self, Decision, Level, Limits, Verdict, Why};
use tokio::sync::oneshot;

use crate::Config;
use crate::auth::Verb;
use crate::context::{Query, Target};
use crate::registry::Subresource;
use crate::route::Route;
use crate::select::Selector;
use crate::status::Failure;
use crate::verbs::watch;

/// Longest time that a request keeps its seats: Kubernetes' request timeout. A list that is not
/// sent by then ends; anything else goes on without them.
const LEASE: Duration = Duration::from_mins(1);
/// Objects that a list reads for each seat beyond its first.
const OBJECTS_PER_SEAT: u64 = 1_000;
/// Collections whose size is remembered.
const SIZES_MAX: usize = 1_000;

/// The levels of one door.
pub(crate) struct Priority {
    objects: Arc<Gate>,
    lists: Arc<Gate>,
    list_width_max: u32,
    /// How many objects each collection last had, by its prefix.
    sizes: Mutex<BTreeMap<String, u64>>,
}

impl Priority {
    /// The levels as configured, with nothing in them.
    pub(crate) fn new(config: &Config, clock: &Arc<dyn Clock>) -> Self {
        let wait = Duration::from_millis(config.queue_timeout_ms);
        let gate = |name, seats| {
            let limits = Limits { seats, queued: config.queue_length, wait, lease: LEASE };
            Arc::new(Gate::new(name, limits, Arc::clone(clock)))
        };
        Self {
            objects: gate("requests for single objects", config.object_seats),
            lists: gate("lists", config.list_seats),
            // So that two of the widest fit beside each other.
            list_width_max: (config.list_seats / 2).max(1),
            sizes: Mutex::default(),
        }
    }

    /// Waits for the seats that a request needs; none when it needs none.
    ///
    /// # Errors
    /// 429 when too many wait already, or its turn does not come in time.
    pub(crate) async fn enter(
        &self,
        route: &Route,
        query: &Query,
    ) -> Result<Option<Arc<Seat>>, Failure> {
        let seat = match route {
            Route::Version
            | Route::Health(_)
            | Route::Discovery(_)
            | Route::Images { verb: Verb::Create } => return Ok(None),
            Route::Images { .. } | Route::Explain { .. } => self.objects.enter(1).await?,
            Route::Objects { target, .. } if target.subresource == Some(Subresource::Log) => {
                return Ok(None);
            }
            Route::Objects { verb: Verb::Watch, .. } if !watch::starts_with_list(query)? => {
                return Ok(None);
            }
            Route::Objects { verb, target } => match verb {
                Verb::List | Verb::Watch | Verb::DeleteCollection if !one(target, query)? => {
                    let width = self.width(target, query)?;
                    self.lists.enter(width).await?
                }
                _ => self.objects.enter(1).await?,
            },
        };
        Ok(Some(Arc::new(seat)))
    }

    /// Remembers how many objects there were with this prefix.
    pub(crate) fn saw(&self, prefix: &str, objects: u64) {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        if sizes.len() >= SIZES_MAX && !sizes.contains_key(prefix) {
            sizes.pop_first();
        }
        sizes.insert(prefix.to_owned(), objects);
    }

    fn width(&self, target: &Target, query: &Query) -> Result<u32, Failure> {
        let prefix = target.kind.prefix(target.namespace.as_deref());
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sizes.get(&prefix).copied().unwrap_or(0);
        let limit = query.number("limit")?.filter(|limit| *limit > 0);
        Ok(fair::width(limit, known, OBJECTS_PER_SEAT, self.list_width_max))
    }
}

/// Whether the request is about one name, by its path or by its selector.
fn one(target: &Target, query: &Query) -> Result<bool, Failure> {
    let (labels, fields) = (query.get("labelSelector"), query.get("fieldSelector"));
    let selector = Selector::parse(target.kind, labels, fields)?;
    Ok(target.name.is_some() || selector.name().is_some())
}

/// One level and those who wait in it.
struct Gate {
    name: &'static str,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    level: Level,
    next: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Decision>>,
}

impl State {
    /// Tells everybody what was decided about them.
    fn tell(&mut self, decisions: Vec<Decision>) {
        for decision in decisions {
            if let Some(waits) = self.waiting.remove(&decision.ticket) {
                // Whoever does not listen any more gives the seats back by itself.
                let _ = waits.send(decision);
            }
        }
    }
}

impl Gate {
    fn new(name: &'static str, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let state = State { level: Level::new(limits), next: 0, waiting: BTreeMap::new() };
        Self { name, clock, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn enter(self: &Arc<Self>, width: u32) -> Result<Seat, Failure> {
        let (seat, mut told) = {
            let now = self.clock.now();
            let mut state = self.lock();
            let decisions = state.level.tick(now);
            state.tell(decisions);
            let ticket = state.next;
            state.next += 1;
            let Decision { verdict, why, .. } = state.level.arrive(ticket, width, now);
            let seat = Seat { gate: Arc::clone(self), ticket };
            match verdict {
                Verdict::Run => return Ok(seat),
                Verdict::Wait => {}
                Verdict::Refuse | Verdict::Revoke => {
                    drop(state);
                    return Err(self.refused(why));
                }
            }
            tracing::debug!(level = self.name, %why, "a request waits");
            let (tell, told) = oneshot::channel();
            state.waiting.insert(ticket, tell);
            (seat, told)
        };
        loop {
            tokio::select! {
                biased;
                decision = &mut told => return match decision {
                    Ok(Decision { verdict: Verdict::Run, .. }) => Ok(seat),
                    Ok(Decision { why, .. }) => Err(self.refused(why)),
                    Err(_) => Err(Failure::internal("a request was forgotten in its queue")),
                },
                () = tokio::time::sleep(self.until_tick()) => self.tick(),
            }
        }
    }

    fn refused(&self, why: Why) -> Failure {
        let message =
            format!("too many {} at the moment: {why}; please try again later", self.name);
        tracing::debug!(level = self.name, %why, "a request is refused");
        Fault::new("OVERLOADED", FaultKind::Exhausted, message).into()
    }

    /// Time until somebody has waited, or kept seats, for long enough.
    fn until_tick(&self) -> Duration {
        let next = self.lock().level.next_tick();
        let left = next.map_or(LEASE, |next| next.since(self.clock.now()));
        // Clocks that differ by a little must not make this spin.
        left.max(Duration::from_millis(1))
    }

    fn tick(&self) {
        let now = self.clock.now();
        let mut state = self.lock();
        let decisions = state.level.tick(now);
        state.tell(decisions);
    }
}

/// The seats of one request, given back when this is dropped.
pub(crate) struct Seat {
    gate: Arc<Gate>,
    ticket: u64,
}

impl Seat {
    /// Whether they are still lent to this request.
    pub(crate) fn lent(&self) -> bool {
        self.gate.tick();
        self.gate.lock().level.runs(self.ticket)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let now = self.gate.clock.now();
        let mut state = self.gate.lock();
        state.waiting.remove(&self.ticket);
        let decisions = state.level.leave(self.ticket, now);
        state.tell(decisions);
    }
}

#[cfg(test)]
mod tests {
    use ebb_kit::ManualClock;
    use ebb_model::Timestamp;
    use futures_util::FutureExt as _;

    use super::*;

    fn gate(seats: u32, queued: u32) -> (Arc<ManualClock>, Arc<Gate>) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let wait = Duration::from_secs(5);
        let limits = Limits { seats, queued, wait, lease: LEASE };
        (Arc::clone(&clock), Arc::new(Gate::new("tests", limits, clock)))
    }

    #[tokio::test]
    async fn seats_pass_from_hand_to_hand() {
        let (_, gate) = gate(2, 2);
        let first = gate.enter(2).await.unwrap();
        let mut second = Box::pin(gate.enter(1));
        let mut third = Box::pin(gate.enter(1));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        let refused = gate.enter(1).await.err().unwrap();
        assert_eq!((refused.status.as_u16(), refused.reason), (429, "TooManyRequests"));
        assert!(refused.message.contains("2 requests wait already"), "{}", refused.message);
        drop(second);
        drop(first);
        let third = third.await.unwrap();
        assert_eq!(gate.lock().level.taken(), 1, "who went away has no seat");
        drop(third);
        assert_eq!(gate.lock().level.taken(), 0);
        assert!(gate.lock().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_or_keeps_seats_for_ever() {
        let (clock, gate) = gate(1, 9);
        let first = gate.enter(1).await.unwrap();
        let mut second = Box::pin(gate.enter(1));
        assert!((&mut second).now_or_never().is_none());
        clock.advance(Duration::from_secs(6));
        let refused = second.await.err().unwrap();
        assert!(refused.message.contains("within 5000 ms"), "{}", refused.message);
        assert!(first.lent());
        clock.advance(LEASE);
        let third = gate.enter(1).await.unwrap();
        assert!(!first.lent() && third.lent());
        drop(first);
        assert!(third.lent(), "what was taken back is not given back again");
    }
}
