"""Key files: every form there and back, to and from ``cryptography``, and every clear refusal."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    load_pem_public_key,
    load_ssh_private_key,
    load_ssh_public_key,
)

from sage_native import (
    SessionStateError,
    SigningKey,
    StaticSecret,
    UsageError,
    VerifyingKey,
    X25519PublicKey,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SEED = bytes(range(32))
PASSWORD = b"correct horse"
VECTORS = files("cryptography_vectors") / "asymmetric"

SIGNING_FORMATS = ["pem", "der", "openssh"]


def signing_key() -> SigningKey:
    return SigningKey(SEED)


def to(key: object, form: str, **options: object) -> bytes:
    data: bytes = getattr(key, f"to_{form}")(**options)
    return data


def of(class_: type[object], form: str, data: object, **options: object) -> Any:  # noqa: ANN401
    return getattr(class_, f"from_{form}")(data, **options)


# There and back.


@pytest.mark.parametrize("password", [None, PASSWORD])
@pytest.mark.parametrize("form", SIGNING_FORMATS)
def test_signing_keys_come_back(form: str, password: bytes | None) -> None:
    data = to(signing_key(), form, password=password)
    assert (SEED in data) == (password is None and form == "der")
    assert of(SigningKey, form, data, password=password).to_bytes() == SEED


@pytest.mark.parametrize("form", [*SIGNING_FORMATS, "jwk"])
def test_verifying_keys_come_back(form: str) -> None:
    key = signing_key().verifying_key
    loaded = of(VerifyingKey, form, to(key, form))
    assert loaded == key
    assert type(loaded) is VerifyingKey


@pytest.mark.parametrize("password", [None, PASSWORD])
def test_static_secrets_come_back(password: bytes | None) -> None:
    secret = StaticSecret(SEED)
    assert StaticSecret.from_pem(
        secret.to_pem(password=password), password=password
    ).to_bytes() == (SEED)
    assert StaticSecret.from_jwk(secret.to_jwk()).to_bytes() == SEED


def test_shares_come_back() -> None:
    share = StaticSecret(SEED).public_key
    assert X25519PublicKey.from_pem(share.to_pem()) == share
    assert X25519PublicKey.from_jwk(share.to_jwk()) == share


def test_dids_come_back() -> None:
    key = signing_key()
    assert VerifyingKey.from_did(key.did) == key.verifying_key
    assert key.verifying_key.did == key.did


def test_jwks_have_the_members_of_rfc_8037() -> None:
    assert signing_key().to_jwk().keys() == {"kty", "crv", "x", "d"}
    assert signing_key().verifying_key.to_jwk().keys() == {"kty", "crv", "x"}


def test_jwk_of_rfc_8037_appendix_a() -> None:
    jwk = {
        "kty": "OKP",
        "crv": "Ed25519",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }
    key = SigningKey.from_jwk(jwk)
    assert key.to_jwk() == jwk
    assert (
        key.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc")
        .hex()
        .startswith("860c98d2297f3060a33f42739672d61b53cf3adefed3d3c672f320dc021b411e")
    )


# To and from cryptography.


def test_cryptography_reads_ours() -> None:
    key = signing_key()
    raw = load_pem_private_key(key.to_pem(), None)
    assert isinstance(raw, ed25519.Ed25519PrivateKey)
    assert raw.private_bytes_raw() == SEED
    for loaded in (
        load_pem_private_key(key.to_pem(password=PASSWORD), PASSWORD),
        load_der_private_key(key.to_der(password=PASSWORD), PASSWORD),
        load_ssh_private_key(key.to_openssh(password=PASSWORD), PASSWORD),
    ):
        assert isinstance(loaded, ed25519.Ed25519PrivateKey)
        assert loaded.private_bytes_raw() == SEED
    for public in (
        load_pem_public_key(key.verifying_key.to_pem()),
        load_ssh_public_key(key.verifying_key.to_openssh()),
    ):
        assert isinstance(public, ed25519.Ed25519PublicKey)
        assert public.public_bytes_raw() == key.verifying_key_bytes
    agreed = load_pem_private_key(StaticSecret(SEED).to_pem(), None)
    assert isinstance(agreed, x25519.X25519PrivateKey)
    assert agreed.private_bytes_raw() == SEED


def test_we_read_cryptography_s() -> None:
    theirs = ed25519.Ed25519PrivateKey.from_private_bytes(SEED)
    encryption = BestAvailableEncryption(PASSWORD)
    pem = theirs.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    assert SigningKey.from_pem(pem, password=PASSWORD).to_bytes() == SEED
    der = theirs.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert SigningKey.from_der(der).to_bytes() == SEED
    ssh = theirs.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption)
    assert SigningKey.from_openssh(ssh, password=PASSWORD).to_bytes() == SEED
    public = theirs.public_key()
    line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    assert VerifyingKey.from_openssh(line + b" somebody@somewhere").to_openssh() == line
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert VerifyingKey.from_der(spki).to_der() == spki


@pytest.mark.parametrize("form", ["pem", "der"])
def test_we_read_openssl_s_files(form: str) -> None:
    folder = VECTORS / "Ed25519"
    clear = of(SigningKey, form, (folder / f"ed25519-pkcs8.{form}").read_bytes())
    data = (folder / f"ed25519-pkcs8-enc.{form}").read_bytes()
    assert of(SigningKey, form, data, password=b"password").did == clear.did
    public = of(VerifyingKey, form, (folder / f"ed25519-pub.{form}").read_bytes())
    assert public == clear.verifying_key


def test_we_read_ssh_keygen_s_files() -> None:
    folder = VECTORS / "OpenSSH"
    for name, password in (
        ("ed25519-nopsw", None),
        ("ed25519-psw", b"password"),
        ("ed25519-aesgcm-psw", b"password"),
    ):
        key = SigningKey.from_openssh((folder / f"{name}.key").read_bytes(), password=password)
        line = (folder / f"{name}.key.pub").read_bytes()
        assert VerifyingKey.from_openssh(line) == key.verifying_key


# Refusals say what is wrong.


@pytest.mark.parametrize("form", SIGNING_FORMATS)
def test_passwords(form: str) -> None:
    locked = to(signing_key(), form, password=PASSWORD)
    with pytest.raises(UsageError, match="cannot be read"):
        of(SigningKey, form, locked, password=b"wrong")
    with pytest.raises(UsageError, match=r"(?i)password"):
        of(SigningKey, form, locked)
    with pytest.raises(UsageError, match=r"(?i)password"):
        of(SigningKey, form, to(signing_key(), form), password=PASSWORD)
    with pytest.raises(UsageError, match="password must not be empty"):
        to(signing_key(), form, password=b"")


@pytest.mark.parametrize("form", SIGNING_FORMATS)
def test_every_truncation_of_a_private_key_is_refused(form: str) -> None:
    data = to(signing_key(), form).rstrip(b"\n")
    for length in range(len(data)):
        with pytest.raises(UsageError):
            of(SigningKey, form, data[:length])


@pytest.mark.parametrize("form", ["pem", "der", "openssh"])
def test_every_truncation_of_a_public_key_is_refused(form: str) -> None:
    data = to(signing_key().verifying_key, form).rstrip(b"\n")
    for length in range(len(data)):
        with pytest.raises(UsageError):
            of(VerifyingKey, form, data[:length])


def test_another_kind_of_key_is_named() -> None:
    agreement = StaticSecret(SEED)
    with pytest.raises(UsageError, match="expected an Ed25519 private key, not X25519PrivateKey"):
        SigningKey.from_pem(agreement.to_pem())
    with pytest.raises(UsageError, match="expected an X25519 private key, not Ed25519PrivateKey"):
        StaticSecret.from_pem(signing_key().to_pem())
    with pytest.raises(UsageError, match="expected an Ed25519 public key, not X25519PublicKey"):
        VerifyingKey.from_pem(agreement.public_key.to_pem())
    with pytest.raises(UsageError, match="expected an X25519 public key, not Ed25519PublicKey"):
        X25519PublicKey.from_pem(signing_key().verifying_key.to_pem())
    numbers = rsa.generate_private_key(65537, 2048)
    pem = numbers.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(UsageError, match="expected an Ed25519 private key, not RSAPrivateKey"):
        SigningKey.from_pem(pem)


def test_private_and_public_are_not_confused() -> None:
    key = signing_key()
    with pytest.raises(UsageError, match="PEM public key cannot be read"):
        VerifyingKey.from_pem(key.to_pem())
    with pytest.raises(UsageError, match="PEM private key cannot be read"):
        SigningKey.from_pem(key.verifying_key.to_pem())


def test_a_public_key_file_is_checked_as_strictly_as_raw_bytes() -> None:
    pem = ed25519.Ed25519PublicKey.from_public_bytes(bytes([1]) + bytes(31)).public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(UsageError, match="small order"):
        VerifyingKey.from_pem(pem)


JWK = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"kty": "EC"}, "'kty' must be 'OKP', not 'EC'"),
        ({"kty": None}, "'kty' must be 'OKP', not None"),
        ({"crv": "X25519"}, "'crv' must be 'Ed25519', not 'X25519'"),
        ({"x": None}, "'x' must be a string, not NoneType"),
        ({"x": 7}, "'x' must be a string, not int"),
        ({"x": ""}, "'x' must be 32 bytes"),
        ({"x": JWK["x"] + "="}, "'x'"),
        ({"x": JWK["x"].replace("_", "/")}, "'x'"),
        ({"x": JWK["x"][:-1]}, "'x'"),
        ({"x": JWK["x"][:-1] + "p"}, "'x' must be 32 bytes in base64url without padding"),
        ({"x": " " + JWK["x"]}, "'x'"),
        ({"x": JWK["x"] + "AA"}, "'x'"),
        ({"x": "é" * 43}, "'x'"),
    ],
)
def test_malformed_jwks(change: dict[str, object], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        VerifyingKey.from_jwk({**JWK, **change})


def test_the_halves_of_a_jwk_must_belong_together() -> None:
    jwk = signing_key().to_jwk()
    with pytest.raises(UsageError, match="'x' is not the public key of member 'd'"):
        SigningKey.from_jwk({**jwk, "x": JWK["x"]})
    with pytest.raises(UsageError, match="'d' must be a string, not NoneType"):
        SigningKey.from_jwk(JWK)


LOADERS: list[Callable[[bytes], object]] = [
    SigningKey.from_pem,
    SigningKey.from_der,
    SigningKey.from_openssh,
    VerifyingKey.from_pem,
    VerifyingKey.from_der,
    VerifyingKey.from_openssh,
    StaticSecret.from_pem,
    X25519PublicKey.from_pem,
]


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"-----BEGIN PRIVATE KEY-----\n", b"ssh-rsa A"])
def test_garbage_is_a_usage_error(data: bytes) -> None:
    for load in LOADERS:
        with pytest.raises(UsageError):
            load(data)


def test_closed_keys_are_not_exported() -> None:
    key, secret = signing_key(), StaticSecret(SEED)
    key.close()
    secret.close()
    for export in (
        key.to_pem,
        key.to_der,
        key.to_openssh,
        key.to_jwk,
        secret.to_pem,
        secret.to_jwk,
    ):
        with pytest.raises(SessionStateError, match="closed"):
            export()
