//! Which of this crate's own kernels run on this processor.
//!
//! Every kernel has a reference that runs everywhere and gives the same bytes. Which one is taken
//! is decided at run time, and can be decided against: [`stay_portable`] sends all work to the
//! references, so that they are tested on processors that would never take them.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::curve25519::Path;

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

/// The names of the paths that Curve25519 can take on this processor, the fastest, which it takes by
/// itself, first. All give the same answers.
#[must_use]
pub fn curve25519_paths() -> Vec<&'static str> {
    Path::available().into_iter().map(Path::name).collect()
}

/// Takes a path from now on, or the fastest again: for tests of each, and measurements. False, and nothing
/// is changed, if this processor has none of that name.
#[must_use]
pub fn take_curve25519_path(name: Option<&str>) -> bool {
    match name.map(Path::named) {
        Some(None) => false,
        path => Path::take(path.flatten()),
    }
}
