"""The description as data."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

__all__ = ["API_DIR", "SPEC", "Node", "load", "operations", "resolve"]

API_DIR: Final = Path(__file__).resolve().parents[2] / "api"
SPEC: Final = API_DIR / "openapi.yaml"

Node = dict[str, Any]
METHODS: Final = ("get", "put", "post", "delete", "patch", "head", "options", "trace")


@cache
def load(path: Path = SPEC) -> Node:
    """Read a description, once: nobody may change what this returns."""
    document: Node = yaml.safe_load(path.read_text(encoding="utf-8"))
    return document


def resolve(document: Node, node: Node) -> Node:
    """Follow ``$ref`` inside the document, as long as there is one."""
    while "$ref" in node:
        target: Any = document
        for step in str(node["$ref"]).removeprefix("#/").split("/"):
            target = target[step.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def operations(document: Node) -> list[tuple[str, str, Node]]:
    """Return every operation as path, lower-case method and itself, with the path's parameters."""
    found = []
    for path, item in document["paths"].items():
        shared = item.get("parameters", [])
        for method in METHODS:
            if method in item:
                parameters = [*shared, *item[method].get("parameters", [])]
                operation = item[method] | {"parameters": parameters}
                found.append((path, method, operation))
    return found
