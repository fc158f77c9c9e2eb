//! What every object that holds a secret refuses: to be pickled and to be copied.

/// Adds the refusals, `close` and the context manager to a class whose field `inner` is a
/// [`crate::closable::Closable`].
macro_rules! guard_secret {
    ($class:ident) => {
        $crate::secrecy::refuse_copies!($class);

        #[pymethods]
        impl $class {
            /// Erases the secret now. Idempotent; every later use raises SessionStateError.
            fn close(&self, py: Python<'_>) {
                self.inner.close(py);
            }

            /// True once the secret is gone.
            #[getter]
            fn closed(&self) -> bool {
                self.inner.is_closed()
            }

            fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
                slf
            }

            fn __exit__(
                &self,
                kind: &Bound<'_, PyAny>,
                _value: &Bound<'_, PyAny>,
                _traceback: &Bound<'_, PyAny>,
            ) {
                self.inner.close(kind.py());
            }
        }
    };
}

/// Adds only the refusals.
macro_rules! refuse_copies {
    ($class:ident) => {
        #[pymethods]
        impl $class {
            fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
                Err($crate::secrecy::refusal(stringify!($class), "pickled"))
            }

            fn __copy__(&self) -> PyResult<()> {
                Err($crate::secrecy::refusal(stringify!($class), "copied"))
            }

            fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) -> PyResult<()> {
                Err($crate::secrecy::refusal(stringify!($class), "copied"))
            }
        }
    };
}

pub(crate) use {guard_secret, refuse_copies};

pub fn refusal(class: &str, what: &str) -> pyo3::PyErr {
    pyo3::exceptions::PyTypeError::new_err(format!("{class} holds a secret and cannot be {what}"))
}
