"""ed25519-dalek's batch verification, in a module of its own that is built when it is asked for.

No Python package offers it, so it stands in ``benches/peers/dalek`` as thin as our own binding.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Protocol, cast

from benches.ratios.docs import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME = "sage_peer_dalek"
_COMMAND = [
    *("cargo", "build", "--release", "--locked", "--package", _NAME.replace("_", "-")),
    # Apart from what maturin builds, whose settings differ: each would undo the other's work.
    *("--target-dir", str(ROOT / "target" / "peers")),
    *("--message-format", "json-render-diagnostics"),
]


class Dalek(Protocol):
    """The module.

    Attributes:
        Key: Decodes the 32 bytes of a verifying key.
        verify_batch: Takes lists of keys, signatures and messages, and says whether all verify.
    """

    @property
    def Key(self) -> Callable[[bytes], object]: ...  # noqa: D102, N802  # a class, and said above
    @property
    def verify_batch(self) -> Callable[[list[object], list[bytes], list[bytes]], bool]: ...  # noqa: D102


def load() -> Dalek:
    """Build the module and import it. About a minute the first time.

    Raises:
        RuntimeError: There is no cargo, or it fails; it has said why.
    """
    environment = {**os.environ, "PYO3_PYTHON": sys.executable, "PYO3_BUILD_EXTENSION_MODULE": "1"}
    try:
        built = subprocess.run(  # noqa: S603  # constant arguments
            _COMMAND, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise RuntimeError(f"{_NAME} was not built: {error}") from error
    path = _library(built.stdout)
    loader = ExtensionFileLoader(_NAME, path)
    spec = spec_from_file_location(_NAME, path, loader=loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return cast("Dalek", module)


def _library(messages: str) -> str:
    """Find the file among what cargo says that it has built."""
    artefacts = (json.loads(line) for line in messages.splitlines())
    (path,) = (
        filename
        for one in artefacts
        if one["reason"] == "compiler-artifact" and one["target"]["name"] == _NAME
        for filename in one["filenames"]
    )
    return str(path)


def version() -> str:
    """Return the version of ed25519-dalek that is built."""
    packages = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))["package"]
    (found,) = (one["version"] for one in packages if one["name"] == "ed25519-dalek")
    return str(found)
