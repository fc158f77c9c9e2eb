//! What work on a secret leaves behind that no owner can erase.
//!
//! Kernels keep round keys in vector registers. A compiler spills those to the stack where it runs
//! short, and the dynamic linker and signal delivery save all of them there; 32 bytes of an AES key
//! schedule are the key. So closing a secret empties the registers first, that nothing new is saved,
//! and overwrites the stack last, with what was saved before. The stacks of other threads are out of
//! reach.
#![allow(unsafe_code)]

use core::hint::black_box;

/// Deeper than any call of this module was seen to leave something.
const STACK_LEN: usize = 64 << 10;

/// Overwrites the stack below the caller, where the calls that used a secret had their frames.
/// About 1 µs.
#[inline(never)]
pub fn wipe_stack() {
    black_box(&mut [0_u8; STACK_LEN]);
}

/// Empties the vector registers. About 10 ns.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
pub fn wipe_registers() {
    use core::arch::asm;

    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the instructions are there; they write the registers that are named as outputs.
        unsafe {
            asm!(
                "vpxord zmm16, zmm16, zmm16", "vpxord zmm17, zmm17, zmm17", "vpxord zmm18, zmm18, zmm18",
                "vpxord zmm19, zmm19, zmm19", "vpxord zmm20, zmm20, zmm20", "vpxord zmm21, zmm21, zmm21",
                "vpxord zmm22, zmm22, zmm22", "vpxord zmm23, zmm23, zmm23", "vpxord zmm24, zmm24, zmm24",
                "vpxord zmm25, zmm25, zmm25", "vpxord zmm26, zmm26, zmm26", "vpxord zmm27, zmm27, zmm27",
                "vpxord zmm28, zmm28, zmm28", "vpxord zmm29, zmm29, zmm29", "vpxord zmm30, zmm30, zmm30",
                "vpxord zmm31, zmm31, zmm31",
                out("xmm16") _, out("xmm17") _, out("xmm18") _, out("xmm19") _, out("xmm20") _,
                out("xmm21") _, out("xmm22") _, out("xmm23") _, out("xmm24") _, out("xmm25") _,
                out("xmm26") _, out("xmm27") _, out("xmm28") _, out("xmm29") _, out("xmm30") _,
                out("xmm31") _, options(nomem, nostack, preserves_flags),
            );
        }
    }
    if is_x86_feature_detected!("avx") {
        // SAFETY: as above; vzeroall writes registers 0 to 15 in their full width.
        unsafe {
            asm!(
                "vzeroall",
                out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _,
                out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _,
                out("xmm11") _, out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                options(nomem, nostack, preserves_flags),
            );
        }
    }
}

/// Empties nothing: only the x86 kernels are this project's own.
#[cfg(not(target_arch = "x86_64"))]
pub fn wipe_registers() {}
