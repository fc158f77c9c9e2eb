"""What the peer's processes are told, through one variable of their environment."""

import os
from pathlib import Path
from typing import Literal

import msgspec

from .session_file import Synchronous

VARIABLE = "PEER_GATEWAY"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    Attributes:
        state_dir: Where the session file lies.
        seed: Of the server's identity, 32 bytes.
        kek: The key-encryption key, 32 bytes.
        synchronous: How surely a commit is on disk; FULL waits for it.
        max_sessions_per_client: What its name says.
        rate_per_s: How often one address or DID may ask.
        burst: How often it may at once.
        routes: Whose routes the handlers hang on: FastAPI's, as one writes them, or Starlette's
            below them, which leave out what FastAPI does for every request.
    """

    state_dir: str
    seed: bytes
    kek: bytes
    synchronous: Synchronous = "NORMAL"
    max_sessions_per_client: int = 256
    rate_per_s: float = 1e6
    burst: int = 1_000_000
    routes: Literal["fastapi", "starlette"] = "fastapi"

    @property
    def session_path(self) -> Path:
        """The session file."""
        return Path(self.state_dir) / "sessions.db"

    def to_environment(self) -> dict[str, str]:
        """Return the variable."""
        return {VARIABLE: msgspec.json.encode(self).decode()}

    @classmethod
    def of_environment(cls) -> "Settings":
        """Invert `to_environment`."""
        return msgspec.json.decode(os.environ[VARIABLE], type=cls)
