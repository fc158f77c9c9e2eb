//! When to let go of the interpreter lock.
//!
//! Letting go is not free: with another Python thread busy, taking the lock back waits for a switch
//! interval, and a 50 µs call was measured to average 0.2 to 5 ms. So single signatures, agreements,
//! derivations and records keep the lock, and only work of half a millisecond or more lets go. The
//! estimates below are rough on purpose: they decide about a factor, not about a percent.

use pyo3::marker::Ungil;
use pyo3::prelude::*;

const DETACH_MIN_NS: usize = 500_000;

/// Roughly what admitting one nonce of a batch costs.
pub const ADMIT_NS: usize = 60;

/// Roughly what signing or verifying one message costs.
pub fn signature_ns(message_len: usize) -> usize {
    30_000 + message_len
}

/// Roughly what authenticating one request of a batch costs.
pub const AUTHENTICATE_NS: usize = 8_000;

/// Roughly what accepting one request of a batch costs.
pub const ACCEPT_NS: usize = 15_000;

/// Roughly what sealing or opening one message costs.
pub fn aead_ns(message_len: usize) -> usize {
    100 + message_len / 8
}

/// Runs `work`, without the lock if it is expected to take `expected_ns` that are worth it.
pub fn run<T: Ungil>(py: Python<'_>, expected_ns: usize, work: impl FnOnce() -> T + Ungil) -> T {
    if expected_ns >= DETACH_MIN_NS { py.detach(work) } else { work() }
}
