"""Settings of what is behind the gateway, and of how it is watched and supplied."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from sage_native.config.durations import Duration, Size
from sage_native.config.section import Count, Host, HttpUrl, Matching, Port, Section

__all__ = [
    "BehindSettings",
    "FeatureSettings",
    "LoggingSettings",
    "MetricsSettings",
    "SecretsSettings",
    "TracingSettings",
]

Target = Annotated[
    str,
    Matching(
        r"echo|[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*",
        "must be echo, or a Python object such as package.module:attribute",
    ),
]
"""``echo``, or a Python object such as ``package.module:attribute``."""
Prefix = Annotated[
    str,
    Matching(
        r"[A-Z][A-Z0-9_]*_", "must be upper-case letters, digits and _, and end in _", max_len=64
    ),
]
Timeout = Annotated[Duration, Field(ge=1, le=600)]


class BehindSettings(Section):
    """What opened records are handed to: exactly one of application and upstream."""

    application: Target | None = Field(
        default=None, description="echo, or a handler or ASGI application as module:attribute."
    )
    upstream: HttpUrl | None = Field(default=None, description="URL of an HTTP service.")
    connect_timeout: Timeout = Field(default=2, description="How long a connection to it may take.")
    timeout: Timeout = Field(default=30, description="How long its answer may take.")
    max_response: Annotated[Size, Field(ge=1, le=1_048_576)] = Field(
        default=1_048_576, description="The longest body of an answer, 1MiB at most."
    )
    max_connections: Annotated[Count, Field(le=65_536)] = Field(
        default=100, description="Connections of a worker to it."
    )


class LoggingSettings(Section):
    """What is written about the gateway's work."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is written."
    )
    format: Literal["json", "console"] = Field(
        default="json", description="For machines or for people."
    )
    output: Annotated[str, StringConstraints(min_length=1)] = Field(
        default="stderr", description="stderr, stdout, or a file."
    )
    audit: Path | None = Field(
        default=None,
        description="File of the audit log: security decisions, with ids in clear; null for none.",
    )


class TracingSettings(Section):
    """Where traces go."""

    enabled: bool = Field(default=False, description="Whether spans are sent.")
    endpoint: HttpUrl = Field(
        default="http://127.0.0.1:4318/v1/traces", description="A receiver of OTLP over HTTP."
    )
    sample_rate: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        default=1.0, description="Which part of the traces is sent, 0 to 1."
    )
    from_proxies: bool = Field(
        default=True,
        description="Whether traces that server.trusted_proxies name are continued, and sent if "
        "they say so.",
    )


class MetricsSettings(Section):
    """Where Prometheus asks."""

    enabled: bool = Field(default=True, description="Whether metrics are served, without a token.")
    host: Host | None = Field(
        default=None, description="Address to listen on; null for that of the admin listener."
    )
    port: Port = Field(default=9464, description="Port to listen on; 0 for any free one.")


class SecretsSettings(Section):
    """Where secrets come from. No secret stands in the settings, only names."""

    provider: Literal["env", "file", "vault", "aws-secrets"] = Field(
        default="file", description="env, file, vault or aws-secrets."
    )
    directory: Path | None = Field(
        default=None,
        description="file: the directory, a file a secret; secrets in state_dir if left out.",
    )
    prefix: Prefix = Field(
        default="SAGE_SECRET_", description="env: what the names of variables begin with."
    )
    vault_url: HttpUrl | None = Field(default=None, description="vault: where it answers.")
    vault_mount: str = Field(
        default="secret", description="vault: mount of the KV engine, version 2."
    )
    vault_path: str = Field(default="sage", description="vault: path below the mount.")
    vault_token_file: Path | None = Field(default=None, description="vault: file of the token.")
    vault_namespace: str | None = Field(
        default=None, description="vault: namespace, if it has any."
    )
    aws_region: str | None = Field(
        default=None, description="aws-secrets: region; null for what the environment says."
    )
    aws_prefix: str = Field(default="sage/", description="aws-secrets: what the names begin with.")
    aws_endpoint_url: HttpUrl | None = Field(
        default=None, description="aws-secrets: another address than that of the region."
    )
    cache: Annotated[Duration, Field(ge=0, le=3600)] = Field(
        default=60, description="How long a secret is used before it is asked for again."
    )
    timeout: Annotated[Duration, Field(ge=1, le=60)] = Field(
        default=5, description="When a call of the provider is given up."
    )

    @model_validator(mode="after")
    def _names_its_provider(self) -> Self:
        if self.provider == "vault" and self.vault_url is None:
            raise ValueError("provider vault needs vault_url")
        return self


class FeatureSettings(Section):
    """Switches. None switches off authentication or the replay checks: there is no such switch."""

    tracing: bool = Field(default=True, description="Tracing, if tracing.enabled says so too.")
    metrics: bool = Field(default=True, description="Metrics, if metrics.enabled says so too.")
    rate_limiting: bool = Field(default=True, description="Token buckets of addresses and DIDs.")
    cors: bool = Field(default=False, description="Answers to browsers of cors.origins.")
    websockets: bool = Field(default=False, description="Not built: true refuses to start.")
