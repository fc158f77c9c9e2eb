"""``api/openapi.yaml`` is valid and whole, its examples are real, what is derived is current."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from sage_native.gateway import ui
from tests.openapi.derived import derived_files, stale_files
from tests.openapi.source import API_DIR, SPEC, Node, load, operations, resolve
from tests.openapi.worked import worked_bodies, worked_problems, worked_records

ROOT = API_DIR.parent
SPEC_31 = load()
OPERATIONS = operations(SPEC_31)
IDS = [operation["operationId"] for _, _, operation in OPERATIONS]
LISTENERS = {"public", "admin", "both"}
NOT_OF_THE_PROTOCOL = {
    "unauthorized",
    "not_found",
    "method_not_allowed",
    "request_timeout",
    "conflict",
    "unsupported_media_type",
    "upstream_unavailable",
    "upstream_timeout",
    "internal_error",
}


def test_both_versions_are_valid() -> None:
    OpenAPIV31SpecValidator(SPEC_31).validate()
    OpenAPIV30SpecValidator(load(API_DIR / "openapi-3.0.3.yaml")).validate()


def test_what_is_derived_is_current() -> None:
    assert stale_files() == [], "run: python -m tests.openapi"


def test_the_old_version_says_nothing_that_only_the_new_one_can() -> None:
    text = derived_files()[API_DIR / "openapi-3.0.3.yaml"].decode()
    assert not re.findall(r"^ *(?:const|contentMediaType|identifier):|- 'null'", text, re.MULTILINE)
    assert text.count("nullable: true") == 4


def test_the_package_serves_this_file() -> None:
    assert ui.description().body == SPEC.read_bytes()
    packaged = ROOT / "python" / "sage_native" / "gateway" / "openapi.yaml"
    assert packaged.resolve() == SPEC


def test_operations_have_names_of_their_own() -> None:
    assert len(set(IDS)) == len(IDS) == 20
    assert all(re.fullmatch("[a-z]+[A-Za-z]+", name) for name in IDS)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=IDS)
def test_an_operation_is_described(path: str, method: str, operation: Node) -> None:
    assert operation["x-sage-listener"] in LISTENERS
    assert operation["summary"].endswith(".")
    assert {tag["name"] for tag in SPEC_31["tags"]} >= set(operation["tags"])
    in_path = {
        parameter["name"]
        for parameter in (resolve(SPEC_31, item) for item in operation["parameters"])
        if parameter["in"] == "path"
    }
    assert in_path == set(re.findall(r"\{(\w+)\}", path))
    assert ("requestBody" in operation) == (method == "post")
    is_guarded = {"operatorToken": []} in operation["security"]
    unauthorized = {"$ref": "#/components/responses/Unauthorized"}
    assert is_guarded == (operation["responses"].get("401") == unauthorized)
    assert is_guarded <= (operation["x-sage-listener"] != "public")


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=IDS)
def test_a_refusal_says_what_every_refusal_says(path: str, method: str, operation: Node) -> None:
    for status, reference in operation["responses"].items():
        response = resolve(SPEC_31, reference)
        headers = response.get("headers", {})
        assert ("Retry-After" in headers) == (status in {"429", "503"})
        assert ("Accept" in headers) == (status == "415")
        if int(status) < 400 or operation["operationId"] == "readReadiness":
            continue
        (media,) = response["content"].values()
        assert set(response["content"]) == {"application/problem+json"}
        assert media["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert list(media["examples"]) == response["x-sage-codes"], (path, method)
        shown = [resolve(SPEC_31, example)["value"] for example in media["examples"].values()]
        assert {document["status"] for document in shown} == {int(status)}
        if response["x-sage-codes"] == ["unauthorized"]:
            assert "WWW-Authenticate" in headers


def test_a_body_can_be_late_too_large_and_of_the_wrong_type() -> None:
    for _, _, operation in OPERATIONS:
        statuses = {"400", "408", "413", "415"}
        expected = statuses if "requestBody" in operation else set()
        assert statuses & set(operation["responses"]) >= expected


def test_codes_are_those_of_the_protocol_and_nine_of_http() -> None:
    protocol = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    table = protocol.split("## Errors on the wire")[1]
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", table, re.MULTILINE)
    of_protocol = {code: int(status) for code, status in rows}
    assert len(of_protocol) == 17

    schema = SPEC_31["components"]["schemas"]["ProblemCode"]
    listed = [name.removeprefix("urn:sage:problem:") for name in schema["enum"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(of_protocol) | NOT_OF_THE_PROTOCOL
    examples = SPEC_31["components"]["examples"]
    assert {code: examples[code]["value"]["status"] for code in of_protocol} == of_protocol

    responses = SPEC_31["components"]["responses"].values()
    said = {code for response in responses for code in response["x-sage-codes"]}
    assert said == set(listed) - {"internal_error"}


def test_nothing_is_defined_for_nobody() -> None:
    text = SPEC.read_text(encoding="utf-8")
    used = set(re.findall(r"\$ref: '#/components/(\w+/[\w-]+)'", text))
    kinds = ("parameters", "headers", "schemas", "responses", "examples")
    defined = {f"{kind}/{name}" for kind in kinds for name in SPEC_31["components"][kind]}
    assert defined - used == {"examples/internal_error"}
    assert used <= defined


def test_examples_are_what_the_reference_makes() -> None:
    examples = SPEC_31["components"]["examples"]
    values = {name: example["value"] for name, example in examples.items() if "value" in example}
    assert values == worked_bodies() | worked_problems()
    records = {name: item["x-sage-hex"] for name, item in examples.items() if name not in values}
    assert records == {name: record.hex() for name, record in worked_records().items()}


def _media_types() -> list[tuple[str, Node]]:
    found = []
    for _, _, operation in OPERATIONS:
        holders = [operation.get("requestBody", {}), *operation["responses"].values()]
        for holder in holders:
            media_types = resolve(SPEC_31, holder).get("content", {}).values()
            found += [(operation["operationId"], media) for media in media_types]
    return found


def test_examples_are_of_their_schemas() -> None:
    count = 0
    for name, media in _media_types():
        validator = Draft202012Validator({**SPEC_31, **media["schema"]})
        for reference in media.get("examples", {}).values():
            example = resolve(SPEC_31, reference)
            if "value" in example:
                errors = [error.message for error in validator.iter_errors(example["value"])]
                assert errors == [], name
                count += 1
    assert count > 100


@pytest.mark.parametrize(
    ("schema", "field", "value"),
    [
        ("Initiate", "nonce", "A" * 42),
        ("Initiate", "nonce", "A" * 42 + "B"),
        ("Initiate", "nonce", "A" * 42 + "+"),
        ("Initiate", "nonce", "A" * 43 + "="),
        ("Initiate", "suites", []),
        ("Initiate", "suites", [1, 1]),
        ("Initiate", "version", 2),
        ("Initiate", "timestamp", -1),
        ("Initiate", "timestamp", 2**53),
        ("Initiate", "client_did", "did:Key:abc"),
        ("Initiate", "client_did", "did:key:abc:"),
        ("Initiate", "client_did", "did:key:" + "a" * 249),
        ("Initiate", "surprise", 1),
        ("Accept", "idle_timeout", 0),
        ("Confirm", "session_id", "C6BF7F68-6BC7-ADAD-DC87-3755F3E25512"),
        ("Confirm", "signature", ""),
        ("RekeyReply", "adopted", None),
        ("DidRegistration", "owner", "NUL \0"),
        ("DidRegistration", "keys", []),
        ("SignatureCheck", "signature", "A" * 85 + "B"),
        ("SignatureCheck", "message", "A"),
        ("SignatureCheck", "message", "AB"),
    ],
)
def test_schemas_refuse(schema: str, field: str, value: object) -> None:
    validator = Draft202012Validator({**SPEC_31, "$ref": f"#/components/schemas/{schema}"})
    good = worked_bodies()[schema]
    assert isinstance(good, dict)
    validator.validate(good)
    assert not validator.is_valid(good | {field: value})


def test_schema_files_stand_alone() -> None:
    bodies = worked_bodies()
    files = {path.stem: path for path in (API_DIR / "schemas").iterdir()}
    schemas = {name: load(path) for name, path in files.items()}
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
        assert schema["$id"] == f"urn:sage:schema:{Path(files[schema['$id'][16:]]).stem}"
    for name in ("Initiate", "Accept", "Confirm", "RekeyRequest", "RekeyReply", "Identity"):
        (schema,) = (schema for schema in schemas.values() if schema["title"] == name)
        Draft202012Validator(schema).validate(bodies[name])
        assert not Draft202012Validator(schema).is_valid({})
