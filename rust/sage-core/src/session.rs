//! A session: what two agents share after a handshake, seen from one of them.
//!
//! ```text
//!              confirm(M3) or first valid record
//!  half-open ────────────────────────────────────▶ open ──▶ ended
//!      │ 10 s                                       │ close, close record, age, idleness
//!      └───────────────────────────────────────────▶┘
//! ```
//!
//! Only a responder's session starts half-open. Ending drops every secret at once; what remains are
//! the names, so that the reason can still be told. Epochs advance by rekey (`rekey.rs`) while the
//! state stays open.
//!
//! The order of work on a record is that of the protocol, "Receiving": parse, check whose it is,
//! open the AEAD, and only then look at the window. A record that fails before its tag has verified
//! changes nothing.

use core::mem::MaybeUninit;
use std::sync::Arc;

use zeroize::Zeroize;

use crate::did::Did;
use crate::ed25519::VerifyingKey;
use crate::epoch::{Epoch, HARD_BUDGET, RecordKeys, SOFT_BUDGET, prk};
use crate::error::{InputError, SessionError};
use crate::fork;
use crate::handshake::Confirmation;
use crate::hkdf::{LABEL_PREFIX, MAX_OKM_LEN};
use crate::incarnation::Sender;
use crate::random::RandomSource;
use crate::record::{Direction, Flags, HEADER_LEN, Header, MAX_PLAINTEXT_LEN, RECORD_OVERHEAD, SessionId};
use crate::rekey;
use crate::replay::{AdmitError, WindowName, WindowTable};
use crate::secret::Secret;
use crate::wrap::NO_WINDOWS;

/// How long record keys of the epoch before stay, for answers that are under way.
pub const PREVIOUS_EPOCH_MS: u64 = 60_000;
/// After how much silence a session is put to rest.
pub const REST_AFTER_MS: u64 = 10_000;
/// Sending processes a receiver keeps windows for, unless told otherwise.
pub const DEFAULT_MAX_INCARNATIONS: usize = 64;

/// Who this side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The client: it began the handshake, and only it asks for rekeys.
    Initiator,
    /// The server.
    Responder,
}

impl Role {
    /// The direction of the records that this role sends.
    #[must_use]
    pub const fn sends(self) -> Direction {
        match self {
            Self::Initiator => Direction::ClientToServer,
            Self::Responder => Direction::ServerToClient,
        }
    }
}

/// What was agreed and never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Which side this is.
    pub role: Role,
    /// The negotiated suite.
    pub suite: u16,
    /// The session's name.
    pub session_id: SessionId,
    /// The initiator's DID.
    pub client_did: Did,
    /// The responder's DID.
    pub server_did: Did,
    /// The key that the initiator signed with.
    pub client_key: VerifyingKey,
    /// The key that the responder signed with.
    pub server_key: VerifyingKey,
    /// When the session was made, by this side's clock.
    pub created_ms: u64,
    /// When it ends at the latest.
    pub expires_ms: u64,
    /// How long it may stay silent.
    pub idle_timeout_s: u32,
}

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Made, but not confirmed by the client.
    HalfOpen,
    /// In use.
    Open,
    /// Closed by either side.
    Closed,
    /// Ended by age, idleness or a missing confirmation.
    Expired,
}

/// How a record is to be sealed.
#[derive(Debug, Clone, Copy, Default)]
pub struct SealOptions<'a> {
    /// Associated data after the header, authenticated, not sent.
    pub aad: &'a [u8],
    /// [`Flags::BINARY_HTTP`] or nothing; the session sets the other bits itself.
    pub binary_http: bool,
    /// The epoch of the request that this record answers, if it answers one.
    pub answers_epoch: Option<u32>,
}

/// One side of a session.
pub struct Session {
    terms: Arc<Terms>,
    state: State,
    live: Option<Box<Live>>,
    max_incarnations: usize,
    /// Records sealed and opened here, of all epochs.
    messages: u64,
    /// When it was used last, once it has ended.
    ended_activity_ms: u64,
    /// Those of other processes, as far as this one was told.
    messages_elsewhere: u64,
    max_messages: u64,
}

/// Everything that is erased when the session ends.
pub(crate) struct Live {
    pub(crate) epoch: Epoch,
    pub(crate) previous: Option<Box<Previous>>,
    pub(crate) rekey: rekey::Progress,
    pub(crate) restored: bool,
    confirmation: Option<Box<Confirmation>>,
    exporter: Option<Secret<32>>,
    last_activity_ms: u64,
    peer_wants_rekey: bool,
    /// Windows of all workers, instead of this process's own.
    shared_windows: Option<SharedWindows>,
    /// The process that used the session last, as `fork.rs` numbers them.
    generation: u64,
    /// True in a process that has the session only by fork.
    forked: bool,
}

/// Where the windows of all workers lie, and what a session is called there.
struct SharedWindows {
    table: Arc<WindowTable>,
    peer_did: Did,
    expires_ms: u64,
}

/// Record keys of the epoch before.
pub(crate) struct Previous {
    pub(crate) number: u32,
    pub(crate) keys: RecordKeys,
    pub(crate) until_ms: u64,
}

impl Session {
    pub(crate) fn new(
        terms: Terms,
        epoch: Epoch,
        exporter: Option<Secret<32>>,
        confirmation: Option<Confirmation>,
        now_ms: u64,
    ) -> Self {
        let state = if confirmation.is_some() { State::HalfOpen } else { State::Open };
        let live = Live {
            epoch,
            previous: None,
            rekey: rekey::Progress::default(),
            restored: false,
            confirmation: confirmation.map(Box::new),
            exporter,
            last_activity_ms: now_ms,
            peer_wants_rekey: false,
            shared_windows: None,
            generation: fork::generation(),
            forked: false,
        };
        let max_incarnations = DEFAULT_MAX_INCARNATIONS;
        Self {
            terms: Arc::new(terms),
            state,
            live: Some(Box::new(live)),
            max_incarnations,
            messages: 0,
            ended_activity_ms: now_ms,
            messages_elsewhere: 0,
            max_messages: u64::MAX,
        }
    }

    /// A session out of a store: its windows are lost, so it must rekey before anything else.
    /// Those of later epochs may lie in a table.
    pub(crate) fn restored(
        terms: Terms,
        epoch: Epoch,
        progress: rekey::Progress,
        windows: Option<Arc<WindowTable>>,
        now_ms: u64,
    ) -> Self {
        let shared_windows = windows.map(|table| SharedWindows::new(table, &terms));
        let mut session = Self::new(terms, epoch, None, None, now_ms);
        let live = session.live.as_mut().expect("just made");
        live.restored = true;
        live.rekey = progress;
        live.shared_windows = shared_windows;
        session
    }

    /// A session out of a store whose windows are not lost: they lie in this table.
    pub(crate) fn resumed(
        terms: Terms,
        epoch: Epoch,
        progress: rekey::Progress,
        windows: Arc<WindowTable>,
        now_ms: u64,
    ) -> Self {
        let mut session = Self::restored(terms, epoch, progress, Some(windows), now_ms);
        session.live.as_mut().expect("just made").restored = false;
        session
    }

    /// Keeps the replay windows in a table of all workers of this machine, from the first record on.
    ///
    /// # Errors
    /// [`SessionError::OutOfOrder`] once a record was opened; [`SessionError::Input`] if the session
    /// may live longer than the table looks ahead.
    pub fn share_windows(&mut self, windows: Arc<WindowTable>, now_ms: u64) -> Result<(), SessionError> {
        let shared = SharedWindows::new(windows, &self.terms);
        let (ahead_ms, horizon_ms) = (shared.expires_ms.saturating_sub(now_ms), shared.table.horizon_ms());
        let live = self.live(now_ms)?;
        if live.epoch.keys.has_received() {
            return Err(SessionError::OutOfOrder("share the windows before the first record is opened"));
        }
        if ahead_ms > horizon_ms {
            return Err(AdmitError::TooFarAhead { ahead_ms, horizon_ms }.into());
        }
        live.shared_windows = Some(shared);
        Ok(())
    }

    /// What was agreed.
    #[must_use]
    pub fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// Where the session is in its life. A deadline shows only once something was tried after it.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The current epoch, or `None` once ended.
    #[must_use]
    pub fn epoch(&self) -> Option<u32> {
        self.live.as_ref().map(|live| live.epoch.number)
    }

    /// True once either side has spent its soft budget: the client should rekey soon.
    #[must_use]
    pub fn rekey_wanted(&self) -> bool {
        self.live.as_ref().is_some_and(|live| {
            let spent = live.epoch.keys.sender.as_ref().is_some_and(Sender::is_past_soft_budget);
            live.peer_wants_rekey || live.restored || spent
        })
    }

    /// How many sending processes windows are kept for, at least one.
    pub fn limit_incarnations(&mut self, max: usize) {
        self.max_incarnations = max.max(1);
    }

    /// How many records were sealed and opened by this process.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// When a record was last sealed or opened; `None` once ended.
    #[must_use]
    pub fn last_activity_ms(&self) -> Option<u64> {
        self.live.as_ref().map(|live| live.last_activity_ms)
    }

    /// As [`Session::last_activity_ms`], and still told once ended: use is written behind.
    #[must_use]
    pub fn last_use_ms(&self) -> u64 {
        self.last_activity_ms().unwrap_or(self.ended_activity_ms)
    }

    /// Lets the session end, as if its time were up, after record number `max`, of which `elsewhere`
    /// were sealed or opened by other processes.
    pub fn limit_messages(&mut self, max: u64, elsewhere: u64) {
        self.max_messages = max;
        self.messages_elsewhere = elsewhere;
    }

    /// Treats the replay windows as lost: a rekey must come before anything else. For rows out of a
    /// backup, which are older than what the windows know of.
    pub fn demand_rekey(&mut self) {
        if let Some(live) = &mut self.live {
            live.restored = true;
        }
    }

    /// Leaves this object the answers that are under way, for a minute, and nothing else: another
    /// process has led the session to its next epoch, and another object goes on with it.
    ///
    /// # Errors
    /// [`SessionError`]: not open, or the random source failed.
    pub fn retire(&mut self, now_ms: u64, random: &mut dyn RandomSource) -> Result<(), SessionError> {
        let live = self.open_live(now_ms)?;
        live.notice_fork();
        live.epoch.sender(random)?;
        // Secrets that nobody knows: nothing opens, no rekey verifies, and those of the epoch are gone.
        let number = live.epoch.number.wrapping_add(1);
        let nobodys = Epoch::new(number, Secret::draw(random)?, Secret::draw(random)?);
        live.advance(nobodys, now_ms);
        live.rekey = rekey::Progress::default();
        live.restored = true;
        Ok(())
    }

    /// Takes a client's confirmation, M3 without its session id: 32 bytes, or 96 with a signature.
    /// The right one may come again for 10 s.
    ///
    /// # Errors
    /// [`SessionError::AuthenticationFailed`] if it is another or no longer expected.
    pub fn confirm(&mut self, confirmation: &[u8], now_ms: u64) -> Result<(), SessionError> {
        let live = self.live(now_ms)?;
        if live.is_forked() {
            return Err(SessionError::Forked);
        }
        let expected = live.confirmation.as_ref().ok_or(SessionError::AuthenticationFailed)?;
        expected.check(confirmation, now_ms)?;
        self.state = State::Open;
        Ok(())
    }

    /// Seals one record into `out`, which is [`RECORD_OVERHEAD`] longer than `plaintext`, and
    /// advances the sequence number.
    ///
    /// # Errors
    /// [`SessionError`]: not open, budget spent, plaintext too long.
    pub fn seal(
        &mut self,
        plaintext: &[u8],
        options: SealOptions<'_>,
        now_ms: u64,
        random: &mut dyn RandomSource,
        out: &mut [MaybeUninit<u8>],
    ) -> Result<(), SessionError> {
        let flags = if options.binary_http { Flags::BINARY_HTTP } else { Flags::NONE };
        self.seal_flagged(plaintext, flags, options, now_ms, random, out)
    }

    /// Seals the record that ends both directions, and ends this side.
    ///
    /// # Errors
    /// As [`Session::seal`].
    pub fn seal_close(
        &mut self,
        options: SealOptions<'_>,
        now_ms: u64,
        random: &mut dyn RandomSource,
        out: &mut [MaybeUninit<u8>; RECORD_OVERHEAD],
    ) -> Result<(), SessionError> {
        self.seal_flagged(&[], Flags::CLOSE, options, now_ms, random, out)?;
        self.close();
        Ok(())
    }

    /// Opens one record into `plaintext`, which is [`RECORD_OVERHEAD`] shorter, exactly once.
    /// On any error `plaintext` holds nothing of the record.
    ///
    /// # Errors
    /// [`SessionError`]; nothing changes unless the tag verified.
    pub fn open(
        &mut self,
        record: &[u8],
        aad: &[u8],
        now_ms: u64,
        plaintext: &mut [MaybeUninit<u8>],
    ) -> Result<Header, SessionError> {
        let header = Header::of_record(record)?;
        let opened = self.open_authenticated(&header, record, aad, now_ms, plaintext);
        if opened.is_err() {
            plaintext.zeroize();
        }
        opened.map(|()| header)
    }

    /// `export(label, context, n)`: bytes that both sides can derive and nobody else, for channel
    /// binding and further keys.
    ///
    /// # Errors
    /// [`SessionError::NoExporter`] after a restore; input errors beyond 8,160 bytes or for a label
    /// of other than 1 to 249.
    pub fn export(
        &mut self,
        label: &str,
        context: &[u8],
        now_ms: u64,
        okm: &mut [u8],
    ) -> Result<(), SessionError> {
        use InputError::{TooLong, Value};
        let label_limit = 255 - LABEL_PREFIX.len();
        if label.is_empty() {
            return Err(Value { what: "exporter label", why: "must not be empty (RFC 8446 §7.1)" }.into());
        }
        if label.len() > label_limit {
            return Err(TooLong { what: "exporter label", limit: label_limit, actual: label.len() }.into());
        }
        if okm.len() > MAX_OKM_LEN {
            return Err(TooLong { what: "exported value", limit: MAX_OKM_LEN, actual: okm.len() }.into());
        }
        let live = self.open_live(now_ms)?;
        let exporter = live.exporter.as_ref().ok_or(SessionError::NoExporter)?;
        prk(exporter).expand_label(LABEL_PREFIX, label, &crate::aws_lc::sha256(&[context]), okm);
        Ok(())
    }

    /// Spends part of this process's budget without sending. Sequence numbers only ever move
    /// forward, so this cannot repeat a nonce; it exists to reach the limits in tests.
    ///
    /// # Errors
    /// As [`Session::seal`].
    pub fn skip(
        &mut self,
        records: u64,
        bytes: u64,
        now_ms: u64,
        random: &mut dyn RandomSource,
    ) -> Result<(), SessionError> {
        let live = self.open_live(now_ms)?;
        live.notice_fork();
        let sender = live.epoch.sender(random)?;
        sender.records = sender.records.saturating_add(records).min(HARD_BUDGET.records);
        sender.bytes = sender.bytes.saturating_add(bytes).min(HARD_BUDGET.bytes);
        Ok(())
    }

    /// Ends the session and erases every secret of it. Idempotent.
    pub fn close(&mut self) {
        self.end(State::Closed);
    }

    /// Drops what has passed its deadline: old record keys, a late confirmation, the session itself.
    /// Every use does the same; this is for sessions that nobody uses. Record keys of a session that
    /// was silent for [`REST_AFTER_MS`] are dropped too, and derived again when they are needed: they
    /// are most of its memory.
    pub fn sweep(&mut self, now_ms: u64) {
        // Whether it has ended is told by its state.
        if let Ok(live) = self.live(now_ms)
            && now_ms.saturating_sub(live.last_activity_ms) >= REST_AFTER_MS
        {
            live.epoch.rest();
        }
    }

    /// The secrets, unless the session has ended or its time is up, which ends it.
    pub(crate) fn live(&mut self, now_ms: u64) -> Result<&mut Live, SessionError> {
        let Some(live) = &self.live else {
            return Err(self.ended());
        };
        let idle_ms = u64::from(self.terms.idle_timeout_s) * 1000;
        let unconfirmed = self.state == State::HalfOpen
            && live.confirmation.as_ref().is_none_or(|expected| expected.is_late(now_ms));
        let idle = now_ms.saturating_sub(live.last_activity_ms) >= idle_ms;
        let spent = self.messages.saturating_add(self.messages_elsewhere) >= self.max_messages;
        if unconfirmed || idle || spent || now_ms >= self.terms.expires_ms {
            self.end(State::Expired);
            return Err(SessionError::Expired);
        }
        let live = self.live.as_mut().expect("checked above");
        live.drop_overdue(now_ms);
        Ok(live)
    }

    /// As [`Session::live`], once confirmed.
    pub(crate) fn open_live(&mut self, now_ms: u64) -> Result<&mut Live, SessionError> {
        let half_open = self.state == State::HalfOpen;
        let live = self.live(now_ms)?;
        if half_open { Err(SessionError::HalfOpen) } else { Ok(live) }
    }

    fn seal_flagged(
        &mut self,
        plaintext: &[u8],
        flags: Flags,
        options: SealOptions<'_>,
        now_ms: u64,
        random: &mut dyn RandomSource,
        out: &mut [MaybeUninit<u8>],
    ) -> Result<(), SessionError> {
        if plaintext.len() > MAX_PLAINTEXT_LEN {
            let (limit, actual) = (MAX_PLAINTEXT_LEN, plaintext.len());
            return Err(InputError::TooLong { what: "plaintext", limit, actual }.into());
        }
        let session_id = self.terms.session_id;
        let suite = suite_byte(self.terms.suite);
        let direction = self.terms.role.sends();
        let live = self.open_live(now_ms)?;
        let answers_past = options.answers_epoch.is_some_and(|epoch| epoch != live.epoch.number);
        if live.restored && !answers_past {
            return Err(SessionError::Restored);
        }
        live.notice_fork();
        let (epoch, sender) = live.sender_for(options.answers_epoch, random)?;
        let flags = if sender.is_past_soft_budget() { flags.with(Flags::REKEY_WANTED) } else { flags };
        let seq = sender.spend(plaintext.len() as u64)?;
        let header =
            Header { suite, direction, flags, session_id, incarnation: sender.id, epoch, seq }.to_bytes();
        let (header_out, sealed) = out.split_at_mut(HEADER_LEN);
        header_out.write_copy_of_slice(&header);
        let key = sender.key.as_ref().expect("woken before use");
        key.seal(seq, [&header, options.aad], plaintext, sealed);
        live.last_activity_ms = live.last_activity_ms.max(now_ms);
        self.messages += 1;
        Ok(())
    }

    fn open_authenticated(
        &mut self,
        header: &Header,
        record: &[u8],
        aad: &[u8],
        now_ms: u64,
        plaintext: &mut [MaybeUninit<u8>],
    ) -> Result<(), SessionError> {
        let max_incarnations = self.max_incarnations;
        let role = self.terms.role;
        let mine = header.session_id == self.terms.session_id
            && header.direction != role.sends()
            && header.suite == suite_byte(self.terms.suite);
        let half_open = self.state == State::HalfOpen;
        let live = self.live(now_ms)?;
        if !mine {
            return Err(SessionError::AuthenticationFailed);
        }
        if live.is_forked() {
            return Err(SessionError::Forked);
        }
        if half_open && live.confirmation.as_ref().is_some_and(|expected| expected.needs_signature()) {
            return Err(SessionError::HalfOpen);
        }
        if header.epoch == live.epoch.number {
            let window = live.epoch.open(header, record, aad, plaintext, max_incarnations)?;
            if live.restored {
                return Err(SessionError::RekeyRequired);
            }
            match &live.shared_windows {
                Some(shared) => shared.admit(header, now_ms)?,
                None if window.admit(header.seq) => (),
                None => return Err(SessionError::Replayed),
            }
            live.rekey.first_record_verified();
            live.peer_wants_rekey |= header.flags.contains(Flags::REKEY_WANTED);
        } else {
            let keys = keys_of(&mut live.previous, header.epoch)?;
            let window = keys.open(header, record, aad, plaintext)?;
            // A request that comes first after the rekey was not executed, and its sender is told
            // so; an answer is still welcome.
            match (role, &live.shared_windows) {
                (Role::Initiator, Some(shared)) => shared.admit(header, now_ms)?,
                (Role::Initiator, None) if window.admit(header.seq) => (),
                (Role::Responder, Some(shared)) if shared.is_fresh(header) => {
                    return Err(SessionError::RekeyRequired);
                }
                (Role::Responder, None) if window.is_fresh(header.seq) => {
                    return Err(SessionError::RekeyRequired);
                }
                _ => return Err(SessionError::Replayed),
            }
        }
        live.last_activity_ms = live.last_activity_ms.max(now_ms);
        self.messages += 1;
        self.state = State::Open;
        if header.flags.contains(Flags::CLOSE) {
            self.close();
        }
        Ok(())
    }

    fn end(&mut self, state: State) {
        if let Some(live) = self.live.take() {
            self.ended_activity_ms = live.last_activity_ms;
            self.state = state;
        }
    }

    fn ended(&self) -> SessionError {
        if self.state == State::Expired { SessionError::Expired } else { SessionError::Closed }
    }
}

impl SharedWindows {
    fn new(table: Arc<WindowTable>, terms: &Terms) -> Self {
        let peer_did = match terms.role {
            Role::Initiator => terms.server_did.clone(),
            Role::Responder => terms.client_did.clone(),
        };
        Self { table, peer_did, expires_ms: terms.expires_ms }
    }

    /// Accepts the sequence number of a record whose tag has verified.
    fn admit(&self, header: &Header, now_ms: u64) -> Result<(), AdmitError> {
        self.table.admit(&self.name(header), header.seq, self.expires_ms, now_ms)
    }

    fn is_fresh(&self, header: &Header) -> bool {
        self.table.is_fresh(&self.name(header), header.seq)
    }

    fn name(&self, header: &Header) -> WindowName<'_> {
        let Header { session_id, direction, epoch, incarnation, .. } = *header;
        WindowName { peer_did: self.peer_did.as_str(), session_id, direction, epoch, incarnation }
    }
}

impl Live {
    /// Moves on to the next epoch. Record keys of this one stay a minute for what is under way,
    /// unless their windows are lost: then nobody knows what they have delivered.
    pub(crate) fn advance(&mut self, next: Epoch, now_ms: u64) {
        let last = core::mem::replace(&mut self.epoch, next);
        let until_ms = now_ms.saturating_add(PREVIOUS_EPOCH_MS);
        let number = last.number;
        let previous = || Box::new(Previous { number, keys: last.into_keys(), until_ms });
        self.previous = (!self.restored).then(previous);
        self.peer_wants_rekey = false;
        self.restored = false;
    }

    fn drop_overdue(&mut self, now_ms: u64) {
        if self.previous.as_ref().is_some_and(|previous| now_ms >= previous.until_ms) {
            self.previous = None;
        }
        if self.confirmation.as_ref().is_some_and(|expected| expected.is_late(now_ms)) {
            self.confirmation = None;
        }
    }

    /// After a fork, and after every further one, this process is another sender, and its windows
    /// are only a copy.
    fn notice_fork(&mut self) {
        let generation = fork::generation();
        if self.generation != generation {
            self.generation = generation;
            self.forked = true;
            self.epoch.keys.sender = None;
            self.previous = None;
        }
    }

    /// True in a process that has the session only by fork.
    pub(crate) fn is_forked(&mut self) -> bool {
        self.notice_fork();
        self.forked
    }

    fn sender_for(
        &mut self,
        answers_epoch: Option<u32>,
        random: &mut dyn RandomSource,
    ) -> Result<(u32, &mut Sender), SessionError> {
        match answers_epoch {
            Some(epoch) if epoch != self.epoch.number => {
                let sender = keys_of(&mut self.previous, epoch).ok().and_then(|keys| keys.sender.as_mut());
                sender.map(|sender| (epoch, sender)).ok_or(SessionError::RekeyRequired)
            }
            _ => Ok((self.epoch.number, self.epoch.sender(random)?)),
        }
    }

    /// The id of the table that the windows lie in, or what stands for none.
    pub(crate) fn windows_id(&self) -> [u8; 16] {
        self.shared_windows.as_ref().map_or(NO_WINDOWS, |shared| *shared.table.id())
    }
}

fn keys_of(previous: &mut Option<Box<Previous>>, epoch: u32) -> Result<&mut RecordKeys, SessionError> {
    match previous {
        Some(previous) if previous.number == epoch => Ok(&mut previous.keys),
        _ => Err(SessionError::AuthenticationFailed),
    }
}

impl Sender {
    /// Takes the next sequence number, or refuses once the hard budget is spent.
    fn spend(&mut self, plaintext_len: u64) -> Result<u64, SessionError> {
        let bytes = self.bytes + plaintext_len;
        if self.records >= HARD_BUDGET.records || bytes > HARD_BUDGET.bytes {
            return Err(SessionError::BudgetSpent);
        }
        let seq = self.records;
        self.records += 1;
        self.bytes = bytes;
        Ok(seq)
    }

    fn is_past_soft_budget(&self) -> bool {
        self.records >= SOFT_BUDGET.records || self.bytes >= SOFT_BUDGET.bytes
    }
}

fn suite_byte(suite: u16) -> u8 {
    suite.to_be_bytes()[1]
}
