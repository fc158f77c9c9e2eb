"""YAML of settings, without its traps.

Values are those of the JSON schema of YAML 1.2: ``no``, ``on``, ``1:30``, ``1_000`` and dates are
text, and true, false, null and decimal numbers are what they look like. A number that begins with a
zero, which older readers take for an octal one, is refused; so are keys that stand twice, anchors,
aliases, tags and a second document. Every key knows its line.

Built upon the parser's events and not upon its loader: that one calls itself for each level, and
keeps the last of two equal keys. No error quotes the text, which may hold a secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import yaml

from sage_native.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_DEPTH", "read_yaml"]

MAX_DEPTH: Final = 16
MAX_NUMBER_LEN: Final = 30
_WORDS: Final = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)?(\.[0-9]+)?([eE][-+]?[0-9]+)?", re.ASCII)
_ZEROS: Final = re.compile(r"[-+]?0[0-9_]+|[-+]?0[xobXOB][0-9a-fA-F_]+", re.ASCII)


def read_yaml(
    text: str, name: str
) -> tuple[Mapping[object, object], Mapping[tuple[str, ...], int]]:
    """Read one document.

    Args:
        text: What it says.
        name: What the file is called in errors.

    Returns:
        The document, empty for an empty one, and the line of each key by its path.

    Raises:
        ConfigurationError: It cannot be read, or steps into a trap; with the line.
    """
    reader = _Reader(name)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = re.sub(r"'[^']*'|\"[^\"]*\"", "…", error.problem or "it ends too early")
        raise ConfigurationError(f"{name} line {line}: cannot be read as YAML: {problem}") from None
    except yaml.YAMLError:
        raise ConfigurationError(f"{name}: holds signs that YAML does not allow") from None
    return reader.document(), reader.lines


class _Reader:
    """Builds mappings, lists and values out of events; one level of the document is one frame."""

    def __init__(self, name: str) -> None:
        self.lines: dict[tuple[str, ...], int] = {}
        self._name = name
        self._documents = 0
        self._root: object = None
        self._frames: list[tuple[dict[object, object] | list[object], list[str]]] = []
        """Open collections; with a mapping's pending key, if one was read."""

    def document(self) -> Mapping[object, object]:
        if self._root is None:
            return {}
        if not isinstance(self._root, dict):
            raise ConfigurationError(f"{self._name}: holds no keys: write section: and its keys")
        return self._root

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if getattr(event, "anchor", None) is not None:
            self._refuse(line, "anchors and aliases (& and *) are not used; quote the text")
        if getattr(event, "tag", None) is not None:
            self._refuse(line, "tags (!) are not used; quote the text")
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._refuse(line, "a second document begins; there must be one")
            case yaml.ScalarEvent():
                self._scalar(event, line)
            case yaml.MappingStartEvent():
                self._open({}, line)
            case yaml.SequenceStartEvent():
                self._open([], line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._frames.pop()
                self._value_is_there()

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        collection, pending = self._frames[-1] if self._frames else ([], [])
        if isinstance(collection, dict) and not pending:
            if event.value in collection:
                self._refuse(line, f"the key {self._path(event.value)} stands twice")
            pending.append(event.value)
            self.lines.setdefault(self._keys(), line)
            return
        self._add(event.value if event.style else self._plain(event.value, line))
        self._value_is_there()

    def _plain(self, text: str, line: int) -> object:
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            return int(text) if len(text) <= MAX_NUMBER_LEN else text
        if _ZEROS.fullmatch(text):
            self._refuse(line, "a number in another base than ten, or one that begins with 0")
        if any(sign.isdigit() for sign in text) and _FLOAT.fullmatch(text):
            return float(text)
        return text

    def _open(self, collection: dict[object, object] | list[object], line: int) -> None:
        if len(self._frames) >= MAX_DEPTH:
            self._refuse(line, f"more than {MAX_DEPTH} levels")
        if self._frames and isinstance(self._frames[-1][0], dict) and not self._frames[-1][1]:
            self._refuse(line, "a key must be text")
        self._add(collection)
        self._frames.append((collection, []))

    def _value_is_there(self) -> None:
        if self._frames:
            self._frames[-1][1].clear()

    def _add(self, value: object) -> None:
        if not self._frames:
            self._root = value
            return
        collection, pending = self._frames[-1]
        if isinstance(collection, list):
            collection.append(value)
        else:
            collection[pending[0]] = value

    def _keys(self) -> tuple[str, ...]:
        return tuple(key for _, pending in self._frames for key in pending)

    def _path(self, key: str) -> str:
        return ".".join((*self._keys(), key))

    def _refuse(self, line: int, why: str) -> None:
        raise ConfigurationError(f"{self._name} line {line}: {why}")
