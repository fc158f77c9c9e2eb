//! A native object that Python can close before it is collected.

use std::sync::{PoisonError, RwLock, TryLockError};

use pyo3::prelude::*;

use crate::errors;
use crate::residue;

/// Readers share; closing waits for them and drops the value, which erases it. No guard outlives
/// the call it was taken in.
pub struct Closable<T> {
    what: &'static str,
    value: RwLock<Option<T>>,
}

impl<T: Send + Sync> Closable<T> {
    pub fn new(what: &'static str, value: T) -> Self {
        Self { what, value: RwLock::new(Some(value)) }
    }

    /// Calls `with` on the value.
    pub fn with<R>(&self, py: Python<'_>, with: impl FnOnce(&T) -> R) -> PyResult<R> {
        self.try_with(with).ok_or_else(|| self.closed(py))
    }

    /// As [`Closable::with`], without the interpreter: `None` once closed.
    pub fn try_with<R>(&self, with: impl FnOnce(&T) -> R) -> Option<R> {
        self.value.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(with)
    }

    /// Takes the value out: use consumes it.
    pub fn take(&self, py: Python<'_>) -> PyResult<T> {
        let taken = self.value.write().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| self.closed(py))
    }

    /// Drops the value now, and what using it left in registers and on the stack. Waits for calls
    /// that are at work on it, without the interpreter. Idempotent.
    pub fn close(&self, py: Python<'_>) {
        residue::wipe_registers();
        match self.value.try_write() {
            Ok(mut value) => drop(value.take()),
            Err(TryLockError::Poisoned(poisoned)) => drop(poisoned.into_inner().take()),
            Err(TryLockError::WouldBlock) => py.detach(|| {
                drop(self.value.write().unwrap_or_else(PoisonError::into_inner).take());
            }),
        }
        residue::wipe_stack();
    }

    pub fn is_closed(&self) -> bool {
        self.value.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    pub fn closed(&self, py: Python<'_>) -> PyErr {
        errors::state(py, &format!("this {} is closed or spent", self.what))
    }
}
