//! How many threads a batch may take, as Python says it.

use core::num::NonZeroUsize;

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use sage_core::shares;

use crate::errors;

/// A number, or None for as many as there are processors.
pub struct Threads(pub shares::Threads);

impl Threads {
    /// What a batch takes if nothing is said.
    pub const ONE: Self = Self(shares::Threads::ONE);
}

impl<'py> FromPyObject<'_, 'py> for Threads {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_none() {
            return Ok(Self(shares::Threads::Processors));
        }
        let py = object.py();
        let count = match object.extract::<usize>() {
            Err(error) if !error.is_instance_of::<PyOverflowError>(py) => return Err(error),
            count => count.ok().filter(|count| *count <= shares::Threads::MAX).and_then(NonZeroUsize::new),
        };
        let count = count.ok_or_else(|| {
            let max = shares::Threads::MAX;
            errors::usage(
                py,
                &format!("threads must be 1 to {max}, or None for one a processor, not {}", *object),
            )
        })?;
        Ok(Self(shares::Threads::UpTo(count)))
    }
}
