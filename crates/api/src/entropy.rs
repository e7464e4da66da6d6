//! Chance: what identities and jitter are made of.

use std::cell::RefCell;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

thread_local! {
    static SEEDED: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// From now on identities that are made on this thread follow from `seed`, so that a simulation
/// repeats to the letter. Tokens and keys are not made of this.
pub fn seed_this_thread(seed: u64) {
    SEEDED.with(|seeded| *seeded.borrow_mut() = Some(StdRng::seed_from_u64(seed)));
}

/// 128 random bits.
pub(crate) fn bits() -> u128 {
    SEEDED.with(|seeded| seeded.borrow_mut().as_mut().map_or_else(rand::random, Rng::random))
}

/// A random number below `most`, which is not 0.
pub(crate) fn below(most: u64) -> u64 {
    u64::try_from(bits() % u128::from(most.max(1))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bits() {
        seed_this_thread(1);
        let first = (bits(), below(10));
        seed_this_thread(1);
        assert_eq!(first, (bits(), below(10)));
        assert_ne!(first.0, bits());
    }
}
