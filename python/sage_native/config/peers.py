"""Settings of who the gateway is, whom it admits, and what it remembers of them."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from sage_native.config.durations import Duration, Seconds
from sage_native.config.section import Count, SecretName, Section
from sage_native.keys import check_did

__all__ = [
    "AdmissionSettings",
    "EncryptionSettings",
    "HandshakeSettings",
    "IdentitySettings",
    "ReplaySettings",
    "SessionSettings",
    "StorageSettings",
]

_STORES: Final = {
    "memory": "memory:",
    "sqlite": "sqlite:///",
    "postgresql": "postgresql://",
    "postgres": "postgres://",
    "redis": "redis://",
    "rediss": "rediss://",
    "unix": "unix://",
}


def _checked_did(did: str) -> str:
    check_did(did)
    return did


def _checked_storage_url(url: str) -> str:
    if url.partition(":")[0] not in _STORES or (url != "memory:" and "//" not in url):
        raise ValueError(f"must begin with one of {', '.join(_STORES.values())}")
    return url


Did = Annotated[str, AfterValidator(_checked_did)]
"""A DID as docs/protocol.md writes it."""
Minutes = Annotated[Duration, Field(ge=60, le=86_400)]
"""A duration of one minute to one day."""


class IdentitySettings(Section):
    """Who the gateway is."""

    signing_key_secret: SecretName = Field(
        default="signing-key", description="Name of the secret that holds the signing key."
    )
    older_signing_key_secrets: tuple[SecretName, ...] = Field(
        default=(), description="Names of the keys before it, which are still answered for."
    )
    dids: tuple[Did, ...] = Field(
        default=(),
        description="DIDs that the gateway answers for; empty for the did:key of its keys.",
    )


class EncryptionSettings(Section):
    """Keys under which sessions are stored."""

    kek_secret: SecretName = Field(
        default="kek", description="Name of the secret that holds the key-encryption key in use."
    )
    older_kek_secrets: tuple[SecretName, ...] = Field(
        default=(), description="Names of the keys before it, which still open what they closed."
    )


class AdmissionSettings(Section):
    """Which clients are admitted."""

    policy: Literal["registered", "allow_list", "any_did_key"] = Field(
        default="registered",
        description="registered: DIDs that an operator registered. allow_list: those of allow_list "
        "only, registered or did:key. any_did_key: everybody who holds any key.",
    )
    allow_list: tuple[Did, ...] = Field(default=(), description="DIDs that allow_list admits.")


class HandshakeSettings(Section):
    """How much a client must show before it is believed."""

    challenges: Literal["always", "when_needed"] = Field(
        default="always",
        description="When a client must first show that it receives what it is sent.",
    )
    confirmation: Literal["mac", "signature"] = Field(
        default="mac", description="With what a client confirms the handshake."
    )


class SessionSettings(Section):
    """How long sessions live, and how many there may be."""

    max_age: Minutes = Field(default=3600, description="How long a session may live, 1 m to 1 d.")
    idle_timeout: Minutes = Field(
        default=600,
        description="How long it may stay silent, 1 m to 1 d.",
    )
    cleanup_interval: Minutes = Field(
        default=60, description="How often what is over is deleted, 1 m to 1 d."
    )
    max_messages: Count | None = Field(
        default=None, description="After how many records a session ends; null for no such limit."
    )
    max_sessions: Count = Field(default=1_000_000, description="Sessions in the store.")
    max_sessions_per_client: Count = Field(default=256, description="Sessions of one client DID.")
    max_half_open: Count = Field(
        default=10_000, description="Sessions of a worker that wait for their confirmation."
    )
    max_half_open_per_client: Count = Field(default=64, description="The same, of one client DID.")


class StorageSettings(Section):
    """Where sessions, DIDs and request nonces are kept."""

    url: Annotated[str, AfterValidator(_checked_storage_url)] = Field(
        description="memory:, sqlite:///FILE, postgresql://…, redis://…, rediss://… or unix://…; "
        "sessions.db in state_dir if it is left out.",
        repr=False,  # it may hold a password
    )
    guarantee: Literal["process", "node", "durable", "failover"] | None = Field(
        default=None,
        description="What the store must reach at least; null for what it reaches by default.",
    )
    timeout: Annotated[Seconds, Field(gt=0, le=60, allow_inf_nan=False)] = Field(
        default=0.9, description="When a call of the store is given up, in seconds."
    )


class ReplaySettings(Section):
    """What may be lost without a request being accepted twice."""

    guarantee: Literal["node", "durable", "failover"] = Field(
        default="node",
        description="node: a table in state_dir, for one machine. durable, failover: the nonces of "
        "the store, which must reach that level.",
    )
    capacity: Annotated[Count, Field(ge=1024)] = Field(
        default=1_000_000, description="Request nonces that the table has room for."
    )
    windows: Annotated[Count, Field(ge=1024, le=16_777_216)] = Field(
        default=65_536, description="Windows over sequence numbers that the workers share."
    )
