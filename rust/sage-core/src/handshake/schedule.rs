//! The key schedule: from the shared secret to the two epoch-0 secrets and the exporter.

use crate::aws_lc::sha256;
use crate::epoch::Epoch;
use crate::hkdf::{HmacKey, Prk};
use crate::secret::Secret;
use crate::session::Role;
use crate::x25519::SharedSecret;

use super::transcript::TranscriptHash;

/// What is known once TH2 is: the finish keys. Dropping it erases `prk`.
pub(super) struct Schedule {
    prk: Prk,
    th2: TranscriptHash,
}

/// What is left once TH3 is known.
pub(super) struct SessionSecrets {
    c2s: Secret<32>,
    s2c: Secret<32>,
    pub(super) exporter: Secret<32>,
}

impl Schedule {
    pub(super) fn new(suite: u16, shared: &SharedSecret, th2: TranscriptHash) -> Self {
        let salt = sha256(&[b"SAGE-HS/1 ", &suite.to_be_bytes()]);
        Self { prk: shared.extract(&salt), th2 }
    }

    /// `HMAC(finish_s, "server" ‖ TH3)`
    pub(super) fn server_confirmation(&self, th3: &TranscriptHash) -> [u8; 32] {
        self.finish_key("finish s").mac(&[b"server", th3])
    }

    /// The same, compared in constant time.
    pub(super) fn verify_server(&self, th3: &TranscriptHash, confirmation: &[u8; 32]) -> bool {
        self.finish_key("finish s").verify(&[b"server", th3], confirmation)
    }

    /// `HMAC(finish_c, "client" ‖ TH4)`
    pub(super) fn client_confirmation(&self, th4: &TranscriptHash) -> [u8; 32] {
        self.finish_key("finish c").mac(&[b"client", th4])
    }

    /// Ends the schedule: `master` exists only inside this call.
    pub(super) fn into_secrets(self, th3: &TranscriptHash) -> SessionSecrets {
        let master = ready(&self.prk.derive::<32>("master", th3));
        SessionSecrets {
            c2s: master.derive("c2s", th3),
            s2c: master.derive("s2c", th3),
            exporter: master.derive("exporter", th3),
        }
    }

    fn finish_key(&self, label: &str) -> HmacKey {
        HmacKey::new(self.prk.derive::<32>(label, &self.th2).expose())
    }
}

impl SessionSecrets {
    /// Epoch 0 as `role` sees it, and the exporter.
    pub(super) fn into_epoch(self, role: Role) -> (Epoch, Secret<32>) {
        let epoch = match role {
            Role::Initiator => Epoch::new(0, self.c2s, self.s2c),
            Role::Responder => Epoch::new(0, self.s2c, self.c2s),
        };
        (epoch, self.exporter)
    }
}

fn ready(secret: &Secret<32>) -> Prk {
    Prk::from_bytes(secret.expose()).expect("32 bytes")
}
