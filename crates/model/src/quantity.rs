//! Kubernetes resource quantities as integers: milli-CPUs and bytes.
//!
//! Grammar and suffixes: Kubernetes API conventions, `resource.Quantity` (decimal suffixes
//! `n u m k M G T P E`, binary `Ki Mi Gi Ti Pi Ei`, or a decimal exponent `e3`).

use crate::{Fault, Kind};

/// Parses a CPU quantity such as `250m`, `0.5` or `2` into thousandths of a CPU, rounding up.
///
/// # Errors
/// `INVALID_QUANTITY` when it is not a non-negative quantity that fits.
pub fn parse_cpu_milli(text: &str) -> Result<u64, Fault> {
    let nanos = parse_scaled(text, 9).ok_or_else(|| invalid(text, "250m, 0.5 or 2"))?;
    u64::try_from(nanos.div_ceil(1_000_000)).map_err(|_| invalid(text, "250m, 0.5 or 2"))
}

/// Parses a memory quantity such as `512Mi`, `1G` or `128974848` into bytes, rounding up.
///
/// # Errors
/// `INVALID_QUANTITY` when it is not a non-negative quantity that fits.
pub fn parse_bytes(text: &str) -> Result<u64, Fault> {
    let nanos = parse_scaled(text, 9).ok_or_else(|| invalid(text, "512Mi, 1G or 1048576"))?;
    u64::try_from(nanos.div_ceil(1_000_000_000)).map_err(|_| invalid(text, "512Mi, 1G or 1048576"))
}

/// Thousandths of a CPU in the canonical Kubernetes form: `1`, `250m`.
pub fn format_cpu_milli(milli: u64) -> String {
    if milli.is_multiple_of(1000) { (milli / 1000).to_string() } else { format!("{milli}m") }
}

/// Bytes in the canonical Kubernetes form with the largest exact binary suffix: `512Mi`.
pub fn format_bytes(bytes: u64) -> String {
    for (shift, suffix) in [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{suffix}", bytes >> shift);
        }
    }
    bytes.to_string()
}

fn invalid(text: &str, allowed: &str) -> Fault {
    Fault::new(
        "INVALID_QUANTITY",
        Kind::Invalid,
        format!("{text:?} is not a quantity: write for example {allowed}"),
    )
}

/// Value times `10^scale`, rounded up; `None` when malformed, negative or too large.
fn parse_scaled(text: &str, scale: i32) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || number.len() > 24 || fraction.contains('.') {
        return None;
    }
    let (binary, exponent) = suffix_scale(suffix)?;
    let digits: u128 = format!("0{whole}{fraction}").parse().ok()?;
    let scaled = digits.checked_mul(binary)?;
    let power = scale + exponent - i32::try_from(fraction.len()).ok()?;
    let factor = 10u128.checked_pow(power.unsigned_abs())?;
    if power >= 0 { scaled.checked_mul(factor) } else { Some(scaled.div_ceil(factor)) }
}

/// Binary factor and decimal exponent of a suffix.
fn suffix_scale(suffix: &str) -> Option<(u128, i32)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            (1, exponent.parse::<i32>().ok().filter(|e| (-18..=18).contains(e))?)
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cpu_table() {
        for (text, milli) in
            [("1", 1000), ("250m", 250), ("0.5", 500), (".5", 500), ("1000m", 1000), ("1u", 1)]
        {
            assert_eq!(parse_cpu_milli(text).unwrap(), milli, "{text}");
        }
        for bad in ["", "m", "-1", "+1", "1 ", "1mm", "1.2.3", "NaN", "1e400", "∞", "1e"] {
            assert_eq!(parse_cpu_milli(bad).unwrap_err().code, "INVALID_QUANTITY", "{bad}");
        }
    }

    #[test]
    fn memory_table() {
        for (text, bytes) in [
            ("512Mi", 512 << 20),
            ("1.5Gi", 3 << 29),
            ("1G", 1_000_000_000),
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("100m", 1),
        ] {
            assert_eq!(parse_bytes(text).unwrap(), bytes, "{text}");
        }
        for bad in ["512MiB", "1 Gi", "16Ei1", "99999999999999999999E"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn formatting_round_trips(value in 0u64..1 << 50) {
            prop_assert_eq!(parse_bytes(&format_bytes(value)).unwrap(), value);
            prop_assert_eq!(parse_cpu_milli(&format_cpu_milli(value)).unwrap(), value);
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,40}") {
            let _ = parse_bytes(&text);
            let _ = parse_cpu_milli(&text);
        }
    }
}
