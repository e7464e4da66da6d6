//! What keeps Events few: many messages of one sort become one Event, and who tells too much is not
//! heard for a while. Numbers as in Kubernetes' client library.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ebb_model::Timestamp;

use super::{Level, Subject};

/// Different messages about one subject, for one reason, before they are told together.
const MESSAGES: usize = 10;
/// Time without any of them after which they are told one by one again.
const TOGETHER: Duration = Duration::from_mins(10);
/// Events about one subject, for one reason, that may come at once.
const BURST: u32 = 25;
/// Time after which one more may come.
const REFILL: Duration = Duration::from_mins(5);
/// Sorts that are remembered.
const SORTS: usize = 4_000;

/// Events of one sort.
type Sort = (Subject, Level, String);

/// Recent Events by their sort.
#[derive(Default)]
pub(super) struct Correlator {
    sorts: BTreeMap<Sort, Recent>,
}

struct Recent {
    messages: BTreeSet<String>,
    last: Timestamp,
    tokens: u32,
    refilled: Timestamp,
}

/// How to tell an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    /// By its message.
    Alone,
    /// With others of its sort.
    Together,
    /// Not at all: too many came.
    Not,
}

impl Correlator {
    /// How to tell an Event that happens now.
    pub(super) fn tell(
        &mut self,
        (subject, level, reason): (&Subject, Level, &str),
        message: &str,
        now: Timestamp,
    ) -> Tell {
        if self.sorts.len() >= SORTS {
            self.tidy(now);
        }
        let recent =
            self.sorts.entry((subject.clone(), level, reason.to_owned())).or_insert_with(|| {
                Recent { messages: BTreeSet::new(), last: now, tokens: BURST, refilled: now }
            });
        recent.refill(now);
        if now.since(recent.last) > TOGETHER {
            recent.messages.clear();
        }
        recent.last = now;
        if recent.tokens == 0 {
            return Tell::Not;
        }
        recent.tokens -= 1;
        if recent.messages.len() < MESSAGES {
            recent.messages.insert(message.to_owned());
            return Tell::Alone;
        }
        if recent.messages.contains(message) { Tell::Alone } else { Tell::Together }
    }

    /// Forgets what nothing depends on any more, or else what is oldest.
    fn tidy(&mut self, now: Timestamp) {
        self.sorts.retain(|_, recent| now.since(recent.last) <= TOGETHER);
        while self.sorts.len() >= SORTS {
            let oldest = self.sorts.iter().min_by_key(|(_, recent)| recent.last);
            let Some(oldest) = oldest.map(|(sort, _)| sort.clone()) else { return };
            self.sorts.remove(&oldest);
        }
    }
}

impl Recent {
    fn refill(&mut self, now: Timestamp) {
        let whole = now.since(self.refilled).as_secs() / REFILL.as_secs();
        let whole = u32::try_from(whole).unwrap_or(BURST).min(BURST);
        if whole > 0 {
            self.tokens = self.tokens.saturating_add(whole).min(BURST);
            self.refilled = self.refilled.plus(REFILL.saturating_mul(whole));
        }
        if self.tokens == BURST {
            self.refilled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn many_messages_become_one_and_then_none() {
        let mut correlator = Correlator::default();
        let subject = super::super::tests::subject();
        let mut tell = |reason: &str, message: &str, now| {
            correlator.tell((&subject, Level::Normal, reason), message, now)
        };
        for n in 0..10 {
            assert_eq!(tell("Scaled", &n.to_string(), at(1)), Tell::Alone);
        }
        for n in 10..25 {
            assert_eq!(tell("Scaled", &n.to_string(), at(2)), Tell::Together, "{n}");
        }
        assert_eq!(tell("Scaled", "x", at(3)), Tell::Not);
        assert_eq!(tell("Ready", "x", at(3)), Tell::Alone, "another reason is another sort");
        assert_eq!(tell("Scaled", "x", at(302)), Tell::Together, "one more after five minutes");
        assert_eq!(tell("Scaled", "x", at(303)), Tell::Not);
        assert_eq!(tell("Scaled", "x", at(2_000)), Tell::Alone, "ten quiet minutes end it");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut correlator = Correlator::default();
        for n in 0..u64::try_from(SORTS).unwrap() + 10 {
            let subject = Subject { name: n.to_string(), ..super::super::tests::subject() };
            correlator.tell((&subject, Level::Normal, "A"), "x", at(n));
        }
        assert!(correlator.sorts.len() <= SORTS);
    }
}
