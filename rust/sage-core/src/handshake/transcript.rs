//! The transcript hashes TH1 to TH4. Each absorbs the one before and all that was sent since, so a
//! signature or MAC over one of them covers every earlier byte.

use crate::aws_lc::sha256;

pub(super) const INITIATE_CONTEXT: &str = "SAGE-HS/1 initiate";
pub(super) const ACCEPT_CONTEXT: &str = "SAGE-HS/1 accept";
pub(super) const CONFIRM_CONTEXT: &str = "SAGE-HS/1 confirm";

pub(super) type TranscriptHash = [u8; 32];

/// `TH1 = H("SAGE-HS/1" ‖ M1)`
pub(super) fn th1(m1: &[u8]) -> TranscriptHash {
    sha256(&[b"SAGE-HS/1", m1])
}

/// `TH2 = H(TH1 ‖ client_signature ‖ M2)`
pub(super) fn th2(th1: &TranscriptHash, client_signature: &[u8; 64], m2: &[u8]) -> TranscriptHash {
    sha256(&[th1, client_signature, m2])
}

/// `TH3 = H(TH2 ‖ server_signature)`
pub(super) fn th3(th2: &TranscriptHash, server_signature: &[u8; 64]) -> TranscriptHash {
    sha256(&[th2, server_signature])
}

/// `TH4 = H(TH3 ‖ server_confirmation)`
pub(super) fn th4(th3: &TranscriptHash, server_confirmation: &[u8; 32]) -> TranscriptHash {
    sha256(&[th3, server_confirmation])
}
