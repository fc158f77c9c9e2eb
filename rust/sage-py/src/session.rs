//! Sessions: sealing, opening, rekey and rest.

use core::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use sage_core::error::SessionError;
use sage_core::hkdf::MAX_OKM_LEN;
use sage_core::json::session_id_text;
use sage_core::random::SystemRandom;
use sage_core::record::{Header, RECORD_OVERHEAD};
use sage_core::rekey;
use sage_core::session::{self, Role, SealOptions, State, Terms};

use crate::aead::KeyEncryptionKey;
use crate::buffers::{Batch, Input, or_empty};
use crate::clock;
use crate::errors;
use crate::output;
use crate::secrecy::refuse_copies;
use crate::stored::WrappedSession;

/// Terms are kept beside the lock: they never change and must be readable without waiting.
#[pyclass(frozen, module = "sage_native._native")]
pub struct Session {
    terms: Terms,
    inner: Mutex<session::Session>,
}

refuse_copies!(Session);

impl Session {
    pub fn new(session: session::Session) -> Self {
        Self { terms: session.terms().clone(), inner: Mutex::new(session) }
    }

    fn with<R>(&self, with: impl FnOnce(&mut session::Session) -> R) -> R {
        with(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn run<R>(
        &self,
        py: Python<'_>,
        with: impl FnOnce(&mut session::Session) -> Result<R, SessionError>,
    ) -> PyResult<R> {
        self.with(with).map_err(|error| errors::session(py, error))
    }
}

#[pymethods]
impl Session {
    #[getter]
    fn session_id(&self) -> String {
        session_id_text(&self.terms.session_id)
    }

    #[getter]
    fn role(&self) -> &'static str {
        match self.terms.role {
            Role::Initiator => "initiator",
            Role::Responder => "responder",
        }
    }

    #[getter]
    fn state(&self) -> &'static str {
        match self.with(|session| session.state()) {
            State::HalfOpen => "half_open",
            State::Open => "open",
            State::Closed => "closed",
            State::Expired => "expired",
        }
    }

    #[getter]
    fn suite(&self) -> u16 {
        self.terms.suite
    }

    #[getter]
    fn client_did(&self) -> &str {
        self.terms.client_did.as_str()
    }

    #[getter]
    fn server_did(&self) -> &str {
        self.terms.server_did.as_str()
    }

    #[getter]
    fn peer_did(&self) -> &str {
        match self.terms.role {
            Role::Initiator => self.terms.server_did.as_str(),
            Role::Responder => self.terms.client_did.as_str(),
        }
    }

    #[getter]
    fn peer_key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let key = match self.terms.role {
            Role::Initiator => &self.terms.server_key,
            Role::Responder => &self.terms.client_key,
        };
        PyBytes::new(py, key.as_bytes())
    }

    #[getter]
    fn created_ms(&self) -> u64 {
        self.terms.created_ms
    }

    #[getter]
    fn expires_ms(&self) -> u64 {
        self.terms.expires_ms
    }

    #[getter]
    fn idle_timeout_s(&self) -> u32 {
        self.terms.idle_timeout_s
    }

    #[getter]
    fn epoch(&self) -> Option<u32> {
        self.with(|session| session.epoch())
    }

    #[getter]
    fn rekey_wanted(&self) -> bool {
        self.with(|session| session.rekey_wanted())
    }

    #[pyo3(signature = (message, *, now_ms=None))]
    fn confirm(&self, py: Python<'_>, message: Input<'_>, now_ms: Option<u64>) -> PyResult<()> {
        let message = message.as_slice();
        let id = &self.terms.session_id;
        let confirmation =
            message.strip_prefix(id).ok_or_else(|| errors::authentication(py, "authentication failed"))?;
        self.run(py, |session| session.confirm(confirmation, clock::or_now(now_ms)))
    }

    #[pyo3(signature = (plaintext, *, aad=None, binary_http=false, answers=None, now_ms=None))]
    fn seal<'py>(
        &self,
        py: Python<'py>,
        plaintext: Input<'_>,
        aad: Option<Input<'_>>,
        binary_http: bool,
        answers: Option<Input<'_>>,
        now_ms: Option<u64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let plaintext = plaintext.as_slice();
        let options = SealOptions {
            aad: or_empty(aad.as_ref()),
            binary_http,
            answers_epoch: epoch_of(py, answers.as_ref())?,
        };
        let now_ms = clock::or_now(now_ms);
        output::bytes(py, plaintext.len() + RECORD_OVERHEAD, |out| {
            self.run(py, |session| session.seal(plaintext, options, now_ms, &mut SystemRandom, out))
        })
    }

    #[pyo3(signature = (record, *, aad=None, now_ms=None))]
    fn open<'py>(
        &self,
        py: Python<'py>,
        record: Input<'_>,
        aad: Option<Input<'_>>,
        now_ms: Option<u64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (record, aad) = (record.as_slice(), or_empty(aad.as_ref()));
        let now_ms = clock::or_now(now_ms);
        output::bytes(py, record.len().saturating_sub(RECORD_OVERHEAD), |plaintext| {
            self.run(py, |session| session.open(record, aad, now_ms, plaintext)).map(|_| ())
        })
    }

    #[pyo3(signature = (plaintexts, *, aad=None, now_ms=None))]
    fn seal_many<'py>(
        &self,
        py: Python<'py>,
        plaintexts: Batch<'py>,
        aad: Option<Input<'_>>,
        now_ms: Option<u64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let plaintexts = plaintexts.slices();
        let options = SealOptions { aad: or_empty(aad.as_ref()), ..SealOptions::default() };
        let now_ms = clock::or_now(now_ms);
        let lens = plaintexts.iter().map(|plaintext| plaintext.len() + RECORD_OVERHEAD);
        let records = output::many(py, lens, |outs| {
            self.run(py, |session| {
                for (plaintext, out) in plaintexts.iter().zip(outs) {
                    session.seal(plaintext, options, now_ms, &mut SystemRandom, out)?;
                }
                Ok(())
            })
        })?;
        PyList::new(py, records)
    }

    #[pyo3(signature = (records, *, aad=None, now_ms=None))]
    fn open_many<'py>(
        &self,
        py: Python<'py>,
        records: Batch<'py>,
        aad: Option<Input<'_>>,
        now_ms: Option<u64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let (records, aad) = (records.slices(), or_empty(aad.as_ref()));
        let now_ms = clock::or_now(now_ms);
        let mut verdicts: Vec<Result<Header, SessionError>> = Vec::with_capacity(records.len());
        let lens = records.iter().map(|record| record.len().saturating_sub(RECORD_OVERHEAD));
        let opened = output::many(py, lens, |outs: &mut [&mut [MaybeUninit<u8>]]| {
            self.with(|session| {
                for (record, out) in records.iter().zip(outs) {
                    verdicts.push(session.open(record, aad, now_ms, out));
                }
            });
            Ok(())
        })?;
        let results = PyList::empty(py);
        for (plaintext, verdict) in opened.into_iter().zip(verdicts) {
            match verdict {
                Ok(_) => results.append(plaintext)?,
                Err(error) => results.append(errors::session(py, error).into_value(py))?,
            }
        }
        Ok(results)
    }

    #[pyo3(signature = (*, aad=None, answers=None, now_ms=None))]
    fn seal_close<'py>(
        &self,
        py: Python<'py>,
        aad: Option<Input<'_>>,
        answers: Option<Input<'_>>,
        now_ms: Option<u64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let options = SealOptions {
            aad: or_empty(aad.as_ref()),
            binary_http: false,
            answers_epoch: epoch_of(py, answers.as_ref())?,
        };
        let now_ms = clock::or_now(now_ms);
        output::bytes(py, RECORD_OVERHEAD, |out| {
            let out = out.as_mut_array().expect("made with this length");
            self.run(py, |session| session.seal_close(options, now_ms, &mut SystemRandom, out))
        })
    }

    #[pyo3(signature = (*, now_ms=None))]
    fn rekey_request<'py>(&self, py: Python<'py>, now_ms: Option<u64>) -> PyResult<Bound<'py, PyBytes>> {
        let now_ms = clock::or_now(now_ms);
        let request = self.run(py, |session| session.rekey_request(now_ms, &mut SystemRandom))?;
        Ok(PyBytes::new(py, &request))
    }

    #[pyo3(signature = (reply, *, now_ms=None))]
    fn accept_rekey(&self, py: Python<'_>, reply: Input<'_>, now_ms: Option<u64>) -> PyResult<()> {
        self.run(py, |session| session.accept_rekey(reply.as_slice(), clock::or_now(now_ms)))
    }

    #[pyo3(signature = (request, *, now_ms=None))]
    fn answer_rekey<'py>(
        &self,
        py: Python<'py>,
        request: Input<'_>,
        now_ms: Option<u64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (request, now_ms) = (request.as_slice(), clock::or_now(now_ms));
        let reply = self.run(py, |session| session.answer_rekey(request, now_ms, &mut SystemRandom))?;
        Ok(PyBytes::new(py, &reply))
    }

    #[pyo3(signature = (request, *, now_ms=None))]
    fn prepare_rekey(
        &self,
        py: Python<'_>,
        request: Input<'_>,
        now_ms: Option<u64>,
    ) -> PyResult<PreparedRekey> {
        let (request, now_ms) = (request.as_slice(), clock::or_now(now_ms));
        let prepared = self.run(py, |session| session.prepare_rekey(request, now_ms, &mut SystemRandom))?;
        Ok(PreparedRekey { inner: Mutex::new(Some(prepared)) })
    }

    #[pyo3(signature = (prepared, *, now_ms=None))]
    fn commit_rekey<'py>(
        &self,
        py: Python<'py>,
        prepared: &PreparedRekey,
        now_ms: Option<u64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let prepared = prepared.take(py)?;
        let now_ms = clock::or_now(now_ms);
        let reply = self.run(py, |session| session.commit_rekey(prepared, now_ms, &mut SystemRandom))?;
        Ok(PyBytes::new(py, &reply))
    }

    #[pyo3(signature = (label, context, length, *, now_ms=None))]
    fn export<'py>(
        &self,
        py: Python<'py>,
        label: &str,
        context: Input<'_>,
        length: usize,
        now_ms: Option<u64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (context, now_ms) = (context.as_slice(), clock::or_now(now_ms));
        // One byte more than allowed is enough for the core to say what the limit is.
        PyBytes::new_with(py, length.min(MAX_OKM_LEN + 1), |okm| {
            self.run(py, |session| session.export(label, context, now_ms, okm))
        })
    }

    #[pyo3(signature = (kek, *, store, prepared=None, now_ms=None))]
    fn wrap(
        &self,
        py: Python<'_>,
        kek: &KeyEncryptionKey,
        store: &str,
        prepared: Option<&PreparedRekey>,
        now_ms: Option<u64>,
    ) -> PyResult<Option<WrappedSession>> {
        let now_ms = clock::or_now(now_ms);
        let random = &mut SystemRandom;
        let row = kek.inner.with(py, |kek| match prepared {
            None => self.run(py, |session| session.wrap(kek, store, now_ms, random).map(Some)),
            Some(prepared) => prepared.with(py, |prepared| {
                self.run(py, |session| session.wrap_prepared(prepared, kek, store, now_ms, random))
            })?,
        })?;
        Ok(row?.map(WrappedSession::from))
    }

    #[pyo3(signature = (*, records=0, plaintext_bytes=0, now_ms=None))]
    fn skip(&self, py: Python<'_>, records: u64, plaintext_bytes: u64, now_ms: Option<u64>) -> PyResult<()> {
        let now_ms = clock::or_now(now_ms);
        self.run(py, |session| session.skip(records, plaintext_bytes, now_ms, &mut SystemRandom))
    }

    #[pyo3(signature = (*, now_ms=None))]
    fn sweep(&self, now_ms: Option<u64>) {
        self.with(|session| session.sweep(clock::or_now(now_ms)));
    }

    fn limit_incarnations(&self, maximum: usize) {
        self.with(|session| session.limit_incarnations(maximum));
    }

    fn close(&self) {
        self.with(session::Session::close);
    }

    #[getter]
    fn closed(&self) -> bool {
        matches!(self.with(|session| session.state()), State::Closed | State::Expired)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _value: &Bound<'_, PyAny>, _traceback: &Bound<'_, PyAny>) {
        self.close();
    }

    fn __repr__(&self) -> String {
        format!(
            "Session(session_id='{}', role='{}', state='{}')",
            self.session_id(),
            self.role(),
            self.state()
        )
    }
}

/// The epoch that an answer belongs to: that of the request record it answers.
fn epoch_of(py: Python<'_>, request: Option<&Input<'_>>) -> PyResult<Option<u32>> {
    let header = request.map(|record| Header::parse(record.as_slice())).transpose();
    Ok(header.map_err(|error| errors::session(py, error))?.map(|header| header.epoch))
}

#[pyclass(frozen, module = "sage_native._native")]
pub struct PreparedRekey {
    inner: Mutex<Option<rekey::Prepared>>,
}

refuse_copies!(PreparedRekey);

impl PreparedRekey {
    fn take(&self, py: Python<'_>) -> PyResult<rekey::Prepared> {
        let taken = self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| spent(py))
    }

    fn with<R>(&self, py: Python<'_>, with: impl FnOnce(&rekey::Prepared) -> R) -> PyResult<R> {
        let prepared = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.as_ref().map(with).ok_or_else(|| spent(py))
    }
}

#[pymethods]
impl PreparedRekey {
    #[getter]
    fn is_committed(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, rekey::Prepared::is_committed)
    }

    fn __repr__(&self) -> &'static str {
        "PreparedRekey(..)"
    }
}

fn spent(py: Python<'_>) -> PyErr {
    errors::state(py, "this prepared rekey was committed and is spent")
}
