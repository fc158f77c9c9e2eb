//! The shortest way into an admission.
//!
//! What PyO3 does before a method runs is a sixth of an admission, and nothing else can be done
//! meanwhile, since the memory is asked for once the arguments are known. Nearly all calls are
//! `admit(scope, nonce, remember_until_ms)` with a str, bytes and an int. They are read here as they
//! stand; every other call goes PyO3's way. Both end in the same admission.
#![allow(unsafe_code)]

use core::ptr;
use core::slice;

use pyo3::ffi::{self, Py_ssize_t, PyObject};
use pyo3::prelude::*;

use crate::numbers;
use crate::quick::{Usual, guarded};
use crate::replay_set::ReplaySet;

static USUAL: Usual = Usual::new();

/// Puts the short way before PyO3's.
pub fn install(py: Python<'_>) -> PyResult<()> {
    USUAL.hide_behind::<ReplaySet>(py, "admit", admit)
}

unsafe extern "C" fn admit(
    set: *mut PyObject,
    arguments: *const *mut PyObject,
    count: Py_ssize_t,
    names: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: CPython hands over so many borrowed references, then those of the names, and holds the
    // interpreter lock; its descriptor has checked that the first is a set.
    guarded("an admission panicked", || unsafe {
        if count == 3 && names.is_null() {
            let [scope, nonce, end] = *arguments.cast::<[*mut PyObject; 3]>();
            if let Some(answer) = admit_plain(set, scope, nonce, end) {
                return answer;
            }
        }
        USUAL.call(set, arguments, count, names)
    })
}

/// None for arguments of other types.
///
/// # Safety
/// Borrowed references, the first to a set, and the interpreter lock is held.
#[inline]
unsafe fn admit_plain(
    set: *mut PyObject,
    scope: *mut PyObject,
    nonce: *mut PyObject,
    end: *mut PyObject,
) -> Option<*mut PyObject> {
    // SAFETY: as the caller says; text and bytes live as long as their objects, which the caller of
    // the method holds.
    unsafe {
        if ffi::PyUnicode_Check(scope) == 0 || ffi::PyBytes_Check(nonce) == 0 || ffi::PyLong_Check(end) == 0 {
            return None;
        }
        let mut scope_len = 0;
        let scope = ffi::PyUnicode_AsUTF8AndSize(scope, &raw mut scope_len);
        if scope.is_null() {
            ffi::PyErr_Clear(); // a lone surrogate: PyO3 says so
            return None;
        }
        let scope = slice::from_raw_parts(scope.cast(), scope_len as usize);
        let nonce = slice::from_raw_parts(ffi::PyBytes_AS_STRING(nonce).cast(), ffi::Py_SIZE(nonce) as usize);
        let py = Python::assume_attached();
        let set = Borrowed::from_ptr(py, set).cast_unchecked::<ReplaySet>();
        let known = set.get().look_up(scope, nonce);
        let end = numbers::quickly(end)?;
        Some(match set.get().admit_known(known, end) {
            Ok(()) => py.None().into_ptr(),
            Err(error) => {
                Python::attach(|py| set.get().refusal(py, error).restore(py));
                ptr::null_mut()
            }
        })
    }
}
