//! What the platform will do, as pure functions.
//!
//! What is here: every decision that needs thought and no machine. How many instances a revision
//! wants ([`scale`]), which revision a request goes to ([`split`]), whether it may wait
//! ([`hold`]), which instance it is given to ([`balance`]), which requests of an API run now
//! ([`fair`]), and what becomes of an object whose owners go ([`collect`]).
//!
//! What is deliberately absent: clocks, randomness, logging, async, locks, I/O, floating point and
//! anything whose order depends on hashing. `now`, counters and memory are arguments, so the same
//! arguments give the same answer for ever, and every decision says why it was taken.
//!
//! How it is used: the crates above observe, decide here, act, and record the reason.
//!
//! Entry points: [`collect::collect`], [`scale::decide`], [`scale::victims`], [`split::pick`],
//! [`hold::admit`], [`balance::choose`], [`fair::Level`].

#![forbid(unsafe_code)]

pub mod balance;
pub mod collect;
pub mod fair;
pub mod hold;
pub mod scale;
pub mod split;
