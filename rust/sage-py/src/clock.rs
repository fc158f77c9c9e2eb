//! The wall clock, for callers who do not hand in a time of their own.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, or the caller's own. A clock before 1970 reads as 0, at which
/// every timestamp is stale and nothing is accepted.
pub fn or_now(now_ms: Option<u64>) -> u64 {
    now_ms.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
