"""Every metric: name, kind, unit, labels with all their values, and what it tells.

This is the one table. What counts, what is served, the documents and the dashboards follow from it.
Labels have the values that stand here and no others: what is none of them counts as ``other``, so
that nothing a client chooses makes a series. Two kinds of values belong to the application and not
to its clients, routes and numbers of statuses; they are bounded in another way, which their label
says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["MAX_ROUTES", "METRICS", "NATIVE_BUCKETS_S", "OTHER", "Label", "Metric", "metric"]

OTHER: Final = "other"
"""Stands for every value that a label does not list."""

MAX_ROUTES: Final = 200
"""How many templates of paths are told apart; what comes later is ``other``."""

NATIVE_BUCKETS_S: Final = (
    *(250e-9, 500e-9, 1e-6, 2.5e-6, 5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6),
    *(1e-3, 2.5e-3, 10e-3),
)
"""The bounds of what the native module measures. They stand there in nanoseconds."""

_HTTP_BUCKETS_S = (
    *(100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3),
    *(1.0, 2.5, 5.0, 10.0),
)


@dataclass(frozen=True)
class Label:
    """A label of a metric.

    Attributes:
        name: How it is spelt.
        values: All values that it can have; empty where the application brings them.
        bound: Then, what bounds their number.
    """

    name: str
    values: tuple[str, ...] = ()
    bound: str = ""


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: As it is queried: counters end in ``_total``, and histograms have ``_bucket``,
            ``_sum`` and ``_count`` behind it.
        kind: What can be asked of it: the ``rate`` of counters, quantiles of histograms.
        unit: ``seconds`` or ``bytes``; empty for numbers of things.
        help: What it tells, in one or two sentences.
        labels: In their order.
        buckets_s: The upper bounds of a histogram; the last one, infinity, is not among them.
        is_asked: It is no worker's own: whoever serves the metrics asks for it when they are
            scraped. Gauges that are not are added up over the workers that run.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    unit: Literal["", "seconds", "bytes"] = ""
    labels: tuple[Label, ...] = ()
    buckets_s: tuple[float, ...] = ()
    is_asked: bool = False

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of its labels, in their order."""
        return tuple(label.name for label in self.labels)


_ROLE = Label("role", ("initiator", "responder"))
_ENCRYPTION = Label("operation", ("seal", "open"))
_SIGNATURE = Label("operation", ("sign", "verify"))
_OUTCOME = Label("outcome", ("ok", "refused"))
_LISTENER = Label("listener", ("public", "admin"))
_ROUTE = Label(
    "route",
    bound=f"templates of paths, as the application declares them; `unmatched` for every path of "
    f"none; at most {MAX_ROUTES}, then `{OTHER}`",
)
_METHOD = Label("method", ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", OTHER))
_STATUS = Label(
    "status", bound="three digits, as the application answers; `aborted` without answer"
)
_STORE = Label("store", ("memory", "sqlite", "postgres", "redis", "secrets", OTHER))
_STORE_OPERATION = Label(
    "operation",
    (
        *("admit", "admit_many", "advance", "adopt", "check", "count", "create", "delete"),
        *("delete_expired", "delete_of_did", "describe", "get", "load", "page", "put", "refresh"),
        *("revoke", "status_many", "touch", "touch_many", OTHER),
    ),
)
_CODE = Label(
    "code",
    (
        *("authentication_failed", "stale_timestamp", "challenge_required", "unauthorized"),
        *("malformed_request", "invalid_did", "invalid_key", "unsupported_version"),
        *("unsupported_suite", "not_found", "method_not_allowed", "request_timeout", "conflict"),
        *("replay_detected", "rekey_required", "payload_too_large", "unsupported_media_type"),
        *("misdirected", "rate_limited", "internal_error", "upstream_unavailable"),
        *("upstream_timeout", "overloaded", "store_unavailable", "store_full", "key_unavailable"),
        OTHER,
    ),
)

METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        "sage_build_info",
        "gauge",
        "Always 1; the label says which version runs.",
        labels=(Label("version", bound="one for each version that runs"),),
        is_asked=True,
    ),
    Metric(
        "sage_handshakes_total",
        "counter",
        "Handshakes that ended: completed; refused, as signatures and replays are; failed, for "
        "trouble of this side; or abandoned by a client that never confirmed.",
        labels=(
            Label("status", ("completed", "refused", "failed", "abandoned")),
            Label("key_type", ("ed25519",)),
        ),
    ),
    Metric(
        "sage_handshake_duration_seconds",
        "histogram",
        "From the arrival of a client's first message to the stored session; completed handshakes "
        "only. The client's way back is in it.",
        "seconds",
        buckets_s=_HTTP_BUCKETS_S,
    ),
    Metric(
        "sage_sessions_active",
        "gauge",
        "Sessions in the store, of all machines that share it; asked when it is scraped, at most "
        "every few seconds.",
        is_asked=True,
    ),
    Metric(
        "sage_sessions_started_total",
        "counter",
        "Sessions that were confirmed and stored.",
        labels=(_ROLE,),
    ),
    Metric(
        "sage_sessions_ended_total",
        "counter",
        "Sessions that ended, by the reason; those that expired are among them.",
        labels=(
            Label(
                "reason",
                ("closed", "closed_by_peer", "expired", "revoked", "ended_elsewhere", OTHER),
            ),
        ),
    ),
    Metric(
        "sage_sessions_expired_total",
        "counter",
        "Sessions that ended by age, by silence, or at their limit of messages.",
    ),
    Metric(
        "sage_sessions_restored_total",
        "counter",
        "Sessions that a worker took out of the store; those whose replay windows are lost demand "
        "a rekey first.",
        labels=(Label("demands_rekey", ("true", "false")),),
    ),
    Metric("sage_session_rekeys_total", "counter", "Rekeys that were committed."),
    Metric(
        "sage_encryption_operations_total",
        "counter",
        "Messages and records that were sealed or opened natively, or refused: for a wrong tag, a "
        "replay, a session that is over.",
        labels=(_ENCRYPTION, _OUTCOME),
    ),
    Metric(
        "sage_encryption_bytes_total",
        "counter",
        "Bytes of plaintext that were sealed or opened.",
        "bytes",
        labels=(_ENCRYPTION,),
    ),
    Metric(
        "sage_encryption_duration_seconds",
        "histogram",
        "Time of one sealing or opening in native code. One call in 64 is measured; of a batch, "
        "the mean.",
        "seconds",
        labels=(_ENCRYPTION,),
        buckets_s=NATIVE_BUCKETS_S,
    ),
    Metric(
        "sage_signature_operations_total",
        "counter",
        "Signatures that were made or verified natively, or refused; those of handshakes "
        "count too.",
        labels=(_SIGNATURE, _OUTCOME),
    ),
    Metric(
        "sage_signature_duration_seconds",
        "histogram",
        "Time of one signature or verification in native code. One call in 64 is measured; of a "
        "batch, the mean.",
        "seconds",
        labels=(_SIGNATURE,),
        buckets_s=NATIVE_BUCKETS_S,
    ),
    Metric(
        "sage_replay_refused_total",
        "counter",
        "Request nonces and records that were refused: admitted before, of a time that was given "
        "up, or for want of a place.",
        labels=(Label("reason", ("replayed", "given_up", "full")),),
    ),
    Metric(
        "sage_replay_nonces",
        "gauge",
        "Request nonces that are remembered, by this machine or its store.",
        is_asked=True,
    ),
    Metric(
        "sage_replay_capacity",
        "gauge",
        "How many request nonces the memory of this machine has places for; absent where the store "
        "remembers them.",
        is_asked=True,
    ),
    Metric(
        "sage_replay_memory_complete",
        "gauge",
        "1 if nothing is missing in the memory of request nonces, 0 while something from before "
        "may be: then every client needs a challenge.",
        is_asked=True,
    ),
    Metric(
        "sage_verify_cache_lookups_total",
        "counter",
        "Signatures that were checked with the table of a key that comes often (hit), or without.",
        labels=(Label("result", ("hit", "miss")),),
    ),
    Metric(
        "sage_verify_cache_keys",
        "gauge",
        "Verifying keys that are held: registered without a table, or with one.",
        labels=(Label("tier", ("decoded", "expanded")),),
    ),
    Metric(
        "sage_verify_cache_bytes",
        "gauge",
        "Memory of the held keys and their tables.",
        "bytes",
    ),
    Metric("sage_verify_cache_promotions_total", "counter", "Tables that were built for keys."),
    Metric(
        "sage_verify_cache_evictions_total",
        "counter",
        "Tables that were given up for others. If this grows with the promotions, the cache is too "
        "small.",
    ),
    Metric(
        "sage_store_operations_total",
        "counter",
        "What was asked of stores; failed means no answer in time, or a wrong one.",
        labels=(_STORE, _STORE_OPERATION, Label("outcome", ("ok", "failed"))),
    ),
    Metric(
        "sage_store_duration_seconds",
        "histogram",
        "Time until a store answered.",
        "seconds",
        labels=(_STORE, _STORE_OPERATION),
        buckets_s=_HTTP_BUCKETS_S,
    ),
    Metric(
        "sage_http_requests_total",
        "counter",
        "HTTP requests that were answered.",
        labels=(_LISTENER, _METHOD, _ROUTE, _STATUS),
    ),
    Metric(
        "sage_http_request_duration_seconds",
        "histogram",
        "From a request's headers to the end of its answer.",
        "seconds",
        labels=(_LISTENER, _ROUTE),
        buckets_s=_HTTP_BUCKETS_S,
    ),
    Metric(
        "sage_http_requests_in_flight",
        "gauge",
        "HTTP requests that are being answered.",
        labels=(_LISTENER,),
    ),
    Metric(
        "sage_problems_total",
        "counter",
        "Requests that were answered with a problem, by its code.",
        labels=(_CODE,),
    ),
    Metric(
        "sage_process_resident_memory_bytes",
        "gauge",
        "Resident memory of the worker processes of a listener, added up.",
        "bytes",
        labels=(_LISTENER,),
    ),
    Metric(
        "sage_process_memory_limit_bytes",
        "gauge",
        "What the system lets all of them have: the limit of the control group, else the memory of "
        "the machine.",
        "bytes",
        is_asked=True,
    ),
    Metric(
        "sage_spans_dropped_total",
        "counter",
        "Spans that were not exported: the queue was full, or the collector did not answer.",
    ),
    Metric(
        "sage_log_lines_dropped_total",
        "counter",
        "Log lines that could not be written.",
    ),
)

_BY_NAME = {one.name: one for one in METRICS}


def metric(name: str) -> Metric:
    """Return the metric of this name.

    Raises:
        KeyError: There is none.
    """
    return _BY_NAME[name]
