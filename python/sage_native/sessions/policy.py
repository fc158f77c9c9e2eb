"""How long sessions live, how many there may be, and how soon workers learn from each other."""

from __future__ import annotations

from dataclasses import dataclass

from sage_native.exceptions import ConfigurationError

__all__ = ["SessionPolicy"]

CLOCK_STEP_MS = 3_600_000
EPOCHS_WITHOUT_TABLE = 10_000
MIN_EPOCHS_PER_CLIENT = 64
"""What a client may do with the smallest table: else it could not even meet again."""


@dataclass(frozen=True, kw_only=True)
class SessionPolicy:
    """The limits of a `SessionManager`.

    Attributes:
        lifetime_s: How long a session may live, at most 86,400 for most clients.
        idle_timeout_s: How long it may stay silent.
        max_messages: After how many records, sealed and opened ones together, it ends; None for no
            limit. Exact in one process; several may together exceed it by what they do within
            ``refresh_interval_s``.
        max_sessions: The most sessions in the store, counted every ``cleanup_interval_s``, and in
            this process, counted exactly.
        max_sessions_per_client: The most stored sessions of one client DID, counted exactly.
        max_half_open: The most sessions of this process that wait for their confirmation.
        max_half_open_per_client: The same, of one client DID.
        max_incarnations: The most sending processes that a client has in one epoch of a session.
        max_epochs_per_client: How many epochs, by handshakes and rekeys, a client may begin at this
            worker at once; as many come back within ``lifetime_s``. Each takes up to
            ``max_incarnations`` windows until its session ends. None stands for a sixteenth of the
            table that workers share, so that one client leaves room for the others; 10,000 where
            they share none.
        max_loads: The most sessions that are being looked up in the store at a time.
        refresh_interval_s: How often use is written behind, and how long a session in use that was
            ended or rekeyed by another worker may still be served as it was.
        cleanup_interval_s: How often what is over is deleted from the store, and how often news are
            read of sessions that nobody uses.
        max_stale_s: How long sessions are served while the store does not answer. After that they
            are refused until it does, since their end could not be seen.

    Raises:
        ConfigurationError: A limit is not positive, or the idle timeout is shorter than two
            refreshes, so that sessions in use could seem silent.
    """

    lifetime_s: int = 3600
    idle_timeout_s: int = 600
    max_messages: int | None = None
    max_sessions: int = 1_000_000
    max_sessions_per_client: int = 256
    max_half_open: int = 10_000
    max_half_open_per_client: int = 64
    max_incarnations: int = 8
    max_epochs_per_client: int | None = None
    max_loads: int = 256
    refresh_interval_s: float = 5.0
    cleanup_interval_s: float = 60.0
    max_stale_s: float = 60.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value <= 0:
                raise ConfigurationError(f"session policy: {name} must be positive, not {value}")
        if self.idle_timeout_s < 2 * self.refresh_interval_s:
            raise ConfigurationError(
                f"session policy: idle_timeout_s {self.idle_timeout_s} is shorter than two times "
                f"refresh_interval_s {self.refresh_interval_s}: sessions in use would seem silent"
            )

    def epochs_of_client(self, window_count: int | None) -> int:
        """Return how many epochs a client may begin, with a table of so many windows, or none."""
        if self.max_epochs_per_client is not None:
            return self.max_epochs_per_client
        if window_count is None:
            return EPOCHS_WITHOUT_TABLE
        return max(MIN_EPOCHS_PER_CLIENT, window_count // (16 * self.max_incarnations))

    @property
    def window_horizon_ms(self) -> int:
        """Return how far ahead the windows of sessions must look, in ms.

        As long as a session may live, and by how much a clock may be set back without a record
        being refused for it.
        """
        return self.lifetime_s * 1000 + CLOCK_STEP_MS

    @property
    def grace_ms(self) -> int:
        """How much longer than allowed a stored session may seem silent, in ms."""
        return int(2000 * self.refresh_interval_s)
