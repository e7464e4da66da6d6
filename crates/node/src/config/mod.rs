//! Configuration: defaults, then a TOML file, then environment `EBB_*`, then flags.
//!
//! Key `gateway.listen` is the flag `--gateway` and the environment variable
//! `EBB_GATEWAY__LISTEN`. [`KEYS`] is the one list of keys: it drives reading, the refusal of
//! unknown keys and the generated reference (`docs/reference/config.md`).

mod check;
mod keys;
mod read;

pub use check::{Config, check};
pub use keys::{KEYS, Key, reference};
pub use read::{Raw, read};

#[cfg(test)]
mod tests;
