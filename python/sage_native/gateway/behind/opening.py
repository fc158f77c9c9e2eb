"""One way to name what is behind: by the settings."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any, Protocol

from sage_native.exceptions import ConfigurationError
from sage_native.gateway.behind.echo import EchoBehind
from sage_native.gateway.behind.handler import HandlerBehind

if TYPE_CHECKING:
    from sage_native.gateway.behind.base import Behind

__all__ = ["BehindChoice", "open_behind"]

_FORMS = "echo, or an async function or an ASGI application as module:attribute"


class BehindChoice(Protocol):
    """The settings that this reads: the section ``behind``."""

    @property
    def application(self) -> str | None:
        """``echo`` or ``module:attribute``."""

    @property
    def upstream(self) -> str | None:
        """The URL of an HTTP service."""

    @property
    def connect_timeout(self) -> float:
        """Seconds."""

    @property
    def timeout(self) -> float:
        """Seconds."""

    @property
    def max_response(self) -> int:
        """Bytes."""

    @property
    def max_connections(self) -> int:
        """In each worker."""


def open_behind(settings: BehindChoice) -> Behind:
    """Make what the settings name. Nothing is connected before its `start`.

    Args:
        settings: Exactly one of ``application`` and ``upstream`` is set. An async function of two
            parameters gets raw messages (`HandlerBehind`); what has three is an ASGI application.

    Raises:
        ConfigurationError: None or both are set, the module or attribute is not there or of
            another kind, or the URL is none.
    """
    if (settings.application is None) == (settings.upstream is None):
        raise ConfigurationError(
            "exactly one of behind.application and behind.upstream must be set: "
            f"application is {_FORMS}; upstream is a URL"
        )
    if settings.upstream is not None:
        from sage_native.gateway.behind.upstream import UpstreamBehind  # noqa: PLC0415 - as needed

        return UpstreamBehind(
            str(settings.upstream),
            connect_timeout_s=settings.connect_timeout,
            timeout_s=settings.timeout,
            max_response_len=settings.max_response,
            max_connections=settings.max_connections,
        )
    return _application(str(settings.application), settings)


def _application(name: str, settings: BehindChoice) -> Behind:
    if name == "echo":
        return EchoBehind()
    found = _attribute(name)
    match _parameter_count(found):
        case 2 if _is_async(found):
            return HandlerBehind(
                found, timeout_s=settings.timeout, max_answer_len=settings.max_response
            )
        case 3:
            from sage_native.gateway.behind.asgi import AsgiBehind  # noqa: PLC0415 - as needed

            return AsgiBehind(
                found, timeout_s=settings.timeout, max_response_len=settings.max_response
            )
    raise ConfigurationError(
        f"behind.application: {name} is neither an async function of two parameters (peer, "
        "message) nor an ASGI application, which has three (scope, receive, send)"
    )


def _parameter_count(found: object) -> int | None:
    """Return how many positional parameters are needed; None if it cannot be called with any."""
    if not callable(found) or inspect.isclass(found):
        return None
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return sum(
        parameter.kind in kinds and parameter.default is inspect.Parameter.empty
        for parameter in parameters
    )


def _is_async(found: object) -> bool:
    return inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(
        getattr(found, "__call__", None)  # noqa: B004 - asked of objects
    )


def _attribute(place: str) -> Any:  # noqa: ANN401 - whatever is there
    module_name, colon, path = place.partition(":")
    if not (colon and module_name and path):
        raise ConfigurationError(f"behind.application is {place!r}; it must be {_FORMS}")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise ConfigurationError(
            f"behind.application: the module {module_name!r} cannot be imported "
            f"({type(error).__name__}): is it on the Python path?"
        ) from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ConfigurationError(
                f"behind.application: {module_name!r} has no attribute {path!r}"
            ) from None
    return found
