//! The shortest way into the notes of a record that was answered.
//!
//! It is gone once for each record, when nothing of it is in a cache: so what counts is how much code
//! it runs through, and PyO3's way to the method is most of that.
#![allow(unsafe_code)]

use core::slice;
use core::str;

use pyo3::ffi::{self, Py_ssize_t, PyObject};
use pyo3::intern;
use pyo3::prelude::*;

use crate::answered::{AnsweredRecords, RECORD_STATUS, REQUEST_ID_KEY, SESSION_KEY};
use crate::numbers;
use crate::quick::{Usual, guarded};

static USUAL: Usual = Usual::new();

/// Puts the short way before PyO3's.
pub fn install(py: Python<'_>) -> PyResult<()> {
    USUAL.hide_behind::<AnsweredRecords>(py, "takes", takes)
}

unsafe extern "C" fn takes(
    records: *mut PyObject,
    arguments: *const *mut PyObject,
    count: Py_ssize_t,
    names: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: CPython hands over so many borrowed references, then those of the names, and holds the
    // interpreter lock; its descriptor has checked that the first is such an object.
    guarded("a note panicked", || unsafe {
        if count == 5 && names.is_null() && take_plain(records, &*arguments.cast()).is_some() {
            return ffi::Py_NewRef(ffi::Py_True());
        }
        USUAL.call(records, arguments, count, names)
    })
}

/// None for what the method does not take, or takes in another form.
///
/// # Safety
/// Borrowed references, the first to an `AnsweredRecords`, and the interpreter lock is held.
#[inline]
unsafe fn take_plain(records: *mut PyObject, arguments: &[*mut PyObject; 5]) -> Option<()> {
    let &[scope, status, sent_len, begun_s, error] = arguments;
    // SAFETY: as the caller says; the text lives as long as its object, which the scope holds.
    unsafe {
        if error != ffi::Py_None()
            || ffi::PyDict_Check(scope) == 0
            || ffi::PyLong_Check(status) == 0
            || ffi::PyLong_Check(sent_len) == 0
            || ffi::PyFloat_Check(begun_s) == 0
            || numbers::quickly(status) != Some(RECORD_STATUS)
        {
            return None;
        }
        let sent_len = numbers::quickly(sent_len)?;
        let py = Python::assume_attached();
        let name = intern!(py, REQUEST_ID_KEY).as_ptr();
        let session = intern!(py, SESSION_KEY).as_ptr();
        if !ffi::PyDict_GetItemWithError(scope, name).is_null() {
            return None;
        }
        if !ffi::PyErr_Occurred().is_null() {
            ffi::PyErr_Clear(); // a key that cannot be compared: PyO3 says so
            return None;
        }
        let session_id = ffi::PyDict_GetItemWithError(scope, session);
        if session_id.is_null() || ffi::PyUnicode_Check(session_id) == 0 {
            ffi::PyErr_Clear();
            return None;
        }
        let mut id_len = 0;
        let session_id = ffi::PyUnicode_AsUTF8AndSize(session_id, &raw mut id_len);
        if session_id.is_null() {
            ffi::PyErr_Clear(); // a lone surrogate: PyO3 says so
            return None;
        }
        let session_id = str::from_utf8_unchecked(slice::from_raw_parts(session_id.cast(), id_len as usize));
        let records = Borrowed::from_ptr(py, records).cast_unchecked::<AnsweredRecords>();
        let mut records = records.try_borrow_mut().ok()?;
        records.take_in(py, session_id, sent_len, ffi::PyFloat_AS_DOUBLE(begun_s))
    }
}
