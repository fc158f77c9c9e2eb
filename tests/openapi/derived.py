"""Every file that is written from ``api/openapi.yaml``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .downgrade import render_downgrade
from .exchanges import render_exchanges
from .schemas import render_schemas
from .source import API_DIR, load

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["derived_files", "stale_files"]


def derived_files() -> dict[Path, bytes]:
    """Return the bytes of every derived file."""
    document = load()
    files = {API_DIR / "openapi-3.0.3.yaml": render_downgrade(document)}
    for folder, made in (
        ("schemas", render_schemas(document)),
        ("examples", render_exchanges(document)),
    ):
        files |= {API_DIR / folder / name: data for name, data in made.items()}
    return files


def stale_files() -> list[Path]:
    """Return the files that differ from what they should hold, are missing, or are left over."""
    files = derived_files()
    stale = [
        path for path, data in files.items() if not path.is_file() or path.read_bytes() != data
    ]
    present = {path for folder in ("schemas", "examples") for path in (API_DIR / folder).iterdir()}
    return sorted([*stale, *(present - set(files))])
