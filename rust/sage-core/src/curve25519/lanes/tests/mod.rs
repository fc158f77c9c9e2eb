//! Lanes against big integers and curve25519-dalek, on every unit of this processor.

mod base_multiples;
mod field;
mod sums;
