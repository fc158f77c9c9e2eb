//! Asking for memory before it is needed.
//!
//! An admission into a table of millions is one cache miss and little else. A batch knows all its
//! addresses beforehand, so the misses can overlap.
#![allow(unsafe_code)]

use core::sync::atomic::AtomicU64;

/// Brings the line of this word near, ready to be written. It reads and changes nothing.
#[inline]
pub(super) fn for_writing(word: &AtomicU64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetchw is a hint that never faults, whatever the address; processors without it
    // treat it as an instruction without effect (every x86-64 does since 2005).
    unsafe {
        core::arch::asm!(
            "prefetchw [{}]", in(reg) word.as_ptr(), options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}
