"""Secrets in files: who may read them, what a name may reach, what a crash leaves."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_native.config.secrets import (
    MAX_SECRET_LEN,
    SecretNotFoundError,
    SecretRefusedError,
    SecretUnavailableError,
)
from sage_native.config.secrets.file import FileProvider
from sage_native.exceptions import ConflictError
from tests.watch import Watch

if TYPE_CHECKING:
    from pathlib import Path

CANARY = b"canary-0123456789-of-the-file-tests"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "secrets"
    made.mkdir(mode=0o700)
    return made


def put(directory: Path, name: str, content: bytes, *, mode: int = 0o600) -> Path:
    path = directory / name
    path.write_bytes(content)
    path.chmod(mode)
    return path


async def test_set_makes_the_directory_and_get_returns_the_same(tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        provider = FileProvider(tmp_path / "deep" / "secrets")
        await provider.set("kek", CANARY)
    finally:
        os.umask(old_mask)
    assert await provider.get("kek") == CANARY
    assert stat.S_IMODE((tmp_path / "deep" / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "deep" / "secrets" / "kek").stat().st_mode) == 0o600


@given(
    value=st.one_of(
        st.binary(min_size=1, max_size=64), st.text("a\r\n\t", min_size=1).map(str.encode)
    )
)
def test_any_value_comes_back(value: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    provider = FileProvider(tmp_path_factory.getbasetemp() / "any")
    provider._store("value", value, only_new=False)
    assert provider._load("value") == value


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"text\n", b"text"),
        (b"text", b"text"),
        (b"text\n\n", b"text\n"),
        (b"text\r\n", b"text\r"),
        (b"-----BEGIN\n-----END\n", b"-----BEGIN\n-----END"),
        (bytes(31) + b"\n", bytes(31) + b"\n"),  # a raw key that ends with 10
        (b"\xff\xfe\n", b"\xff\xfe\n"),
        ("schlüssel\n".encode(), "schlüssel".encode()),
    ],
)
async def test_one_newline_belongs_to_the_file_if_it_is_text(
    directory: Path, content: bytes, value: bytes
) -> None:
    put(directory, "kek", content)
    assert await FileProvider(directory).get("kek") == value


async def test_what_is_not_there(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(SecretNotFoundError, match=f"file '{directory}/kek' does not exist"):
        await FileProvider(directory).get("kek")
    with pytest.raises(SecretNotFoundError, match=r"does not exist: make it with mkdir -m 700"):
        await FileProvider(tmp_path / "none").get("kek")
    put(directory, "kek", b"\n")
    with pytest.raises(SecretNotFoundError, match="is empty"):
        await FileProvider(directory).get("kek")


async def test_lengths(directory: Path) -> None:
    provider = FileProvider(directory)
    for value in (b"x" * MAX_SECRET_LEN, bytes(MAX_SECRET_LEN)):
        await provider.set("kek", value)
        assert await provider.get("kek") == value
    put(directory, "kek", b"x" * (MAX_SECRET_LEN + 2))
    with pytest.raises(SecretRefusedError, match="longer than 65536"):
        await provider.get("kek")


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o620, 0o666, 0o601])
async def test_a_file_that_others_may_open(directory: Path, mode: int) -> None:
    path = put(directory, "kek", CANARY, mode=mode)
    with Watch(CANARY) as watch, pytest.raises(SecretRefusedError) as refused:
        await FileProvider(directory).get("kek")
    watch.error(refused.value)
    assert f"(mode {mode:04o}): chmod 600 {path}, and make other secrets" in str(refused.value)
    path.chmod(0o400)
    assert await FileProvider(directory).get("kek") == CANARY


@pytest.mark.parametrize("mode", [0o750, 0o755, 0o701, 0o777, 0o1777])
async def test_a_directory_that_others_may_enter(directory: Path, mode: int) -> None:
    put(directory, "kek", CANARY)
    directory.chmod(mode)
    provider = FileProvider(directory)
    with pytest.raises(SecretRefusedError, match=f"chmod 700 {directory}, and make"):
        await provider.get("kek")
    with pytest.raises(SecretRefusedError, match=f"chmod 700 {directory}, and make"):
        await provider.set("other", b"value")
    assert os.listdir(directory) == ["kek"]  # noqa: PTH208 - names are meant


async def test_a_path_with_blanks_is_quoted_in_the_command(tmp_path: Path) -> None:
    directory = tmp_path / "my secrets"
    directory.mkdir(mode=0o755)
    with pytest.raises(SecretRefusedError, match=f"chmod 700 '{directory}', and"):
        await FileProvider(directory).get("kek")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_what_belongs_to_somebody_else(directory: Path) -> None:
    path = put(directory, "kek", CANARY)
    os.chown(path, 4242, -1)
    with pytest.raises(SecretRefusedError, match=f"'{path}' belongs to user 4242"):
        await FileProvider(directory).get("kek")
    os.chown(directory, 4242, -1)
    with pytest.raises(SecretRefusedError, match=f"'{directory}' belongs to user 4242"):
        await FileProvider(directory).get("other")


async def test_links_pipes_and_directories_are_not_read(directory: Path, tmp_path: Path) -> None:
    outside = put(tmp_path, "outside", CANARY)
    (directory / "link").symlink_to(outside)
    (directory / "near").symlink_to("real")
    put(directory, "real", b"value")
    os.mkfifo(directory / "pipe", 0o600)
    (directory / "folder").mkdir(mode=0o700)
    for name in ("link", "near"):
        with pytest.raises(SecretRefusedError, match="is a symbolic link, and links are not"):
            await FileProvider(directory).get(name)
    for name in ("pipe", "folder"):
        with pytest.raises(SecretRefusedError, match="is not a regular file"):
            await FileProvider(directory).get(name)


async def test_a_file_in_place_of_the_directory(tmp_path: Path) -> None:
    provider = FileProvider(put(tmp_path, "secrets", b"value"))
    for attempt in (provider.get("kek"), provider.set("kek", CANARY)):
        with pytest.raises(SecretRefusedError, match="secrets are files in one directory"):
            await attempt


async def test_set_replaces_a_link_and_not_what_it_leads_to(
    directory: Path, tmp_path: Path
) -> None:
    outside = put(tmp_path, "outside", b"untouched")
    (directory / "link").symlink_to(outside)
    provider = FileProvider(directory)
    with pytest.raises(ConflictError, match="is there already"):
        await provider.set("link", CANARY, only_new=True)
    await provider.set("link", CANARY)
    assert outside.read_bytes() == b"untouched"
    assert await provider.get("link") == CANARY


async def test_only_new_replaces_nothing(directory: Path) -> None:
    provider = FileProvider(directory)
    await provider.set("kek", b"first", only_new=True)
    with Watch(CANARY) as watch, pytest.raises(ConflictError, match="was not touched") as refused:
        await provider.set("kek", CANARY, only_new=True)
    watch.text(str(refused.value))
    assert await provider.get("kek") == b"first"
    await provider.set("kek", b"second")
    assert await provider.get("kek") == b"second"
    assert os.listdir(directory) == ["kek"]  # noqa: PTH208 - names are meant


async def test_the_mode_is_the_same_whatever_the_umask_takes_away(directory: Path) -> None:
    old_mask = os.umask(0o777)
    try:
        await FileProvider(directory).set("kek", CANARY)
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE((directory / "kek").stat().st_mode) == 0o600


async def test_a_write_that_fails_leaves_the_old_secret_and_nothing_else(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = FileProvider(directory)
    await provider.set("kek", b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SecretUnavailableError, match="No space left on device") as failed:
        await provider.set("kek", b"new")
    assert failed.value.reason == "failed"
    monkeypatch.undo()
    assert await provider.get("kek") == b"old"
    assert os.listdir(directory) == ["kek"]  # noqa: PTH208 - names are meant


def kubernetes(mount: Path, content: bytes, *, version: str = "..2026_01_02_03_04_05.678") -> Path:
    """Make what Kubernetes makes: root's, open to readers, names that are links through ..data."""
    mount.mkdir(exist_ok=True)
    mount.chmod(0o1777)
    folder = mount / version
    folder.mkdir()
    folder.chmod(0o755)
    put(folder, "kek", content, mode=0o644)
    link = mount / "..data_tmp"
    link.symlink_to(version)
    link.rename(mount / "..data")
    if not (mount / "kek").is_symlink():
        (mount / "kek").symlink_to("..data/kek")
    return folder


root_alone = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of root")


@root_alone
async def test_a_mount_of_kubernetes_is_read_and_followed(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    folder = kubernetes(mount, CANARY)
    provider = FileProvider(mount)
    assert await provider.get("kek") == CANARY
    folder.joinpath("kek").chmod(0o400)
    assert await provider.get("kek") == CANARY
    kubernetes(mount, b"rotated", version="..2026_02_02_03_04_05.678")
    assert await provider.get("kek") == b"rotated"
    with pytest.raises(SecretNotFoundError, match="does not exist"):
        await provider.get("other")
    with pytest.raises(SecretRefusedError, match="mounted read only; change the secret where"):
        await provider.set("kek", b"value")


@root_alone
async def test_a_mount_that_others_could_change(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    folder = kubernetes(mount, CANARY)
    provider = FileProvider(mount)
    (folder / "kek").chmod(0o664)
    with pytest.raises(SecretRefusedError, match=r"kek' is open to other users \(mode 0664\)"):
        await provider.get("kek")
    (folder / "kek").chmod(0o644)
    os.chown(folder / "kek", 4242, -1)
    with pytest.raises(SecretRefusedError, match="belongs to user 4242"):
        await provider.get("kek")
    os.chown(folder / "kek", 0, -1)
    folder.chmod(0o777)
    with pytest.raises(SecretRefusedError, match="mode 0777"):
        await provider.get("kek")
    folder.chmod(0o755)
    os.chown(mount / "..data", 4242, -1, follow_symlinks=False)
    with pytest.raises(SecretRefusedError, match="not a link as Kubernetes makes it"):
        await provider.get("kek")
    os.chown(mount / "..data", 0, -1, follow_symlinks=False)
    os.chown(mount, 4242, -1)
    with pytest.raises(SecretRefusedError, match="not a link as Kubernetes makes it"):
        await provider.get("kek")
    os.chown(mount, 0, -1)
    assert await provider.get("kek") == CANARY


@root_alone
async def test_of_a_mount_only_root_s_files_may_be_open_to_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = tmp_path / "mount"
    path = kubernetes(mount, CANARY) / "kek"
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    provider = FileProvider(mount)
    assert await provider.get("kek") == CANARY
    os.chown(path, 4242, -1)
    with pytest.raises(SecretRefusedError, match=f"mode 0644.*chmod 600 {mount}"):
        await provider.get("kek")
    path.chmod(0o600)
    assert await provider.get("kek") == CANARY


@pytest.mark.parametrize("target", ["../outside", "/etc", "outside", "..", "..a/../../outside"])
async def test_data_leads_nowhere_else(tmp_path: Path, target: str) -> None:
    mount = tmp_path / "mount"
    mount.mkdir(mode=0o700)
    for folder in (tmp_path / "outside", mount / "outside", mount / "..a"):
        folder.mkdir(mode=0o700)
        put(folder, "kek", CANARY)
    (mount / "..data").symlink_to(target)
    with pytest.raises(SecretRefusedError, match="not a link as Kubernetes makes it"):
        await FileProvider(mount).get("kek")


async def test_data_is_no_second_link(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir(mode=0o700)
    (tmp_path / "outside").mkdir(mode=0o700)
    put(tmp_path / "outside", "kek", CANARY)
    (mount / "..a").symlink_to(tmp_path / "outside")
    (mount / "..data").symlink_to("..a")
    with pytest.raises(SecretRefusedError):
        await FileProvider(mount).get("kek")


@root_alone
async def test_root_s_files_on_a_file_system_that_is_read_only(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(directory, "kek", CANARY, mode=0o444)
    directory.chmod(0o755)
    provider = FileProvider(directory)
    with pytest.raises(SecretRefusedError, match="open to other users"):
        await provider.get("kek")
    real = os.fstatvfs

    def read_only(descriptor: int) -> os.statvfs_result:
        fields = list(real(descriptor))
        fields[8] |= os.ST_RDONLY
        return os.statvfs_result(fields)

    monkeypatch.setattr(os, "fstatvfs", read_only)
    assert await provider.get("kek") == CANARY
    (directory / "kek").chmod(0o446)
    with pytest.raises(SecretRefusedError, match="mode 0446"):
        await provider.get("kek")
    with pytest.raises(SecretRefusedError, match="mounted read only"):
        await provider.set("kek", b"value")
