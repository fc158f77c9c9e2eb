//! Sessions: sealing, opening, rekey and rest.

use core::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use sage_core::error::SessionError;
use sage_core::fork;
use sage_core::hkdf::MAX_OKM_LEN;
use sage_core::json::session_id_text;
use sage_core::random::SystemRandom;
use sage_core::record::{Header, MAX_PLAINTEXT_LEN, RECORD_OVERHEAD, SessionId};
use sage_core::rekey;
use sage_core::session::{self, Role, SealOptions, State, Terms};

use crate::aead::KeyEncryptionKey;
use crate::buffers::{Batch, Input, or_empty};
use crate::clock;
use crate::counters::{OPEN, SEAL, VERIFY};
use crate::detach::{self, aead_ns};
use crate::errors;
use crate::events;
use crate::numbers::Whole;
use crate::output;
use crate::replay_windows::ReplayWindowTable;
use crate::residue;
use crate::secrecy::refuse_copies;
use crate::stored::WrappedSession;

/// M3 as it is without a signature.
const UNSIGNED_CONFIRMATION_LEN: usize = 48;

/// What two agents share after a handshake, seen from one of them.
///
/// Made by ``Attempt.finish``, ``Responder.respond``, ``Request.accept`` or ``WrappedSession.unwrap``.
/// Its secrets never reach Python. It may be used from several threads; it can be closed, is a
/// context manager, and refuses to be pickled or copied.
///
/// Every method that depends on time takes ``now_ms``, in ms since the epoch, and asks the clock
/// only without it. Once its time is up a session ends itself; what needs its secrets then raises
/// ExpiredError.
///
/// Source: docs/protocol.md, "Records" and "Rekey and resume".
#[pyclass(frozen, module = "sage_native._native")]
pub struct Session {
    // Beside the lock: the terms never change and must be readable without waiting.
    terms: Arc<Terms>,
    /// The process that made this object, as `fork` numbers them.
    generation: u64,
    /// How many of its messages were reported as activity.
    reported: AtomicU64,
    inner: Mutex<session::Session>,
}

refuse_copies!(Session);

impl Session {
    pub fn new(session: session::Session) -> Self {
        let (terms, generation) = (Arc::clone(session.terms()), fork::generation());
        Self { terms, generation, reported: AtomicU64::new(0), inner: Mutex::new(session) }
    }

    pub fn id(&self) -> SessionId {
        self.terms.session_id
    }

    /// Drops what has passed its deadline; false once the session itself has ended.
    pub fn is_live_at(&self, py: Python<'_>, now_ms: u64) -> PyResult<bool> {
        self.with(py, |session| {
            session.sweep(now_ms);
            matches!(session.state(), State::HalfOpen | State::Open)
        })
    }

    pub fn concerns(&self, did: &str) -> bool {
        [&self.terms.client_did, &self.terms.server_did].iter().any(|mine| mine.as_str() == did)
    }

    /// What was done with the session since it was last asked, if anything: when, and how many records.
    pub fn take_activity(&self, py: Python<'_>) -> PyResult<Option<(u64, u64)>> {
        let (messages, last_use_ms) = self.with(py, |session| (session.messages(), session.last_use_ms()))?;
        let fresh = messages - self.reported.swap(messages, Ordering::Relaxed);
        Ok((fresh > 0).then_some((last_use_ms, fresh)))
    }

    pub fn open_record<'py>(
        &self,
        py: Python<'py>,
        record: &[u8],
        aad: &[u8],
        now_ms: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        output::bytes(py, record.len().saturating_sub(RECORD_OVERHEAD), |plaintext| {
            let watch = OPEN.begin();
            let opened = self.with(py, |session| session.open(record, aad, now_ms, plaintext))?;
            OPEN.end(py, watch, opened.is_ok(), plaintext.len());
            tell_replayed(py, usize::from(matches!(opened, Err(SessionError::Replayed))));
            opened.map(|_| ()).map_err(|error| errors::session(py, error))
        })
    }

    /// Calls `with` on the session. While a batch is at work on it, waits without the interpreter.
    fn with<R>(&self, py: Python<'_>, with: impl FnOnce(&mut session::Session) -> R) -> PyResult<R> {
        loop {
            match self.inner.try_lock() {
                Ok(mut session) => return Ok(with(&mut session)),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(with(&mut ended(poisoned))),
                Err(TryLockError::WouldBlock) if self.generation != fork::generation() => {
                    // The thread that holds the lock was not copied; nobody will ever unlock it.
                    return Err(errors::state(
                        py,
                        "the session was in use by a thread that fork left behind",
                    ));
                }
                Err(TryLockError::WouldBlock) => py.detach(|| drop(self.inner.lock())),
            }
        }
    }

    /// As [`Session::with`], for work that may have let go of the interpreter.
    fn with_detached<R>(&self, with: impl FnOnce(&mut session::Session) -> R) -> R {
        with(&mut self.inner.lock().unwrap_or_else(ended))
    }

    fn run<R>(
        &self,
        py: Python<'_>,
        with: impl FnOnce(&mut session::Session) -> Result<R, SessionError>,
    ) -> PyResult<R> {
        self.with(py, with)?.map_err(|error| errors::session(py, error))
    }
}

#[pymethods]
impl Session {
    /// The session's id, lower-case hex, 8-4-4-4-12. Chosen by the responder; logs should not show it.
    #[getter]
    fn session_id(&self) -> String {
        session_id_text(&self.terms.session_id)
    }

    /// Which side this is: ``initiator`` or ``responder``.
    #[getter]
    fn role(&self) -> &'static str {
        match self.terms.role {
            Role::Initiator => "initiator",
            Role::Responder => "responder",
        }
    }

    /// Where the session is in its life: ``half_open``, ``open``, ``closed`` or ``expired``.
    ///
    /// A deadline shows only once something was tried after it; ``sweep`` is enough.
    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(match self.with(py, |session| session.state())? {
            State::HalfOpen => "half_open",
            State::Open => "open",
            State::Closed => "closed",
            State::Expired => "expired",
        })
    }

    /// The negotiated suite.
    #[getter]
    fn suite(&self) -> u16 {
        self.terms.suite
    }

    /// The initiator's DID.
    #[getter]
    fn client_did(&self) -> &str {
        self.terms.client_did.as_str()
    }

    /// The responder's DID.
    #[getter]
    fn server_did(&self) -> &str {
        self.terms.server_did.as_str()
    }

    /// The DID of the other side.
    #[getter]
    fn peer_did(&self) -> &str {
        match self.terms.role {
            Role::Initiator => self.terms.server_did.as_str(),
            Role::Responder => self.terms.client_did.as_str(),
        }
    }

    /// The verifying key that the other side signed with, 32 bytes.
    #[getter]
    fn peer_key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let key = match self.terms.role {
            Role::Initiator => &self.terms.server_key,
            Role::Responder => &self.terms.client_key,
        };
        PyBytes::new(py, key.as_bytes())
    }

    /// When the session was made, by this side's clock, in ms since the epoch.
    #[getter]
    fn created_ms(&self) -> u64 {
        self.terms.created_ms
    }

    /// When the session ends at the latest, in ms since the epoch. No rekey extends it.
    #[getter]
    fn expires_ms(&self) -> u64 {
        self.terms.expires_ms
    }

    /// How long the session may stay silent, in seconds. Sealing and opening count, rekeys do not.
    #[getter]
    fn idle_timeout_s(&self) -> u32 {
        self.terms.idle_timeout_s
    }

    /// The current epoch, from 0; None once the session has ended.
    #[getter]
    fn epoch(&self, py: Python<'_>) -> PyResult<Option<u32>> {
        self.with(py, |session| session.epoch())
    }

    /// True once either side has passed its soft budget, and after a restore: the client should rekey.
    #[getter]
    fn rekey_wanted(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |session| session.rekey_wanted())
    }

    /// Keep the replay windows in a table that all workers of this machine share.
    ///
    /// A worker that restores the session from a store with the same table goes on without a rekey, and
    /// each record is delivered by one of them. Call it before the first record is opened.
    ///
    /// Args:
    ///     windows: The table, from now on.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Raises:
    ///     SessionStateError: A record was opened before, or the session is closed.
    ///     UsageError: The session may live longer than the table's ``horizon_ms``.
    ///     ExpiredError: Age, idleness or a missing confirmation has ended the session.
    ///
    /// Then ``open`` also raises CapacityError if the table has no place for another sending process,
    /// and StorageError if its file was removed.
    /// Cost: opening a record takes about 0.1 µs more.
    /// Source: docs/protocol.md, "Records".
    #[pyo3(signature = (windows, *, now_ms=None))]
    fn share_windows(
        &self,
        py: Python<'_>,
        windows: &ReplayWindowTable,
        now_ms: Option<Whole>,
    ) -> PyResult<()> {
        let table = Arc::clone(&windows.inner);
        self.run(py, |session| session.share_windows(table, clock::or_now(now_ms)))
    }

    /// How many records were sealed and opened by this process.
    #[getter]
    fn messages(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |session| session.messages())
    }

    /// When a record was last sealed or opened here, in ms since the epoch; None once the session has
    /// ended. Begins with the time at which the object was made.
    #[getter]
    fn last_activity_ms(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        self.with(py, |session| session.last_activity_ms())
    }

    /// End the session after a number of records, sealed and opened ones together.
    ///
    /// What follows record number ``maximum`` raises ExpiredError.
    ///
    /// Args:
    ///     maximum: How many records, of all epochs and all processes.
    ///     stored: How many a store knows of. Those that ``SessionTable.take_activity`` reported of this
    ///         session are among them.
    #[pyo3(signature = (maximum, *, stored=0))]
    fn limit_messages(&self, py: Python<'_>, maximum: u64, stored: u64) -> PyResult<()> {
        let elsewhere = stored.saturating_sub(self.reported.load(Ordering::Relaxed));
        self.with(py, |session| session.limit_messages(maximum, elsewhere))
    }

    /// Treat the replay windows as lost: a rekey must come before anything else.
    ///
    /// For rows out of a backup, which are older than what the windows know of.
    fn demand_rekey(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, session::Session::demand_rekey)
    }

    /// Leave this object the answers that are under way, and nothing else.
    ///
    /// For a session that another worker has led to its next epoch: the object that came out of the store
    /// goes on with it, and this one erases the secrets of its epoch. For 60 s it still seals with
    /// ``answers``; everything else raises RekeyRequiredError or AuthenticationError.
    ///
    /// Args:
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Raises:
    ///     SessionStateError: Half-open or closed.
    ///     ExpiredError: Age or idleness has ended the session.
    #[pyo3(signature = (*, now_ms=None))]
    fn retire(&self, py: Python<'_>, now_ms: Option<Whole>) -> PyResult<()> {
        self.run(py, |session| session.retire(clock::or_now(now_ms), &mut SystemRandom))
    }

    /// Responder: take the client's M3 and open the session.
    ///
    /// The right M3 may come again until 10 s after M2. A first valid record confirms as well, unless
    /// the policy is ``signature``.
    ///
    /// Args:
    ///     message: M3 in its binary carrier, 48 or 112 bytes.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Raises:
    ///     AuthenticationError: Another M3, a wrong or missing signature, or none is expected any more.
    ///     HandshakeError: Another length (``malformed_request``).
    ///     ExpiredError: It came too late.
    ///     SessionStateError: Closed.
    ///
    /// Cost: below 1 µs; a signed M3 costs a verification, about 40 µs.
    /// Source: docs/protocol.md, "Messages".
    #[pyo3(signature = (message, *, now_ms=None))]
    fn confirm(&self, py: Python<'_>, message: Input<'_>, now_ms: Option<Whole>) -> PyResult<()> {
        let message = message.as_slice();
        let confirmed = self.run(py, |session| {
            let (named, confirmation) = message
                .split_first_chunk()
                .ok_or(SessionError::Malformed("confirmation must be 48 or 112 bytes long"))?;
            if *named != self.terms.session_id {
                return Err(SessionError::AuthenticationFailed);
            }
            session.confirm(confirmation, clock::or_now(now_ms))
        });
        if message.len() > UNSIGNED_CONFIRMATION_LEN {
            VERIFY.count(py, confirmed.is_ok());
        }
        confirmed
    }

    /// Seal one record and advance the sequence number.
    ///
    /// Args:
    ///     plaintext: 0 to 1,048,576 bytes (MAX_PLAINTEXT_LEN).
    ///     aad: Associated data, authenticated, not sent.
    ///     binary_http: Set the flag that says the plaintext is a binary HTTP message (RFC 9292).
    ///     answers: The request record (or its header) that this record answers: the answer is sealed in
    ///         the request's epoch, for which keys stay 60 s after a rekey.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     ``header(48) || ciphertext || tag(16)``, ``len(plaintext) + 64`` bytes.
    ///
    /// Raises:
    ///     RekeyRequiredError: The record key's budget is spent, the session was restored, or ``answers``
    ///         names an epoch whose keys are gone.
    ///     UsageError: The plaintext is too long.
    ///     SessionStateError: Closed or half-open.
    ///     ExpiredError: Age or idleness has ended the session.
    ///
    /// Cost: about 0.15 µs for 64 B, 0.1 to 0.4 ms for 1 MiB. Holds the interpreter lock.
    /// Source: docs/protocol.md, "Records"; NIST SP 800-38D §7.1.
    #[pyo3(signature = (plaintext, *, aad=None, binary_http=false, answers=None, now_ms=None))]
    fn seal<'py>(
        &self,
        py: Python<'py>,
        plaintext: Input<'_>,
        aad: Option<Input<'_>>,
        binary_http: bool,
        answers: Option<Input<'_>>,
        now_ms: Option<Whole>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let plaintext = plaintext.as_slice();
        let options = SealOptions {
            aad: or_empty(aad.as_ref()),
            binary_http,
            answers_epoch: epoch_of(py, answers.as_ref())?,
        };
        let now_ms = clock::or_now(now_ms);
        output::bytes(py, plaintext.len() + RECORD_OVERHEAD, |out| {
            let watch = SEAL.begin();
            let sealed =
                self.run(py, |session| session.seal(plaintext, options, now_ms, &mut SystemRandom, out));
            SEAL.end(py, watch, sealed.is_ok(), plaintext.len());
            sealed
        })
    }

    /// Open one record, exactly once.
    ///
    /// Args:
    ///     record: A whole record, 64 to 1,048,640 bytes.
    ///     aad: The associated data it was sealed with.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     The plaintext, ``len(record) - 64`` bytes. A close record gives ``b""`` and closes this side.
    ///
    /// Raises:
    ///     AuthenticationError: Wrong tag, session, direction or suite. Nothing has changed.
    ///     ReplayDetectedError: Delivered before, or 1,024 or more behind the newest.
    ///     RekeyRequiredError: Valid, but of an epoch that is over, or its window is lost.
    ///     HandshakeError: Not of a record's form (``malformed_request``), or the plaintext would be
    ///         longer than 1 MiB (``payload_too_large``).
    ///     SessionStateError: Closed, carried here by fork, or half-open under policy ``signature``.
    ///     ExpiredError: Age, idleness or a missing confirmation has ended the session.
    ///
    /// Cost: about 0.15 µs for 64 B, 0.1 to 0.4 ms for 1 MiB. Holds the interpreter lock.
    /// Source: docs/protocol.md, "Records"; NIST SP 800-38D §7.2; RFC 6479.
    #[pyo3(signature = (record, *, aad=None, now_ms=None))]
    fn open<'py>(
        &self,
        py: Python<'py>,
        record: Input<'_>,
        aad: Option<Input<'_>>,
        now_ms: Option<Whole>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        check_len(py, record.as_slice())?;
        let (record, aad) = (record.stable(), or_empty(aad.as_ref()));
        self.open_record(py, &record, aad, clock::or_now(now_ms))
    }

    /// Seal each plaintext as one record, in order.
    ///
    /// Args:
    ///     plaintexts: A list of bytes, or an array (count, length) of uint8.
    ///     aad: Associated data, the same for all records.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     A list of records, each 64 bytes longer than its plaintext.
    ///
    /// Raises:
    ///     As ``seal``. Then no record leaves, and the sequence numbers already used stay used.
    ///
    /// Cost: one crossing; the interpreter lock is released for large batches.
    #[pyo3(signature = (plaintexts, *, aad=None, now_ms=None))]
    fn seal_many<'py>(
        &self,
        py: Python<'py>,
        plaintexts: Batch<'py>,
        aad: Option<Input<'_>>,
        now_ms: Option<Whole>,
    ) -> PyResult<Bound<'py, PyList>> {
        self.with(py, |_| ())?;
        let plaintexts = plaintexts.slices();
        let options = SealOptions { aad: or_empty(aad.as_ref()), ..SealOptions::default() };
        let now_ms = clock::or_now(now_ms);
        let lens = plaintexts.iter().map(|plaintext| plaintext.len() + RECORD_OVERHEAD);
        let records = output::many(py, lens, |outs| {
            let watch = SEAL.begin_many(plaintexts.len());
            let (sealed, took) = detach::run(py, batch_ns(&plaintexts), || {
                let sealed = self.with_detached(|session| {
                    for (plaintext, out) in plaintexts.iter().zip(outs) {
                        session.seal(plaintext, options, now_ms, &mut SystemRandom, out)?;
                    }
                    Ok(())
                });
                (sealed, watch.stop())
            });
            let (refused, len) = match &sealed {
                Ok(()) => (0, plaintexts.iter().map(|plaintext| plaintext.len()).sum()),
                Err(_) => (plaintexts.len(), 0),
            };
            SEAL.end_many(py, took, plaintexts.len(), refused, len);
            sealed.map_err(|error| errors::session(py, error))
        })?;
        PyList::new(py, records)
    }

    /// Open each record by itself, in order.
    ///
    /// Args:
    ///     records: A list of bytes, or an array (count, length) of uint8.
    ///     aad: The associated data, the same for all records.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     A list with the plaintext, or the exception that ``open`` would have raised, for each record.
    ///     A bad record changes nothing for its neighbours.
    ///
    /// Cost: one crossing; the interpreter lock is released for large batches.
    #[pyo3(signature = (records, *, aad=None, now_ms=None))]
    fn open_many<'py>(
        &self,
        py: Python<'py>,
        records: Batch<'py>,
        aad: Option<Input<'_>>,
        now_ms: Option<Whole>,
    ) -> PyResult<Bound<'py, PyList>> {
        self.with(py, |_| ())?;
        let records = records.into_stable();
        let (records, aad) = (records.slices(), or_empty(aad.as_ref()));
        let now_ms = clock::or_now(now_ms);
        let mut verdicts: Vec<Result<Header, SessionError>> = Vec::with_capacity(records.len());
        let plaintext_len =
            |record: &&[u8]| record.len().saturating_sub(RECORD_OVERHEAD).min(MAX_PLAINTEXT_LEN);
        let lens = records.iter().map(plaintext_len);
        let opened = output::many(py, lens, |outs: &mut [&mut [MaybeUninit<u8>]]| {
            let watch = OPEN.begin_many(records.len());
            let (took, refused, len) = detach::run(py, batch_ns(&records), || {
                let (mut refused, mut len) = (0, 0);
                self.with_detached(|session| {
                    for (record, out) in records.iter().zip(outs) {
                        let verdict = session.open(record, aad, now_ms, out);
                        if verdict.is_ok() {
                            len += out.len();
                        } else {
                            refused += 1;
                        }
                        verdicts.push(verdict);
                    }
                });
                (watch.stop(), refused, len)
            });
            OPEN.end_many(py, took, records.len(), refused, len);
            let replayed = |verdict: &&Result<_, _>| matches!(verdict, Err(SessionError::Replayed));
            tell_replayed(py, verdicts.iter().filter(replayed).count());
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

    /// Seal the record that ends both directions, and close this side.
    ///
    /// Args:
    ///     aad: Associated data, authenticated, not sent.
    ///     answers: The request record that this one answers, as in ``seal``.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     The close record, 64 bytes. Opening it closes the other side.
    ///
    /// Raises:
    ///     As ``seal``; the session then stays as it was.
    #[pyo3(signature = (*, aad=None, answers=None, now_ms=None))]
    fn seal_close<'py>(
        &self,
        py: Python<'py>,
        aad: Option<Input<'_>>,
        answers: Option<Input<'_>>,
        now_ms: Option<Whole>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let options = SealOptions {
            aad: or_empty(aad.as_ref()),
            binary_http: false,
            answers_epoch: epoch_of(py, answers.as_ref())?,
        };
        let now_ms = clock::or_now(now_ms);
        output::bytes(py, RECORD_OVERHEAD, |out| {
            let out = out.as_mut_array().expect("made with this length");
            let sealed = self.run(py, |session| session.seal_close(options, now_ms, &mut SystemRandom, out));
            SEAL.count(py, sealed.is_ok());
            sealed
        })
    }

    /// Initiator: ask for the next epoch.
    ///
    /// Returns:
    ///     R1 in its binary carrier, 84 bytes; the same bytes until a reply was accepted, so send it
    ///     again as often as needed.
    ///
    /// Raises:
    ///     SessionStateError: The responder's side, half-open, closed, or carried here by fork.
    ///     ExpiredError: Age or idleness has ended the session.
    ///
    /// Cost: about 1 µs.
    /// Source: docs/protocol.md, "Rekey and resume".
    #[pyo3(signature = (*, now_ms=None))]
    fn rekey_request<'py>(&self, py: Python<'py>, now_ms: Option<Whole>) -> PyResult<Bound<'py, PyBytes>> {
        let now_ms = clock::or_now(now_ms);
        let request = self.run(py, |session| session.rekey_request(now_ms, &mut SystemRandom))?;
        Ok(PyBytes::new(py, &request))
    }

    /// Initiator: take the server's reply and move to the next epoch.
    ///
    /// Args:
    ///     reply: R2 in its binary carrier: 64 bytes, or 148 with the committed R1 to adopt.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Raises:
    ///     AuthenticationError: A MAC is wrong. Nothing has changed; send R1 again.
    ///     HandshakeError: Another length (``malformed_request``).
    ///     SessionStateError: No rekey was asked for, the responder's side, closed, or carried by fork.
    ///     ExpiredError: Age or idleness has ended the session.
    ///
    /// Cost: about 2 µs.
    /// Source: docs/protocol.md, "Rekey and resume".
    #[pyo3(signature = (reply, *, now_ms=None))]
    fn accept_rekey(&self, py: Python<'_>, reply: Input<'_>, now_ms: Option<Whole>) -> PyResult<()> {
        self.run(py, |session| session.accept_rekey(reply.as_slice(), clock::or_now(now_ms)))
    }

    /// Responder without a store: decide an R1, move to the next epoch, and answer.
    ///
    /// Args:
    ///     request: R1 in its binary carrier, 84 bytes.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     R2 in its binary carrier: 64 bytes, or 148 with the committed R1 if that is another. The same
    ///     R1 gets the same bytes until the first record of the new epoch was opened.
    ///
    /// Raises:
    ///     AuthenticationError: Another session or epoch, or a wrong MAC. Nothing has changed.
    ///     HandshakeError: Another length (``malformed_request``).
    ///     SessionStateError: The initiator's side, half-open, closed, or carried here by fork.
    ///     ExpiredError: Age or idleness has ended the session.
    ///
    /// Cost: about 4 µs.
    /// Source: docs/protocol.md, "Rekey and resume".
    #[pyo3(signature = (request, *, now_ms=None))]
    fn answer_rekey<'py>(
        &self,
        py: Python<'py>,
        request: Input<'_>,
        now_ms: Option<Whole>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (request, now_ms) = (request.as_slice(), clock::or_now(now_ms));
        let reply = self.run(py, |session| session.answer_rekey(request, now_ms, &mut SystemRandom))?;
        Ok(PyBytes::new(py, &reply))
    }

    /// Responder with a store, first step: work out the answer to an R1 and change nothing.
    ///
    /// Then ``wrap`` the prepared rekey, compare-and-set the row in the store from the epoch before, and
    /// ``commit_rekey`` only if that won. ``answer_rekey`` does it all at once without a store.
    ///
    /// Args:
    ///     request: R1 in its binary carrier, 84 bytes.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     The prepared rekey.
    ///
    /// Raises:
    ///     As ``answer_rekey``.
    ///
    /// Cost: about 4 µs.
    /// Source: docs/protocol.md, "Rekey and resume".
    #[pyo3(signature = (request, *, now_ms=None))]
    fn prepare_rekey(
        &self,
        py: Python<'_>,
        request: Input<'_>,
        now_ms: Option<Whole>,
    ) -> PyResult<PreparedRekey> {
        let (request, now_ms) = (request.as_slice(), clock::or_now(now_ms));
        let prepared = self.run(py, |session| session.prepare_rekey(request, now_ms, &mut SystemRandom))?;
        Ok(PreparedRekey { inner: Mutex::new(Some(prepared)) })
    }

    /// Responder with a store, last step: move to the prepared epoch and answer.
    ///
    /// Args:
    ///     prepared: What ``prepare_rekey`` returned, stored in between. It is spent in any case.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     R2 in its binary carrier, as ``answer_rekey``.
    ///
    /// Raises:
    ///     SessionStateError: Spent, of another session, overtaken by another rekey, closed, or carried
    ///         here by fork.
    ///     ExpiredError: Age or idleness has ended the session.
    #[pyo3(signature = (prepared, *, now_ms=None))]
    fn commit_rekey<'py>(
        &self,
        py: Python<'py>,
        prepared: &PreparedRekey,
        now_ms: Option<Whole>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let prepared = prepared.take(py)?;
        let now_ms = clock::or_now(now_ms);
        let reply = self.run(py, |session| session.commit_rekey(prepared, now_ms, &mut SystemRandom))?;
        Ok(PyBytes::new(py, &reply))
    }

    /// Derive bytes that both sides of this session can derive and nobody else.
    ///
    /// Args:
    ///     label: What they are for, 1 to 249 bytes in UTF-8.
    ///     context: Any length; it is hashed.
    ///     length: 0 to 8,160 bytes.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     ``length`` secret bytes, the same on both sides, whatever the epoch.
    ///
    /// Raises:
    ///     UsageError: The label is empty, or it or the length is too long.
    ///     SessionStateError: Restored from a store (the exporter is not stored), half-open or closed.
    ///     ExpiredError: Age or idleness has ended the session.
    ///
    /// Cost: about 0.4 µs for 32 bytes.
    /// Source: docs/protocol.md, "Key schedule".
    #[pyo3(signature = (label, context, length, *, now_ms=None))]
    fn export<'py>(
        &self,
        py: Python<'py>,
        label: &str,
        context: Input<'_>,
        length: usize,
        now_ms: Option<Whole>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (context, now_ms) = (context.as_slice(), clock::or_now(now_ms));
        // One byte more than allowed is enough for the core to say what the limit is.
        PyBytes::new_with(py, length.min(MAX_OKM_LEN + 1), |okm| {
            self.run(py, |session| session.export(label, context, now_ms, okm))
        })
    }

    /// Make the row to store for this session, its secrets sealed under a key-encryption key.
    ///
    /// Stored are the names, the current epoch's secrets and the committed rekey; never record keys,
    /// windows or the exporter. So a restored session demands a rekey first.
    ///
    /// Args:
    ///     kek: The key-encryption key.
    ///     store: The store's name, at most 255 bytes; the row opens under no other.
    ///     prepared: With a prepared rekey, the row of the epoch that it leads to.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Returns:
    ///     The row; None if ``prepared`` was committed before, since nothing is to be stored then.
    ///
    /// Raises:
    ///     UsageError: The store's name is too long.
    ///     SessionStateError: Half-open, closed, carried here by fork; ``prepared`` is spent, of another
    ///         session or overtaken; or the key-encryption key is closed.
    ///     ExpiredError: Age or idleness has ended the session.
    ///
    /// Cost: about 1 µs.
    /// Source: docs/protocol.md, "Sessions at rest".
    #[pyo3(signature = (kek, *, store, prepared=None, now_ms=None))]
    fn wrap(
        &self,
        py: Python<'_>,
        kek: &KeyEncryptionKey,
        store: &str,
        prepared: Option<&PreparedRekey>,
        now_ms: Option<Whole>,
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

    /// Spend part of this process's budget without sending, to reach the limits in tests.
    ///
    /// Sequence numbers only move forward, so this cannot repeat a nonce.
    ///
    /// Args:
    ///     records: How many records to count as sealed.
    ///     plaintext_bytes: How many plaintext bytes to count as sealed.
    ///     now_ms: The time; the clock is asked if it is left out.
    ///
    /// Raises:
    ///     SessionStateError: Half-open or closed.
    ///     ExpiredError: Age or idleness has ended the session.
    #[pyo3(signature = (*, records=0, plaintext_bytes=0, now_ms=None))]
    fn skip(
        &self,
        py: Python<'_>,
        records: u64,
        plaintext_bytes: u64,
        now_ms: Option<Whole>,
    ) -> PyResult<()> {
        let now_ms = clock::or_now(now_ms);
        self.run(py, |session| session.skip(records, plaintext_bytes, now_ms, &mut SystemRandom))
    }

    /// Drop what its deadline has passed: old record keys, a late confirmation, the session itself.
    ///
    /// Call it now and then for sessions that may fall silent. It never raises.
    ///
    /// Args:
    ///     now_ms: The time; the clock is asked if it is left out.
    #[pyo3(signature = (*, now_ms=None))]
    fn sweep(&self, py: Python<'_>, now_ms: Option<Whole>) -> PyResult<()> {
        self.with(py, |session| session.sweep(clock::or_now(now_ms)))
    }

    /// Set how many sending processes of the peer windows are kept for; 64 unless told otherwise.
    ///
    /// A valid record of one more is refused with RekeyRequiredError.
    ///
    /// Args:
    ///     maximum: At least 1; less counts as 1.
    fn limit_incarnations(&self, py: Python<'_>, maximum: usize) -> PyResult<()> {
        self.with(py, |session| session.limit_incarnations(maximum))
    }

    /// Erase every secret of the session now, without telling the peer. Idempotent.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        residue::wipe_registers();
        let closed = self.with(py, session::Session::close);
        residue::wipe_stack();
        closed
    }

    /// True once the session was closed or has expired.
    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        let state = self.with(py, |session| session.state())?;
        Ok(matches!(state, State::Closed | State::Expired))
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(kind.py())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (id, role, state) = (self.session_id(), self.role(), self.state(py)?);
        Ok(format!("Session(session_id='{id}', role='{role}', state='{state}')"))
    }
}

/// A panic in the middle of a step may have left half of it behind: such a session is over.
fn ended(poisoned: PoisonError<MutexGuard<'_, session::Session>>) -> MutexGuard<'_, session::Session> {
    let mut session = poisoned.into_inner();
    session.close();
    session
}

fn tell_replayed(py: Python<'_>, count: usize) {
    if count > 0 {
        events::refused(py, "replayed", count);
    }
}

/// Roughly what a batch of records costs.
fn batch_ns(items: &[&[u8]]) -> usize {
    items.iter().map(|item| aead_ns(item.len())).sum()
}

/// Refuses a record that is too long before it is copied or anything is allocated for it.
pub fn check_len(py: Python<'_>, record: &[u8]) -> PyResult<()> {
    match record.len().checked_sub(RECORD_OVERHEAD) {
        Some(len) if len > MAX_PLAINTEXT_LEN => Err(errors::session(py, SessionError::TooLarge(len))),
        _ => Ok(()),
    }
}

/// The epoch that an answer belongs to: that of the request record it answers.
fn epoch_of(py: Python<'_>, request: Option<&Input<'_>>) -> PyResult<Option<u32>> {
    let header = request.map(|record| Header::parse(record.as_slice())).transpose();
    Ok(header.map_err(|error| errors::session(py, error))?.map(|header| header.epoch))
}

/// An answer to an R1 that has changed nothing yet. Made by ``Session.prepare_rekey``.
///
/// It refuses to be pickled or copied; ``Session.commit_rekey`` spends it.
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
    /// True if this epoch's rekey was committed before: there is nothing to store, only to answer.
    ///
    /// Raises:
    ///     SessionStateError: Spent.
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
