use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const fn limits(seats: u32, queued: u32) -> Limits {
    let (wait, lease) = (Duration::from_secs(10), Duration::from_mins(1));
    Limits { seats, queued, wait, lease }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
}

fn short(decisions: &[Decision]) -> Vec<(u64, Verdict)> {
    decisions.iter().map(|decision| (decision.ticket, decision.verdict)).collect()
}

#[test]
fn a_wide_request_waits_for_its_seats_and_is_not_passed() {
    let mut level = Level::new(limits(4, 3));
    assert_eq!(level.arrive(1, 3, at(0)).verdict, Verdict::Run);
    assert_eq!(level.arrive(2, 2, at(0)).verdict, Verdict::Wait);
    assert_eq!(level.arrive(3, 1, at(0)).verdict, Verdict::Wait, "it would fit, but comes later");
    assert_eq!(level.arrive(4, 9, at(0)).verdict, Verdict::Wait, "as wide as the level");
    let refused = level.arrive(5, 1, at(0));
    assert_eq!((refused.verdict, refused.why), (Verdict::Refuse, Why::QueueFull { queued: 3 }));
    assert_eq!(short(&level.leave(1, at(1))), [(2, Verdict::Run), (3, Verdict::Run)]);
    assert_eq!(short(&level.leave(2, at(2))), []);
    assert_eq!(short(&level.leave(3, at(3))), [(4, Verdict::Run)]);
    assert_eq!(level.taken(), 4);
}

#[test]
fn waiting_and_keeping_seats_have_an_end() {
    let mut level = Level::new(limits(1, 9));
    assert_eq!(level.next_tick(), None);
    level.arrive(1, 1, at(0));
    level.arrive(2, 1, at(5));
    level.arrive(3, 1, at(55));
    assert_eq!(level.next_tick(), Some(at(15)));
    assert_eq!(short(&level.tick(at(14))), []);
    let over = level.tick(at(15));
    assert_eq!(short(&over), [(2, Verdict::Refuse)]);
    assert_eq!(over[0].why.to_string(), "no seat became free within 10000 ms");
    assert_eq!(level.next_tick(), Some(at(60)));
    assert_eq!(short(&level.tick(at(60))), [(1, Verdict::Revoke), (3, Verdict::Run)]);
    assert!(level.runs(3) && !level.runs(1));
    assert_eq!(short(&level.leave(1, at(61))), [], "it has nothing to give back");
    assert!(level.runs(3));
}

#[test]
fn who_does_not_wait_any_longer_is_in_nobodys_way() {
    let mut level = Level::new(limits(2, 9));
    level.arrive(1, 1, at(0));
    level.arrive(2, 2, at(0));
    level.arrive(3, 1, at(0));
    assert_eq!(short(&level.leave(2, at(1))), [(3, Verdict::Run)]);
}

#[test]
fn a_read_is_as_wide_as_it_is_expected_to_be_large() {
    for (limit, known, want) in [
        (None, 0, 1),
        (None, 999, 1),
        (None, 1_000, 2),
        (None, 10_000, 4),
        (Some(500), 10_000, 1),
        (Some(50_000), 2_500, 3),
        (None, u64::MAX, 4),
    ] {
        assert_eq!(width(limit, known, 1_000, 4), want, "{limit:?} of {known}");
    }
    assert_eq!(width(None, 5, 0, 0), 1);
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Act {
    Arrive(u32),
    Leave(prop::sample::Index),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0u32..7).prop_map(Act::Arrive),
        2 => any::<prop::sample::Index>().prop_map(Act::Leave),
        1 => (0u64..40).prop_map(Act::Pass),
    ]
}

/// What a level has said so far, and whether it keeps to its rules.
#[derive(Default)]
struct Seen {
    running: BTreeMap<u64, u64>,
    waiting: VecDeque<(u64, u64)>,
}

impl Seen {
    fn note(&mut self, decision: Decision, now: u64, limits: &Limits) {
        let Decision { ticket, verdict, why } = decision;
        assert!(!why.to_string().is_empty());
        match verdict {
            Verdict::Run => {
                // A new one runs at once only when nobody waits.
                let first = self.waiting.pop_front().map_or(ticket, |(first, _)| first);
                assert_eq!(ticket, first, "first come, first served");
                self.running.insert(ticket, now);
            }
            Verdict::Wait => {
                self.waiting.push_back((ticket, now));
                assert!(self.waiting.len() <= usize::try_from(limits.queued).unwrap());
            }
            Verdict::Refuse => match self.waiting.iter().position(|(waits, _)| *waits == ticket) {
                Some(place) => {
                    assert_eq!(place, 0, "in order");
                    let (_, since) = self.waiting.remove(place).unwrap();
                    assert!(now - since >= limits.wait.as_secs(), "not before its time");
                }
                None => assert_eq!(why, Why::QueueFull { queued: limits.queued }),
            },
            Verdict::Revoke => {
                let since = self.running.remove(&ticket).expect("it had seats");
                assert!(now - since >= limits.lease.as_secs(), "not before its time");
            }
        }
    }
}

proptest! {
    #[test]
    fn seats_are_never_exceeded_and_every_turn_comes(
        seats in 1u32..6,
        queued in 0u32..6,
        acts in prop::collection::vec(act(), 1..80),
    ) {
        let limits = limits(seats, queued);
        let (mut level, mut seen, mut now) = (Level::new(limits), Seen::default(), 0);
        for (act, ticket) in acts.into_iter().zip(0..) {
            let decisions = match act {
                Act::Arrive(width) => vec![level.arrive(ticket, width, at(now))],
                Act::Leave(which) => {
                    let all: Vec<u64> = seen.running.keys().copied()
                        .chain(seen.waiting.iter().map(|(ticket, _)| *ticket)).collect();
                    if all.is_empty() { continue }
                    let gone = *which.get(&all);
                    seen.running.remove(&gone);
                    seen.waiting.retain(|(ticket, _)| *ticket != gone);
                    level.leave(gone, at(now))
                }
                Act::Pass(seconds) => {
                    now += seconds;
                    level.tick(at(now))
                }
            };
            for decision in decisions {
                seen.note(decision, now, &limits);
            }
            prop_assert!(level.taken() <= seats);
            prop_assert_eq!(level.waiting(), seen.waiting.len());
            prop_assert!(seen.running.keys().all(|ticket| level.runs(*ticket)));
            prop_assert!(!seen.running.is_empty() || seen.waiting.is_empty(), "nobody waits for nothing");
            prop_assert_eq!(level.next_tick().is_some(), !seen.running.is_empty());
        }
        // Whoever waits is served or told in the end, though nobody gives anything back.
        while let Some(next) = level.next_tick() {
            now = (next.as_micros() - at(0).as_micros()) / 1_000_000;
            for decision in level.tick(next) {
                seen.note(decision, now, &limits);
            }
        }
        prop_assert!(seen.waiting.is_empty() && seen.running.is_empty());
    }

    /// What fills one level does not touch another: the same happens there with and without it.
    #[test]
    fn a_full_level_starves_no_other(
        crowd in 1u64..50,
        acts in prop::collection::vec(0u32..4, 1..20),
    ) {
        let mut lists = Level::new(limits(2, 100));
        for ticket in 0..crowd {
            lists.arrive(ticket, 2, at(0));
        }
        let (mut objects, mut alone) = (Level::new(limits(3, 5)), Level::new(limits(3, 5)));
        for (width, ticket) in acts.into_iter().zip(1_000..) {
            prop_assert_eq!(objects.arrive(ticket, width, at(0)), alone.arrive(ticket, width, at(0)));
        }
        prop_assert!(objects.taken() > 0, "the first always runs");
    }
}
