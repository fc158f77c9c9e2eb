"""Requests that nobody thought of, drawn from the description: every answer is a documented one.

Some are of their schemas, some are not. None is answered by a 500, or by a status, content type or
code that the description does not have, and what is not of its schema is not taken.
"""

from __future__ import annotations

import contextlib
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from sage_native.gateway import create_admin_app, create_app
from tests.gateways import gateway_settings
from tests.openapi.browser import served
from tests.openapi.conformance import SPEC_OF, undocumented

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import Case, CheckContext, Response, SerializationContext

EXAMPLES = 40
RECORD_TYPE = "application/sage-record"


@schemathesis.serializer(RECORD_TYPE)
def as_it_is(_context: SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.check
def is_documented(_context: CheckContext, response: Response, case: Case[Any]) -> bool | None:
    if case.method.lower() != case.operation.method:
        return True  # another method: `unsupported_method` looks at it
    operation_id = case.operation.definition.raw["operationId"]
    headers = {name.lower(): values[0] for name, values in response.headers.items()}
    flaws = undocumented(operation_id, response.status_code, headers, response.content)
    assert flaws == []
    return None


CHECKS: list[Any] = [
    allow_header_conformance,
    content_type_conformance,
    is_documented,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]


def drawn_from(listener: str) -> schemathesis.BaseSchema:
    document = deepcopy(SPEC_OF[listener])
    # A megabyte of base64url and a thousand signatures are slow to draw; other tests send those.
    schemas = document["components"]["schemas"]
    del schemas["Bytes"]["maxLength"]
    del schemas["SignatureBatch"]["properties"]["items"]["maxItems"]
    return schemathesis.openapi.from_dict(document)


public, admin = drawn_from("public"), drawn_from("admin")


class Address:
    """Where a gateway listens, and the operator's token."""

    def __init__(self, public_url: str, admin_url: str, token: str) -> None:
        self.public_url = public_url
        self.admin_url = admin_url
        self.operator = {"authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    state_dir = tmp_path_factory.mktemp("gateway")
    ours = gateway_settings(state_dir, {"features.rate_limiting": False})
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(served(app(ours))) for app in (create_app, create_admin_app)]
        token = (state_dir / "state" / "secrets" / "operator-token").read_text().strip()
        yield Address(urls[0], urls[1], token)


bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@public.parametrize()
@bounded
def test_the_public_listener(case: Case[Any], gateway: Address) -> None:
    case.call_and_validate(base_url=gateway.public_url, checks=CHECKS)


@admin.parametrize()
@bounded
def test_the_admin_listener(case: Case[Any], gateway: Address) -> None:
    case.call_and_validate(base_url=gateway.admin_url, headers=gateway.operator, checks=CHECKS)
