//! Bytes coming in from Python.
//!
//! `bytes` is borrowed where it stands, 4 ns. Any other contiguous buffer (bytearray, memoryview, a
//! numpy array of uint8) is borrowed through the buffer protocol. Somebody may change such a buffer
//! from another thread or process while it is read. Where that would do harm, in what reads its
//! input twice, the buffer is copied first (`stable`): signing, whose two hashes must be over one
//! message or the key is lost, and opening, which hashes before it decrypts. Elsewhere the result
//! belongs to one of the states that the buffer went through, or to a mix of them.
#![allow(unsafe_code)]

use core::slice;
use std::borrow::Cow;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::errors;

/// Empty rows take no memory, so their number says nothing about what the caller has.
const MAX_EMPTY_ROWS: usize = 1 << 20;

/// One bytes-like argument.
pub enum Input<'a> {
    Bytes(&'a [u8]),
    Buffer(PyBuffer<u8>),
}

impl Input<'_> {
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Buffer(buffer) => buffer_bytes(buffer),
        }
    }

    /// The bytes as they are now, whatever becomes of the buffer.
    pub fn stable(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Bytes(bytes) => Cow::Borrowed(bytes),
            Self::Buffer(buffer) => Cow::Owned(buffer_bytes(buffer).to_vec()),
        }
    }

    /// The bytes, if there are exactly `N`.
    pub fn exactly<const N: usize>(&self, py: Python<'_>, what: &str) -> PyResult<&[u8; N]> {
        let bytes = self.as_slice();
        bytes
            .try_into()
            .map_err(|_| errors::usage(py, &format!("{what} must be {N} bytes long, not {}", bytes.len())))
    }
}

/// The raw secret of a new key: given, or to be drawn because it was left out. None is neither: a
/// secret that is missing must not become a fresh one.
pub enum Raw<'a> {
    Given(Input<'a>),
    LeftOut,
}

impl<'a, 'py> FromPyObject<'a, 'py> for Raw<'a> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Input::extract(object).map(Self::Given)
    }
}

/// The bytes of an optional argument, empty if it was left out.
pub fn or_empty<'a>(input: Option<&'a Input<'_>>) -> &'a [u8] {
    input.map(Input::as_slice).unwrap_or_default()
}

impl<'a, 'py> FromPyObject<'a, 'py> for Input<'a> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = <&'a [u8]>::extract(object) {
            return Ok(Self::Bytes(bytes));
        }
        let buffer = contiguous(&object)?;
        Ok(Self::Buffer(buffer))
    }
}

fn contiguous(object: &Bound<'_, PyAny>) -> PyResult<PyBuffer<u8>> {
    let kind = || object.get_type().name().map(|name| name.to_string()).unwrap_or_default();
    let buffer = PyBuffer::<u8>::get(object).map_err(|_| {
        PyTypeError::new_err(format!("expected bytes or a contiguous buffer of bytes, not {}", kind()))
    })?;
    if buffer.is_c_contiguous() {
        Ok(buffer)
    } else {
        Err(errors::usage(object.py(), &format!("{} is not contiguous: copy it first", kind())))
    }
}

fn buffer_bytes(buffer: &PyBuffer<u8>) -> &[u8] {
    if buffer.len_bytes() == 0 {
        return &[];
    }
    // SAFETY: the buffer is C-contiguous, holds single bytes, and is pinned by the PyBuffer. About
    // concurrent writers see the module's head.
    unsafe { slice::from_raw_parts(buffer.buf_ptr().cast(), buffer.len_bytes()) }
}

/// A caller's buffer to write into.
pub struct Output(PyBuffer<u8>);

impl Output {
    /// The first `len` bytes, if the buffer is writable and that long.
    #[allow(clippy::mut_from_ref)]
    pub fn first(&self, py: Python<'_>, len: usize) -> PyResult<&mut [core::mem::MaybeUninit<u8>]> {
        if self.0.readonly() {
            return Err(errors::usage(py, "out must be a writable buffer"));
        }
        if self.0.len_bytes() < len {
            let have = self.0.len_bytes();
            return Err(errors::usage(py, &format!("out must hold at least {len} bytes, not {have}")));
        }
        if len == 0 {
            return Ok(&mut []);
        }
        // SAFETY: contiguous, writable, long enough, pinned by the PyBuffer; each binding function
        // takes this slice once, after `must_not_overlap` has compared it with the inputs.
        Ok(unsafe { slice::from_raw_parts_mut(self.0.buf_ptr().cast(), len) })
    }

    /// Refuses to write over memory that is read in the same call.
    pub fn must_not_overlap(&self, py: Python<'_>, inputs: &[&[u8]]) -> PyResult<()> {
        let ours = self.0.buf_ptr().addr()..self.0.buf_ptr().addr() + self.0.len_bytes();
        for input in inputs {
            let theirs = input.as_ptr().addr()..input.as_ptr().addr() + input.len();
            if ours.start < theirs.end && theirs.start < ours.end {
                return Err(errors::usage(py, "out must not overlap the input"));
            }
        }
        Ok(())
    }
}

impl<'py> FromPyObject<'_, 'py> for Output {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        contiguous(&object).map(Self)
    }
}

/// Many bytes-like values: a list or tuple of `bytes`, or one two-dimensional array of uint8 with a
/// value in each row.
pub enum Batch<'py> {
    /// Strong references, since another thread may change the list while this one is detached.
    Items(Vec<Bound<'py, PyBytes>>),
    Rows {
        buffer: PyBuffer<u8>,
        count: usize,
        row_len: usize,
    },
    /// Rows as they were when they were copied.
    Copied {
        bytes: Vec<u8>,
        count: usize,
        row_len: usize,
    },
}

impl Batch<'_> {
    /// The batch as it is now, whatever becomes of the buffer.
    pub fn into_stable(self) -> Self {
        match self {
            Self::Rows { buffer, count, row_len } => {
                Self::Copied { bytes: buffer_bytes(&buffer).to_vec(), count, row_len }
            }
            items => items,
        }
    }

    pub fn slices(&self) -> Vec<&[u8]> {
        match self {
            Self::Items(items) => items.iter().map(|item| item.as_bytes()).collect(),
            Self::Rows { count, row_len: 0, .. } | Self::Copied { count, row_len: 0, .. } => {
                vec![&[]; *count]
            }
            Self::Rows { buffer, row_len, .. } => buffer_bytes(buffer).chunks_exact(*row_len).collect(),
            Self::Copied { bytes, row_len, .. } => bytes.chunks_exact(*row_len).collect(),
        }
    }

    /// Items of exactly `N` bytes each.
    pub fn arrays<const N: usize>(&self, py: Python<'_>, what: &str) -> PyResult<Vec<&[u8; N]>> {
        self.slices()
            .into_iter()
            .enumerate()
            .map(|(at, item)| {
                item.try_into().map_err(|_| {
                    let len = item.len();
                    errors::usage(py, &format!("{what} {at} must be {N} bytes long, not {len}"))
                })
            })
            .collect()
    }

    pub fn row_len(&self) -> Option<usize> {
        match self {
            Self::Items(_) => None,
            Self::Rows { row_len, .. } | Self::Copied { row_len, .. } => Some(*row_len),
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for Batch<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(list) = object.cast::<PyList>() {
            return bytes_items(list.iter()).map(Self::Items);
        }
        if let Ok(tuple) = object.cast::<PyTuple>() {
            return bytes_items(tuple.iter()).map(Self::Items);
        }
        let buffer = contiguous(&object)?;
        let [count, row_len] = *buffer.shape() else {
            let dimensions = buffer.dimensions();
            return Err(errors::usage(
                object.py(),
                &format!(
                    "a batch array must be two-dimensional (count, length), not {dimensions}-dimensional"
                ),
            ));
        };
        if row_len == 0 && count > MAX_EMPTY_ROWS {
            let py = object.py();
            return Err(errors::usage(
                py,
                &format!("a batch of empty rows may have {MAX_EMPTY_ROWS} of them"),
            ));
        }
        Ok(Self::Rows { buffer, count, row_len })
    }
}

/// Results that are collected do not say how many they are, and the vector would be moved as it grows.
fn bytes_items<'py>(
    items: impl ExactSizeIterator<Item = Bound<'py, PyAny>>,
) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let mut checked = Vec::with_capacity(items.len());
    for item in items {
        checked.push(bytes_item(item)?);
    }
    Ok(checked)
}

fn bytes_item(item: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyBytes>> {
    item.cast_into::<PyBytes>().map_err(|error| {
        let kind = error.into_inner().get_type();
        PyTypeError::new_err(format!("a batch list must hold bytes, not {kind}"))
    })
}

/// Checks that parallel batches are equally long.
pub fn same_count(py: Python<'_>, counts: &[(&str, usize)]) -> PyResult<()> {
    let (first, others) = counts.split_first().expect("at least one batch");
    for (what, count) in others {
        if *count != first.1 {
            let (lead, expected) = first;
            return Err(errors::usage(
                py,
                &format!("{what} must be as many as {lead}: {count} are not {expected}"),
            ));
        }
    }
    Ok(())
}
