"""Scripts that run inside Redis, each as one step that nothing comes between."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Argument: TypeAlias = bytes | str | int


class Script:
    """A script, and the name under which a server that has seen it runs it.

    Args:
        name: The file in ``scripts``, without its ending.
        include: A file that is put before it.
    """

    def __init__(self, name: str, *, include: str | None = None) -> None:
        parts = [include, name] if include else [name]
        self.source: Final = "\n".join(_FILES.joinpath(f"{part}.lua").read_text() for part in parts)
        # SHA-1 is how EVALSHA names scripts; nothing is protected by it.
        self.digest: Final = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        ALL_SCRIPTS.append(self)

    def call(self, keys: Sequence[bytes], *arguments: Argument) -> tuple[Argument, ...]:
        """Return the command that runs it.

        Args:
            keys: Of one cluster slot.
            arguments: What the script finds in ARGV; as the first, `RUN_ID` stands for the run
                id of the server that the command goes to.
        """
        return ("EVALSHA", self.digest, len(keys), *keys, *arguments)


_FILES = resources.files("sage_native.storage.redis").joinpath("scripts")
ALL_SCRIPTS: Final[list[Script]] = []
"""A server is told all of them, once, and again if it has forgotten one."""
