"""Requests with their answers, a file for each tag: the worked examples without the description.

An example of a request and one of an answer belong together when they have the same name.
"""

from __future__ import annotations

import json
import re
from urllib.parse import quote

from .source import Node, operations, resolve

__all__ = ["Exchange", "exchanges", "render_exchanges"]

TAGS = ("authentication", "sessions", "signatures", "dids")
Exchange = dict[str, object]


def render_exchanges(document: Node) -> dict[str, bytes]:
    """Return the files of ``api/examples`` by their names."""
    described = {tag["name"]: tag["description"] for tag in document["tags"]}
    return {f"{tag}.json": _render(described[tag], exchanges(document, tag)) for tag in TAGS}


def exchanges(document: Node, tag: str) -> list[Exchange]:
    """Return the exchanges of the operations with a tag, in the order of the description."""
    found: list[Exchange] = []
    for path, method, operation in operations(document):
        if tag in operation["tags"]:
            found += _of_operation(document, path, method, operation)
    return found


def _render(description: str, items: list[Exchange]) -> bytes:
    file = {"description": description, "source": "api/openapi.yaml", "exchanges": items}
    return json.dumps(file, indent=2, ensure_ascii=False).encode() + b"\n"


def _of_operation(document: Node, path: str, method: str, operation: Node) -> list[Exchange]:
    answers = {
        int(status): _bodies(document, answer)
        for status, answer in operation["responses"].items()
        if status.startswith("2")
    }
    requests = _bodies(document, operation.get("requestBody", {}))
    names = dict.fromkeys([*requests, *(name for named in answers.values() for name in named)])
    return [
        {
            "operation": operation["operationId"],
            "name": name,
            "listener": operation["x-sage-listener"],
            "request": {
                "method": method.upper(),
                "path": _filled(document, path, operation),
                **requests.get(name, {}),
            },
            "answer": _answer(answers, name),
        }
        for name in names or ["plain"]
    ]


def _answer(answers: dict[int, dict[str, Node]], name: str) -> Node:
    for status, named in answers.items():
        if name in named:
            return {"status": status, **named[name]}
    return {"status": max(answers)}  # 204 has no body to show


def _filled(document: Node, path: str, operation: Node) -> str:
    examples = {}
    for reference in operation["parameters"]:
        parameter = resolve(document, reference)
        if parameter["in"] == "path":
            examples[parameter["name"]] = quote(parameter["example"], safe=":")
    return re.sub(r"\{(\w+)\}", lambda match: examples[match[1]], path)


def _bodies(document: Node, node: Node) -> dict[str, Node]:
    """Return what an example's request or answer holds, by the example's name."""
    found = {}
    for content_type, media in resolve(document, node).get("content", {}).items():
        for name, reference in media.get("examples", {}).items():
            example = resolve(document, reference)
            kind, value = (
                ("body_hex", example["x-sage-hex"])
                if "x-sage-hex" in example
                else ("body", example["value"])
            )
            found[name] = {"content_type": content_type, kind: value}
    return found
