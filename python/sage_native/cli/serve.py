"""``sage-native serve``: the gateway.

What it needs is imported when it runs: the command line is there without the gateway's extra.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path  # noqa: TC003 - cyclopts reads the annotation
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from sage_native.cli import console
from sage_native.exceptions import ConfigurationError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType

    from sage_native.config import Settings

__all__ = ["app"]

app = App(name="serve", help="Run the gateway.")


@app.default
def serve(  # noqa: PLR0913 - one option each
    *,
    profile: Annotated[str | None, Parameter(env_var="SAGE_ENV")] = None,
    config: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    admin_port: int | None = None,
    workers: int | None = None,
    application: str | None = None,
    upstream: str | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative=())] = None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    With the profiles local and dev nothing else is needed: keys, a token for operators and a
    database are made in the state directory.

    Args:
        profile: local, dev, staging or production.
        config: A YAML file upon the profile.
        host: Address of the public listener.
        port: Its port; 0 for any free one.
        admin_port: Port of the admin listener; 0 for any free one.
        workers: Worker processes of the public listener.
        application: What answers: echo, or an async handler or ASGI application MODULE:ATTRIBUTE.
        upstream: URL of an HTTP service that answers instead.
        set_: Any other setting, KEY=VALUE, such as session.max_age=2h.
    """
    overrides = _overrides(set_ or ())
    named = {
        "server.host": host,
        "server.port": port,
        "admin.port": admin_port,
        "server.workers": workers,
        "behind.application": application,
        "behind.upstream": upstream,
    }
    overrides.update({key: value for key, value in named.items() if value is not None})
    if upstream is not None and application is None:
        overrides["behind.application"] = None
    load_settings, serving = _imported()
    settings = load_settings(profile, file=config, overrides=overrides)
    source = serving.Source(profile, config, overrides).with_ports(settings)
    settings = load_settings(source.profile, file=config, overrides=source.overrides)
    logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.WARNING)
    logging.getLogger("sage_native.gateway").setLevel(logging.INFO)
    asyncio.run(serving.check(settings))
    status = serving.serve(source, settings, on_ready=_teller(settings))
    if status:
        sys.exit(status)


def _imported() -> tuple[Callable[..., Settings], ModuleType]:
    try:
        from sage_native.config import load_settings  # noqa: PLC0415 - the extra may be missing
        from sage_native.gateway import serving  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sage_native"):
            raise
        raise ConfigurationError(
            f"the gateway needs its extra ({error.name} is missing): "
            "pip install 'sage-native[gateway]'"
        ) from error
    return load_settings, serving


def _overrides(assignments: Sequence[str]) -> dict[str, object]:
    overrides: dict[str, object] = {}
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator:
            raise UsageError(f"--set takes KEY=VALUE, such as session.max_age=2h, not {key!r}")
        overrides[key] = value
    return overrides


def _teller(settings: Settings) -> Callable[[Mapping[str, str]], None]:
    def tell(urls: Mapping[str, str]) -> None:
        console.line("profile", settings.profile)
        for listener, url in urls.items():
            console.line(listener, url)
        if settings.admin.enabled and settings.admin.ui:
            console.line("docs", f"{urls['admin']}/docs")
        console.line("behind", settings.behind.application or settings.behind.upstream or "")
        console.line("state", str(settings.state_dir))
        console.note("Ctrl-C stops it")

    return tell
