//! Many handshakes answered in one call.

use std::sync::PoisonError;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sage_core::handshake;
use sage_core::random::SystemRandom;

use crate::buffers::same_count;
use crate::clock;
use crate::counters::{SIGN, VERIFY};
use crate::detach;
use crate::errors;
use crate::handshake::Request;
use crate::numbers::Whole;
use crate::residue;
use crate::session::Session;
use crate::signatures::VerifyingKey;

/// Do ``Request.authenticate`` for many requests.
///
/// Each verdict is the one that the request would get alone: what is shared decides nothing.
///
/// Args:
///     requests: Requests of any responders, none twice.
///     listed_keys: For each request the keys that its client's DID resolved to, as for
///         ``Request.authenticate``.
///
/// Returns:
///     In the order of the requests, True where ``authenticate`` would have returned, False where it
///     would have raised AuthenticationError.
///
/// Raises:
///     UsageError: The lengths differ.
///     SessionStateError: One was authenticated before, or stands twice. Nothing was done.
///
/// Cost: from eight on 3 to 25 µs a request, by processor and by whether its key is expanded. Holds
/// the interpreter lock for 62 requests or fewer.
/// Source: docs/protocol.md, "Order of work on M1".
#[pyfunction]
pub fn authenticate_many(
    py: Python<'_>,
    requests: Vec<Bound<'_, Request>>,
    listed_keys: Vec<Vec<Bound<'_, VerifyingKey>>>,
) -> PyResult<Vec<bool>> {
    same_count(py, &[("requests", requests.len()), ("listed_keys", listed_keys.len())])?;
    let keys = |keys: Vec<Bound<'_, VerifyingKey>>| keys.iter().map(|key| key.get().inner.clone()).collect();
    let listed: Vec<Vec<_>> = listed_keys.into_iter().map(keys).collect();
    let requests = distinct(py, &requests)?;
    let (count, watch) = (requests.len(), VERIFY.begin_many(requests.len()));
    let (verdicts, took) = detach::run(py, count * detach::AUTHENTICATE_NS, || {
        let verdicts = with_all(&requests, |requests| handshake::authenticate_many(requests, &listed));
        (verdicts, watch.stop())
    });
    let refused =
        verdicts.as_ref().map_or(count, |verdicts| verdicts.iter().filter(|valid| !**valid).count());
    VERIFY.end_many(py, took, count, refused, 0);
    verdicts.map_err(|error| errors::handshake(py, error))
}

/// Do ``Request.accept`` for many requests of one responder.
///
/// Call it only after the request nonces were admitted.
///
/// Args:
///     requests: Authenticated requests of one responder, none twice.
///     lifetime_s: How long the sessions may live, in seconds, at least 1.
///     idle_timeout_s: How long they may stay silent, in seconds, at least 1.
///     now_ms: The time in ms since the epoch; the clock is asked if it is left out.
///
/// Returns:
///     In the order of the requests what ``accept`` would have returned, M2 and the session; or the
///     HandshakeError (``invalid_key``), not raised, for one whose key share has small order.
///
/// Raises:
///     UsageError: A time is zero, or the requests are of several responders. Nothing was done.
///     SessionStateError: One is not authenticated, was accepted before or stands twice, or the signing
///         key is closed. Nothing was done.
///
/// Cost: from eight on 14 to 45 µs a request, by processor. Holds the interpreter lock for 33 requests
/// or fewer.
/// Source: docs/protocol.md, "Messages" and "Key schedule".
#[pyfunction]
#[pyo3(signature = (requests, *, lifetime_s=3600, idle_timeout_s=600, now_ms=None))]
pub fn accept_many(
    py: Python<'_>,
    requests: Vec<Bound<'_, Request>>,
    lifetime_s: u64,
    idle_timeout_s: u32,
    now_ms: Option<Whole>,
) -> PyResult<Vec<Py<PyAny>>> {
    let (lifetime_ms, now_ms) = (lifetime_s.saturating_mul(1000), clock::or_now(now_ms));
    let requests = distinct(py, &requests)?;
    let Some(first) = requests.first() else { return Ok(Vec::new()) };
    if requests.iter().any(|request| !request.signing_key.is(&first.signing_key)) {
        return Err(errors::usage(py, "the requests of a batch must be of one responder"));
    }
    let key = &first.signing_key.get().inner;
    let answers = detach::run(py, requests.len() * detach::ACCEPT_NS, || {
        let answers = key.try_with(|key| {
            with_all(&requests, |requests| {
                handshake::accept_many(requests, key, lifetime_ms, idle_timeout_s, now_ms, &mut SystemRandom)
            })
        });
        // Batches reach deeper than any later call, so they clean up behind themselves.
        residue::wipe_registers();
        residue::wipe_stack();
        answers
    });
    let answers = answers.ok_or_else(|| key.closed(py))?.map_err(|error| errors::handshake(py, error))?;
    answers.into_iter().map(|answer| answered(py, answer)).collect()
}

/// M2 and the session, or the refusal as a value.
fn answered(
    py: Python<'_>,
    answer: Result<handshake::Accepted, sage_core::error::HandshakeError>,
) -> PyResult<Py<PyAny>> {
    match answer {
        Ok(accepted) => {
            SIGN.count(py, true);
            let answer = (PyBytes::new(py, &accepted.message), Session::new(accepted.session));
            Ok(answer.into_pyobject(py)?.into_any().unbind())
        }
        Err(error) => Ok(errors::handshake(py, error).into_value(py).into_any()),
    }
}

/// The requests, if none is there twice.
fn distinct<'a>(py: Python<'_>, requests: &'a [Bound<'_, Request>]) -> PyResult<Vec<&'a Request>> {
    let requests: Vec<_> = requests.iter().map(Bound::get).collect();
    let mut addresses: Vec<_> = requests.iter().map(|request| address(request)).collect();
    addresses.sort_unstable();
    if addresses.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(errors::state(py, "a request must not stand twice in a batch"));
    }
    Ok(requests)
}

/// Calls `with` on all requests, none of which is there twice.
fn with_all<R>(requests: &[&Request], with: impl FnOnce(&mut [&mut handshake::Request]) -> R) -> R {
    // Locked in one order whatever theirs, so that no two batches wait for each other.
    let mut order: Vec<_> = requests.iter().enumerate().collect();
    order.sort_unstable_by_key(|(_, request)| address(request));
    let mut guards: Vec<_> = order
        .into_iter()
        .map(|(place, request)| (place, request.inner.lock().unwrap_or_else(PoisonError::into_inner)))
        .collect();
    guards.sort_unstable_by_key(|(place, _)| *place);
    with(&mut guards.iter_mut().map(|(_, guard)| &mut **guard).collect::<Vec<_>>())
}

fn address(request: &Request) -> usize {
    core::ptr::from_ref(request).addr()
}
