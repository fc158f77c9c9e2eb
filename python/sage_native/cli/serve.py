"""``sage-native serve``: the gateway.

What it needs is imported when it runs: the command line is there without the gateway's extra.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

from cyclopts import App

from sage_native.cli import console
from sage_native.cli.config import Assignments, ConfigFile, Profile, loaded
from sage_native.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from sage_native.config import Settings

__all__ = ["app"]

app = App(name="serve", help="Run the gateway.")


@app.default
def serve(  # noqa: PLR0913 - one option each
    *,
    profile: Profile = None,
    config: ConfigFile = None,
    host: str | None = None,
    port: int | None = None,
    admin_port: int | None = None,
    workers: int | None = None,
    application: str | None = None,
    upstream: str | None = None,
    set_: Assignments = None,
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
        set_: KEY=VALUE upon all, such as session.max_age=2h. Can be given more than once.
    """
    named = {
        "server.host": host,
        "server.port": port,
        "admin.port": admin_port,
        "server.workers": workers,
        "behind.application": application,
        "behind.upstream": upstream,
    }
    options = [f"{key}={value}" for key, value in named.items() if value is not None]
    assignments = [*(set_ or ()), *options]
    settings = loaded(profile, config, assignments).settings
    serving = _serving()
    logging.basicConfig(format="%(message)s", stream=sys.stderr, level=logging.WARNING)
    logging.getLogger("sage_native.gateway").setLevel(logging.INFO)
    asyncio.run(serving.check(settings))
    overrides = dict(assignment.split("=", 1) for assignment in assignments)
    source = serving.Source(profile, config, overrides)
    status = serving.serve(source, settings, on_ready=_teller(settings))
    if status:
        sys.exit(status)


def _serving() -> ModuleType:
    try:
        from sage_native.gateway import serving  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sage_native"):
            raise
        raise ConfigurationError(
            f"the gateway needs its extra ({error.name} is missing): "
            "pip install 'sage-native[gateway]'"
        ) from error
    return serving


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
