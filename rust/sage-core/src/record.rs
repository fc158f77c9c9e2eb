//! The header of a record, 48 bytes in clear, authenticated as associated data.
//!
//! ```text
//! u8 version ‖ u8 suite ‖ u8 direction ‖ u8 flags ‖ 16 session_id ‖ 16 incarnation ‖ u32 epoch ‖ u64 seq
//! ```

use crate::aead::TAG_LEN;
use crate::error::SessionError;
use crate::wire::Reader;

/// Bytes of a header.
pub const HEADER_LEN: usize = 48;
/// By how much a record is longer than its plaintext.
pub const RECORD_OVERHEAD: usize = HEADER_LEN + TAG_LEN;
/// The longest plaintext of one record, 1 MiB.
pub const MAX_PLAINTEXT_LEN: usize = 1 << 20;

const VERSION: u8 = 1;

/// Names a session on both sides and in stores: 16 bytes from the CSPRNG of the responder.
pub type SessionId = [u8; 16];
/// Names one sending process: 16 random bytes, drawn again after a fork.
pub type IncarnationId = [u8; 16];

/// Which way a record travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// From the initiator (client) to the responder (server).
    ClientToServer = 0,
    /// From the responder (server) to the initiator (client).
    ServerToClient = 1,
}

/// What a record says beside its plaintext. Bits that have no meaning yet must be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u8);

impl Flags {
    /// Nothing to say.
    pub const NONE: Self = Self(0);
    /// Ends both directions; the plaintext is empty.
    pub const CLOSE: Self = Self(1);
    /// The sender's record key has passed its soft budget.
    pub const REKEY_WANTED: Self = Self(2);
    /// The plaintext is an RFC 9292 binary HTTP message.
    pub const BINARY_HTTP: Self = Self(4);

    const KNOWN: u8 = 7;

    /// True if every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of bits.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The bits as they stand in the header.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// A parsed header. It is only a claim until the tag has verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Low byte of the negotiated suite.
    pub suite: u8,
    /// Which way the record travels.
    pub direction: Direction,
    /// What it says beside its plaintext.
    pub flags: Flags,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// The process that sealed it.
    pub incarnation: IncarnationId,
    /// The epoch of the secret that its key comes from.
    pub epoch: u32,
    /// Its place in the incarnation's sequence.
    pub seq: u64,
}

impl Header {
    /// Parses the header of a whole record and checks the record's length.
    ///
    /// # Errors
    /// [`SessionError::Malformed`] and [`SessionError::TooLarge`].
    pub fn of_record(record: &[u8]) -> Result<Self, SessionError> {
        let plaintext_len = record
            .len()
            .checked_sub(RECORD_OVERHEAD)
            .ok_or(SessionError::Malformed("record is shorter than header and tag (64 bytes)"))?;
        if plaintext_len > MAX_PLAINTEXT_LEN {
            return Err(SessionError::TooLarge(plaintext_len));
        }
        let header = Self::parse(record)?;
        if header.flags.contains(Flags::CLOSE) && plaintext_len != 0 {
            return Err(SessionError::Malformed("close record carries a plaintext"));
        }
        Ok(header)
    }

    /// Parses the first 48 bytes.
    ///
    /// # Errors
    /// [`SessionError::Malformed`].
    pub fn parse(record: &[u8]) -> Result<Self, SessionError> {
        let malformed = SessionError::Malformed;
        let mut reader = Reader::new(record);
        let short = |_| malformed("record is shorter than its header (48 bytes)");
        let &[version, suite, direction, flags] = reader.array().map_err(short)?;
        if version != VERSION {
            return Err(malformed("unknown record version"));
        }
        let direction = match direction {
            0 => Direction::ClientToServer,
            1 => Direction::ServerToClient,
            _ => return Err(malformed("unknown record direction")),
        };
        if flags & !Flags::KNOWN != 0 {
            return Err(malformed("unknown record flags"));
        }
        Ok(Self {
            suite,
            direction,
            flags: Flags(flags),
            session_id: *reader.array().map_err(short)?,
            incarnation: *reader.array().map_err(short)?,
            epoch: reader.u32().map_err(short)?,
            seq: reader.u64().map_err(short)?,
        })
    }

    /// The wire form.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..4].copy_from_slice(&[VERSION, self.suite, self.direction as u8, self.flags.0]);
        out[4..20].copy_from_slice(&self.session_id);
        out[20..36].copy_from_slice(&self.incarnation);
        out[36..40].copy_from_slice(&self.epoch.to_be_bytes());
        out[40..].copy_from_slice(&self.seq.to_be_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_round_trip(
            suite: u8, server: bool, flags in 0_u8..8, session_id: [u8; 16], incarnation: [u8; 16],
            epoch: u32, seq: u64,
        ) {
            let direction = if server { Direction::ServerToClient } else { Direction::ClientToServer };
            let header = Header {
                suite, direction, flags: Flags(flags), session_id, incarnation, epoch, seq,
            };
            prop_assert_eq!(Header::parse(&header.to_bytes()), Ok(header));
        }

        #[test]
        fn any_bytes_parse_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(header) = Header::parse(&bytes) {
                prop_assert_eq!(&header.to_bytes()[..], &bytes[..HEADER_LEN]);
            }
        }
    }
}
