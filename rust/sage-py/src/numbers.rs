//! Whole numbers coming in from Python.
//!
//! CPython has several ways to read an int. The one for unsigned numbers of 64 bits takes it apart
//! byte by byte, which for a time in ms is 230 instructions (CPython 3.11): a quarter of an
//! admission. The one for signed numbers takes its two digits as they are.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;

/// An argument from 0 to 2^64 - 1, such as a time in ms; whatever else is refused as if the
/// argument were a `u64`.
pub struct Whole(pub u64);

impl<'py> FromPyObject<'_, 'py> for Whole {
    type Error = PyErr;

    #[inline]
    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        // SAFETY: the object lives, and the interpreter lock is held.
        if let Some(value) = unsafe { quickly(object.as_ptr()) } {
            return Ok(Self(value));
        }
        // Negative, too large for this way, or no number, with an exception that says so.
        match PyErr::take(object.py()) {
            Some(error) => Err(error),
            None => object.extract().map(Self),
        }
    }
}

/// An int from 0 to 2^63 - 1. None for whatever else; an exception is set only for what is no int.
///
/// # Safety
/// An object, and the interpreter lock is held.
#[inline]
pub unsafe fn quickly(object: *mut ffi::PyObject) -> Option<u64> {
    let mut overflow = 0;
    // SAFETY: as the caller says.
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(object, &raw mut overflow) };
    u64::try_from(value).ok()
}
