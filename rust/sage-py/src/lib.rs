//! The binding: `sage_native._native`.
//!
//! Every function here borrows its arguments, decides whether to detach from the interpreter, calls
//! `sage-core` and maps the error. What a thing means is written there; the doc comments here are
//! the docstrings that `help()` shows to Python readers. This crate holds no algorithm.

mod aead;
mod agreement;
mod answered;
mod buffers;
mod clock;
mod closable;
mod counters;
mod detach;
mod errors;
mod events;
mod handshake;
mod handshake_batches;
mod json;
mod kdf;
mod key_cache;
mod numbers;
mod output;
mod probes;
mod processor;
mod quick;
mod quick_admit;
mod quick_takes;
mod record_lines;
mod records;
mod replay_set;
mod replay_statistics;
mod replay_windows;
mod request_clock;
mod residue;
mod secrecy;
mod session;
mod signatures;
mod stored;
mod table;
mod threads;

use pyo3::prelude::*;

/// The native part of `sage_native`.
#[pymodule]
#[pyo3(name = "_native", gil_used = true)]
mod native {
    #[pymodule_export]
    use crate::aead::{AeadKey, KeyEncryptionKey};
    #[pymodule_export]
    use crate::agreement::{EphemeralSecret, SharedSecret, StaticSecret, X25519PublicKey};
    #[pymodule_export]
    use crate::answered::AnsweredRecords;
    #[pymodule_export]
    use crate::counters::{count_operations, operation_counts};
    #[pymodule_export]
    use crate::handshake::{Attempt, Initiator, Request, Responder};
    #[pymodule_export]
    use crate::handshake_batches::{accept_many, authenticate_many};
    #[pymodule_export]
    use crate::json::{decode_json, encode_json};
    #[pymodule_export]
    use crate::kdf::{Prk, hkdf_sha256};
    #[pymodule_export]
    use crate::key_cache::VerifyingKeyCache;
    #[pymodule_export]
    use crate::probes::{boundary_probe, panic_probe};
    #[pymodule_export]
    use crate::processor::{curve25519_paths, kernels, take_curve25519_path};
    #[pymodule_export]
    use crate::record_lines::RecordLines;
    #[pymodule_export]
    use crate::records::RecordHeader;
    #[pymodule_export]
    use crate::replay_set::ReplaySet;
    #[pymodule_export]
    use crate::replay_windows::{ReplayWindow, ReplayWindowTable};
    #[pymodule_export]
    use crate::request_clock::RequestClock;
    #[pymodule_export]
    use crate::session::{PreparedRekey, Session};
    #[pymodule_export]
    use crate::signatures::{SigningKey, VerifyingKey, ed25519_key_of_did, verify_many};
    #[pymodule_export]
    use crate::stored::WrappedSession;
    #[pymodule_export]
    use crate::table::SessionTable;

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::processor::choose();
        crate::quick_admit::install(module.py())?;
        crate::quick_takes::install(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
