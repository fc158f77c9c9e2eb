"""One JSON Schema a message, complete in itself, for who reads JSON and no OpenAPI."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from .source import Node

__all__ = ["render_schemas"]

_PREFIX = "#/components/schemas/"


def render_schemas(document: Node) -> dict[str, bytes]:
    """Return the files of ``api/schemas`` by their names: a file for every object."""
    schemas: Node = document["components"]["schemas"]
    return {
        f"{kebab(name)}.json": _render(name, schemas)
        for name, schema in schemas.items()
        if schema.get("type") == "object"
    }


def kebab(name: str) -> str:
    """Return ``rekey-reply`` for ``RekeyReply``."""
    return re.sub("(?<!^)(?=[A-Z])", "-", name).lower()


def _render(name: str, schemas: Node) -> bytes:
    needed: Node = {}
    body = cast("Node", _collect(schemas[name], schemas, needed))
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:sage:schema:{kebab(name)}",
        "title": name,
        **body,
    }
    if needed:
        schema["$defs"] = dict(sorted(needed.items()))
    return json.dumps(schema, indent=2, ensure_ascii=False).encode() + b"\n"


def _collect(node: object, schemas: Node, needed: Node) -> object:
    """Copy a schema with its references turned to ``$defs``, which are gathered in `needed`."""
    if isinstance(node, list):
        return [_collect(item, schemas, needed) for item in node]
    if not isinstance(node, dict):
        return node
    copy = {key: _collect(value, schemas, needed) for key, value in node.items()}
    reference = copy.get("$ref")
    if isinstance(reference, str):
        name = reference.removeprefix(_PREFIX)
        if name not in needed:
            needed[name] = None  # it may refer to itself
            needed[name] = _collect(schemas[name], schemas, needed)
        copy["$ref"] = f"#/$defs/{name}"
    return copy
