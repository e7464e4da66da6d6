//! What of the machine a container gets: the limit that it runs with.

use crate::Fault;
use crate::quantity::{parse_bytes, parse_cpu_milli};

/// Thousandths of a processor of a container that says nothing.
pub const DEFAULT_CPU_MILLI: u64 = 1000;
/// Bytes of memory of a container that says nothing.
pub const DEFAULT_MEMORY_BYTES: u64 = 512 << 20;

/// Thousandths of a processor of a container with this request and limit.
///
/// # Errors
/// `INVALID_QUANTITY` for what is none.
pub fn cpu_milli(request: Option<&str>, limit: Option<&str>) -> Result<u64, Fault> {
    limit_of(parse_cpu_milli, DEFAULT_CPU_MILLI, request, limit)
}

/// Bytes of memory of a container with this request and limit.
///
/// # Errors
/// `INVALID_QUANTITY` for what is none.
pub fn memory_bytes(request: Option<&str>, limit: Option<&str>) -> Result<u64, Fault> {
    limit_of(parse_bytes, DEFAULT_MEMORY_BYTES, request, limit)
}

/// The limit as given; else the default, or the request where that is larger.
fn limit_of(
    parse: fn(&str) -> Result<u64, Fault>,
    default: u64,
    request: Option<&str>,
    limit: Option<&str>,
) -> Result<u64, Fault> {
    let request = request.map(parse).transpose()?;
    match limit.map(parse).transpose()? {
        Some(limit) => Ok(limit),
        None => Ok(request.unwrap_or(0).max(default)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_or_the_larger_of_request_and_default() {
        for (request, limit, want) in [
            (None, None, 1000),
            (Some("2"), None, 2000),
            (Some("10m"), None, 1000),
            (Some("10m"), Some("100m"), 100),
            (None, Some("3"), 3000),
        ] {
            assert_eq!(cpu_milli(request, limit).unwrap(), want, "{request:?} {limit:?}");
        }
        assert_eq!(memory_bytes(Some("1Gi"), None).unwrap(), 1 << 30);
        assert_eq!(memory_bytes(None, None).unwrap(), 512 << 20);
        assert!(memory_bytes(Some("x"), Some("1Gi")).is_err());
    }
}
