"""The documents: examples run, links lead somewhere, and every public name explains itself."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import sage_native
from sage_native.observability.metrics.running import running_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]
)
SOURCES = sorted(
    path
    for folder, suffix in (("rust", "rs"), ("python", "py"), ("tests", "py"))
    for path in (ROOT / folder).rglob(f"*.{suffix}")
)

NO_RUN_COUNT = 1
"""Blocks that cannot run: the docstring in CONTRIBUTING.md."""
README_EXAMPLE_LEN = 10
"""The most lines that the README's example may have."""

FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TEST_NAME = re.compile(r"`([\w/.-]+\.(?:py|rs))::(\w+)`")
PROTOCOL_SECTIONS = re.compile(r'docs/protocol\.md, ((?:"[^"\n]+"(?:, | and )?)+)')


class Block(NamedTuple):
    """One fenced Python block."""

    document: Path
    line: int
    code: str
    runs: bool


def blocks_of(document: Path) -> list[Block]:
    text = document.read_text("utf-8")
    found = []
    for fence in FENCE.finditer(text):
        info = fence["info"]
        if info.startswith("python gateway "):
            continue  # run with a gateway, by test_newcomer
        assert info in ("python", "python no-run") or not info.startswith("python"), info
        if info.startswith("python"):
            line = text.count("\n", 0, fence.start("code"))
            found.append(Block(document, line, fence["code"], info == "python"))
    return found


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


EXAMPLES = {name_of(document): blocks_of(document) for document in DOCUMENTS}


@pytest.mark.parametrize("name", [name for name, blocks in EXAMPLES.items() if blocks])
def test_examples_run(name: str) -> None:
    namespace: dict[str, object] = {"__name__": name}
    for block in EXAMPLES[name]:
        if block.runs:
            # The blank lines make a traceback name the line of the document.
            code = compile("\n" * block.line + block.code, name, "exec")
            exec(code, namespace)  # noqa: S102 - our own documents
    metrics = running_metrics()
    if metrics is not None:  # a page has started them, and other tests begin without
        metrics.stop()


COMMANDS = re.compile(r"^```sh run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL_BLOCKS = {
    name_of(document): found
    for document in DOCUMENTS
    if (found := COMMANDS.findall(document.read_text("utf-8")))
}


@pytest.mark.parametrize("name", SHELL_BLOCKS)
def test_commands_run(name: str, tmp_path: Path) -> None:
    """The commands of a document work in its order, in an empty folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "".join(SHELL_BLOCKS[name])],  # noqa: S607
        cwd=tmp_path,
        env={"PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_few_examples_do_not_run() -> None:
    skipped = [block for blocks in EXAMPLES.values() for block in blocks if not block.runs]
    assert len(skipped) == NO_RUN_COUNT


def test_the_guides_have_examples() -> None:
    for name in ("README.md", "docs/quickstart.md", "docs/concepts.md", "docs/DATABASE.md"):
        assert any(block.runs for block in EXAMPLES[name]), name
    (readme,) = EXAMPLES["README.md"]
    lines = [line for line in readme.code.splitlines() if line.strip()]
    assert len(lines) <= README_EXAMPLE_LEN


def slug(heading: str) -> str:
    """Return the anchor that repository hosts give a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_relative_links_resolve(document: Path) -> None:
    text = FENCE.sub("", document.read_text("utf-8"))
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.is_relative_to(ROOT), target
        assert file.exists(), target
        if anchor:
            headings = HEADING.findall(FENCE.sub("", file.read_text("utf-8")))
            assert anchor in map(slug, headings), target


def test_named_sections_of_the_protocol_exist() -> None:
    headings = HEADING.findall((ROOT / "docs/protocol.md").read_text("utf-8"))
    found = 0
    for path in SOURCES:
        for sections in PROTOCOL_SECTIONS.findall(path.read_text("utf-8")):
            for section in re.findall(r'"([^"]+)"', sections):
                found += 1
                assert any(heading.startswith(section) for heading in headings), (path, section)
    assert found > 0


# Tests, whose names say what they mean.
UNDOCUMENTED = "sage_native.storage.contract."


def modules() -> Iterator[ModuleType]:
    yield sage_native
    for found in pkgutil.walk_packages(sage_native.__path__, "sage_native."):
        is_private = found.name.rpartition(".")[2].startswith("_")
        if not is_private and not f"{found.name}.".startswith(UNDOCUMENTED):
            yield importlib.import_module(found.name)


def public_names(module: ModuleType) -> list[str]:
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return [name for name in listed if not name.startswith("_")]
    here = module.__name__
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == here
    ]


def is_documentable(value: object) -> bool:
    # The fields of a class with slots are told under "Attributes" of the class.
    is_field = inspect.ismemberdescriptor(value)
    return not is_field and (inspect.isroutine(value) or inspect.isdatadescriptor(value))


def members(owner: type) -> Iterator[tuple[str, object]]:
    """Public methods and properties, those of Python's own base classes left out."""
    for name in dir(owner):
        if name.startswith("_"):
            continue
        home = next(base for base in owner.__mro__ if name in vars(base))
        value = getattr(owner, name)
        if home.__module__.partition(".")[0] == "sage_native" and is_documentable(value):
            yield name, value


def public_objects() -> dict[str, object]:
    found: dict[str, object] = {}
    for module in modules():
        found[module.__name__] = module
        for name in public_names(module):
            value = getattr(module, name)
            where = f"{module.__name__}.{name}"
            if inspect.isclass(value):
                found[where] = value
                found |= {f"{where}.{member}": it for member, it in members(value)}
            elif callable(value) and inspect.isroutine(inspect.unwrap(value)):
                found[where] = value
    return found


PUBLIC = public_objects()


def test_public_objects_are_found() -> None:
    assert len(PUBLIC) > 200
    for name in ("SigningKey.sign", "Session.seal", "Session.epoch", "hkdf_sha256"):
        assert f"sage_native.{name}" in PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_explains_itself(name: str) -> None:
    # What fills a port in says nothing itself; the port does.
    doc = inspect.getdoc(PUBLIC[name])
    assert doc, f"{name} has no docstring"
    assert doc.strip()


def described_arguments(doc: str) -> list[str] | None:
    section = re.search(r"^Args:\n((?:[ ]+.*\n?)+)", inspect.cleandoc(doc), re.MULTILINE)
    return section and re.findall(r"^    (\w+):", section[1], re.MULTILINE)


@pytest.mark.parametrize("name", PUBLIC)
def test_described_arguments_are_the_real_ones(name: str) -> None:
    value = PUBLIC[name]
    described = described_arguments(value.__doc__ or "")
    if described is None or not callable(value):
        return
    real = [parameter for parameter in inspect.signature(value).parameters if parameter != "self"]
    assert described == real, name


def test_named_commands_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    found = 0
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE):
            found += 1
            assert target in targets, (name_of(document), target)
    assert found > 0


def test_promises_name_tests_that_exist() -> None:
    named = TEST_NAME.findall((ROOT / "SECURITY.md").read_text("utf-8"))
    assert len(named) > 20
    for path, test in named:
        source = (ROOT / path).read_text("utf-8")
        definition = rf"\b(?:def|fn|class) {test}\b|^{test} = "
        assert re.search(definition, source, re.MULTILINE), (path, test)
