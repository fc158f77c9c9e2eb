//! Secret bytes with one home.
//!
//! A secret lives in one heap allocation from birth to erasure. Moving the owner moves a pointer,
//! not the bytes, so no copy is left on a stack frame; dropping it erases the allocation.

use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::random::{RandomError, RandomSource};

/// `N` secret bytes, erased on drop, compared in constant time, never printed.
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Lets `fill` write the bytes in place.
    pub fn new_with(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self(Box::new([0; N]));
        fill(&mut secret.0);
        secret
    }

    /// Draws the bytes, in their place.
    ///
    /// # Errors
    /// [`RandomError`] if the source fails.
    pub fn draw(random: &mut dyn RandomSource) -> Result<Self, RandomError> {
        let mut drawn = Ok(());
        let secret = Self::new_with(|secret| drawn = random.fill(secret));
        drawn.map(|()| secret)
    }

    /// Copies the bytes in; the caller still owns, and erases, the original.
    #[must_use]
    pub fn copy_from(bytes: &[u8; N]) -> Self {
        Self::new_with(|secret| secret.copy_from_slice(bytes))
    }

    /// Another home for the same bytes.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::copy_from(&self.0)
    }

    /// The bytes, to be used and not kept.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}
