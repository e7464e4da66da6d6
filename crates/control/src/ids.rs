//! Identities and jitter: the only randomness of control.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ebb_model::{Fault, InstanceId, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use ulid::Ulid;

/// Makes identities. With a seed it makes the same ones each time.
pub(crate) struct Ids {
    random: Mutex<StdRng>,
}

impl Ids {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        let random = seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64);
        Self { random: Mutex::new(random) }
    }

    /// A new instance id, ordered by time.
    pub(crate) fn instance(&self, now: Timestamp) -> Result<InstanceId, Fault> {
        let random: u128 = self.random().random();
        let ulid = Ulid::from_parts(now.as_micros() / 1000, random);
        InstanceId::parse(&ulid.to_string().to_ascii_lowercase())
    }

    /// A new `metadata.uid`: a version 4 UUID (RFC 9562).
    pub(crate) fn uid(&self) -> String {
        let mut bytes = [0u8; 16];
        self.random().fill_bytes(&mut bytes);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let hex = |range: std::ops::Range<usize>| {
            bytes[range].iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
        };
        format!("{}-{}-{}-{}-{}", hex(0..4), hex(4..6), hex(6..8), hex(8..10), hex(10..16))
    }

    /// Uniform in 0.5..1.0: half of a wait is certain, half is jitter.
    pub(crate) fn jitter(&self) -> f64 {
        self.random().random_range(0.5..1.0)
    }

    fn random(&self) -> MutexGuard<'_, StdRng> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_identities() {
        let (a, b) = (Ids::new(Some(7)), Ids::new(Some(7)));
        assert_eq!(a.uid(), b.uid());
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let (first, second) = (a.instance(now).unwrap(), b.instance(now).unwrap());
        assert_eq!(first, second);
        assert_ne!(first, a.instance(now).unwrap());
        assert_eq!(a.uid().len(), 36);
    }
}
