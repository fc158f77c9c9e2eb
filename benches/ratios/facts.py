"""What the run was made on: processor, versions, commit."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cryptography.hazmat.backends.openssl.backend import backend

_ROOT = Path(__file__).resolve().parents[2]
_CPUINFO = Path("/proc/cpuinfo")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_FLAGS = ("adx", "avx2", "avx512f", "avx512ifma", "vaes", "vpclmulqdq", "sha_ni")
_PACKAGES = (
    *("sage-native", "cryptography", "PyNaCl", "msgspec", "numpy"),
    *("fastapi", "starlette", "uvicorn", "uvloop"),
)


def facts() -> dict[str, object]:
    """Return commit, time and machine, as they stand in the JSON file."""
    return {
        "commit": _commit(),
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            **_processor(),
            "governor": _text(_GOVERNOR) or "unknown",
            "system": platform.platform(),
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "openssl": backend.openssl_version_text(),
            "packages": {name: _version(name) for name in _PACKAGES},
        },
    }


def _processor() -> dict[str, object]:
    fields: dict[str, str] = {}
    for line in _text(_CPUINFO).splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    present = fields.get("flags", "").split()
    flags = [flag for flag in _FLAGS if flag in present]
    return {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "flags": flags,
        "class": machine_class(flags),
    }


def machine_class(flags: list[str]) -> str:
    """Name the class of a machine as docs/performance.md does."""
    if {"avx512ifma", "vaes", "vpclmulqdq", "sha_ni"} <= set(flags):
        return "new server"
    if {"adx", "avx2", "avx512f"} <= set(flags):
        return "old server"
    return "other"


def _commit() -> str:
    """Return the commit, with "-dirty" behind it if tracked files differ from it."""
    command = ["git", "describe", "--always", "--abbrev=40", "--match=", "--dirty"]
    try:
        answer = subprocess.run(  # noqa: S603  # constant arguments
            command, cwd=_ROOT, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
