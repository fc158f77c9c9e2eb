"""``sage-native pseudonym``: under which names a gateway's logs and traces speak of an id."""

from __future__ import annotations

from cyclopts import App

from sage_native.cli.config import Assignments, ConfigFile, Profile, loaded
from sage_native.exceptions import ConfigurationError

__all__ = ["app"]

app = App(
    name="pseudonym",
    help="Print the pseudonyms of DIDs and session ids, as they stand in the logs of a gateway.",
    help_epilogue="Exit status: 0 done, 1 wrong settings, 2 wrong usage.",
)


@app.default
def pseudonym(
    *ids: str, profile: Profile = None, config: ConfigFile = None, set_: Assignments = None
) -> None:
    """Print the pseudonym of each id, in a line of its own, under the key of the state directory.

    Args:
        ids: DIDs and session ids.
        profile: local, dev, staging or production.
        config: A YAML file upon the profile.
        set_: KEY=VALUE upon all, such as state_dir=/var/lib/sage. Can be given more than once.

    Raises:
        ConfigurationError: No gateway has drawn a key there; one drawn now would fit no log.
    """
    settings = loaded(profile, config, set_).settings
    key_path = settings.state_dir / "pseudonym.key"
    if not key_path.exists():
        raise ConfigurationError(
            f"{key_path} does not exist: give the settings with which the gateway runs, on its "
            "machine and as its user"
        )
    from sage_native.gateway.observing import pseudonyms_of  # noqa: PLC0415 - as needed

    pseudonyms = pseudonyms_of(settings)
    for one in ids:
        print(pseudonyms.of(one))
