use ebb_model::RevisionKey;
use ebb_model::routing::RequestPolicy;
use proptest::prelude::*;

use super::*;

fn targets(shares: &[u8]) -> Vec<RouteTarget> {
    let policy = RequestPolicy { concurrency: 0, timeout_ms: 0, hold_limit: 0 };
    let target = |(i, &percent): (usize, &u8)| RouteTarget {
        revision: RevisionKey::new("default", format!("r-{i}")),
        percent,
        policy,
    };
    shares.iter().enumerate().map(target).collect()
}

#[test]
fn edges() {
    assert_eq!(pick(&[], 0), None);
    assert_eq!(pick(&targets(&[0]), 7), None);
    assert_eq!(pick(&targets(&[0, 0]), 7), None);
    let one = targets(&[100]);
    assert_eq!(pick(&one, u64::MAX), one.first());
    let never = targets(&[0, 100, 0]);
    assert!((0..1000).all(|n| pick(&never, n) == never.get(1)));
}

#[test]
fn ten_percent_come_spread_out() {
    let shares = targets(&[90, 10]);
    let hits: Vec<u64> = (0..1000).filter(|&n| index(&shares, n) == Some(1)).collect();
    assert_eq!(hits.len(), 100);
    assert!(hits.windows(2).all(|pair| (4..=18).contains(&(pair[1] - pair[0]))), "{hits:?}");
}

proptest! {
    #[test]
    fn exact_over_every_hundred_in_a_row(cuts in prop::collection::vec(0u8..=100, 0..5), start: u32) {
        let mut cuts = cuts;
        cuts.extend([0, 100]);
        cuts.sort_unstable();
        let shares: Vec<u8> = cuts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let targets = targets(&shares);
        let mut counts = vec![0u8; shares.len()];
        for n in 0..100 {
            counts[index(&targets, u64::from(start) + n).unwrap()] += 1;
        }
        prop_assert_eq!(counts, shares);
    }

    #[test]
    fn odd_sums_are_relative(shares in prop::collection::vec(0u8..=100, 1..5), start: u32) {
        let targets = targets(&shares);
        let sum: u64 = shares.iter().map(|&s| u64::from(s)).sum();
        let mut counts = vec![0u64; shares.len()];
        for n in 0..sum {
            counts[index(&targets, u64::from(start) + n).unwrap()] += 1;
        }
        let single = shares.len() == 1;
        let expected: Vec<u64> = shares.iter().map(|&s| u64::from(s)).collect();
        prop_assert!(single || counts == expected, "{:?}", counts);
    }
}
