//! The shortest way into an admission.
//!
//! What PyO3 does before a method runs, for arguments by name, for defaults, for errors that name the
//! argument, is a sixth of an admission, and nothing else can be done meanwhile, since the memory is
//! asked for once the arguments are known. Nearly all calls are `admit(scope, nonce,
//! remember_until_ms)` with a str, bytes and an int. They are read here as they stand; every other
//! call goes PyO3's way. Both end in the same admission, and nothing tells them apart but the time.
#![allow(unsafe_code)]

use core::ffi::c_char;
use core::ptr;
use core::slice;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi::{self, Py_ssize_t, PyObject};
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::numbers;
use crate::replay_set::ReplaySet;

/// The method as PyO3 made it.
static USUAL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The most arguments that the method has, with the set itself.
const MAX_ARGUMENTS: usize = 6;

/// Puts the short way before PyO3's.
pub fn install(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<ReplaySet>();
    let usual = class.getattr("admit")?;
    let signature: String = usual.getattr("__text_signature__")?.extract()?;
    let text: String = usual.getattr("__doc__")?.extract()?;
    USUAL.set(py, usual.unbind()).map_err(|_| PyRuntimeError::new_err("loaded twice"))?;
    // A class keeps its methods as long as it lives, which is as long as the process.
    let method = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: c"admit".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: admit },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: leaked(format!("admit{signature}\n--\n\n{text}"))?,
    }));
    // SAFETY: the class and the method live on; what comes back is a new reference, or null with an
    // exception.
    let descriptor =
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(class.as_ptr().cast(), method))? };
    class.setattr("admit", descriptor)
}

fn leaked(text: String) -> PyResult<*const c_char> {
    Ok(CString::new(text)?.into_raw())
}

unsafe extern "C" fn admit(
    set: *mut PyObject,
    arguments: *const *mut PyObject,
    count: Py_ssize_t,
    names: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: CPython hands over so many borrowed references, then those of the names, and holds the
    // interpreter lock; its descriptor has checked that the first is a set.
    let answer = catch_unwind(AssertUnwindSafe(|| unsafe {
        if count == 3 && names.is_null() {
            let [scope, nonce, end] = *arguments.cast::<[*mut PyObject; 3]>();
            if let Some(answer) = admit_plain(set, scope, nonce, end) {
                return answer;
            }
        }
        admit_usually(set, arguments, count as usize, names)
    }));
    answer.unwrap_or_else(|_| {
        Python::attach(|py| PanicException::new_err("an admission panicked").restore(py));
        ptr::null_mut()
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

/// # Safety
/// As of the method.
#[cold]
unsafe fn admit_usually(
    set: *mut PyObject,
    arguments: *const *mut PyObject,
    count: usize,
    names: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as the caller says; what is called checks all it is given.
    unsafe {
        let py = Python::assume_attached();
        let named = if names.is_null() { 0 } else { ffi::PyTuple_GET_SIZE(names) as usize };
        let given = slice::from_raw_parts(arguments, count + named);
        let usual = USUAL.get(py).expect("installed").as_ptr();
        let mut few = [set; MAX_ARGUMENTS + 1];
        let many: Vec<_>;
        let all = if given.len() < few.len() {
            few[1..=given.len()].copy_from_slice(given);
            few.as_ptr()
        } else {
            many = [&[set], given].concat();
            many.as_ptr()
        };
        ffi::PyObject_Vectorcall(usual, all, count + 1, names)
    }
}
