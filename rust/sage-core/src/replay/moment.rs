//! A reading of the clocks.

/// When something happens: on the wall, and since the machine was started.
///
/// A clock on the wall may be wrong when a machine starts and step when it is set. How long a memory
/// has existed is told by both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Milliseconds since the start of the machine, sleep included; any count that never steps.
    pub uptime_ms: u64,
}

impl Moment {
    /// For callers with a clock of their own, which does not step.
    #[must_use]
    pub const fn at(now_ms: u64) -> Self {
        Self { now_ms, uptime_ms: now_ms }
    }

    /// True if at least so much time has passed since another moment, by both clocks.
    #[must_use]
    pub const fn is_later_by(self, since: Self, elapsed_ms: u64) -> bool {
        self.now_ms >= since.now_ms.saturating_add(elapsed_ms)
            && self.uptime_ms.saturating_sub(since.uptime_ms) >= elapsed_ms
    }
}
