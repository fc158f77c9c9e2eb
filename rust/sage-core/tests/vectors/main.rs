//! Replays `tests/vectors/{handshake,records,negative}.json` through the public API.
//!
//! Randomness is scripted, so every byte that this crate sends can be compared with what the
//! independent reference sent. How the files are read stands in `tests/vectors/SOURCES.md`.

mod agents;
mod case;
mod handshake;
mod negative;
mod records;
mod rows;
mod script;
