//! Bytes going out to Python, written once.
//!
//! A `bytes` object is made first, uninitialised, and the core writes into it; nothing is zeroed
//! before and nothing copied after.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;
use core::slice;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A new `bytes` of `len` bytes, all of which `fill` has written when it succeeds. When it fails
/// the object is freed unseen.
pub fn bytes<'py>(
    py: Python<'py>,
    len: usize,
    fill: impl FnOnce(&mut [MaybeUninit<u8>]) -> PyResult<()>,
) -> PyResult<Bound<'py, PyBytes>> {
    let signed_len = isize::try_from(len)?;
    // SAFETY: a null source asks for uninitialised contents of `len` bytes; the pointer is checked
    // by from_owned_ptr_or_err, is unique (nobody else has seen the object), and stays valid for
    // the call to `fill`. The object leaves only after `fill` has written every byte.
    unsafe {
        let object = ffi::PyBytes_FromStringAndSize(core::ptr::null(), signed_len);
        let object = Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked::<PyBytes>();
        let start = ffi::PyBytes_AsString(object.as_ptr()).cast();
        fill(slice::from_raw_parts_mut(start, len))?;
        Ok(object)
    }
}

/// As [`bytes`], for many objects at once, so that they can be filled without the interpreter.
/// When `fill` fails the objects are freed unseen.
pub fn many<'py>(
    py: Python<'py>,
    lens: impl Iterator<Item = usize>,
    fill: impl FnOnce(&mut [&mut [MaybeUninit<u8>]]) -> PyResult<()>,
) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let (lower, _) = lens.size_hint();
    let (mut objects, mut slices) = (Vec::with_capacity(lower), Vec::with_capacity(lower));
    for len in lens {
        let signed_len = isize::try_from(len)?;
        // SAFETY: as in `bytes`; each slice belongs to an object that `objects` keeps alive and
        // nobody else has seen. Empty and one-byte objects may be shared by the interpreter, but
        // CPython makes a fresh one-byte object when the source is null, and an empty slice is
        // never written.
        unsafe {
            let object = ffi::PyBytes_FromStringAndSize(core::ptr::null(), signed_len);
            let object = Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked::<PyBytes>();
            let start = ffi::PyBytes_AsString(object.as_ptr()).cast();
            slices.push(slice::from_raw_parts_mut(start, len));
            objects.push(object);
        }
    }
    fill(&mut slices)?;
    Ok(objects)
}
