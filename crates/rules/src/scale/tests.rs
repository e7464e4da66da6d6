use std::time::Duration;

use ebb_model::Timestamp;
use ebb_model::scaling::ScalePolicy;
use proptest::prelude::*;

use super::*;

const POLICY: ScalePolicy =
    ScalePolicy { min: 0, max: 100, concurrency: 10, idle_ms: 60_000, manual: None };

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000_000_000).plus(Duration::from_secs(seconds))
}

fn once(policy: ScalePolicy, demand: Demand) -> Decision {
    decide(&policy, &demand, Memory::default(), at(0)).0
}

#[test]
fn from_zero_on_the_first_held_request() {
    let decision = once(POLICY, Demand { held: 1, ..Demand::default() });
    assert_eq!((decision.want, decision.why.rule()), (1, "held-requests"));
    assert_eq!(
        decision.why.to_string(),
        "1 requests wait and 0 are being worked on, 10 per instance"
    );
}

#[test]
fn a_burst_is_answered_once() {
    let burst = Demand { held: 500, ..Demand::default() };
    let (first, memory) = decide(&POLICY, &burst, Memory::default(), at(0));
    assert_eq!(first.want, 50);
    // Asked again for every held request while they start: still 50, so 50 - 50 are started.
    let starting = Demand { starting: 50, ..burst };
    let (again, memory) = decide(&POLICY, &starting, memory, at(0));
    assert_eq!((again.want, starting.have()), (50, 50));
    // Half are ready and the queue moves on to them.
    let moving = Demand { held: 250, in_flight: 250, ready: 25, starting: 25, ..burst };
    assert_eq!(decide(&POLICY, &moving, memory, at(1)).0.want, 50);
}

#[test]
fn bounds() {
    let demand = Demand { held: 5000, ..Demand::default() };
    let most = once(POLICY, demand);
    assert_eq!((most.want, most.why), (100, Why::Max { need: 500, max: 100 }));
    assert_eq!(once(ScalePolicy { max: 0, ..POLICY }, demand).want, 500, "0 means no limit");
    let least = once(ScalePolicy { min: 3, ..POLICY }, Demand::default());
    assert_eq!((least.want, least.why), (3, Why::Min { min: 3 }));
    assert_eq!(least.again_at, None, "nothing changes by itself");
    let both = ScalePolicy { min: 9, max: 4, ..POLICY };
    assert_eq!(once(both, Demand::default()).want, 4, "max wins");
}

#[test]
fn unlimited_concurrency_grows_all_the_same() {
    let policy = ScalePolicy { concurrency: 0, ..POLICY };
    assert_eq!(once(policy, Demand { held: 100, ..Demand::default() }).want, 1);
    let busy = Demand { in_flight: 101, ready: 1, ..Demand::default() };
    assert_eq!(once(policy, busy).want, 2);
}

#[test]
fn the_first_start_of_a_revision() {
    let fresh = Demand { initial: true, ..Demand::default() };
    let (decision, memory) = decide(&POLICY, &fresh, Memory::default(), at(0));
    assert_eq!((decision.want, decision.why), (1, Why::Initial));
    // It became ready and nobody asked for it: kept for one window, then gone.
    let ready = Demand { ready: 1, ..Demand::default() };
    let (kept, memory) = decide(&POLICY, &ready, memory, at(5));
    assert_eq!((kept.want, kept.why.rule()), (1, "recent-demand"));
    assert_eq!(kept.again_at, Some(at(60)));
    let (gone, _) = decide(&POLICY, &ready, memory, at(60));
    assert_eq!((gone.want, gone.why.rule()), (0, "idle"));
}

#[test]
fn to_zero_exactly_one_window_after_the_last_request() {
    let mut memory = Memory::default();
    let mut decision;
    let busy = Demand { in_flight: 1, ready: 1, last_active: Some(at(0)), ..Demand::default() };
    (_, memory) = decide(&POLICY, &busy, memory, at(0));
    // The last request ended at 7 s.
    let idle = Demand { in_flight: 0, last_active: Some(at(7)), ..busy };
    (decision, memory) = decide(&POLICY, &idle, memory, at(8));
    assert_eq!((decision.want, decision.again_at), (1, Some(at(67))));
    (decision, memory) = decide(&POLICY, &idle, memory, at(66));
    assert_eq!(decision.want, 1);
    (decision, _) = decide(&POLICY, &idle, memory, at(67));
    assert_eq!((decision.want, decision.why), (0, Why::Idle { idle_ms: 60_000 }));
    assert_eq!(decision.why.to_string(), "no request for 60000 ms");
}

#[test]
fn requests_between_two_looks_keep_it_warm() {
    // Never in flight when looked at, but active all the time.
    let mut memory = Memory::default();
    for second in 0..1000 {
        let demand = Demand { ready: 1, last_active: Some(at(second)), ..Demand::default() };
        let (decision, next) = decide(&POLICY, &demand, memory, at(second));
        assert_eq!(decision.want, 1);
        memory = next;
    }
}

#[test]
fn a_long_request_is_never_idle() {
    let mut memory = Memory::default();
    for hour in 0..100 {
        let demand =
            Demand { in_flight: 1, ready: 1, last_active: Some(at(0)), ..Demand::default() };
        let (decision, next) = decide(&POLICY, &demand, memory, at(hour * 3600));
        assert_eq!(decision.want, 1);
        memory = next;
    }
}

#[test]
fn a_peak_is_kept_for_one_window_and_not_started_anew() {
    let mut memory = Memory::default();
    let peak = Demand { in_flight: 80, ready: 8, last_active: Some(at(0)), ..Demand::default() };
    let decision;
    (_, memory) = decide(&POLICY, &peak, memory, at(0));
    let calm = Demand { in_flight: 10, ready: 8, last_active: Some(at(30)), ..Demand::default() };
    (decision, memory) = decide(&POLICY, &calm, memory, at(30));
    assert_eq!((decision.want, decision.why.rule()), (8, "recent-demand"));
    // Five of them died: what is needed now is enough.
    let fewer = Demand { ready: 3, ..calm };
    assert_eq!(decide(&POLICY, &fewer, memory, at(31)).0.want, 3);
    let none = Demand { ready: 0, in_flight: 0, ..calm };
    assert_eq!(decide(&POLICY, &none, memory, at(31)).0.want, 0, "recent demand starts nothing");
    let after = decide(&POLICY, &Demand { last_active: Some(at(63)), ..calm }, memory, at(63)).0;
    assert_eq!(after.want, 1, "forgotten a bucket after the window at the latest");
}

#[test]
fn failing_starts_back_off_and_are_tried_one_at_a_time() {
    let held = Demand { held: 50, ..Demand::default() };
    let failed = |failures, now| {
        let demand = Demand { failures, last_failure: Some(at(0)), ..held };
        decide(&POLICY, &demand, Memory::default(), now).0
    };
    let waits: Vec<u64> = (1..9)
        .map(|failures| match failed(failures, at(0)).why {
            Why::Backoff { retry_at, need: 5, .. } => retry_at.since(at(0)).as_secs(),
            why => panic!("{why}"),
        })
        .collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(failed(u32::MAX, at(59)).want, 0);
    let decision = failed(3, at(3));
    assert_eq!((decision.want, decision.again_at), (0, Some(at(4))));
    let decision = failed(3, at(4));
    assert_eq!((decision.want, decision.why), (1, Why::OneAtATime { failures: 3, need: 5 }));
    // One is starting: not a second one beside it.
    let trying = Demand { failures: 3, last_failure: Some(at(0)), starting: 1, ..held };
    assert_eq!(decide(&POLICY, &trying, Memory::default(), at(5)).0.want, 1);
    // Those that are ready stay, whatever fails beside them.
    let some = Demand { failures: 3, last_failure: Some(at(0)), ready: 2, ..held };
    assert_eq!(decide(&POLICY, &some, Memory::default(), at(0)).0.want, 2);
    assert_eq!(decide(&POLICY, &some, Memory::default(), at(4)).0.want, 3);
}

#[test]
fn a_manual_number_outweighs_demand_and_bounds() {
    let busy = Demand { held: 500, in_flight: 500, ready: 7, ..Demand::default() };
    for (count, demand) in [(0, busy), (3, busy), (3, Demand::default()), (900, busy)] {
        let policy = ScalePolicy { min: 2, max: 5, manual: Some(count), ..POLICY };
        let decision = decide(&policy, &demand, Memory::default(), at(0)).0;
        let want = Decision { want: count, why: Why::Manual { count }, again_at: None };
        assert_eq!(decision, want);
    }
    // An idle window that passes changes nothing.
    let policy = ScalePolicy { manual: Some(2), ..POLICY };
    let idle = Demand { ready: 2, last_active: Some(at(0)), ..Demand::default() };
    assert_eq!(decide(&policy, &idle, Memory::default(), at(100_000)).0.want, 2);
}

#[test]
fn a_manual_number_waits_after_failed_starts_too() {
    let policy = ScalePolicy { manual: Some(3), ..POLICY };
    let failed = Demand { failures: 2, last_failure: Some(at(0)), ready: 1, ..Demand::default() };
    let decision = decide(&policy, &failed, Memory::default(), at(1)).0;
    assert_eq!((decision.want, decision.again_at), (1, Some(at(2))));
}

#[test]
fn every_rule_has_a_name_and_a_sentence() {
    let now = at(0);
    let all = [
        Why::Initial,
        Why::HeldRequests { held: 1, in_flight: 2, concurrency: 3 },
        Why::InFlight { in_flight: 1, concurrency: 2 },
        Why::RecentDemand { peak: 1, until: now },
        Why::Idle { idle_ms: 1 },
        Why::Min { min: 1 },
        Why::Manual { count: 1 },
        Why::Max { need: 2, max: 1 },
        Why::Backoff { failures: 1, retry_at: now, need: 1 },
        Why::OneAtATime { failures: 1, need: 2 },
    ];
    let names: std::collections::BTreeSet<_> = all.iter().map(Why::rule).collect();
    assert_eq!(names.len(), all.len());
    assert!(all.iter().all(|why| why.to_string().len() > 10));
}

#[test]
fn memory_is_small() {
    assert!(size_of::<Memory>() <= 2048, "{}", size_of::<Memory>());
}

#[test]
fn victims_are_idle_and_young() {
    let candidate = |ready, in_flight, second| Candidate { ready, in_flight, started: at(second) };
    let all = [
        candidate(true, 2, 1),
        candidate(true, 0, 2),
        candidate(true, 0, 3),
        candidate(false, 0, 9),
        candidate(true, 1, 4),
    ];
    assert!(victims(&all, 0).is_empty());
    assert_eq!(victims(&all, 3), [3, 2, 1]);
    assert_eq!(victims(&all, 9), [3, 2, 1, 4, 0]);
}

prop_compose! {
    fn any_policy()(min in 0u32..5, extra in 0u32..50, unlimited: bool, concurrency in 0u32..20,
                    idle_ms in 1_000u64..120_000) -> ScalePolicy {
        let max = if unlimited { 0 } else { min.max(1) + extra };
        ScalePolicy { min, max, concurrency, idle_ms, manual: None }
    }
}

prop_compose! {
    fn any_demand()(held in 0u32..300, in_flight in 0u32..300, ready in 0u32..20, starting in 0u32..20,
                    initial: bool, active in prop::option::of(0u64..500)) -> Demand {
        Demand {
            held, in_flight, ready, starting, initial,
            last_active: active.map(at),
            failures: 0,
            last_failure: None,
        }
    }
}

proptest! {
    #[test]
    fn within_bounds_and_zero_only_when_idle(
        policy in any_policy(), demands in prop::collection::vec(any_demand(), 1..40),
    ) {
        let mut memory = Memory::default();
        for (n, demand) in demands.iter().enumerate() {
            let now = at(500 + n as u64 * 7);
            let (decision, next) = decide(&policy, demand, memory, now);
            prop_assert!(decision.want >= policy.min);
            prop_assert!(policy.max == 0 || decision.want <= policy.max);
            if decision.want == 0 {
                prop_assert_eq!(demand.requests(), 0);
                prop_assert!(!demand.initial);
            }
            if let Some(again) = decision.again_at {
                prop_assert!(again > now);
            }
            prop_assert_eq!(decide(&policy, demand, memory, now), (decision, next));
            memory = next;
        }
    }

    #[test]
    fn more_demand_never_wants_fewer(
        policy in any_policy(), demands in prop::collection::vec(any_demand(), 0..20),
        demand in any_demand(), more in 0u32..100, failures in 0u32..4,
    ) {
        let mut memory = Memory::default();
        for (n, demand) in demands.iter().enumerate() {
            memory = decide(&policy, demand, memory, at(500 + n as u64)).1;
        }
        let now = at(550);
        let demand = Demand { failures, last_failure: Some(at(548)), ..demand };
        let higher = Demand { held: demand.held + more, ..demand };
        let busier = Demand { in_flight: demand.in_flight + more, ..demand };
        let want = decide(&policy, &demand, memory, now).0.want;
        prop_assert!(decide(&policy, &higher, memory, now).0.want >= want);
        prop_assert!(decide(&policy, &busier, memory, now).0.want >= want);
    }

    #[test]
    fn enough_for_what_is_there(policy in any_policy(), demand in any_demand()) {
        let want = once(policy, demand).want;
        let per = if policy.concurrency == 0 { UNLIMITED_TARGET } else { policy.concurrency };
        prop_assert!(want == policy.max || u64::from(want) * u64::from(per) >= u64::from(demand.requests()));
    }

    #[test]
    fn steady_demand_settles(policy in any_policy(), demand in any_demand()) {
        // Follow every decision at once; after one window the number no longer changes.
        let mut memory = Memory::default();
        let mut demand = Demand { starting: 0, initial: false, ..demand };
        let mut wants = Vec::new();
        for step in 0..400_u64 {
            let now = at(500 + step);
            if demand.requests() > 0 {
                demand.last_active = Some(now);
            }
            let (decision, next) = decide(&policy, &demand, memory, now);
            memory = next;
            demand.ready = decision.want;
            wants.push(decision.want);
        }
        let settled = &wants[wants.len() - 200..];
        prop_assert!(settled.iter().all(|want| want == &settled[0]), "{:?}", settled);
    }

    #[test]
    fn no_busy_victim_while_an_idle_one_is_there(
        loads in prop::collection::vec((any::<bool>(), 0u32..3, 0u64..9), 0..20), count in 0usize..25,
    ) {
        let all: Vec<Candidate> = loads
            .into_iter()
            .map(|(ready, in_flight, s)| Candidate { ready, in_flight, started: at(s) })
            .collect();
        let chosen = victims(&all, count);
        prop_assert_eq!(chosen.len(), count.min(all.len()));
        let spared = (0..all.len()).filter(|i| !chosen.contains(i));
        let spared_idle = spared.filter(|&i| all[i].ready && all[i].in_flight == 0).count();
        let taken_busy = chosen.iter().filter(|&&i| all[i].ready && all[i].in_flight > 0).count();
        prop_assert!(spared_idle == 0 || taken_busy == 0);
    }
}
