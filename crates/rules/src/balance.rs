//! Which instance a request is given to.

/// An instance that takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Whether it takes requests at all just now.
    pub open: bool,
    /// Requests that it works on.
    pub in_flight: u32,
    /// Requests that it takes at once; 0 means no limit.
    pub limit: u32,
}

impl Candidate {
    /// Whether it can take one more.
    pub const fn free(&self) -> bool {
        self.open && (self.limit == 0 || self.in_flight < self.limit)
    }
}

/// Index of the instance with fewest requests among those that can take one more. Among equals
/// it is the first at or after `rotation` (modulo their number), so that equals take turns.
pub fn choose<I>(candidates: I, rotation: usize) -> Option<usize>
where
    I: ExactSizeIterator<Item = Candidate>,
{
    let count = candidates.len();
    let start = rotation.checked_rem(count)?;
    candidates
        .enumerate()
        .filter(|(_, candidate)| candidate.free())
        .min_by_key(|(i, candidate)| (candidate.in_flight, (i + count - start) % count))
        .map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pick(loads: &[(u32, u32)], rotation: usize) -> Option<usize> {
        choose(
            loads.iter().map(|&(in_flight, limit)| Candidate { open: true, in_flight, limit }),
            rotation,
        )
    }

    #[test]
    fn least_loaded_within_the_limit() {
        assert_eq!(pick(&[], 3), None);
        assert_eq!(pick(&[(2, 4), (1, 4), (3, 4)], 0), Some(1));
        assert_eq!(pick(&[(1, 1), (2, 4)], 0), Some(1), "a full one is not chosen");
        assert_eq!(pick(&[(1, 1), (4, 4)], 0), None);
        assert_eq!(pick(&[(1_000_000, 0)], 7), Some(0), "0 means no limit");
        let shut = Candidate { open: false, in_flight: 0, limit: 0 };
        assert_eq!(choose([shut].into_iter(), 0), None);
    }

    #[test]
    fn equals_take_turns() {
        let turns: Vec<_> = (0..6).map(|n| pick(&[(0, 1), (0, 1), (0, 1)], n)).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2].map(Some));
    }

    proptest! {
        #[test]
        fn never_full_and_never_worse(
            loads in prop::collection::vec((0u32..5, 0u32..5), 0..20),
            rotation: usize,
        ) {
            let free: Vec<u32> = loads
                .iter()
                .filter(|(n, limit)| *limit == 0 || n < limit)
                .map(|(n, _)| *n)
                .collect();
            match pick(&loads, rotation) {
                None => prop_assert!(free.is_empty()),
                Some(i) => prop_assert_eq!(Some(loads[i].0), free.iter().min().copied()),
            }
        }
    }
}
