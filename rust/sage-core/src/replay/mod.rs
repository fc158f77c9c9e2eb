//! Replay protection: what is admitted once is never admitted again.
//!
//! Two things are remembered, and each has a table that all processes of a machine may share:
//!
//! * [`ReplaySet`] remembers request nonces until the time has passed at which they could still be
//!   accepted. One verb, `admit`, checks and remembers in one atomic step.
//! * [`WindowTable`] remembers which sequence numbers of a sending process were delivered: one
//!   [`ReplayWindow`](crate::window::ReplayWindow) for each, seen by every worker.
//!
//! ```text
//!  set.rs   window_table.rs        what is asked of a table
//!      │         │
//!      └─ table.rs ─┘              one place for each name, whoever asks for it: the proof is here
//!          │     │
//!     slot.rs  generation.rs       one entry in one word; time as a counter that only grows
//!          │
//!     words.rs                     atomic words, wherever they lie
//!          │
//!    mapping.rs   file.rs          memory of this process and its children, or of a file
//! ```
//!
//! Nothing here takes a lock. A process may die, or be stopped for an hour, between any two
//! instructions: nobody waits for it and nothing that was admitted is forgotten.

mod admission;
mod boot;
mod cipher;
mod counters;
mod file;
mod fingerprint;
mod generation;
mod header;
mod line;
mod mapping;
mod memory;
mod moment;
mod prefetch;
mod set;
mod slot;
mod statistics;
mod system;
mod table;
mod trust;
mod window_table;
mod words;

pub use admission::AdmitError;
pub use counters::Counts;
pub use file::OpenError;
pub use generation::{MAX_HORIZON_MS, MIN_GENERATION_MS};
pub use moment::Moment;
pub use set::{DEFAULT_HORIZON_MS, LookedUp, Nonce, ReplaySet};
pub use statistics::{GenerationCount, Statistics};
pub use window_table::{WindowName, WindowTable};

#[cfg(test)]
mod tests;
