//! X25519 (RFC 7748) whose shared secret is only ever HKDF input.

use core::fmt;

use crate::curve25519;
use crate::error::{InputError, exactly};
use crate::hkdf::Prk;
use crate::random::{RandomError, RandomSource};
use crate::secret::Secret;

/// Bytes of a secret, a public key and a shared secret.
pub const KEY_LEN: usize = 32;

/// The peer's share had small order: the shared secret would be zero for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmallOrderShare;

/// A public share. Any 32 bytes are one (RFC 7748 §5 masks the top bit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; KEY_LEN]);

impl PublicKey {
    /// Takes 32 bytes.
    ///
    /// # Errors
    /// [`InputError`] on any other length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InputError> {
        exactly("X25519 public key", bytes).copied().map(Self)
    }
}

/// A secret that may be used many times.
pub struct StaticSecret {
    secret: Secret<KEY_LEN>,
    public: PublicKey,
}

impl StaticSecret {
    /// Takes 32 secret bytes; clamping happens at use, so they round-trip unchanged.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; KEY_LEN]) -> Self {
        Self::from_secret(Secret::copy_from(bytes))
    }

    /// Draws a new secret.
    ///
    /// # Errors
    /// [`RandomError`] if the source fails.
    pub fn generate(random: &mut dyn RandomSource) -> Result<Self, RandomError> {
        Secret::draw(random).map(Self::from_secret)
    }

    fn from_secret(secret: Secret<KEY_LEN>) -> Self {
        let public = PublicKey(curve25519::x25519_public(secret.expose()));
        Self { secret, public }
    }

    /// The share to send.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The secret itself, for export.
    #[must_use]
    pub fn secret(&self) -> &Secret<KEY_LEN> {
        &self.secret
    }

    /// Agrees with the owner of `peer`.
    ///
    /// # Errors
    /// [`SmallOrderShare`] if the result would be all zero.
    pub fn exchange(&self, peer: &PublicKey) -> Result<SharedSecret, SmallOrderShare> {
        let mut contributory = false;
        let shared = Secret::new_with(|shared| {
            contributory = curve25519::x25519(self.secret.expose(), &peer.0, shared);
        });
        if contributory { Ok(SharedSecret(shared)) } else { Err(SmallOrderShare) }
    }
}

impl fmt::Debug for StaticSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StaticSecret(..)")
    }
}

/// A secret for one agreement: using it consumes it, and nothing can read it.
#[derive(Debug)]
pub struct EphemeralSecret(StaticSecret);

impl EphemeralSecret {
    /// Draws a new secret.
    ///
    /// # Errors
    /// [`RandomError`] if the source fails.
    pub fn generate(random: &mut dyn RandomSource) -> Result<Self, RandomError> {
        StaticSecret::generate(random).map(Self)
    }

    /// One for each of these secrets, drawn before.
    #[must_use]
    pub fn from_secrets(secrets: Vec<Secret<KEY_LEN>>) -> Vec<Self> {
        let publics = curve25519::x25519_public_many(&secrets.iter().map(Secret::expose).collect::<Vec<_>>());
        let ephemeral = |(secret, public)| Self(StaticSecret { secret, public: PublicKey(public) });
        secrets.into_iter().zip(publics).map(ephemeral).collect()
    }

    /// The share to send.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }

    /// Agrees once; the secret is erased on return.
    ///
    /// # Errors
    /// As [`StaticSecret::exchange`].
    pub fn exchange(self, peer: &PublicKey) -> Result<SharedSecret, SmallOrderShare> {
        self.0.exchange(peer)
    }
}

/// [`EphemeralSecret::exchange`] for each secret with its peer.
///
/// # Panics
/// If the lengths differ.
pub fn exchange_many(
    secrets: Vec<EphemeralSecret>,
    peers: &[PublicKey],
) -> Vec<Result<SharedSecret, SmallOrderShare>> {
    assert_eq!(secrets.len(), peers.len(), "one peer for each secret");
    let agreements: Vec<_> =
        secrets.iter().zip(peers).map(|(secret, peer)| (secret.0.secret.expose(), &peer.0)).collect();
    let shared = curve25519::x25519_many(&agreements);
    let agreed = |shared: &[u8; KEY_LEN]| {
        let any = shared.iter().fold(0, |any, byte| any | byte);
        if any == 0 { Err(SmallOrderShare) } else { Ok(SharedSecret(Secret::copy_from(shared))) }
    };
    shared.iter().map(agreed).collect()
}

/// The result of an agreement. Not uniform bits: extract a PRK from it.
#[derive(Debug)]
pub struct SharedSecret(Secret<KEY_LEN>);

impl SharedSecret {
    /// `HKDF-Extract(salt, shared)`.
    #[must_use]
    pub fn extract(&self, salt: &[u8]) -> Prk {
        Prk::extract(salt, self.0.expose())
    }

    /// The raw bytes, for a foreign key derivation.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_LEN] {
        self.0.expose()
    }
}
