"""What may stand in a log line: known fields, with values of their kind, and nothing else.

Free text is looked through: DIDs and session ids in it become pseudonyms, bytes and long tokens,
as keys are spelled, become ``…``. That is a second net, not a reason to log secrets. Characters
that do not print are escaped, also those that JSON would let pass.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

from sage_native.observability.fields import FIELDS, FIELDS_DROPPED, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sage_native.observability.fields import Field
    from sage_native.observability.pseudonyms import Pseudonyms

    Value: TypeAlias = str | int | float | None

__all__ = ["Redaction", "printable"]

MAX_CODE_LEN = 256
MAX_TEXT_LEN = 4096
MAX_TRACE_LEN = 16_384

_DID = r"did:[a-z0-9]+:[A-Za-z0-9._:%-]+"
_SESSION_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# As Python shows bytes; a quote inside is escaped there.
_BYTES = r"\bb(?:'(?:[^'\\\n]|\\.)*'?|\"(?:[^\"\\\n]|\\.)*\"?)"
# 128 bits in hex, or 40 characters of base64 with a digit and both cases: 240 bits. One key of 32
# bytes in 1,500 has no digit, so at their length both cases are enough. It is looked for where a
# run of such characters begins and nowhere else, or long texts would take long.
_HEX = r"\b[0-9a-fA-F]{32,}\b"
_RUN = "[A-Za-z0-9+/_-]"
_BASE64 = (
    f"(?<!{_RUN})(?={_RUN}*[a-z])(?={_RUN}*[A-Z])"
    f"(?:(?={_RUN}*[0-9]){_RUN}{{40,}}|{_RUN}{{43}}(?!{_RUN}))={{0,2}}"
)
_MASKED = re.compile(f"({_DID})|({_SESSION_ID})|(?:{_BYTES}|{_HEX}|{_BASE64})")
_MASK = "…"


class Redaction:
    """Turns what somebody wants to log into what is written.

    Args:
        pseudonyms: Of DIDs and session ids.
        fields: Beside those of this package.

    Attributes:
        dropped_count: How many values were left out since the start.
    """

    def __init__(self, pseudonyms: Pseudonyms, fields: Mapping[str, Field] | None = None) -> None:
        self._pseudonyms = pseudonyms
        self.dropped_count = 0
        writers: dict[Kind, Callable[[Any], Value]] = {
            Kind.CODE: self._code,
            Kind.TEXT: self._text,
            Kind.TRACE: self._trace,
            Kind.NUMBER: _number,
            Kind.DID: self._did,
            Kind.SESSION: self._session,
        }
        self._writers = {
            name: writers[field.kind] for name, field in {**(fields or {}), **FIELDS}.items()
        }

    def __call__(self, line: Mapping[str, object]) -> dict[str, Value]:
        """Return the fields that may be written, in their order. None stands for nothing said."""
        kept: dict[str, Value] = {}
        dropped = 0
        for name, value in line.items():
            if value is None:
                continue
            write = self._writers.get(name)
            if write is None:
                dropped += 1
                continue
            try:
                kept[name] = write(value)
            except TypeError:
                dropped += 1
        if dropped:
            kept[FIELDS_DROPPED] = dropped
            self.dropped_count += dropped
        return kept

    def text(self, value: str, *, max_len: int = MAX_TEXT_LEN) -> str:
        """Return free text as it may be written, on one line."""
        return printable(self._masked(value, max_len))

    def _code(self, value: object) -> Value:
        if isinstance(value, str):
            return printable(value[:MAX_CODE_LEN])
        return _number(value)

    def _text(self, value: object) -> Value:
        if isinstance(value, str):
            return self.text(value)
        return _number(value)

    def _trace(self, value: object) -> Value:
        text = self._masked(_demand(value), MAX_TRACE_LEN)
        return "\n".join(printable(one) for one in text.split("\n"))

    def _did(self, value: object) -> Value:
        return self._pseudonyms.of_did(_demand(value))

    def _session(self, value: object) -> Value:
        return self._pseudonyms.of_session(_demand(value))

    def _masked(self, text: str, max_len: int) -> str:
        # Cut afterwards: half a key would not be known as one.
        return _MASKED.sub(self._mask, text[: 2 * max_len])[:max_len]

    def _mask(self, found: re.Match[str]) -> str:
        did, session_id = found.groups()
        if did is not None:
            return self._pseudonyms.of_did(did)
        if session_id is not None:
            return self._pseudonyms.of_session(session_id)
        return _MASK


def printable(text: str) -> str:
    r"""Return a text in which every character prints: others are written as ``\\x1b`` and so on."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def _demand(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> Value:
    if not isinstance(value, int | float):  # a truth value is an integer
        raise TypeError
    return value
