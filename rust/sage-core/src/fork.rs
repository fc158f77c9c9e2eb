//! Noticing `fork`.
//!
//! Parent and child start with the same memory. Were both to seal with the same record key, the
//! first record of each would share key and nonce; were both to open, each would accept what the
//! other has accepted. So every process has a *generation*, and a session that finds itself in
//! another generation than its own draws a new incarnation and gives up its windows.
//!
//! The handler that `pthread_atfork` runs in the child does one atomic addition, which is all that
//! may be done there. A child made by a raw `clone` that bypasses libc is not seen.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Once;

static GENERATION: AtomicU64 = AtomicU64::new(1);
static WATCH: Once = Once::new();

/// A number that differs between a process and every child forked from it after the first call.
#[must_use]
pub fn generation() -> u64 {
    if !WATCH.is_completed() {
        watch();
    }
    GENERATION.load(Ordering::Relaxed)
}

#[cold]
fn watch() {
    #[cfg(unix)]
    WATCH.call_once(|| {
        extern "C" fn in_child() {
            GENERATION.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the handler is async-signal-safe: one atomic addition on a static.
        let registered = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        assert_eq!(registered, 0, "out of memory for a fork handler");
    });
    #[cfg(not(unix))]
    WATCH.call_once(|| ());
}
