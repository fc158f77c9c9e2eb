//! One epoch of a session: two secrets, the record keys made from them, and their windows.
//!
//! A secret is used only to derive: a record key for each incarnation, the MAC key of a rekey
//! request or reply, and the next epoch's secret. Record keys are derived on first use.

use core::mem::MaybeUninit;

use crate::error::SessionError;
use crate::hkdf::Prk;
use crate::incarnation::{Receiver, RecordKey, Sender};
use crate::random::{RandomSource, draw};
use crate::record::{HEADER_LEN, Header, IncarnationId};
use crate::secret::Secret;
use crate::window::ReplayWindow;

/// From here on a sender asks for a rekey: records, or plaintext bytes, sealed under one key.
pub const SOFT_BUDGET: Budget = Budget { records: 1 << 20, bytes: 16 << 30 };
/// From here on a sender refuses to seal.
pub const HARD_BUDGET: Budget = Budget { records: 1 << 24, bytes: 64 << 30 };

/// What one record key may protect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Records sealed.
    pub records: u64,
    /// Plaintext bytes sealed.
    pub bytes: u64,
}

/// Secrets and record keys of one epoch, seen from one side.
pub(crate) struct Epoch {
    pub(crate) number: u32,
    pub(crate) send_secret: Secret<32>,
    pub(crate) receive_secret: Secret<32>,
    pub(crate) keys: RecordKeys,
}

/// The record keys derived so far, and not put to rest. They may outlive their secrets by a minute
/// after a rekey.
#[derive(Default)]
pub(crate) struct RecordKeys {
    pub(crate) sender: Option<Sender>,
    receivers: Vec<Receiver>,
    /// Index of the receiver that opened last; almost always the next one too.
    recent: usize,
}

impl Epoch {
    pub(crate) fn new(number: u32, send_secret: Secret<32>, receive_secret: Secret<32>) -> Self {
        Self { number, send_secret, receive_secret, keys: RecordKeys::default() }
    }

    /// The sender of this process, with an incarnation drawn on first use.
    pub(crate) fn sender(&mut self, random: &mut dyn RandomSource) -> Result<&mut Sender, SessionError> {
        if self.keys.sender.is_none() {
            let id: IncarnationId = draw(random)?;
            self.keys.sender = Some(Sender { id, key: None, records: 0, bytes: 0 });
        }
        let sender = self.keys.sender.as_mut().expect("drawn above");
        wake(&mut sender.key, &sender.id, &self.send_secret);
        Ok(sender)
    }

    /// Opens a record of this epoch and returns the receiver whose window is to decide. A receiver
    /// is made for a new incarnation only after its tag has verified.
    pub(crate) fn open(
        &mut self,
        header: &Header,
        record: &[u8],
        aad: &[u8],
        plaintext: &mut [MaybeUninit<u8>],
        max_incarnations: usize,
    ) -> Result<&mut ReplayWindow, SessionError> {
        if self.keys.knows(&header.incarnation) {
            let receiver = &mut self.keys.receivers[self.keys.recent];
            wake(&mut receiver.key, &receiver.id, &self.receive_secret);
            return self.keys.open(header, record, aad, plaintext);
        }
        let id = header.incarnation;
        let key = Box::new(RecordKey::derive(&prk(&self.receive_secret), &id));
        open_with(&key, header, record, aad, plaintext)?;
        if self.keys.receivers.len() >= max_incarnations {
            return Err(SessionError::RekeyRequired);
        }
        Ok(self.keys.add(Receiver { id, key: Some(key), window: ReplayWindow::new() }))
    }

    /// Drops the record keys; who they belong to, counters and windows stay.
    pub(crate) fn rest(&mut self) {
        if let Some(sender) = &mut self.keys.sender {
            sender.key = None;
        }
        for receiver in &mut self.keys.receivers {
            receiver.key = None;
        }
    }

    /// The record keys alone, all of them derived: their secrets go.
    pub(crate) fn into_keys(mut self) -> RecordKeys {
        if let Some(sender) = &mut self.keys.sender {
            wake(&mut sender.key, &sender.id, &self.send_secret);
        }
        for receiver in &mut self.keys.receivers {
            wake(&mut receiver.key, &receiver.id, &self.receive_secret);
        }
        self.keys
    }
}

fn wake(key: &mut Option<Box<RecordKey>>, id: &IncarnationId, secret: &Secret<32>) {
    if key.is_none() {
        *key = Some(Box::new(RecordKey::derive(&prk(secret), id)));
    }
}

impl RecordKeys {
    /// True once a record was opened.
    pub(crate) fn has_received(&self) -> bool {
        !self.receivers.is_empty()
    }

    fn knows(&mut self, id: &IncarnationId) -> bool {
        if self.receivers.get(self.recent).is_some_and(|receiver| receiver.id == *id) {
            return true;
        }
        match self.receivers.iter().position(|receiver| receiver.id == *id) {
            Some(index) => {
                self.recent = index;
                true
            }
            None => false,
        }
    }

    fn add(&mut self, receiver: Receiver) -> &mut ReplayWindow {
        self.recent = self.receivers.len();
        // Most sessions have one peer process: no room for three more.
        self.receivers.reserve_exact(1);
        self.receivers.push(receiver);
        &mut self.receivers[self.recent].window
    }

    /// Opens with a key that is already there; authentication fails for every other incarnation.
    pub(crate) fn open(
        &mut self,
        header: &Header,
        record: &[u8],
        aad: &[u8],
        plaintext: &mut [MaybeUninit<u8>],
    ) -> Result<&mut ReplayWindow, SessionError> {
        if !self.knows(&header.incarnation) {
            return Err(SessionError::AuthenticationFailed);
        }
        let receiver = &mut self.receivers[self.recent];
        let key = receiver.key.as_ref().expect("woken before use");
        open_with(key, header, record, aad, plaintext)?;
        Ok(&mut receiver.window)
    }
}

/// A secret ready to derive from.
pub(crate) fn prk(secret: &Secret<32>) -> Prk {
    Prk::from_bytes(secret.expose()).expect("32 bytes")
}

fn open_with(
    key: &RecordKey,
    header: &Header,
    record: &[u8],
    aad: &[u8],
    plaintext: &mut [MaybeUninit<u8>],
) -> Result<(), SessionError> {
    let (header_bytes, sealed) = record.split_at(HEADER_LEN);
    key.open(header.seq, [header_bytes, aad], sealed, plaintext)
        .map_err(|_| SessionError::AuthenticationFailed)
}

#[cfg(test)]
mod vectors;
