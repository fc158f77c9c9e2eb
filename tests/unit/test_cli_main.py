"""The entry point: help, version, usage errors, the missing extra."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import sage_native
from sage_native.cli import MISSING_EXTRA
from tests.command_line import PROGRAM, refused, run

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = ("demo", "keygen", "sign", "verify", "bench", "pseudonym", "db", "did")


def test_help_lists_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"│ {command} " in done.stdout.decode()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = run(command, "--help", env={"COLUMNS": "200"})
    text = done.stdout.decode()
    assert done.returncode == 0
    assert f"Usage: sage-native {command}" in text
    assert "Exit status: 0 done" in text


def test_version() -> None:
    assert run("--version").stdout.decode() == f"sage-native {sage_native.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("nope",), ('"nope"', "demo, keygen, sign", "See: sage-native --help")),
        (("sign", "--kee", "x"), ("--kee", "Did you mean --key?", "See: sage-native sign --help")),
        (("sign", "-x", "--key", "k"), ("-x",)),
        (("sign", "a", "b", "--key", "k"), ("Too many arguments: b.",)),
        (("keygen", "--format", "-"), ('"-"', '"openssh"')),
        (("verify", "a"), ("--key",)),
        (("bench", "--rounds", "x"), ("--rounds", '"x"')),
        (("bench", "--rounds", "0"), ("--rounds 0", "between 1 and")),
    ],
)
def test_usage_errors_name_what_is_wrong(
    arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    refused(run(*arguments), *parts)


@pytest.mark.parametrize("module", ["cyclopts", "rich"])
def test_without_the_extra_it_says_so(module: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; import sage_native.cli as c; c.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.decode() == MISSING_EXTRA + "\n"


def test_no_colour_where_no_terminal_is() -> None:
    for arguments in (("--help",), ("demo", "--no-rates")):
        done = run(*arguments)
        assert b"\x1b" not in done.stdout + done.stderr


def test_a_narrow_encoding_is_survived() -> None:
    done = run("--help", env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("arguments", [("--help",), ("keygen",)])
def test_a_reader_that_goes_away_gets_no_traceback(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [PROGRAM, *arguments], stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path, check=False
    )
    os.close(writer)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr
