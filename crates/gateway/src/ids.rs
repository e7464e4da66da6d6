//! Request ids.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

/// Longest id that is taken from a client.
const MAX: usize = 128;

/// Makes ids of 32 hexadecimal digits that do not repeat within or across processes: numbered
/// from a random start and scattered. They identify, they are no secret.
pub(crate) struct Ids {
    start: u64,
    other: u64,
    count: AtomicU64,
}

impl Ids {
    pub(crate) fn new() -> Self {
        // The standard library's per-process random keys: no dependency for two numbers.
        let random = |n: u64| RandomState::new().hash_one(n);
        Self { start: random(1), other: random(2), count: AtomicU64::new(0) }
    }

    /// A fresh id.
    pub(crate) fn fresh(&self) -> HeaderValue {
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        let (high, low) = (scatter(self.start.wrapping_add(n)), scatter(self.other ^ n));
        let id = (u128::from(high) << 64) | u128::from(low);
        let mut text = [0; 32];
        for (i, digit) in text.iter_mut().enumerate() {
            let nibble = usize::try_from((id >> (124 - 4 * i)) & 15).unwrap_or_default();
            *digit = b"0123456789abcdef"[nibble];
        }
        HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("0"))
    }

    /// The id that the client gave, if it is fit to be passed on and logged; else a fresh one.
    pub(crate) fn accept(&self, given: Option<&HeaderValue>) -> HeaderValue {
        let fit = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            (1..=MAX).contains(&bytes.len())
                && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-._:/+=".contains(b))
        };
        given.filter(fit).cloned().unwrap_or_else(|| self.fresh())
    }
}

/// The finalizer of SplitMix64: neighbouring numbers become unlike ones, none twice.
const fn scatter(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_differ_and_fit() {
        let ids = Ids::new();
        let many: std::collections::BTreeSet<_> =
            (0..1000).map(|_| ids.fresh().to_str().unwrap().to_owned()).collect();
        assert_eq!(many.len(), 1000);
        assert!(many.iter().all(|id| id.len() == 32));
    }

    #[test]
    fn a_fit_id_is_kept_and_others_are_replaced() {
        let ids = Ids::new();
        let given = HeaderValue::from_static("abc-1.2:3/4+5=");
        assert_eq!(ids.accept(Some(&given)), given);
        for bad in ["", "a b", "a\"b", "a<b", &"a".repeat(129)] {
            let bad = HeaderValue::from_str(bad).unwrap();
            assert_ne!(ids.accept(Some(&bad)), bad);
        }
        assert_ne!(ids.accept(None), ids.accept(None));
    }
}
