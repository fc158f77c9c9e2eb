//! Lanes against big integers and curve25519-dalek, on every unit of this processor.

mod field;
mod sums;
