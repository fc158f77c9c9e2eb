"""``rediss://``: the server's name and issuer are checked."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sage_native.exceptions import StorageError
from sage_native.storage.base import Outcome
from sage_native.storage.contract.made import nonce
from sage_native.storage.redis import RedisStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.servers.redis import RedisServer


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of its own issue for localhost, and its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's Redis")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "redis.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@contextlib.asynccontextmanager
async def _tls_before(server: RedisServer, certificate: Path) -> AsyncIterator[int]:
    """Speak TLS before a server that cannot, one connection to one; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(_pour(reader, behind_writer), _pour(behind_reader, writer))

    listener = await asyncio.start_server(join, "127.0.0.1", 0, ssl=context)
    async with listener:
        yield int(listener.sockets[0].getsockname()[1])


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
        await writer.wait_closed()


async def test_a_server_that_is_known_is_used(redis_server: RedisServer, certificate: Path) -> None:
    async with _tls_before(redis_server, certificate) as port:
        url = f"rediss://localhost:{port}/0?ssl_ca_certs={certificate}"
        async with await RedisStorage.open(url, timeout_s=5) as storage:
            request = nonce()
            outcomes = await storage.nonces.admit_many([request, request])
            assert outcomes == [Outcome.FRESH, Outcome.REPLAY]


async def test_a_server_that_is_not_known_is_refused(
    redis_server: RedisServer, certificate: Path
) -> None:
    async with _tls_before(redis_server, certificate) as port:
        for url in (
            f"rediss://localhost:{port}/0",
            f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}",
        ):
            with pytest.raises(StorageError, match=r"(?i)certificate"):
                await RedisStorage.open(url, timeout_s=5)
