//! Looking at everything again from time to time, although nothing told to: the net below watching.

use std::sync::Arc;
use std::time::Duration;

use crate::shared::Shared;

/// Every name and every object with owners is looked at again at least that often. As everything
/// was told already, a look reads and writes nothing.
pub(crate) const RESYNC: Duration = Duration::from_mins(10);

/// A wait in `0..within` that is always the same for a key and spread evenly over keys (FNV-1a of
/// its bytes), so that not everything is looked at in the same moment.
pub(crate) fn spread(key: &str, within: Duration) -> Duration {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).max(1);
    // The upper bits are mixed best.
    Duration::from_millis((hash >> 20) % millis)
}

/// When to look at a name again that was just looked at: between half of [`RESYNC`] and all of it.
pub(crate) fn next(name: &str) -> Duration {
    RESYNC / 2 + spread(name, RESYNC / 2)
}

/// Has garbage collection look at everything again, for ever.
pub(crate) async fn garbage(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(RESYNC).await;
        for key in shared.garbage.keys() {
            let wait = spread(&key, RESYNC);
            shared.garbage.queue.add_after(key, wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_spread_and_none_is_late() {
        let waits: Vec<Duration> = (0..1_000).map(|n| next(&format!("default/s-{n}"))).collect();
        assert!(waits.iter().all(|wait| *wait >= RESYNC / 2 && *wait <= RESYNC));
        let early = waits.iter().filter(|wait| **wait < RESYNC * 3 / 4).count();
        assert!((400..600).contains(&early), "{early}");
        assert_eq!(next("a"), next("a"));
    }
}
