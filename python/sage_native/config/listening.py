"""Settings of the two listeners, and of what each client may ask of them."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from sage_native.config.durations import Duration
from sage_native.config.section import (
    Count,
    Host,
    HttpUrl,
    Network,
    Port,
    SecretName,
    Section,
    Whole,
)

__all__ = [
    "AdminSettings",
    "CorsSettings",
    "LimitsSettings",
    "RateSettings",
    "ServerSettings",
    "TlsSettings",
]


class TlsSettings(Section):
    """TLS of both listeners."""

    certificate: Path = Field(description="File of the certificate and its chain, PEM.")
    key: Path = Field(description="File of its private key, PEM.")
    key_password_secret: SecretName | None = Field(
        default=None,
        description="Name of the secret that opens the key; null for a key without password.",
    )


class ServerSettings(Section):
    """The public listener."""

    host: Host = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=8480, description="Port to listen on; 0 for any free one.")
    workers: Annotated[Whole, Field(ge=1, le=256)] = Field(
        default=1,
        description="Worker processes.",
    )
    tls: TlsSettings | None = Field(
        default=None, description="Certificate and key of both listeners; null for plain HTTP."
    )
    trusted_proxies: tuple[Network, ...] = Field(
        default=(),
        description="Networks whose X-Forwarded-For and Forwarded are believed. A reverse proxy "
        "that is listed here is expected to do TLS.",
    )
    drain_timeout: Annotated[Duration, Field(ge=1, le=600)] = Field(
        default=30,
        description="How long requests may take to end once the gateway is told to stop.",
    )
    backlog: Annotated[Whole, Field(ge=1, le=65_535)] = Field(
        default=1024, description="Connections that may wait to be accepted."
    )
    public_url: HttpUrl | None = Field(
        default=None,
        description="Where clients reach the gateway, if it is another address than its own.",
    )


class AdminSettings(Section):
    """The listener of operators."""

    enabled: bool = Field(default=True, description="Whether it listens.")
    host: Host = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=8481, description="Port to listen on; 0 for any free one.")
    token_secret: SecretName = Field(
        default="operator-token", description="Name of the secret that operators show."
    )
    ui: bool = Field(default=False, description="Whether /docs shows the Swagger page.")


def _checked_origin(url: str) -> str:
    if url.count("/") != 2:
        raise ValueError("must be an origin such as https://app.example, without a path")
    return url


Origin = Annotated[HttpUrl, AfterValidator(_checked_origin)]


class CorsSettings(Section):
    """Browsers of which origins may ask; only with features.cors."""

    origins: tuple[Origin, ...] = Field(
        default=(), description="Origins such as https://app.example; each in full, no wildcard."
    )


class RateSettings(Section):
    """A token bucket."""

    rate: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = Field(
        description="How many a second come back."
    )
    burst: Annotated[Whole, Field(ge=1, le=1_000_000)] = Field(description="How many at once.")


_HANDSHAKES_PER_ADDRESS: Final = RateSettings(rate=20, burst=100)
_REQUESTS_PER_ADDRESS: Final = RateSettings(rate=500, burst=1000)
_HANDSHAKES_PER_DID: Final = RateSettings(rate=5, burst=50)
_RECORDS_PER_DID: Final = RateSettings(rate=1000, burst=2000)


class LimitsSettings(Section):
    """How much a client, and all of them together, may ask. Numbers can be moved, not removed."""

    body_timeout: Annotated[Duration, Field(ge=1, le=60)] = Field(
        default=5, description="How long the body of a request may take to arrive."
    )
    max_in_flight: Annotated[Whole, Field(ge=1, le=65_536)] = Field(
        default=256, description="Requests that a worker works on at once."
    )
    max_connections: Annotated[Whole, Field(ge=1, le=1_000_000)] = Field(
        default=4096,
        description="Connections of a worker; an address has a quarter of them, 64 at least.",
    )
    handshakes_per_address: RateSettings = Field(
        default=_HANDSHAKES_PER_ADDRESS, description="Handshakes of an address (IPv6: of a /64)."
    )
    requests_per_address: RateSettings = Field(
        default=_REQUESTS_PER_ADDRESS, description="Requests of an address (IPv6: of a /64)."
    )
    handshakes_per_did: RateSettings = Field(
        default=_HANDSHAKES_PER_DID, description="Handshakes of a client DID."
    )
    records_per_did: RateSettings = Field(
        default=_RECORDS_PER_DID,
        description="Records of a client DID.",
    )
    challenge_above_in_flight: Annotated[Whole, Field(ge=1, le=65_536)] = Field(
        default=64,
        description="Handshakes at work from which on clients are sent a challenge first.",
    )
    buckets: Annotated[Count, Field(ge=64, le=16_777_216)] = Field(
        default=65_536, description="Places of each table of buckets; its memory is fixed."
    )
