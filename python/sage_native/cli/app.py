"""The application: which commands there are, and how each way to end becomes an exit status."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from cyclopts import App, CycloptsError, UnusedCliTokensError

from sage_native import __version__
from sage_native.cli import console
from sage_native.cli.bench import bench
from sage_native.cli.demo.command import demo
from sage_native.cli.files import STDIO_MARK
from sage_native.cli.keygen import keygen
from sage_native.cli.sign import sign
from sage_native.cli.verify import verify
from sage_native.exceptions import SageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["app", "run"]

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

app = App(
    name="sage-native",
    help="Secure sessions between AI agents, on the command line.",
    version=f"sage-native {__version__}",
    help_epilogue="Exit status: 0 done, 1 verification failed or refused, 2 wrong usage.",
    print_error=False,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
COMMANDS: tuple[Callable[..., None], ...] = (demo, keygen, sign, verify, bench)
# Imported when they are used, so that the others start as quickly as without them.
LAZY_APPS = (
    ("serve", "The gateway: sessions of agents over HTTP."),
    ("config", "Show, check and describe the settings of a gateway."),
    ("pseudonym", "Find a DID or a session in the logs of a gateway."),
    ("db", "Schema, seeds, backups and key rotation of a database."),
    ("did", "Register, revoke and list the DIDs of a database."),
)
for position, command in enumerate(COMMANDS):
    app.command(command, sort_key=position)
for position, (name, summary) in enumerate(LAZY_APPS, start=len(COMMANDS)):
    app.command(f"sage_native.cli.{name}:app", name=name, help=summary, sort_key=position)


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Args:
        arguments: What follows the name of the program.

    Returns:
        The exit status. Every error that a user can cause has been printed, in one message.
    """
    console.survive_narrow_encodings()
    try:
        app([STDIO_MARK if argument == "-" else argument for argument in arguments])
        sys.stdout.flush()
    except CycloptsError as error:
        return _fail(_without_urls(_explain(error), arguments), USAGE)
    except SageError as error:
        return _fail(str(error), USAGE if isinstance(error, UsageError) else FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader has gone. What is still buffered goes nowhere, or Python complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return OK


def _explain(error: CycloptsError) -> str:
    """Return what is wrong with a command line, and where to read how it goes."""
    if isinstance(error, UnusedCliTokensError):
        text = f"Too many arguments: {' '.join(error.unused_tokens or ())}."
    else:
        text = str(error)
        text = text if text.endswith((".", "?")) else f"{text}."
    chain = " ".join(("sage-native", *(error.command_chain or ())))
    return f"{text} See: {chain} --help".replace(STDIO_MARK, "-")


def _without_urls(text: str, arguments: Sequence[str]) -> str:
    """Shorten URLs that were put where none belongs: they may hold a password."""
    for argument in arguments:
        for piece in (argument, argument.partition("=")[2]):
            scheme, separator, rest = piece.partition("://")
            if separator and rest:
                text = text.replace(piece, f"{scheme}://…")
    return re.sub(r"(\w+://)[^\s\"']+", r"\1…", text)


def _fail(message: str, status: int) -> int:
    console.error(message)
    return status
