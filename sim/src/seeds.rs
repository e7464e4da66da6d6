//! Which seeds are run: a few that once found a fault, and others drawn anew each time.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Seeds are below this, so that they can be read and typed.
const BELOW: u64 = 1_000_000_000_000;

/// Seeds that are run every time beside those drawn: the first few, and those that found faults.
/// What a seed means changes with the code, so they are worth little by themselves; what was
/// learnt is kept as tests.
pub const FIXED: [u64; 12] =
    [0, 1, 2, 7, 11, 17, 23, 42, 110, 178, 644_561_487_387, 769_913_615_864];

/// A base that nobody chose.
pub fn any_base() -> u64 {
    rand::rng().random_range(0..BELOW)
}

/// The seeds that follow from `base`, without end: always the same ones.
pub fn drawn(base: u64) -> impl Iterator<Item = u64> {
    let mut random = StdRng::seed_from_u64(base);
    std::iter::repeat_with(move || random.random_range(0..BELOW))
}
