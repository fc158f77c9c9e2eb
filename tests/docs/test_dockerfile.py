"""deploy/Dockerfile, as far as it can be checked without building it."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import NamedTuple

from sage_native.config import load_settings
from tests.docs.walks import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
WORKSPACE = tomllib.loads((ROOT / "Cargo.toml").read_text("utf-8"))["workspace"]


class Instruction(NamedTuple):
    name: str
    rest: str


def stages() -> list[list[Instruction]]:
    """The instructions of each stage, FROM first."""
    text = (ROOT / "deploy/Dockerfile").read_text("utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found: list[list[Instruction]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition(" ")
        assert name in {
            *("FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "VOLUME", "EXPOSE"),
            *("STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT"),
        }, line
        if name == "FROM":
            found.append([])
        found[-1].append(Instruction(name, rest))
    return found


def of(name: str, stage: list[Instruction]) -> list[str]:
    return [instruction.rest for instruction in stage if instruction.name == name]


_, BUILD, RUNTIME = stages()


def copied() -> list[str]:
    return [
        source
        for rest in of("COPY", BUILD)
        if not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]


def test_what_is_copied_is_there_and_enough() -> None:
    assert len(copied()) > 5
    for source in copied():
        assert (ROOT / source).exists(), source
    needed = [
        *WORKSPACE["members"],
        PROJECT["project"]["readme"],
        *PROJECT["project"]["license-files"],
        PROJECT["tool"]["maturin"]["manifest-path"],
        PROJECT["tool"]["maturin"]["python-source"],
    ]
    for path in needed:
        assert any(Path(path).is_relative_to(source) for source in copied()), path


def test_both_stages_have_one_python_and_the_toolchain_is_new_enough() -> None:
    assert of("FROM", BUILD)[0].split()[0] == of("FROM", RUNTIME)[0]
    rust = re.match(r"rust:([\d.]+)-", of("FROM", stages()[0])[0])
    assert rust is not None
    assert rust[1] == WORKSPACE["package"]["rust-version"]
    (maturin,) = PROJECT["build-system"]["requires"]
    assert any(f"'{maturin}'" in line for line in of("RUN", BUILD))


def test_the_extras_exist() -> None:
    (extras,) = re.findall(r"\.whl\)\[([\w,]+)\]", " ".join(of("RUN", RUNTIME)))
    assert {"gateway", "observability", "postgres", "redis"} == set(extras.split(","))
    assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])


def test_it_runs_as_nobody_in_particular() -> None:
    user, _, group = of("USER", RUNTIME)[-1].partition(":")
    assert int(user) >= 10_000
    assert int(group) >= 10_000
    assert any(f"--uid {user}" in line for line in of("RUN", RUNTIME))
    # Nothing after USER needs more than that.
    last = [instruction.name for instruction in RUNTIME][::-1].index("USER")
    assert not {"RUN", "COPY"} & {instruction.name for instruction in RUNTIME[-last:]}


def test_state_is_on_the_volume_and_settings_say_so() -> None:
    environment = dict(
        pair.split("=", 1) for rest in of("ENV", RUNTIME) for pair in shlex.split(rest)
    )
    completed = {
        "server.trusted_proxies": ["10.0.0.0/8"],
        "behind.upstream": "http://127.0.0.1:8000",
    }
    settings = load_settings("production", environ=environment, overrides=completed)
    (volume,) = of("VOLUME", RUNTIME)
    assert settings.state_dir.parent == Path(volume)
    assert of("EXPOSE", RUNTIME) == [str(settings.server.port)]
    (check,) = of("HEALTHCHECK", RUNTIME)
    assert f"http://127.0.0.1:{settings.server.port}/v1/health" in check
    compile(json.loads(check.partition("CMD ")[2])[2], "HEALTHCHECK", "exec")


def test_it_serves_production() -> None:
    (entry,) = of("ENTRYPOINT", RUNTIME)
    assert json.loads(entry) == ["sage-native", "serve", "--profile", "production"]
