"""What two sides may agree on and say to each other, as hypothesis draws it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from tests.reference.setups import derived_bytes

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

LENGTHS: Final = (0, 1, 15, 16, 17, 255, 4_096, 65_537)


@dataclass(frozen=True)
class Terms:
    """The choices of a handshake. An empty DID stands for the ``did:key``."""

    client_did: str
    server_did: str
    suites: tuple[int, ...]
    challenged: bool
    channel_binding: bytes
    signed: bool
    lifetime_s: int
    idle_timeout_s: int


@dataclass(frozen=True)
class Say:
    """One message of a conversation."""

    from_client: bool
    length: int
    aad: bytes
    binary_http: bool

    @property
    def plaintext(self) -> bytes:
        """Bytes of that length."""
        return derived_bytes(f"plaintext {self.length}", self.length)


@dataclass(frozen=True)
class Rekey:
    """A rekey, whose first answer may be lost so that R1 is repeated."""

    is_repeated: bool


def dids() -> SearchStrategy[str]:
    """Draw DIDs of any method, long ones too."""
    named = st.from_regex(
        r"did:(?!key:)[a-z0-9]{1,9}:[A-Za-z0-9._:-]{0,220}[A-Za-z0-9._-]", fullmatch=True
    )
    return st.one_of(st.just(""), named)


def suites() -> SearchStrategy[tuple[int, ...]]:
    """Draw one to four suites without repetition, suite 1 among them."""
    unknown = st.lists(
        st.integers(0, 0xFFFF).filter(lambda suite: suite != 1), max_size=3, unique=True
    )
    return st.tuples(unknown, st.integers(0, 3)).map(
        lambda drawn: (*drawn[0][: drawn[1]], 1, *drawn[0][drawn[1] :])
    )


def terms() -> SearchStrategy[Terms]:
    """Draw the choices of a handshake."""
    return st.builds(
        Terms,
        client_did=dids(),
        server_did=dids(),
        suites=suites(),
        challenged=st.booleans(),
        channel_binding=st.binary(max_size=64),
        signed=st.booleans(),
        lifetime_s=st.integers(1, 86_400),
        idle_timeout_s=st.integers(1, 0xFFFF_FFFF),
    )


def conversations() -> SearchStrategy[list[Say | Rekey]]:
    """Draw what is said, with rekeys in between."""
    says = st.builds(
        Say,
        from_client=st.booleans(),
        length=st.sampled_from(LENGTHS),
        aad=st.binary(max_size=80),
        binary_http=st.booleans(),
    )
    return st.lists(st.one_of(says, says, st.builds(Rekey, is_repeated=st.booleans())), max_size=8)
