"""OpenAPI 3.0.3 out of 3.1, for generators that know no newer one.

What 3.1 says and 3.0.3 cannot is said as it was said then: ``null`` as ``nullable``, ``const`` as
an enum of one, what stands beside a ``$ref`` around it. Nothing is lost that decides what is valid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import yaml

if TYPE_CHECKING:
    from .source import Node

__all__ = ["downgrade", "render_downgrade"]

_HEADER = "# Written from openapi.yaml by `python -m tests.openapi`. Do not edit.\n"


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - its signature
        return True


def render_downgrade(document: Node) -> bytes:
    """Return the text of ``openapi-3.0.3.yaml``."""
    text = yaml.dump(
        downgrade(document), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120
    )
    return (_HEADER + text).encode()


def downgrade(document: Node) -> Node:
    """Return the same API in OpenAPI 3.0.3."""
    old = cast("Node", _walk(document))
    old["openapi"] = "3.0.3"
    del old["info"]["summary"]
    del old["info"]["license"]["identifier"]
    return old


def _walk(node: object) -> object:
    if isinstance(node, list):
        return [_walk(item) for item in node]
    if not isinstance(node, dict):
        return node
    # Examples are data, whatever their keys are called.
    walked = {key: value if key == "value" else _walk(value) for key, value in node.items()}
    return _schema(walked)


def _schema(node: Node) -> Node:
    kinds = node.get("type")
    if isinstance(kinds, list):
        (kind,) = (kind for kind in kinds if kind != "null")
        node = _replaced(node, "type", {"type": kind, "nullable": True})
    if "const" in node:
        node = _replaced(node, "const", {"enum": [node["const"]]})
    if "contentMediaType" in node:
        node = _replaced(node, "contentMediaType", {"format": "binary"})
    if "$ref" in node and len(node) > 1:
        node = _replaced(node, "$ref", {"allOf": [{"$ref": node["$ref"]}]})
    return node


def _replaced(node: Node, name: str, by: Node) -> Node:
    items: Node = {}
    for key, value in node.items():
        items |= by if key == name else {key: value}
    return items
