//! A random source that has nothing random about it.

use std::collections::VecDeque;

use sage_core::random::{RandomError, RandomSource};

/// Hands out prepared draws in order. A draw of another length than prepared is a failed test.
pub struct Script(VecDeque<Vec<u8>>);

impl Script {
    pub fn new(draws: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self(draws.into_iter().collect())
    }

    pub fn is_spent(&self) -> bool {
        self.0.is_empty()
    }
}

impl RandomSource for Script {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        let draw = self.0.pop_front().expect("more draws than the script has");
        assert_eq!(draw.len(), out.len(), "a draw of another length than scripted");
        out.copy_from_slice(&draw);
        Ok(())
    }
}
