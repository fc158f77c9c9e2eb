//! Which of this crate's own kernels run on this processor.
//!
//! Every kernel has a reference that runs everywhere and gives the same bytes. Which one is taken
//! is decided at run time, and can be decided against: [`stay_portable`] sends all work to the
//! references, so that they are tested on processors that would never take them.

use core::sync::atomic::{AtomicBool, Ordering};

static PORTABLE: AtomicBool = AtomicBool::new(false);

/// From now on, and for keys made from now on, takes no kernel that asks for special instructions.
/// AWS-LC still chooses for itself.
pub fn stay_portable() {
    PORTABLE.store(true, Ordering::Relaxed);
}

/// True after [`stay_portable`].
#[must_use]
pub fn is_portable() -> bool {
    PORTABLE.load(Ordering::Relaxed)
}

/// The names of the kernels that are taken.
#[must_use]
pub fn kernels() -> Vec<&'static str> {
    [crate::aead::kernel(), crate::curve25519::kernel()].into_iter().flatten().collect()
}
