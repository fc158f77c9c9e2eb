//! Ways into a method past PyO3.
//!
//! PyO3 reads arguments by position and by name into an array, fills in defaults, converts each
//! through memory and keeps what it needs for an error. A method that is called for each request may
//! have a function put before it that takes the usual call as it stands and hands every other call on
//! to PyO3's. Nothing tells the two apart but the time.
#![allow(unsafe_code)]

use core::ffi::c_char;
use core::ptr;
use core::slice;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::PyClass;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi::{self, Py_ssize_t, PyObject};
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// The most arguments that such a method has, with the object itself.
const MAX_ARGUMENTS: usize = 7;

/// A method as PyO3 made it.
pub struct Usual(PyOnceLock<Py<PyAny>>);

impl Usual {
    pub const fn new() -> Self {
        Self(PyOnceLock::new())
    }

    /// Puts a function before a method of a class; once in a process.
    pub fn hide_behind<C: PyClass>(
        &self,
        py: Python<'_>,
        name: &str,
        quick: ffi::PyCFunctionFastWithKeywords,
    ) -> PyResult<()> {
        let class = py.get_type::<C>();
        let usual = class.getattr(name)?;
        let signature: String = usual.getattr("__text_signature__")?.extract()?;
        let text: String = usual.getattr("__doc__")?.extract()?;
        self.0.set(py, usual.unbind()).map_err(|_| PyRuntimeError::new_err("loaded twice"))?;
        // A class keeps its methods as long as it lives, which is as long as the process.
        let method = Box::leak(Box::new(ffi::PyMethodDef {
            ml_name: leaked(name.to_owned())?,
            ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: quick },
            ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            ml_doc: leaked(format!("{name}{signature}\n--\n\n{text}"))?,
        }));
        // SAFETY: the class and the method live on; what comes back is a new reference, or null with
        // an exception.
        let descriptor = unsafe {
            Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(class.as_ptr().cast(), method))?
        };
        class.setattr(name, descriptor)
    }

    /// Calls it with what the function before it was called with.
    ///
    /// # Safety
    /// Once it is hidden, with the interpreter lock held: so many borrowed references, then those of
    /// the names, as CPython hands them over.
    #[cold]
    pub unsafe fn call(
        &self,
        object: *mut PyObject,
        arguments: *const *mut PyObject,
        count: Py_ssize_t,
        names: *mut PyObject,
    ) -> *mut PyObject {
        // SAFETY: as the caller says; what is called checks all it is given.
        unsafe {
            let py = Python::assume_attached();
            let count = count as usize;
            let named = if names.is_null() { 0 } else { ffi::PyTuple_GET_SIZE(names) as usize };
            let given = slice::from_raw_parts(arguments, count + named);
            let usual = self.0.get(py).expect("it is hidden").as_ptr();
            let mut few = [object; MAX_ARGUMENTS + 1];
            let many: Vec<_>;
            let all = if given.len() < few.len() {
                few[1..=given.len()].copy_from_slice(given);
                few.as_ptr()
            } else {
                many = [&[object], given].concat();
                many.as_ptr()
            };
            ffi::PyObject_Vectorcall(usual, all, count + 1, names)
        }
    }
}

/// Returns what a function returns; if it panics, null with the exception that PyO3 makes of panics.
#[inline]
pub fn guarded(what: &'static str, function: impl FnOnce() -> *mut PyObject) -> *mut PyObject {
    catch_unwind(AssertUnwindSafe(function)).unwrap_or_else(|_| {
        Python::attach(|py| PanicException::new_err(what).restore(py));
        ptr::null_mut()
    })
}

fn leaked(text: String) -> PyResult<*const c_char> {
    Ok(CString::new(text)?.into_raw())
}
