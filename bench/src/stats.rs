//! Medians, tails, and how sure one may be of a ratio.

use serde::Serialize;

/// Resamples for an interval.
const RESAMPLES: usize = 2000;

/// What is reported of a sample.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Summary {
    /// Median.
    pub(crate) p50: f64,
    /// 90th percentile.
    pub(crate) p90: f64,
    /// 99th percentile.
    pub(crate) p99: f64,
    /// How many values.
    pub(crate) count: usize,
}

/// A ratio with its 95 % bootstrap interval.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Ratio {
    /// Ratio of the medians.
    pub(crate) value: f64,
    /// Lower end.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
}

impl Summary {
    pub(crate) fn of(values: &[f64]) -> Self {
        let sorted = sorted(values);
        let (p50, p90, p99) = (at(&sorted, 50), at(&sorted, 90), at(&sorted, 99));
        Self { p50, p90, p99, count: values.len() }
    }
}

/// Median.
pub(crate) fn median(values: &[f64]) -> f64 {
    at(&sorted(values), 50)
}

/// Ratio of the medians of two samples.
pub(crate) fn ratio(above: &[f64], below: &[f64]) -> Ratio {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut resample = |values: &[f64]| {
        let drawn: Vec<f64> =
            (0..values.len()).map(|_| values[random.below(values.len())]).collect();
        median(&drawn)
    };
    let ratios: Vec<f64> = (0..RESAMPLES).map(|_| resample(above) / resample(below)).collect();
    let ratios = sorted(&ratios);
    Ratio {
        value: median(above) / median(below),
        low: ratios[RESAMPLES * 25 / 1000],
        high: ratios[RESAMPLES * 975 / 1000],
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The percentile by nearest rank.
fn at(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// Xorshift: the same resamples in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (limit as u64)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_of_the_sample() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let summary = Summary::of(&values);
        let found = [summary.p50, summary.p90, summary.p99];
        assert_eq!(found.map(|value| format!("{value}")), ["50", "90", "99"]);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn an_interval_holds_its_ratio() {
        let below: Vec<f64> = (0..50).map(|i| 1.0 + f64::from(i % 7) / 10.0).collect();
        let above: Vec<f64> = below.iter().map(|value| value * 3.0).collect();
        let ratio = ratio(&above, &below);
        assert!((ratio.value - 3.0).abs() < 1e-9, "{ratio:?}");
        assert!(ratio.low <= 3.0 && ratio.high >= 3.0, "{ratio:?}");
    }
}
