//! Where random bytes come from.

use aws_lc_rs::rand::SecureRandom;
use zeroize::Zeroizing;

/// The source failed. Nothing was made from the bytes it may have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RandomError;

/// A source of unpredictable bytes, handed in by the caller.
pub trait RandomSource {
    /// Fills all of `out`.
    ///
    /// # Errors
    /// [`RandomError`] if the source cannot promise unpredictable bytes.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError>;
}

/// AWS-LC's generator: CTR-DRBG per thread, seeded by the kernel, aware of `fork`. About 0.3 µs a
/// draw.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl RandomSource for SystemRandom {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        aws_lc_rs::rand::SystemRandom::new().fill(out).map_err(|_| RandomError)
    }
}

/// Bytes that were drawn at once, to be handed out in order: many small draws cost more than one large one. They are
/// erased on drop.
pub(crate) struct Drawn {
    bytes: Zeroizing<Vec<u8>>,
    used_len: usize,
}

impl Drawn {
    /// Draws `len` bytes.
    pub(crate) fn new(len: usize, random: &mut dyn RandomSource) -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new(vec![0; len]);
        random.fill(&mut bytes)?;
        Ok(Self { bytes, used_len: 0 })
    }
}

impl RandomSource for Drawn {
    /// Fails when there are too few left.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        let next = self.bytes.get(self.used_len..self.used_len + out.len()).ok_or(RandomError)?;
        out.copy_from_slice(next);
        self.used_len += out.len();
        Ok(())
    }
}

/// Draws a fixed-length array.
pub(crate) fn draw<const N: usize>(random: &mut dyn RandomSource) -> Result<[u8; N], RandomError> {
    let mut out = [0; N];
    random.fill(&mut out)?;
    Ok(out)
}
