//! A barrier that keeps masks masks.
#![allow(unsafe_code, reason = "an empty piece of assembly")]

/// `word`, of which the optimiser no longer knows anything: masks stay masks and become no
/// branches.
#[inline]
pub fn opaque(mut word: u64) -> u64 {
    // SAFETY: no instruction at all; `word` may be any value.
    unsafe {
        core::arch::asm!("/* {0} */", inout(reg) word, options(pure, nomem, nostack, preserves_flags));
    }
    word
}
