//! Clocks, for callers who do not hand in a time of their own.

use pyo3::prelude::*;
use sage_core::replay::Moment;

use crate::numbers::Whole;

/// Milliseconds since the Unix epoch, or the caller's own. A clock before 1970 reads as 0, at which
/// every timestamp is stale and nothing is accepted.
pub fn or_now(now_ms: Option<Whole>) -> u64 {
    now_ms.map_or_else(now_ms_of_system, |Whole(now_ms)| now_ms)
}

/// Both clocks, or the caller's own, which stands for both.
pub fn moment(now_ms: Option<Whole>) -> Moment {
    match now_ms {
        Some(Whole(now_ms)) => Moment::at(now_ms),
        None => Moment { now_ms: now_ms_of_system(), uptime_ms: uptime_ms_of_system() },
    }
}

/// Milliseconds since the start of the machine, sleep included where the system counts it.
#[cfg(unix)]
#[allow(unsafe_code)]
fn uptime_ms_of_system() -> u64 {
    #[cfg(target_os = "linux")]
    const UPTIME: libc::clockid_t = libc::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const UPTIME: libc::clockid_t = libc::CLOCK_MONOTONIC;
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is there to be written; should the call fail it stays 0, at which no
    // time has passed.
    unsafe { libc::clock_gettime(UPTIME, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let milliseconds = u64::try_from(now.tv_nsec / 1_000_000).unwrap_or_default();
    seconds.saturating_mul(1000).saturating_add(milliseconds)
}

/// The time of the last timer tick, at most some milliseconds ago. Reading it costs a quarter of the
/// exact time, and every record asks.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn now_ms_of_system() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is there to be written; should the call fail it stays 0, before 1970.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &raw mut now) };
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let milliseconds = u64::try_from(now.tv_nsec / 1_000_000).unwrap_or_default();
    seconds.saturating_mul(1000).saturating_add(milliseconds)
}

#[cfg(not(target_os = "linux"))]
fn now_ms_of_system() -> u64 {
    use std::time::{SystemTime, UNIX_EPOCH};

    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What `time.perf_counter` returns, in seconds.
#[cfg(any(target_os = "linux", target_os = "macos"))]
#[allow(unsafe_code)]
#[inline]
pub fn counter_s(_py: Python<'_>) -> PyResult<f64> {
    #[cfg(target_os = "linux")]
    const COUNTER: libc::clockid_t = libc::CLOCK_MONOTONIC;
    #[cfg(target_os = "macos")]
    const COUNTER: libc::clockid_t = libc::CLOCK_UPTIME_RAW;
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is there to be written; these clocks are always there.
    unsafe { libc::clock_gettime(COUNTER, &raw mut now) };
    // Rounded once, as Python does it.
    Ok((now.tv_sec as f64).mul_add(1e9, now.tv_nsec as f64) / 1e9)
}

/// What `time.perf_counter` returns, in seconds.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub fn counter_s(py: Python<'_>) -> PyResult<f64> {
    use pyo3::sync::PyOnceLock;

    static COUNTER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    COUNTER.import(py, "time", "perf_counter")?.call0()?.extract()
}
