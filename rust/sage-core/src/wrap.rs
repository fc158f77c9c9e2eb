//! Sessions at rest: the secrets sealed under a key-encryption key, the names in clear beside them.
//!
//! A store holds rows and may be copied, edited and restored by people who must not read sessions.
//! What is sealed is bound to its row: the associated data is `lp` of each of store name, session
//! id, client DID, server DID, created, expires, epoch, KEK id. A row that was swapped, extended or
//! given another owner does not open. Stored are the current epoch's secrets, the committed rekey, and
//! the id of the table that the replay windows lie in, never record keys, windows or the exporter: a
//! session that is restored without that very table has lost its windows and demands a rekey first.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::did::Did;
use crate::ed25519::VerifyingKey;
use crate::epoch::Epoch;
use crate::error::{InputError, SessionError};
use crate::kek::{KeyEncryptionKey, OVERHEAD};
use crate::random::RandomSource;
use crate::record::SessionId;
use crate::rekey::{Committed, Prepared, Progress};
use crate::replay::WindowTable;
use crate::secret::Secret;
use crate::session::{Role, Session, Terms};
use crate::wire::{Reader, Truncated, put_lp};

const VERSION: u8 = 2;
/// Stands for windows that were this process's own.
pub(crate) const NO_WINDOWS: [u8; 16] = [0; 16];
/// The longest name of a store, in bytes.
pub const MAX_STORE_NAME_LEN: usize = 255;

/// One row of a session store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedSession {
    /// The session's name.
    pub session_id: SessionId,
    /// The initiator's DID.
    pub client_did: Did,
    /// The responder's DID.
    pub server_did: Did,
    /// When the session was made.
    pub created_ms: u64,
    /// When it ends at the latest.
    pub expires_ms: u64,
    /// The epoch whose secrets are wrapped.
    pub epoch: u32,
    /// The key-encryption key that opens it.
    pub kek_id: String,
    /// `nonce ‖ ciphertext ‖ tag`.
    pub wrapped_secret: Vec<u8>,
}

/// Why a row did not become a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnwrapError {
    /// The row names another key than the one given.
    OtherKek,
    /// Edited, swapped, copied from another store, or wrapped under another key of that id.
    NotAuthentic,
    /// The caller's argument is wrong.
    Input(InputError),
    /// The random source failed.
    Random,
}

impl Session {
    /// The row to store for this session as it stands.
    ///
    /// # Errors
    /// [`SessionError`]: not open, or the random source failed.
    pub fn wrap(
        &mut self,
        kek: &KeyEncryptionKey,
        store_name: &str,
        now_ms: u64,
        random: &mut dyn RandomSource,
    ) -> Result<WrappedSession, SessionError> {
        let terms = self.terms().clone();
        let live = self.unforked(now_ms)?;
        // Windows that are lost are not in the table either.
        let windows_id = if live.restored { NO_WINDOWS } else { live.windows_id() };
        let row = Row { terms: &terms, epoch: &live.epoch, committed: live.rekey.committed(), windows_id };
        row.seal(kek, store_name, random)
    }

    /// The row to store *before* a prepared rekey is committed: the next epoch with its committed
    /// R1 and R2. `None` if the rekey was committed before and there is nothing to store.
    ///
    /// # Errors
    /// As [`Session::wrap`].
    pub fn wrap_prepared(
        &mut self,
        prepared: &Prepared,
        kek: &KeyEncryptionKey,
        store_name: &str,
        now_ms: u64,
        random: &mut dyn RandomSource,
    ) -> Result<Option<WrappedSession>, SessionError> {
        let windows_id = self.fitting(prepared, now_ms)?.windows_id();
        let Some(step) = prepared.step() else { return Ok(None) };
        let (terms, committed) = (self.terms(), Some(&step.committed));
        Row { terms, epoch: &step.next, committed, windows_id }.seal(kek, store_name, random).map(Some)
    }
}

impl WrappedSession {
    /// The session of this row. If its windows lie in the table that is given it goes on at once;
    /// otherwise they are lost and it demands a rekey before anything else, and keeps windows in the
    /// table from then on. Whether it has expired shows at its first use.
    ///
    /// # Errors
    /// [`UnwrapError`].
    pub fn unwrap(
        &self,
        kek: &KeyEncryptionKey,
        store_name: &str,
        windows: Option<Arc<WindowTable>>,
        now_ms: u64,
    ) -> Result<Session, UnwrapError> {
        let plaintext = self.open(kek, store_name)?;
        // The tag holds, so only another version of this code could have written something else.
        self.parse(&plaintext, windows, now_ms).map_err(|_| UnwrapError::NotAuthentic)
    }

    /// The same row under another key-encryption key.
    ///
    /// # Errors
    /// [`UnwrapError`] if it does not open under `old`, or no nonce can be drawn for `new`.
    pub fn rewrap(
        &self,
        old: &KeyEncryptionKey,
        new: &KeyEncryptionKey,
        store_name: &str,
        random: &mut dyn RandomSource,
    ) -> Result<Self, UnwrapError> {
        let plaintext = self.open(old, store_name)?;
        let mut row = Self { kek_id: new.id().into(), wrapped_secret: Vec::new(), ..self.clone() };
        let aad = row.aad(store_name).map_err(UnwrapError::Input)?;
        row.wrapped_secret = new.seal(&aad, &plaintext, random).map_err(|_| UnwrapError::Random)?;
        Ok(row)
    }

    fn open(&self, kek: &KeyEncryptionKey, store_name: &str) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
        if kek.id() != self.kek_id {
            return Err(UnwrapError::OtherKek);
        }
        let aad = self.aad(store_name).map_err(UnwrapError::Input)?;
        let plaintext_len =
            self.wrapped_secret.len().checked_sub(OVERHEAD).ok_or(UnwrapError::NotAuthentic)?;
        let mut plaintext = Zeroizing::new(vec![0; plaintext_len]);
        let opened = kek.open(&aad, &self.wrapped_secret, &mut plaintext);
        if opened { Ok(plaintext) } else { Err(UnwrapError::NotAuthentic) }
    }

    fn aad(&self, store_name: &str) -> Result<Vec<u8>, InputError> {
        if store_name.len() > MAX_STORE_NAME_LEN {
            let (limit, actual) = (MAX_STORE_NAME_LEN, store_name.len());
            return Err(InputError::TooLong { what: "store name", limit, actual });
        }
        let mut aad = Vec::with_capacity(320);
        put_lp(&mut aad, store_name.as_bytes());
        put_lp(&mut aad, &self.session_id);
        put_lp(&mut aad, self.client_did.as_str().as_bytes());
        put_lp(&mut aad, self.server_did.as_str().as_bytes());
        put_lp(&mut aad, &self.created_ms.to_be_bytes());
        put_lp(&mut aad, &self.expires_ms.to_be_bytes());
        put_lp(&mut aad, &self.epoch.to_be_bytes());
        put_lp(&mut aad, self.kek_id.as_bytes());
        Ok(aad)
    }

    fn parse(
        &self,
        plaintext: &[u8],
        windows: Option<Arc<WindowTable>>,
        now_ms: u64,
    ) -> Result<Session, Truncated> {
        let mut reader = Reader::new(plaintext);
        if reader.u8()? != VERSION {
            return Err(Truncated);
        }
        let role = if reader.u8()? == 0 { Role::Initiator } else { Role::Responder };
        let suite = reader.u16()?;
        let idle_timeout_s = reader.u32()?;
        let windows_id = *reader.array()?;
        let client_key = key(reader.array()?)?;
        let server_key = key(reader.array()?)?;
        let send_secret = Secret::copy_from(reader.array()?);
        let receive_secret = Secret::copy_from(reader.array()?);
        let committed = if reader.rest().is_empty() {
            None
        } else {
            Some(Committed {
                request: *reader.array()?,
                reply: *reader.array()?,
                request_mac_key: Secret::copy_from(reader.array()?),
            })
        };
        reader.finish()?;
        let terms = Terms {
            role,
            suite,
            session_id: self.session_id,
            client_did: self.client_did.clone(),
            server_did: self.server_did.clone(),
            client_key,
            server_key,
            created_ms: self.created_ms,
            expires_ms: self.expires_ms,
            idle_timeout_s,
        };
        let epoch = Epoch::new(self.epoch, send_secret, receive_secret);
        let progress = Progress::with_committed(committed);
        Ok(match windows {
            Some(windows) if *windows.id() == windows_id => {
                Session::resumed(terms, epoch, progress, windows, now_ms)
            }
            windows => Session::restored(terms, epoch, progress, windows, now_ms),
        })
    }
}

fn key(bytes: &[u8; 32]) -> Result<VerifyingKey, Truncated> {
    VerifyingKey::from_bytes(bytes).map_err(|_| Truncated)
}

/// What stands in a row, or is bound to it.
struct Row<'a> {
    terms: &'a Terms,
    epoch: &'a Epoch,
    committed: Option<&'a Committed>,
    windows_id: [u8; 16],
}

impl Row<'_> {
    fn seal(
        &self,
        kek: &KeyEncryptionKey,
        store_name: &str,
        random: &mut dyn RandomSource,
    ) -> Result<WrappedSession, SessionError> {
        let Self { terms, epoch, committed, windows_id } = self;
        let mut row = WrappedSession {
            session_id: terms.session_id,
            client_did: terms.client_did.clone(),
            server_did: terms.server_did.clone(),
            created_ms: terms.created_ms,
            expires_ms: terms.expires_ms,
            epoch: epoch.number,
            kek_id: kek.id().into(),
            wrapped_secret: Vec::new(),
        };
        // Large enough from the start: growing would leave an unerased copy behind.
        let mut plaintext = Zeroizing::new(Vec::with_capacity(512));
        plaintext.extend_from_slice(&[VERSION, u8::from(terms.role == Role::Responder)]);
        plaintext.extend_from_slice(&terms.suite.to_be_bytes());
        plaintext.extend_from_slice(&terms.idle_timeout_s.to_be_bytes());
        plaintext.extend_from_slice(windows_id);
        plaintext.extend_from_slice(terms.client_key.as_bytes());
        plaintext.extend_from_slice(terms.server_key.as_bytes());
        plaintext.extend_from_slice(epoch.send_secret.expose());
        plaintext.extend_from_slice(epoch.receive_secret.expose());
        if let Some(committed) = committed {
            plaintext.extend_from_slice(&committed.request);
            plaintext.extend_from_slice(&committed.reply);
            plaintext.extend_from_slice(committed.request_mac_key.expose());
        }
        row.wrapped_secret = kek.seal(&row.aad(store_name)?, &plaintext, random)?;
        Ok(row)
    }
}
