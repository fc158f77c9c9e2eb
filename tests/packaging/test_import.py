"""What ``import sage_native`` brings in, and what it must not."""

import json
import subprocess
import sys

HEAVY = {
    "asyncio",
    "asyncpg",
    "cryptography",
    "cyclopts",
    "msgspec",
    "numpy",
    "opentelemetry",
    "prometheus_client",
    "pydantic",
    "redis",
    "rich",
    "starlette",
    "structlog",
}


def _modules_after(statement: str) -> set[str]:
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(run.stdout))


def test_import_brings_in_no_dependency() -> None:
    loaded = _modules_after("import sage_native")
    assert "sage_native._native" in loaded
    assert not HEAVY & loaded


def test_numpy_comes_with_the_first_batch_and_cryptography_with_the_first_key_file() -> None:
    loaded = _modules_after(
        "import sage_native; key = sage_native.SigningKey.generate(); key.sign(b'')"
    )
    assert not HEAVY & loaded
    loaded = _modules_after(
        "import sage_native; key = sage_native.SigningKey.generate(); key.sign_many([b''])"
    )
    assert HEAVY & loaded >= {"numpy"}
    loaded = _modules_after("import sage_native; sage_native.SigningKey.generate().to_pem()")
    assert HEAVY & loaded >= {"cryptography"}
