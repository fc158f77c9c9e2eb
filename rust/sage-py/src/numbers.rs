//! Whole numbers coming in from Python.
//!
//! CPython has several ways to read an int. The one for unsigned numbers of 64 bits takes it apart
//! byte by byte, which for a time in ms is 230 instructions (CPython 3.11): a quarter of an
//! admission. The one for signed numbers takes its two digits as they are.
#![allow(unsafe_code)]

use pyo3::ffi;
use pyo3::prelude::*;

/// An int from 0 to 2^63 - 1, or None. It sets no exception.
///
/// # Safety
/// It is an int, and the interpreter lock is held.
#[inline]
pub unsafe fn plain(int: *mut ffi::PyObject) -> Option<u64> {
    let mut overflow = 0;
    // SAFETY: as the caller says.
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(int, &raw mut overflow) };
    u64::try_from(value).ok()
}

/// An argument that is read so: a time in ms where every record asks for it.
pub struct Whole(pub u64);

impl<'py> FromPyObject<'_, 'py> for Whole {
    type Error = PyErr;

    #[inline]
    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        whole(&object).map(Self)
    }
}

/// An int from 0 to 2^64 - 1; whatever else is refused as if it were an argument of type `u64`.
pub fn whole(object: &Bound<'_, PyAny>) -> PyResult<u64> {
    let mut overflow = 0;
    // SAFETY: the object lives, and the interpreter lock is held.
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(object.as_ptr(), &raw mut overflow) };
    match u64::try_from(value) {
        Ok(value) => Ok(value),
        // Negative, too large for this way, or no number, with an exception that says so.
        Err(_) => match PyErr::take(object.py()) {
            Some(error) => Err(error),
            None => object.extract(),
        },
    }
}
