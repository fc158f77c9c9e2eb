"""Whether an answer is one that the description has."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING

from jsonschema import Draft202012Validator

from .source import METHODS, Node, load, operations, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SPEC_OF", "undocumented"]

_DOCUMENT = load()
_OPERATIONS = {operation["operationId"]: operation for _, _, operation in operations(_DOCUMENT)}


def _of_listener(listener: str) -> Node:
    document = deepcopy(_DOCUMENT)
    for path, item in list(document["paths"].items()):
        for method in METHODS:
            if method in item and item[method]["x-sage-listener"] not in {listener, "both"}:
                del item[method]
        if not set(METHODS) & set(item):
            del document["paths"][path]
    return document


SPEC_OF: dict[str, Node] = {listener: _of_listener(listener) for listener in ("public", "admin")}
"""The description of each listener alone."""


def undocumented(
    operation_id: str, status: int, headers: Mapping[str, str], body: bytes
) -> list[str]:
    """Return what of an answer the description does not have; nothing if all is well.

    Args:
        operation_id: The operation that was asked.
        status: The HTTP status.
        headers: With names in lower case.
        body: The whole body.
    """
    responses = _OPERATIONS[operation_id]["responses"]
    if str(status) not in responses:
        return [f"status {status} of {operation_id}: {body[:200]!r}"]
    response = resolve(_DOCUMENT, responses[str(status)])
    flaws = [
        f"no {name} with {status} of {operation_id}"
        for name in response.get("headers", {})
        if name.lower() not in headers
    ]
    if "content" not in response:
        return flaws + ([f"a body with {status} of {operation_id}"] if body else [])
    content_type = headers.get("content-type", "").partition(";")[0]
    if content_type not in response["content"]:
        return [*flaws, f"{content_type!r} with {status} of {operation_id}"]
    if content_type.endswith("json"):
        flaws += _flaws_of_json(response, content_type, json.loads(body))
    return flaws


def _flaws_of_json(response: Node, content_type: str, value: object) -> list[str]:
    schema = response["content"][content_type]["schema"]
    validator = Draft202012Validator({**_DOCUMENT, **schema})
    flaws = [error.message for error in validator.iter_errors(value)]
    if content_type == "application/problem+json" and not flaws:
        assert isinstance(value, dict)
        code = value["type"].removeprefix("urn:sage:problem:")
        if code not in response["x-sage-codes"]:
            flaws.append(f"code {code}, which is not of {response['x-sage-codes']}")
    return flaws
