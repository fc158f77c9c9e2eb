//! Rekey and resume: one round trip that moves a session to its next epoch.
//!
//! ```text
//! R1  16 session_id ‖ u32 epoch ‖ 32 nonce_c ‖ 32 mac_c        client asks
//! R2  32 nonce_s ‖ 32 mac_s                                    server commits once, then answers
//! ```
//!
//! For one session and epoch there is exactly one R2. The server commits (session, epoch, R1, R2)
//! before it answers and draws nothing for a second R1: the same R1 gets the same R2, another valid
//! R1 gets the committed pair, which the client adopts. So a lost answer, two requests at once or a
//! crash in between leave both sides able to meet again in one round trip.
//!
//! With a store the commit is a compare-and-set there: [`Session::prepare_rekey`] computes,
//! the caller commits the wrapped next epoch (`wrap.rs`), [`Session::commit_rekey`] moves on.

use crate::aws_lc::sha256;
use crate::epoch::{Epoch, prk};
use crate::error::SessionError;
use crate::hkdf::HmacKey;
use crate::random::{RandomSource, draw};
use crate::record::SessionId;
use crate::secret::Secret;
use crate::session::{Live, Role, Session};
use crate::wire::Reader;

/// Bytes of R1.
pub const REQUEST_LEN: usize = 84;
/// Bytes of R2, which the committed R1 follows when it is another than the one sent.
pub const REPLY_LEN: usize = 64;

const MAC_LEN: usize = 32;

/// The wire form of R1.
pub type Request = [u8; REQUEST_LEN];
/// The wire form of R2.
pub type Reply = [u8; REPLY_LEN];

/// Where a rekey stands. Forgotten when the first record of the new epoch verifies.
#[derive(Default)]
pub(crate) struct Progress {
    /// Client: the R1 of this epoch, sent and repeated unchanged.
    asked: Option<Box<Request>>,
    /// Server: what was committed for the epoch before.
    committed: Option<Box<Committed>>,
}

/// The one decision about an epoch.
pub(crate) struct Committed {
    pub(crate) request: Request,
    pub(crate) reply: Reply,
    /// Checks other R1s of the same epoch, whose secret is gone.
    pub(crate) request_mac_key: Secret<32>,
}

/// What a server would answer to an R1. Nothing has changed yet.
pub struct Prepared {
    session_id: SessionId,
    answer: Answer,
}

enum Answer {
    /// Already committed: only the bytes to send again.
    Again(Vec<u8>),
    /// New: to be committed first.
    New(Box<Step>),
}

/// The move from one epoch to the next.
pub(crate) struct Step {
    from_epoch: u32,
    pub(crate) next: Epoch,
    pub(crate) committed: Committed,
}

impl Prepared {
    /// True if answering changes nothing, since this epoch's rekey was committed before.
    #[must_use]
    pub fn is_committed(&self) -> bool {
        matches!(self.answer, Answer::Again(_))
    }

    pub(crate) fn step(&self) -> Option<&Step> {
        match &self.answer {
            Answer::New(step) => Some(step),
            Answer::Again(_) => None,
        }
    }
}

impl Progress {
    pub(crate) fn with_committed(committed: Option<Committed>) -> Self {
        Self { asked: None, committed: committed.map(Box::new) }
    }

    pub(crate) fn committed(&self) -> Option<&Committed> {
        self.committed.as_deref()
    }

    /// Both sides have arrived: the committed pair has done its work.
    pub(crate) fn first_record_verified(&mut self) {
        if self.committed.is_some() {
            self.committed = None;
        }
    }
}

impl Session {
    /// Client: the R1 of the current epoch. The same bytes until an R2 was accepted.
    ///
    /// # Errors
    /// [`SessionError`]: not open, or not the client.
    pub fn rekey_request(
        &mut self,
        now_ms: u64,
        random: &mut dyn RandomSource,
    ) -> Result<Request, SessionError> {
        self.must_be(Role::Initiator, "only the initiator asks for a rekey")?;
        let session_id = self.terms().session_id;
        let live = self.unforked(now_ms)?;
        if let Some(asked) = &live.rekey.asked {
            return Ok(**asked);
        }
        let mut request = [0; REQUEST_LEN];
        request[..16].copy_from_slice(&session_id);
        request[16..20].copy_from_slice(&live.epoch.number.to_be_bytes());
        request[20..52].copy_from_slice(&draw::<32>(random)?);
        let mac = mac_key(&live.epoch.send_secret).mac(&[b"R1", &request[..52]]);
        request[52..].copy_from_slice(&mac);
        live.rekey.asked = Some(Box::new(request));
        Ok(request)
    }

    /// Client: takes R2, alone or followed by the committed R1 to adopt, and moves on.
    ///
    /// # Errors
    /// [`SessionError::AuthenticationFailed`] if a MAC is wrong; the request may be sent again.
    pub fn accept_rekey(&mut self, reply: &[u8], now_ms: u64) -> Result<(), SessionError> {
        self.must_be(Role::Initiator, "only the initiator takes a rekey reply")?;
        let session_id = self.terms().session_id;
        let live = self.unforked(now_ms)?;
        let asked = live.rekey.asked.as_ref().ok_or(SessionError::OutOfOrder("no rekey was asked for"))?;
        let (reply, request) = match (reply.split_first_chunk::<REPLY_LEN>(), reply.len()) {
            (Some((reply, _)), REPLY_LEN) => (reply, **asked),
            (Some((reply, adopted)), _) if adopted.len() == REQUEST_LEN => {
                let adopted: Request = adopted.try_into().expect("measured");
                check_request(&adopted, session_id, live.epoch.number, &mac_key(&live.epoch.send_secret))?;
                (reply, adopted)
            }
            _ => return Err(SessionError::Malformed("rekey reply must be 64 or 148 bytes long")),
        };
        let (nonce, mac) = reply.split_at(REPLY_LEN - MAC_LEN);
        if !mac_key(&live.epoch.receive_secret).verify(&[b"R2", &request, nonce], mac) {
            return Err(SessionError::AuthenticationFailed);
        }
        let next = live.epoch.next(&request, reply)?;
        live.advance(next, now_ms);
        live.rekey.asked = None;
        Ok(())
    }

    /// Server: works out the answer to an R1 and changes nothing.
    ///
    /// # Errors
    /// [`SessionError::AuthenticationFailed`] for another session or epoch, or a wrong MAC.
    pub fn prepare_rekey(
        &mut self,
        request: &[u8],
        now_ms: u64,
        random: &mut dyn RandomSource,
    ) -> Result<Prepared, SessionError> {
        self.must_be(Role::Responder, "only the responder answers a rekey request")?;
        let session_id = self.terms().session_id;
        let request: &Request =
            request.try_into().map_err(|_| SessionError::Malformed("rekey request must be 84 bytes long"))?;
        let live = self.unforked(now_ms)?;
        let epoch = live.epoch.number;
        let prepared = |answer| Prepared { session_id, answer };
        if let Some(committed) = live.rekey.committed() {
            let before = epoch.wrapping_sub(1);
            if request[..20] == committed.request[..20] {
                let key = HmacKey::new(committed.request_mac_key.expose());
                check_request(request, session_id, before, &key)?;
                return Ok(prepared(Answer::Again(committed.answer_to(request))));
            }
        }
        let request_mac_key = prk(&live.epoch.receive_secret).derive::<32>("rekey", &[]);
        check_request(request, session_id, epoch, &HmacKey::new(request_mac_key.expose()))?;
        let mut reply = [0; REPLY_LEN];
        reply[..32].copy_from_slice(&draw::<32>(random)?);
        let mac = mac_key(&live.epoch.send_secret).mac(&[b"R2", request, &reply[..32]]);
        reply[32..].copy_from_slice(&mac);
        let next = live.epoch.next(request, &reply)?;
        let committed = Committed { request: *request, reply, request_mac_key };
        Ok(prepared(Answer::New(Box::new(Step { from_epoch: epoch, next, committed }))))
    }

    /// Server: moves on to the prepared epoch and returns the bytes to answer with. With a store,
    /// only after the compare-and-set there has won.
    ///
    /// # Errors
    /// [`SessionError::OutOfOrder`] if the session has moved on since it was prepared.
    pub fn commit_rekey(
        &mut self,
        prepared: Prepared,
        now_ms: u64,
        random: &mut dyn RandomSource,
    ) -> Result<Vec<u8>, SessionError> {
        let live = self.fitting(&prepared, now_ms)?;
        match prepared.answer {
            Answer::Again(bytes) => Ok(bytes),
            Answer::New(step) => {
                // Answers to requests of this epoch may still be due; their key must exist before
                // the secret goes.
                live.epoch.sender(random)?;
                let Step { next, committed, .. } = *step;
                let reply = committed.reply.to_vec();
                live.advance(next, now_ms);
                live.rekey.committed = Some(Box::new(committed));
                Ok(reply)
            }
        }
    }

    /// Server without a store: prepares and commits at once.
    ///
    /// # Errors
    /// As [`Session::prepare_rekey`].
    pub fn answer_rekey(
        &mut self,
        request: &[u8],
        now_ms: u64,
        random: &mut dyn RandomSource,
    ) -> Result<Vec<u8>, SessionError> {
        let prepared = self.prepare_rekey(request, now_ms, random)?;
        self.commit_rekey(prepared, now_ms, random)
    }

    fn must_be(&self, role: Role, why: &'static str) -> Result<(), SessionError> {
        if self.terms().role == role { Ok(()) } else { Err(SessionError::OutOfOrder(why)) }
    }

    /// The live session, if `prepared` was made by it and it has not moved on since.
    pub(crate) fn fitting(&mut self, prepared: &Prepared, now_ms: u64) -> Result<&mut Live, SessionError> {
        self.must_be(Role::Responder, "only the responder commits a rekey")?;
        self.must_be(Role::Responder, "only the responder commits a rekey")?;
        let session_id = self.terms().session_id;
        let live = self.unforked(now_ms)?;
        let has_moved_on = |step: &Step| step.from_epoch != live.epoch.number;
        if prepared.session_id != session_id {
            Err(SessionError::OutOfOrder("this rekey was prepared for another session"))
        } else if prepared.step().is_some_and(has_moved_on) {
            Err(SessionError::OutOfOrder("the session was rekeyed since this was prepared"))
        } else {
            Ok(live)
        }
    }

    /// A rekey decides for all holders of a session, so a forked copy must not take part.
    pub(crate) fn unforked(&mut self, now_ms: u64) -> Result<&mut Live, SessionError> {
        let live = self.open_live(now_ms)?;
        if live.is_forked() { Err(SessionError::Forked) } else { Ok(live) }
    }
}

impl Epoch {
    /// `secret_{n+1} = Expand(secret_n, "next", H(R1 ‖ R2), 32)`, both directions.
    pub(crate) fn next(&self, request: &Request, reply: &Reply) -> Result<Self, SessionError> {
        let number = self.number.checked_add(1).ok_or(SessionError::BudgetSpent)?;
        let context = sha256(&[request, reply]);
        let step = |secret| prk(secret).derive("next", &context);
        Ok(Self::new(number, step(&self.send_secret), step(&self.receive_secret)))
    }
}

impl Committed {
    fn answer_to(&self, request: &Request) -> Vec<u8> {
        if *request == self.request { self.reply.to_vec() } else { [&self.reply[..], &self.request].concat() }
    }
}

/// `Expand(secret, "rekey", "", 32)` as a MAC key.
fn mac_key(secret: &Secret<32>) -> HmacKey {
    HmacKey::new(prk(secret).derive::<32>("rekey", &[]).expose())
}

fn check_request(
    request: &Request,
    session_id: SessionId,
    epoch: u32,
    key: &HmacKey,
) -> Result<(), SessionError> {
    let mut reader = Reader::new(request);
    let named = (reader.array().copied(), reader.u32());
    let (body, mac) = request.split_at(REQUEST_LEN - MAC_LEN);
    if named == (Ok(session_id), Ok(epoch)) && key.verify(&[b"R1", body], mac) {
        Ok(())
    } else {
        Err(SessionError::AuthenticationFailed)
    }
}
